"""A saved run: one ``.npz`` that plain NumPy reads, without pickle.

Arrays have the names of the parameters (``input_weights`` … ``output_bias``); ``inputs`` (T,B,D),
``initial_state`` (B,S), and beside them ``targets`` (T,B,O), ``target_steps`` (T,),
``pre_activations`` (T,B,H), ``hidden`` (T+1,B,H), ``outputs`` (T,B,O), ``held_out_error`` (), NaN
without targets, ``further_inputs`` (N,B,D) and ``stride`` () where more inputs follow, ``lengths``
(B,) where sequences are padded; then ``target_steps`` may be (T,B).
``settings``, ``facts`` (the task), ``environment`` and, for a network from a file of weights,
``network`` (all its layers) are JSON strings.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

import gradscope
from gradscope.analysis.network import restore_network
from gradscope.analysis.results import Analysis, ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import EvaluationBatch
from gradscope.arrays import FloatArray, as_float64, plain
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.errors import ArchiveError, ShapeError
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

DAMAGE = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What taking apart a damaged text of JSON ends in."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class SavedRun(CompactRepr):
    """A network, the sequences it was examined on, its held-out error (None: no targets), the
    settings that made it, and the network it is a layer of (None: none, or not recorded).
    """

    params: Cell
    evaluation: EvaluationBatch
    error: float | None
    settings: Settings
    network: ImportedNetwork | None


def archive_bytes(analysis: Analysis) -> bytes:
    """Return the analysis's last network and its trajectory as the bytes of an ``.npz``."""
    trajectory, targets = analysis.trajectory, analysis.examined.targets
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
    }
    if analysis.examined.further is not None:
        arrays[FURTHER] = analysis.examined.further
        arrays["stride"] = analysis.examined.stride
    if analysis.examined.lengths is not None:
        arrays["lengths"] = analysis.examined.lengths
    if trajectory.noise is not None:
        arrays[NOISE] = trajectory.noise
    if trajectory.states is not trajectory.hidden:
        arrays["states"] = trajectory.states
    if analysis.network is not None:
        arrays["network"] = json.dumps(plain(asdict(analysis.network)), allow_nan=False)
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load_run(path: Path) -> SavedRun:
    """Read a saved run back.

    Raises ArchiveError if the file is no saved run, is damaged, or holds numbers that are not
    finite.
    """
    arrays = _read(path)
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise ArchiveError(
            f"{path} is not a run saved by gradscope: it has no {', '.join(missing)}; give a file "
            "written by --save"
        )
    try:
        settings = Settings.from_dict(json.loads(str(arrays["settings"])), str(path))
        task_info = _facts_from_dict(json.loads(str(arrays["facts"])))
        numbers = partial(_numbers, path, arrays)
        names = [name for name in (*WEIGHT_NAMES, SECOND_BIAS) if name in arrays]
        params = restore_network(settings, {name: numbers(name) for name in names})
        values, at_step = numbers("targets"), numbers("target_steps").astype(np.bool_)
        further, noise = (numbers(name) if name in arrays else None for name in (FURTHER, NOISE))
        targets, stride = Targets(values, at_step, task_info.error), int(arrays.get("stride", 1))
        lengths = numbers("lengths").astype(np.int64) if "lengths" in arrays else None
        batch = Batch(numbers("inputs"), targets, noise, further, stride, lengths)
        initial_state = numbers("initial_state")
        _require_fit(params, batch, initial_state)
        evaluation = EvaluationBatch(batch, task_info, initial_state)
        error = float(arrays["held_out_error"])
        network = None
        if "network" in arrays:
            network = _network_from_dict(json.loads(str(arrays["network"])))
    except (*DAMAGE, ShapeError) as reason:
        raise ArchiveError(
            f"{path} is damaged ({reason}); save the run again with --save"
        ) from reason
    return SavedRun(params, evaluation, None if np.isnan(error) else error, settings, network)


def holds_run(path: Path) -> bool:
    """Whether a file is a saved run, and not weights alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "facts.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read_settings(
    path: Path, content: bytes | None = None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the settings of a saved run as plain values, and the version and environment that made
    it, which runs saved by gradscope 0.1.0 may lack; ``content`` is the file's, if at hand.
    """
    arrays = _read(path, content)
    if "key" in arrays and "regime" in arrays:
        raise ArchiveError(
            f"{path} holds the rows of a sweep, not one run; give a file written by --save"
        )
    try:
        settings = Settings.from_dict(json.loads(str(arrays["settings"])), str(path)).as_dict()
        return settings, dict(json.loads(str(arrays.get("environment", "{}"))))
    except DAMAGE as error:
        raise ArchiveError(
            f"{path} holds no settings of gradscope; give a file written by --save"
        ) from error


def _read(path: Path, content: bytes | None = None) -> dict[str, Any]:
    """Return every array of an ``.npz``, none of them unpickled."""
    try:
        raw = path.read_bytes() if content is None else content
        loaded = np.load(BytesIO(raw), allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as archive:
                return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ArchiveError(
            f"{path} does not exist; check the name, or save a run with --save"
        ) from error
    except Exception as error:  # a damaged zip fails in many ways inside NumPy
        raise ArchiveError(
            f"{path} cannot be read as a saved run ({type(error).__name__}); give a file written "
            "by --save"
        ) from error
    raise ArchiveError(f"{path} is a single array, not a saved run; give a file written by --save")


def _numbers(path: Path, arrays: Mapping[str, Any], name: str) -> FloatArray:
    array = as_float64(arrays[name])
    if not np.isfinite(array).all():
        raise ArchiveError(
            f"{path}: {name} holds a number that is not finite; save the run again with --save"
        )
    return array


def _require_fit(params: Cell, batch: Batch, initial_state: FloatArray) -> None:
    shape, outputs = batch.inputs.shape, batch.targets.values.shape[2]
    sizes, states = (*shape[2:], params.sizes[1], outputs), (shape[1], params.state_size)
    further = shape[1:] if batch.further is None else batch.further.shape[1:]
    noisy = shape[:2] if batch.noise is None else batch.noise.shape[:2]
    found = (sizes, initial_state.shape, further, noisy)
    if found != (params.sizes, states, shape[1:], shape[:2]):
        raise ShapeError(
            f"inputs {shape}, initial state {initial_state.shape} and {outputs} outputs do not fit "
            f"a network of sizes {params.sizes}"
        )


def _facts_from_dict(values: Mapping[str, Any]) -> TaskInfo:
    baseline, lag, errors = values["baseline"], values["required_lag"], values.get("lag_errors")
    if baseline is not None:
        others = (baseline.get(name) for name in ("constant", "memoryless"))
        known = (None if each is None else float(each) for each in others)
        baseline = Baseline(float(baseline["error"]), str(baseline["meaning"]), *known)
    return TaskInfo(
        description=str(values["description"]),
        error=ErrorName(values["error"]),
        required_lag=None if lag is None else int(lag),
        baseline=baseline,
        lag_errors=None if errors is None else as_float64(np.array(errors)),
        columns=None if values.get("columns", ()) is None else tuple(values.get("columns", ())),
    )


def _network_from_dict(values: Mapping[str, Any]) -> ImportedNetwork:
    layers = []
    for each in values["layers"]:
        described = str(each["title"]), CellName(each["cell"]), str(each["direction"])
        sizes = int(each["input_size"]), int(each["hidden_size"])
        verdict = each["verdict"]
        if verdict is not None:
            rate, horizon = verdict["rate"], verdict["horizon"]
            verdict = LayerVerdict(
                regime=Regime(verdict["regime"]),
                rate=-np.inf if rate is None else float(rate),
                horizon=None if horizon is None else int(horizon),
                max_lag=int(verdict["max_lag"]),
            )
        layers.append(ImportedLayer(*described, *sizes, verdict))
    faults = (
        Reason(ReasonCode(each["code"]), each["numbers"]) for each in values.get("faults", ())
    )
    return ImportedNetwork(tuple(layers), str(values["studied"]), tuple(faults))
