"""From a file that Keras wrote to an analysis: its states are Keras's."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.names import CellName
from gradscope.study.given import settings_of_weights
from gradscope.study.study import analyze, given_of

pytest.importorskip("h5py", reason="Keras files are HDF5")
INPUTS = np.random.default_rng(0).normal(size=(7, 2, 3))
pytestmark = [
    pytest.mark.torch,
    # Keras and the deprecated parts of others that it uses are not what is tested here.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Import Keras on top of PyTorch; its own warnings are not ours."""
    pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setitem(os.environ, "KERAS_BACKEND", "torch")
        warnings.simplefilter("ignore")
        yield pytest.importorskip("keras", reason="Keras writes the files and is the oracle")


LAYERS: dict[str, dict[str, Any]] = {
    "SimpleRNN": {"activation": "relu"},
    "GRU": {},
    "GRU before": {"reset_after": False},
    "LSTM": {},
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_keras_file_says_all_and_its_states_are_those_of_keras(
    keras: Any, name: str, tmp_path: Path
) -> None:
    from gradscope.keras import can_compute, parity_rows

    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, name.split(maxsplit=1)[0])(
        5, return_sequences=True, **LAYERS[name]
    )
    model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    model.save(tmp_path / "net.keras")
    np.save(tmp_path / "x.npy", INPUTS)
    values = {"weights": str(tmp_path / "net.keras"), "data": str(tmp_path / "x.npy")}

    settings = settings_of_weights(values)
    given = given_of(settings)
    analysis = analyze(settings)

    expected = keras.ops.convert_to_numpy(layer(INPUTS.swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_allclose(analysis.trajectory.hidden[1:], expected, rtol=0, atol=1e-5)
    assert (settings.cell is CellName.ELMAN) == (name == "SimpleRNN")
    assert can_compute(given.settled)
    (row,) = parity_rows(given)
    assert row.passed
    given.courses[given.subject.title].hidden[3] += 1e-3
    (row,) = parity_rows(given)
    assert not row.passed
