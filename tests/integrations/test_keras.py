"""A watch inside ``fit`` of Keras 3, on each backend that is there, in processes of their own."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("keras", reason="Keras calls the callback")

SCRIPT = """
import json
import keras, numpy as np
from gradscope.integrations.keras import GradscopeCallback

keras.utils.set_random_seed(0)
layers = keras.layers
inputs = layers.Input((40, 2))
x = layers.GRU(5, return_sequences=True, name="first")(inputs)
x = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both")(x)
x = layers.SimpleRNN(3, return_sequences=True, name="third")(x)
x = layers.LSTM(4, go_backwards=True, return_sequences=True, name="fourth")(x)
model = keras.Model(inputs, layers.Dense(1, name="out")(layers.GRU(4, name="last")(x)))
model.compile("adam", "mse")
data = np.random.default_rng(0).standard_normal((48, 40, 2))
lines, told = [], []
callback = GradscopeCallback(
    data[:3], required_lag=20, every=5, share=None, log=lines.append, on_snapshot=told.append
)
model.fit(data, data[:, -1, :1], batch_size=8, epochs=2, verbose=0, callbacks=[callback])

print(json.dumps({
    "backend": keras.config.backend(),
    "steps": callback.watch.journal.steps,
    "told": [(each.step, each.layer) for each in told],
    "deviations": [each.deviation for each in told],
    "failures": [each.error for each in callback.watch.journal.failures],
    "losses": len(callback.watch.journal.losses),
    "required": {each.verdict.required_lag for each in told} == {20},
    "report": lines[-1].splitlines()[0] == callback.watch.report().splitlines()[0],
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_fit_is_watched_layer_by_layer(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; Keras runs on it here")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout.splitlines()[-1])

    assert (found["backend"], found["steps"], found["losses"]) == (backend, 12, 12)
    layers = ["first", "both", "both_reverse", "third", "fourth", "last"]
    assert found["told"] == [[step, layer] for step in (1, 6, 11, 12) for layer in layers]
    for (_, layer), deviation in zip(found["told"], found["deviations"], strict=True):
        # Only what returns its whole sequence can be compared.
        assert deviation is None if layer == "last" else deviation < 1e-5
    assert found["failures"] == []
    assert found["required"]
    assert found["report"]


SUBCLASSED = """
import keras, numpy as np
from gradscope.errors import SettingError
from gradscope.integrations.keras import GradscopeCallback

class Mine(keras.Model):
    def __init__(self):
        super().__init__()
        self.rnn = keras.layers.SimpleRNN(2)

    def call(self, x):
        return self.rnn(x)

model = Mine()
model.compile("sgd", "mse")
x = np.zeros((4, 5, 1))
try:
    model.fit(x, np.zeros((4, 2)), verbose=0, callbacks=[GradscopeCallback(x)])
except SettingError as error:
    print(error)
"""


@pytest.mark.torch
def test_a_model_without_a_graph_is_refused_in_one_line() -> None:
    pytest.importorskip("torch", reason="Keras runs on it here")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SUBCLASSED],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
