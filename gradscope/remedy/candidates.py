"""The changes that ``try`` considers: single ones, each with where it comes from, and pairs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import log
from types import MappingProxyType
from typing import Any

from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.remedies import GATED
from gradscope.names import ActivationName, CellName, InitializerName, StartName

MOST = 20
"""Candidates with "nothing" among them."""

NOTHING = "nothing"

SMALLER = (0.3, 0.1)
"""Factors on the inputs."""


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """One change: its ``name``, the settings that it changes, how many single changes it is made
    of, and its source.
    """

    name: str
    changes: Mapping[str, Any]
    source: str = "the project's convention"
    parts: int = 1


def candidates(analysis: Analysis) -> tuple[Candidate, ...]:
    """Return what may help the network of an analysis, "nothing" first: single changes, then pairs
    of those whose R² can be told, ``MOST`` in all.
    """
    settings = analysis.settings
    nothing = Candidate(NOTHING, MappingProxyType({}), "the network as it is", parts=0)
    at_start = [] if settings.start is StartName.GIVEN else [*_weights(settings), *_cells(analysis)]
    advised = [
        Candidate(str(each.code).replace("-", " "), each.changes, "the advice of analyze")
        for each in analysis.remedies
        if each.changes
    ]
    single = list(_distinct((*at_start, *advised, *_training(settings))))
    pairs = (
        Candidate(f"{a.name}, {b.name}", {**a.changes, **b.changes}, f"{a.source}; {b.source}", 2)
        for a, b in combinations(single, 2)
        if not {*a.changes} & {*b.changes} and not UNPAIRED & {*a.changes, *b.changes}
    )
    return (nothing, *single, *pairs)[:MOST]


UNPAIRED = frozenset({"cell", "floss", "omega"})
"""Another cell is no change of this one, and of changes in training R² knows nothing."""


def _distinct(found: Iterable[Candidate]) -> Iterator[Candidate]:
    """Yield each change once."""
    seen: list[Mapping[str, Any]] = []
    for each in found:
        if dict(each.changes) not in seen:
            seen.append(dict(each.changes))
            yield each


def _weights(settings: Settings) -> Iterator[Candidate]:
    """Yield other weights to start from."""
    for factor in SMALLER:
        changed = {"input_scale": float(f"{settings.input_scale * factor:.4g}")}
        yield Candidate(f"inputs × {factor:g}", changed, "smaller states saturate less")
    orthogonal = {"init": InitializerName.ORTHOGONAL, "gain": 1.0}
    if any(getattr(settings, name) != value for name, value in orthogonal.items()):
        yield Candidate("orthogonal W", orthogonal, "Saxe et al. (2014), arXiv:1312.6120")


def _cells(analysis: Analysis) -> Iterator[Candidate]:
    """Yield another φ, and gates that keep the state as long as the lag asks for."""
    settings = analysis.settings
    lag = max(analysis.last.verdict.required_lag or settings.steps, 2)
    keep, vanilla = float(f"{log(lag):.4g}"), settings.cell is CellName.ELMAN
    if vanilla and settings.weights is None:
        if settings.activation is not ActivationName.TANH:
            tanh = {"activation": ActivationName.TANH, "center_bias": False}
            yield Candidate("tanh", tanh, "slope 1 at rest")
        for cell, source in KEEPING.items():
            gated = {**GATED, "cell": cell, "forget_bias": keep}
            yield Candidate(f"{cell.upper()}, keep bias {keep:.2g}", gated, source)
        chrono = {**GATED, "cell": CellName.LSTM, "chrono": lag}
        yield Candidate("LSTM, chrono biases", chrono, CHRONO)
    elif not vanilla:
        longer = {"forget_bias": keep, "chrono": None}
        yield Candidate(f"keep bias {keep:.2g}", longer, KEEPING[settings.cell])
        yield Candidate("chrono biases", {"chrono": lag, "forget_bias": None}, CHRONO)


def _training(settings: Settings) -> Iterator[Candidate]:
    """Yield other ways to train."""
    if settings.cell is CellName.ELMAN and not settings.floss:
        yield Candidate("flossing", {"floss": FLOSSED}, "Engelken (2023), NeurIPS")
    if not settings.omega:
        yield Candidate("Ω", {"omega": WEIGHT}, "Pascanu et al. (2013), section 3.3")


FLOSSED, WEIGHT = 100, 0.1
"""Updates of flossing, and the weight of Ω (convention)."""

CHRONO = "Tallec & Ollivier (2018), ICLR"

KEEPING: Mapping[CellName, str] = MappingProxyType(
    {
        CellName.LSTM: "Hochreiter & Schmidhuber (1997); Gers et al. (2000)",
        CellName.GRU: "Cho et al. (2014), arXiv:1406.1078",
    }
)
