"""``gradscope check``: whether the instrument measures right, here and now."""

from typing import TYPE_CHECKING

import typer

from gradscope.cli.analyze import EXIT_CHECK_FAILED
from gradscope.cli.command import Call, MapsWeights, takes_settings, weights_of
from gradscope.cli.options import WeightsFile
from gradscope.cli.output import Place, note, show

if TYPE_CHECKING:
    from gradscope.study.check import CheckRow
    from gradscope.study.config import Settings

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope check

  gradscope check --activation sigmoid --hidden 32 --steps 50

  gradscope check model.pt --data inputs.npy --activation tanh
"""

PACKAGE = {"Keras": "keras", "PyTorch": "torch"}

SMALL = {"hidden": 8, "steps": 12, "sequences": 3, "updates": 0}
"""A network on which every comparison takes well under a second; any of it can be set."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", epilog=EXAMPLES, cls=MapsWeights)(check)


@takes_settings(
    "updates", "batch", "optimizer", "learning_rate", "clip_norm", "clip_value", "truncate"
)
def check(call: Call, file: WeightsFile = None) -> None:
    """Check gradient, shares, Jacobians and causes against independent numbers; with FILE against
    the framework that wrote it, where that is installed.
    """
    call.prepare()
    run_check(call.place, call.settings(defaults=SMALL, **weights_of(file)))


def framework_rows(settings: "Settings") -> "tuple[CheckRow, ...]":
    """Compare a network from a file with its framework; say on stderr what was not compared."""
    from gradscope.study.study import given_of
    from gradscope.weights.contents import FileFormat

    given = given_of(settings)
    keras = given.found.file.format is FileFormat.KERAS
    name = "Keras" if keras else "PyTorch"
    try:
        if keras:
            from gradscope.keras import can_compute, parity_rows
        else:
            from gradscope.torch.parity import can_compute, parity_rows
    except ImportError as error:
        note(f"not compared with {name}: {_missing(name, error)}")
        return ()
    if not can_compute(given.settled):
        note(f"not compared with {name}: it has no layer of these equations")
        return ()
    if keras:
        note("not compared with Keras: the Jacobian, which each of its backends has its own way to")
    return parity_rows(given)


def _missing(name: str, error: ImportError) -> str:
    """Say what is missing: the framework, or the backend that Keras is told to compute with."""
    if name == "Keras" and error.name not in (None, "keras"):
        return (
            f"its backend {error.name} is not installed; set KERAS_BACKEND to one that is "
            "(torch, jax, tensorflow)"
        )
    return f"it is not installed; pip install {PACKAGE[name]}"


def run_check(place: Place, settings: "Settings") -> None:
    """Check, show the table, and leave with the exit code that fits."""
    from gradscope.report.documents import check_document
    from gradscope.report.rows import CHECK_COLUMNS, check_rows
    from gradscope.report.tables import check_page
    from gradscope.study.check import check as run

    rows = run(settings)
    if settings.weights is not None:
        rows += framework_rows(settings)
    show(
        place,
        lambda screen: check_page(rows, screen),
        lambda: check_document(rows, settings.as_dict()),
        lambda: (CHECK_COLUMNS, check_rows(rows)),
    )
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_CHECK_FAILED)
