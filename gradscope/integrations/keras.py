"""Keras 3, on any backend: ``model.fit(…, callbacks=[GradscopeCallback(x[:4], required_lag=48)])``.

The layers are watched on sequences that a person gives, with the weights as they are before each
training step that is due. Source: Keras 3.15, ``keras.callbacks.Callback``, ``keras.layers.RNN``.
"""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from gradscope.diagnosis.thresholds import Thresholds
from gradscope.errors import SettingError
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer
from gradscope.watch.instrument import Instrument, OnSnapshot
from gradscope.watch.journal import Journal, TimeBudget
from gradscope.watch.page import Log, WatchLog
from gradscope.watch.replay import Sample
from gradscope.watch.schedule import Steps
from gradscope.weights.files.contents import WeightFile
from gradscope.weights.layers.keras_names import keras_layers
from gradscope.weights.layers.to_cell import cell_of, resolve_spec

KINDS = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM)


class GradscopeCallback(keras.callbacks.Callback):
    """Watches SimpleRNN, GRU and LSTM, also within Bidirectional, of a Sequential or functional
    model while it is fitted, on ``inputs`` (B,T,…) without padding; ``watch`` is what it recorded.

    The other options are those of ``gradscope.torch.watch``. The loss is Keras's mean over the
    epoch so far; the gradient norm is not known. Raises SettingError of a model without a graph.
    """

    def __init__(
        self,
        inputs: Any,
        required_lag: int | None = None,
        every: int = 100,
        log: Log = None,
        *,
        max_lag: int = 200,
        share: float | None = 0.04,
        thresholds: Thresholds | None = None,
        on_snapshot: OnSnapshot = None,
    ) -> None:
        super().__init__()
        writer = WatchLog(log)
        journal = Journal(TimeBudget(share), writer, every)
        lines = thresholds or Thresholds()
        self._steps = Steps(journal, every, max_lag, len(inputs), lines, required_lag)
        self.watch = Instrument(self._steps, writer, on_snapshot)
        self._inputs, self._layers = inputs, dict[str, Any]()

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 (Keras names what it gives)
        """Find the layers, and what leads to each."""
        found = list(_recurrent(self.model))
        try:
            ends = {each.name: (each.input, each.output) for each in found}
            self._probe: Any = keras.Model(self.model.inputs, ends)
        except (AttributeError, ValueError) as error:
            fault = "has no graph to each of its layers; give a Sequential or a functional model"
            raise SettingError(f"the model {self.model.name!r} {fault}") from error
        self._layers = {each.name: each for each in found}
        self.watch.journal.n_modules = len(found)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Begin a training step, and look where that is due."""
        self._steps.begin("", graded=True)
        self._look()
        self.watch.tell_snapshots()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """End a training step."""
        self._steps.end()
        if "loss" in (logs or {}):
            self.watch.loss(logs["loss"])

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Look once more, and write the report."""
        self._steps.closing = True
        self._look()
        self.watch.finish()

    def _look(self) -> None:
        try:
            self._examine()
        except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
            self._layers.clear()
            self.watch.journal.fail(self.model.name, error)

    def _examine(self) -> None:
        started, due = perf_counter(), {}
        for title, layer in self._layers.items():
            halves, given = _halves(layer), layer.input.shape[1]
            size = halves[0].units * (1 + isinstance(halves[0], keras.layers.LSTM))
            of = len(self._inputs), size, given or np.shape(self._inputs)[1], len(halves)
            due[title] = self._steps.due(title, *of)
        if not any(count for count, _ in due.values()):
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        ran = self._probe.predict_on_batch(self._inputs)
        for title, (count, lags) in due.items():
            if count:
                sample = self._sample(self._layers[title], *(each[:count] for each in ran[title]))
                self._steps.examine(title, sample, lags, started)
                started = perf_counter()

    def _sample(self, layer: Any, given: Any, returned: Any) -> Sample:
        cells = [_cell(each) for each in _halves(layer)]
        if len(cells) == 1 and layer.go_backwards:
            given = given[:, ::-1]
        comparable = returned.ndim == 3 and getattr(layer, "merge_mode", "concat") == "concat"
        wide = [np.asarray(each, np.float64) for each in (given, returned)]
        return Sample(
            self._steps.now,
            (layer.name, f"{layer.name}_reverse")[: len(cells)],
            [Layer(*cells)],
            [*wide[0]],
            [np.zeros((len(given), each.state_size)) for each in cells],
            [*wide[1]] if comparable else (),
        )


def _recurrent(model: Any) -> Iterator[Any]:
    """Yield the recurrent layers of a model; of a Bidirectional itself, not its halves."""
    layers = list(model._flatten_layers(include_self=False))  # noqa: SLF001 (nothing else nests)
    both = [each for each in layers if isinstance(each, keras.layers.Bidirectional)]
    inside = {id(half) for each in both for half in _halves(each)}
    for each in layers:
        known = isinstance(each, KINDS) or each in both
        if known and id(each) not in inside and isinstance(_halves(each)[0], KINDS):
            yield each


def _halves(layer: Any) -> tuple[Any, ...]:
    both = isinstance(layer, keras.layers.Bidirectional)
    return (layer.forward_layer, layer.backward_layer) if both else (layer,)


def _cell(layer: Any) -> Cell:
    """Return a layer as a file of it alone would be read."""
    config = {"class_name": type(layer).__name__, "config": layer.get_config()}
    arrays = {f"{layer.name}/cell/vars/{n}": each for n, each in enumerate(layer.get_weights())}
    about = {"config": {"class_name": "Sequential", "config": {"layers": [config]}}}
    about |= {"keras_version": keras.__version__, "names": {}}
    wide = {name: np.asarray(each, np.float64) for name, each in arrays.items()}
    (found,) = keras_layers(WeightFile(Path(layer.name), "keras", wide, {}, {}, about))
    return cell_of(found, resolve_spec(found, {}))
