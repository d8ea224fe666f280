"""A saved run: one ``.npz`` that plain NumPy reads, without pickle.

Arrays have the names of the parameters (``input_weights`` … ``output_bias``); ``inputs`` (T,B,D),
``initial_state`` (B,S), and beside them ``targets`` (T,B,O), ``target_steps`` (T,),
``pre_activations`` (T,B,H), ``hidden`` (T+1,B,H), ``outputs`` (T,B,O), ``held_out_error`` (), NaN
without targets, ``further_inputs`` (N,B,D) and ``stride`` () where more inputs follow, ``lengths``
(B,) where sequences are padded; then ``target_steps`` may be (T,B).
``settings``, ``facts`` (the task), ``environment`` and, for a network from a file of weights,
``network`` (all its layers) are JSON strings, as is ``training``, beside which its curves stand
(``training_loss`` …), where the network was trained.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import gradscope
from gradscope.analysis.network import restore_network
from gradscope.analysis.results import Analysis, ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.setting_values import checked
from gradscope.analysis.settings import SETTINGS, Settings
from gradscope.analysis.stage import EvaluationBatch
from gradscope.arrays import FloatArray, as_float64, plain
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.data.columns import quoted
from gradscope.data.intake import Intake, ZipMembers, content, opened
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.errors import ArchiveError, SettingError, ShapeError
from gradscope.learning.history import History, Stop
from gradscope.machine import environment
from gradscope.model.cells import WEIGHT_NAMES, Cell
from gradscope.names import CellName, ErrorName, Regime
from gradscope.notebook_repr import CompactRepr

NEEDED = (
    *WEIGHT_NAMES,
    *("inputs", "initial_state", "targets", "target_steps", "held_out_error", "settings", "facts"),
)

SECOND_BIAS = "candidate_bias"
"""What a GRU has beside the weights of every cell, where its reset gate comes after the product."""

FURTHER, NOISE = "further_inputs", "noise"
"""What runs saved by gradscope 0.1.0 lack, and what was added to the pre-activations (T,B,H)."""

CURVES = ("loss", "gradient_norm", "clipped", "omega", "flossed", "reach")
"""What is kept of training, by the names of a ``History``."""

REMEDY, LONGEST_REASON = "give a file written by --save", 160

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What taking apart a damaged text of JSON ends in."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class SavedRun(CompactRepr):
    """A network, the sequences it was examined on, its held-out error (None: no targets), the
    settings that made it, the network it is a layer of and its training (None: none, or not
    recorded).
    """

    params: Cell
    evaluation: EvaluationBatch
    error: float | None
    settings: Settings
    network: ImportedNetwork | None
    training: History | None = None


def archive_bytes(analysis: Analysis) -> bytes:
    """Return the analysis's last network and its trajectory as the bytes of an ``.npz``."""
    trajectory, targets = analysis.trajectory, analysis.examined.targets
    if analysis.settings.cell is None:
        raise SettingError("a step of your own is code, which is not saved; leave --save out")
    arrays: dict[str, Any] = dict(analysis.params.weights())
    arrays |= {
        "inputs": trajectory.inputs,
        "initial_state": trajectory.states[0],
        "targets": targets.values,
        "target_steps": targets.at_step,
        "pre_activations": trajectory.pre_activations,
        "hidden": trajectory.hidden,
        "outputs": trajectory.outputs,
        "held_out_error": np.nan if analysis.last.error is None else analysis.last.error,
        "settings": json.dumps(analysis.settings.as_dict(), allow_nan=False),
        "facts": json.dumps(plain(asdict(analysis.task_info)), allow_nan=False),
        "environment": json.dumps({"gradscope": gradscope.__version__, **environment()}),
        FURTHER: analysis.examined.further,
        "stride": None if analysis.examined.further is None else analysis.examined.stride,
        "lengths": analysis.examined.lengths,
        NOISE: trajectory.noise,
        "states": None if trajectory.states is trajectory.hidden else trajectory.states,
    }
    if analysis.network is not None:
        arrays["network"] = json.dumps(plain(asdict(analysis.network)), allow_nan=False)
    if analysis.history is not None:
        facts = {name: getattr(analysis.history, name) for name in ("target_steps", "stop")}
        arrays["training"] = json.dumps(facts)
        arrays |= {f"training_{name}": getattr(analysis.history, name) for name in CURVES}
    buffer = BytesIO()
    np.savez(buffer, **{name: each for name, each in arrays.items() if each is not None})
    return buffer.getvalue()


def load_run(path: Path) -> SavedRun:
    """Read a saved run back.

    Raises ArchiveError if the file is no saved run, is damaged, or holds a number not finite.
    """
    arrays, described = _read(path, content(path, ArchiveError))
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise ArchiveError(
            f"{path} is not a run saved by gradscope: it has no {', '.join(missing)}; {REMEDY}"
        )
    try:
        settings = Settings.from_dict(described("settings"), str(path))
        task_info = _facts_from_dict(described("facts"))
        numbers = partial(_numbers, path, arrays)
        names = [name for name in (*WEIGHT_NAMES, SECOND_BIAS) if name in arrays]
        params = restore_network(settings, {name: numbers(name) for name in names})
        values, at_step = numbers("targets"), numbers("target_steps").astype(np.bool_)
        further, noise = (numbers(name) if name in arrays else None for name in (FURTHER, NOISE))
        targets = Targets(values, at_step, task_info.error)
        stride = int(numbers("stride")) if "stride" in arrays else 1
        lengths = numbers("lengths").astype(np.int64) if "lengths" in arrays else None
        batch = Batch(numbers("inputs"), targets, noise, further, stride, lengths)
        initial_state = numbers("initial_state")
        _require_fit(params, batch, initial_state, settings.hidden)
        evaluation = EvaluationBatch(batch, task_info, initial_state)
        error = float(as_float64(arrays["held_out_error"]))
        network = _network_from_dict(described("network")) if "network" in arrays else None
        training = _training(described("training"), arrays) if "training" in arrays else None
    except (*DAMAGE, ShapeError, SettingError) as reason:
        fault = f"is damaged ({quoted(str(reason), LONGEST_REASON)})"
        raise ArchiveError(f"{path} {fault}; save the run again with --save") from reason
    known = None if np.isnan(error) else error
    return SavedRun(params, evaluation, known, settings, network, training)


def holds_run(path: Path) -> bool:
    """Whether a file is a saved run, and not weights alone."""
    with suppress(ArchiveError), opened(path, ArchiveError) as file:
        intake = Intake(path, ArchiveError)
        with intake.reading("a saved run", REMEDY):
            return "facts.npy" in ZipMembers(file, intake).names
    return False


def read_settings(
    path: Path, raw: bytes | None = None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of a saved run as plain values, and the version and environment that made
    it, which runs saved by gradscope 0.1.0 may lack; ``raw`` is the file's content, if at hand.
    """
    arrays, described = _read(path, content(path, ArchiveError) if raw is None else raw)
    if "key" in arrays and "regime" in arrays:
        raise ArchiveError(f"{path} holds the rows of a sweep, not one run; {REMEDY}")
    try:
        settings = Settings.from_dict(described("settings"), str(path)).as_dict()
        return settings, dict(described("environment") if "environment" in arrays else {})
    except DAMAGE as error:
        raise ArchiveError(f"{path} holds no settings of gradscope; {REMEDY}") from error


def _read(path: Path, raw: bytes) -> tuple[dict[str, Any], Callable[[str], Any]]:
    """Return every array of an ``.npz``, none of them unpickled, and what one describes in JSON."""
    intake, arrays = Intake(path, ArchiveError), {}
    with intake.reading("a saved run", REMEDY):
        for name, member in ZipMembers(BytesIO(raw), intake).kept():
            arrays[name.removesuffix(".npy")] = intake.array(member, name)
    return arrays, lambda name: intake.parsed_json(arrays[name])


def _numbers(path: Path, arrays: Mapping[str, Any], name: str) -> FloatArray:
    array = as_float64(arrays[name])
    if not np.isfinite(array).all():
        raise ArchiveError(f"{path}: {name} holds a number that is not finite; save the run again")
    return array


def _require_fit(params: Cell, batch: Batch, initial_state: FloatArray, hidden: int) -> None:
    shape, outputs = batch.inputs.shape, batch.targets.values.shape[2]
    sizes, states = (*shape[2:], params.sizes[1], outputs), (shape[1], params.state_size)
    further = shape[1:] if batch.further is None else batch.further.shape[1:]
    noisy = shape[:2] if batch.noise is None else batch.noise.shape[:2]
    found = (sizes, initial_state.shape, further, noisy, hidden, batch.stride > 0)
    if found != (params.sizes, states, shape[1:], shape[:2], params.sizes[1], True):
        raise ShapeError(f"inputs {shape}, states or outputs do not fit a network {params.sizes}")


def _facts_from_dict(values: Mapping[str, Any]) -> TaskInfo:
    baseline, lag, errors = values["baseline"], values["required_lag"], values.get("lag_errors")
    if baseline is not None:
        known = {name: baseline.get(name) for name in ("error", "constant", "memoryless")}
        known = {name: n if n is None else float(as_float64(n)) for name, n in known.items()}
        baseline = Baseline(**known, meaning=str(baseline["meaning"]))
    columns = values.get("columns", ())
    return TaskInfo(
        description=str(values["description"]),
        error=ErrorName(values["error"]),
        required_lag=checked(SETTINGS["required_lag"], lag),
        baseline=baseline,
        lag_errors=None if errors is None else as_float64(errors),
        columns=None if columns is None else checked(SETTINGS["column"], columns),
    )


def _training(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> History:
    curves = {n: as_float64(arrays[f"training_{n}"]) for n in CURVES if f"training_{n}" in arrays}
    loss, norm, clipped = (curves[name] for name in CURVES[:3])
    reach = curves.get("reach", np.zeros((0, 2)))
    if {norm.shape, clipped.shape} != {(loss.size,)} or reach.shape != (len(reach), 2):
        raise ShapeError("the curves of training do not fit each other")
    made = (loss, norm, clipped.astype(np.bool_), int(facts["target_steps"]), Stop(facts["stop"]))
    penalties = (curves.get("omega"), curves.get("flossed"))
    return History(*made, None, *penalties, reach.astype(np.int64) if len(reach) else None)


def _network_from_dict(values: Mapping[str, Any]) -> ImportedNetwork:
    layers = []
    for each in values["layers"]:
        described = str(each["title"]), CellName(each["cell"]), str(each["direction"])
        sizes = int(each["input_size"]), int(each["hidden_size"])
        verdict = each["verdict"]
        if verdict is not None:
            regime, rate, horizon, lag = (verdict[each.name] for each in fields(LayerVerdict))
            rate = -np.inf if rate is None else float(rate)
            horizon = None if horizon is None else int(horizon)
            verdict = LayerVerdict(Regime(regime), rate, horizon, int(lag))
        layers.append(ImportedLayer(*described, *sizes, verdict))
    faults = (
        Reason(ReasonCode(each["code"]), each["numbers"]) for each in values.get("faults", ())
    )
    return ImportedNetwork(tuple(layers), str(values["studied"]), tuple(faults))
