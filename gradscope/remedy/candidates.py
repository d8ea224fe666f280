"""The changes that ``try`` considers: single ones, each with where it comes from, and pairs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import log
from types import MappingProxyType
from typing import Any

from gradscope.analysis.results import Analysis
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
    that touch different settings, ``MOST`` in all.
    """
    nothing = Candidate(NOTHING, MappingProxyType({}), "the network as it is", parts=0)
    single = tuple(_distinct(_single(analysis)))
    pairs = (
        Candidate(f"{a.name}, {b.name}", {**a.changes, **b.changes}, f"{a.source}; {b.source}", 2)
        for a, b in combinations(single, 2)
        if not {*a.changes} & {*b.changes} and "cell" not in {*a.changes, *b.changes}
    )
    return (nothing, *single, *pairs)[:MOST]


def _distinct(found: Iterator[Candidate]) -> Iterator[Candidate]:
    """Yield each change once."""
    seen: list[Mapping[str, Any]] = []
    for each in found:
        if dict(each.changes) not in seen:
            seen.append(dict(each.changes))
            yield each


def _single(analysis: Analysis) -> Iterator[Candidate]:
    settings, lag = analysis.settings, analysis.last.verdict.required_lag
    keep = round(log(max(lag or settings.steps, 2)), 2)
    if settings.start is StartName.GIVEN:
        return
    for factor in SMALLER:
        changed = {"input_scale": settings.input_scale * factor}
        yield Candidate(f"inputs × {factor:g}", changed, "smaller states saturate less")
    if settings.init is not InitializerName.ORTHOGONAL or settings.gain != 1.0:
        orthogonal = {"init": InitializerName.ORTHOGONAL, "gain": 1.0}
        yield Candidate("orthogonal W", orthogonal, "Saxe et al. (2014), arXiv:1312.6120")
    if settings.weights is None and settings.cell is CellName.ELMAN:
        if settings.activation is not ActivationName.TANH:
            tanh = {"activation": ActivationName.TANH, "center_bias": False}
            yield Candidate("tanh", tanh, "slope 1 at rest")
        for cell, source in GATED.items():
            gated = {"cell": cell, "activation": ActivationName.TANH, "forget_bias": keep}
            gated |= {"center_bias": False, "leak": 1.0}
            yield Candidate(f"{cell.upper()}, keep bias {keep:g}", gated, source)
    elif settings.cell is not CellName.ELMAN and settings.forget_bias != keep:
        yield Candidate(f"keep bias {keep:g}", {"forget_bias": keep}, GATED[settings.cell])


GATED: Mapping[CellName, str] = MappingProxyType(
    {
        CellName.LSTM: "Hochreiter & Schmidhuber (1997); Gers et al. (2000)",
        CellName.GRU: "Cho et al. (2014), arXiv:1406.1078",
    }
)
