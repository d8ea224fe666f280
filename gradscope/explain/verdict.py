"""How each number of a saved run was reached, worked out anew from the file.

A saved run (``.npz``) holds the network and its course, so everything is measured again. A
document (``.json``) holds curves: its growth rate comes from the two points of the mean profile
that stand in it, horizon and regime from its median curve, and what the file itself says is set
beside them.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import load_run
from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import learned_by, thresholds
from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import CauseRates, GatedCauseRates, Rates, Tail
from gradscope.diagnosis.verdict import Evidence, Learned, Thresholds, judge
from gradscope.errors import ArchiveError
from gradscope.model.activations import ACTIVATIONS
from gradscope.names import CellName, Regime, StageName

LN_10 = math.log(10.0)


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """What the file itself says; ``rate`` −inf where it says that the product is exactly zero."""

    regime: Regime
    rate: float
    horizon: int | None


@dataclass(frozen=True, eq=False, slots=True)
class VerdictLesson:
    """A verdict with what it was made from.

    ``rate`` in nats per step is the slope of ``tail``, −inf (and ``tail`` None) where every product
    is exactly zero at the last lag. ``median`` (L,) is the median lag profile in nats; ``regime``
    and ``horizon`` are judged from it, a saved run's regime from every sequence.
    ``slope_ceiling`` is γ and ``bound_rate`` log(γ σ_max(W)), of another cell than the vanilla one
    the most that a step of its course can add, in nats per step; ``stored`` is what the file says,
    None for a saved run, which keeps no verdict.
    """

    settings: Settings
    stage: StageName
    regime: Regime
    horizon: int | None
    required_lag: int | None
    median: FloatArray
    tail: Tail | None
    causes: Rates
    slope_ceiling: float
    bound_rate: float
    learned: Learned | None
    thresholds: Thresholds
    stored: Stored | None

    @property
    def rate(self) -> float:
        """The growth rate, nats per step."""
        return -math.inf if self.tail is None else self.tail.rate

    @property
    def log_weight_norm(self) -> float:
        """Logarithm of σ_max(W) in nats, of a vanilla RNN: what the bound is without log γ."""
        return self.bound_rate - math.log(self.slope_ceiling)


def verdict_lesson(path: Path) -> VerdictLesson:
    """Work out the verdict of a saved run (``.npz``) or an analysis document (``.json``) anew.

    Raises
    ------
    ArchiveError
        If the file cannot be read, or is neither.
    SettingError
        If it holds settings outside their limits.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}; check the name") from error
    if content.startswith(b"PK"):
        return _from_run(path, content)
    return _from_document(path, content)


def _from_run(path: Path, content: bytes) -> VerdictLesson:
    """Measure a saved run again."""
    read_run = partial(load_run, content=content)
    analysis = analyze(prepare({"load": str(path)}, read_run=read_run))
    settings, stage = analysis.settings, analysis.last
    return VerdictLesson(
        settings=settings,
        stage=stage.name,
        regime=stage.verdict.regime,
        horizon=stage.verdict.horizon,
        required_lag=stage.verdict.required_lag,
        median=stage.profile.median,
        tail=stage.growth.tail,
        causes=stage.causes,
        slope_ceiling=analysis.params.activation.slope_ceiling,
        bound_rate=float(stage.profile.log_bound[0]),
        learned=learned_by(stage.error, analysis.task_info),
        thresholds=thresholds(settings),
        stored=None,
    )


def _from_document(path: Path, content: bytes) -> VerdictLesson:
    """Judge the median curve of a document's last stage again."""
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
        schema = document["schema"]
        settings = Settings.from_dict(document["settings"], str(path))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            f"{path} holds no analysis; give a .npz written by --save, or a .json written by "
            "analyze --json"
        ) from error
    if schema != "gradscope.analysis":
        raise ArchiveError(
            f"{path} is a document of the kind {schema!r}; give one of gradscope.analysis, written "
            "by analyze --json"
        )
    try:
        last = document["stages"][-1]
        if "rate_between" not in last["verdict"]:
            raise ArchiveError(
                f"{path} was written before documents kept the two points of the growth rate; "
                f"write it again with gradscope rerun {path} --json"
            )
        return _from_stage(settings, last, document["problem"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ArchiveError(f"{path} is damaged ({error!r}); write it again with --json") from error


def _from_stage(
    settings: Settings, stage: Mapping[str, Any], problem: Mapping[str, Any]
) -> VerdictLesson:
    curve, verdict = stage["profile"], stage["verdict"]
    median = np.array([_nats(each) for each in curve["log10_norm"]["median"]])
    lines = thresholds(settings)
    judged = judge(Evidence(median[:, None], _nats(curve["log10_bound"][0])), lines)
    error = _optional(stage["error"])
    baseline = problem["baseline"]
    learned = None
    if baseline is not None:
        learned = Learned(math.inf if error is None else error, float(baseline["error"]))
    rate = _optional(verdict["rate_nats_per_step"])
    return VerdictLesson(
        settings=settings,
        stage=StageName(stage["stage"]),
        regime=judged.regime,
        horizon=judged.horizon,
        required_lag=_whole(verdict["required_lag"]),
        median=median,
        tail=_stored_tail(verdict["rate_between"]),
        causes=_stored_causes(stage["causes"], settings),
        slope_ceiling=ACTIVATIONS[settings.activation].slope_ceiling,
        bound_rate=_nats(curve["log10_bound"][0]),
        learned=learned,
        thresholds=lines,
        stored=Stored(
            regime=Regime(verdict["regime"]),
            rate=-math.inf if rate is None else rate,
            horizon=_whole(verdict["horizon"]),
        ),
    )


def _stored_causes(values: Mapping[str, Any], settings: Settings) -> Rates:
    kind = CauseRates if settings.cell is CellName.ELMAN else GatedCauseRates
    return kind(**{each.name: _optional(values[each.name]) for each in fields(kind)})


def _stored_tail(values: Mapping[str, Any] | None) -> Tail | None:
    """Return the two points that a document keeps; None where its rate is null."""
    if values is None:
        return None
    first, last = (_count(each) for each in values["lags"])
    before, after = (_nats(each) for each in values["log10_norm"])
    if not 0 <= first < last:
        raise ValueError(f"the lags {first} and {last} do not ascend")
    return Tail((first, last), (before, after), _count(values["sequences"]), _count(values["of"]))


def _nats(log10: object) -> float:
    """Return a base-10 logarithm of a document in nats; null is that of an exact zero."""
    value = _optional(log10)
    return -math.inf if value is None else value * LN_10


def _optional(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _whole(value: object) -> int | None:
    return None if value is None else _count(value)


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is not a whole number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
