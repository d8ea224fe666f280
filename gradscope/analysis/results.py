"""What a study returns: frozen results made of arrays, units in nats and steps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradscope.analysis.details import NO_DETAILS, Details
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray, IntArray, quantiles
from gradscope.data.batch import Batch, TaskInfo
from gradscope.diagnosis.growth import GrowthRate, Rates
from gradscope.diagnosis.reasons import Reason
from gradscope.diagnosis.remedies import Remedy
from gradscope.diagnosis.verdict import Verdict
from gradscope.diagnosis.write_level import Writing
from gradscope.jacobians.parameter_profile import ParameterProfile
from gradscope.learning.history import History
from gradscope.learning.readout import Readout
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName, Regime, StageName
from gradscope.notebook_repr import CompactRepr, NotebookResult


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Profile(CompactRepr):
    """The lag profile of a set of sequences.

    ``lags`` (L,) are 1 … L in steps, ``log_norms`` (L,B) is log σ_max(∂h_T/∂h_{T−ℓ}) in nats, −inf
    where the product is exactly zero, NaN where a sequence is shorter, ``log_bound`` (L,) the bound
    ℓ·log(γ σ_max(W)) and ``certificate`` the largest relative error of σ_max that is possible.
    """

    lags: IntArray
    log_norms: FloatArray
    log_bound: FloatArray
    certificate: float

    def quantile(self, level: float) -> FloatArray:
        """Quantile over the sequences (L,), nats; see ``arrays.quantiles``."""
        return np.asarray(self.quantiles((level,))[0])

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Several quantiles over the sequences (levels,L), nats, for little more than one."""
        return quantiles(self.log_norms, levels)

    @property
    def median(self) -> FloatArray:
        """Median over the sequences (L,), nats."""
        return self.quantile(0.5)


SLOPE_EDGES = np.linspace(0.0, 1.0, 21)
"""Edges of the histogram of slopes, in parts of the slope ceiling γ."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class SlopeSummary(CompactRepr):
    """Slopes φ′(a_t) over time: 5 %, median and 95 % over sequences and units (T,), the slope
    ceiling γ, and ``histogram`` (T,20), the fraction of units between the ``SLOPE_EDGES`` times γ.
    """

    p05: FloatArray
    median: FloatArray
    p95: FloatArray
    ceiling: float
    histogram: FloatArray


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GradientSummary(CompactRepr):
    """∂E/∂θ and ∂E/∂h_t on the examined sequences.

    ``norm`` is the global norm of ∂E/∂θ, None where no step that was reached has a target;
    ``log_by_step`` (T+1,) is log ‖∂E/∂h_t‖ in nats for t = 0 … T, −inf where no error arrives.
    """

    norm: float | None
    log_by_step: FloatArray


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Stage(CompactRepr):
    """One state of the network, examined.

    ``error`` is the mean step error on held-out sequences (a network from a file of weights: on the
    examined ones); it and ``gradient`` are None where there are no targets. ``growth`` is the
    verdict's rate with the interval that holds it; ``writing`` says how freely it writes,
    ``parameter_profile`` how far back the parameters act (these and ``slopes`` are empty, the write
    level NaN, of a step of somebody's own); ``params`` is the network itself;
    ``rate_per`` is the growth rate in nats per ``second``, where dt is known, and per
    ``time_constant``, the longest τ, where units leak.
    """

    name: StageName
    error: float | None
    profile: Profile
    verdict: Verdict
    growth: GrowthRate
    causes: Rates
    gradient: GradientSummary | None
    slopes: SlopeSummary
    writing: Writing
    parameter_profile: ParameterProfile
    params: Cell
    rate_per: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate_per_time_constant(self) -> float | None:
        """The growth rate in nats per τ, None where no unit leaks."""
        return self.rate_per.get("time_constant")

    @property
    def write_level(self) -> float:
        """How freely the network writes: 1 freely, below 1/20 not at all; NaN: not known."""
        return self.writing.level

    def compact_fields(self) -> dict[str, Any]:
        """Return the name of the stage, its verdict, and its error."""
        return {"name": self.name, **self.verdict.compact_fields(), "error": self.error}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LayerVerdict(CompactRepr):
    """What a verdict says of a layer in a line of a table; see ``Verdict``."""

    regime: Regime
    rate: float
    horizon: int | None
    max_lag: int


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ImportedLayer(CompactRepr):
    """One layer in one direction; ``verdict`` where it was driven by the layers below."""

    title: str
    cell: CellName
    direction: str
    input_size: int
    hidden_size: int
    verdict: LayerVerdict | None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ImportedNetwork(CompactRepr):
    """The layers of a file of weights, the title of the studied one, and faults of the others."""

    layers: tuple[ImportedLayer, ...]
    studied: str
    faults: tuple[Reason, ...] = ()


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Analysis(NotebookResult):
    """Everything one study found.

    ``task_info`` is what is known of the problem; ``params``, ``examined`` and ``trajectory``
    are the network of the last stage, the sequences it was examined on and its trajectory over
    them; ``details`` holds the further measurements that were asked for; ``network`` describes the
    layers of a weight file, None where the network is not from one; ``readout`` says what a linear
    readout of the first stage's state explains of the targets, None where there are none;
    ``earlier_training`` is that of a saved run.
    """

    settings: Settings
    task_info: TaskInfo
    stages: tuple[Stage, ...]
    training: History | None
    params: Cell
    trajectory: Trajectory
    examined: Batch
    remedies: tuple[Remedy, ...]
    details: Details = NO_DETAILS
    network: ImportedNetwork | None = None
    readout: Readout | None = None
    earlier_training: History | None = None

    def compact_fields(self) -> dict[str, Any]:
        """Return the network, and the verdict on its last stage."""
        stepped = self.settings.cell is None
        return {
            "cell": self.settings.cell,
            **({} if stepped else {"activation": self.settings.activation}),
            "hidden": self.params.sizes[1],
            "steps": self.trajectory.n_steps,
            "updates": self.training.updates if self.training else 0,
            **self.last.verdict.compact_fields(),
        }

    @property
    def relative_error(self) -> float | None:
        """The last stage's error over its baseline's; None without targets, or where that is 0."""
        error, baseline = self.last.error, self.task_info.baseline
        if error is None or baseline is None or baseline.error == 0.0:
            return None
        return error / baseline.error

    @property
    def history(self) -> History | None:
        """How its network was trained, here or before it was saved; None where it is not known."""
        return self.training or self.earlier_training

    @property
    def last(self) -> Stage:
        """The stage that the verdict in the headline speaks of: trained, given or initial."""
        return self.stages[-1]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Comparison(NotebookResult):
    """Analyses side by side, one per network, length and seed; ``interrupted`` by Ctrl-C."""

    analyses: tuple[Analysis, ...]
    interrupted: bool = False

    @property
    def groups(self) -> tuple[tuple[Analysis, ...], ...]:
        """The analyses whose settings differ in the seed alone, together."""
        found: dict[str, list[Analysis]] = {}
        for each in self.analyses:
            found.setdefault(str({**each.settings.as_dict(), "seed": None}), []).append(each)
        return tuple(map(tuple, found.values()))

    def compact_fields(self) -> dict[str, Any]:
        """Return how many analyses there are, and how many of each regime."""
        regimes = Counter(str(each.last.verdict.regime) for each in self.analyses)
        return {"analyses": len(self.analyses), **regimes, "interrupted": self.interrupted}
