"""pytest: ``gradscope_reaches(model, inputs, lag=50)`` fails where memory is lost.

pytest loads this file wherever gradscope is installed: nothing heavy is imported before the fixture
is called. Source: pytest 9.1, "Writing plugins".
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Check = Callable[..., None]


@pytest.fixture
def gradscope_reaches(tmp_path: Path) -> Check:
    """Return ``check(model, inputs, lag, **options)``, which calls a PyTorch model on its inputs (a
    tuple: several) and fails unless the gradient of each recurrent layer reaches ``lag`` steps
    back, with the headline of the layer that reaches least and a picture in the folder of the test.
    """

    def check(model: Any, inputs: Any, lag: int, **options: Any) -> None:
        __tracebackhide__ = True
        from gradscope.torch import watch
        from gradscope.watch.display import watch_headline

        training = model.training
        model.train()
        try:
            with watch(model, share=None, required_lag=lag, **options) as watching:
                model(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        finally:
            model.train(training)
        if not watching.snapshots:
            pytest.fail(f"no recurrent layer was seen\n{watching.report()}", pytrace=False)
        lost = [each for each in watching.snapshots if not each.reaches]
        if lost:
            picture = tmp_path / "gradscope.png"
            watching.picture(picture)
            short = [each for each in lost if each.verdict is not None and each.reaches is None]
            said = watch_headline(watching.journal) or f"{lost[0].layer}: the state is not finite"
            if short:
                lags = max(len(each.log10_norms) for each in short)
                said = f"lag {lag} was not measured: the inputs have {lags} steps; {said}"
            pytest.fail(f"{said} ({picture})", pytrace=False)

    return check
