"""The changes that ``try`` considers: single ones, each with where it comes from, and pairs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import Any

from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.remedies import GATED
from gradscope.learning.readout import Readout
from gradscope.names import ActivationName, CellName, InitializerName, StartName

MOST = 20
"""Candidates with "nothing" among them."""

NOTHING = "nothing"

SMALLER = (0.3, 0.1)
"""Factors on the inputs."""

FLOSSED, WEIGHT = 100, 0.1
"""Updates of flossing, and the weight of Ω (convention)."""

UNPAIRED = frozenset({"cell", "floss", "omega", "clip_norm"})
"""Another cell is no change of this one, and of changes in training R² knows nothing."""

CHRONO = "Tallec & Ollivier (2018), ICLR"
KEEPING = (
    (CellName.LSTM, "Hochreiter & Schmidhuber (1997); Gers et al. (2000)"),
    (CellName.GRU, "Cho et al. (2014), arXiv:1406.1078"),
)


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """One change: its ``name``, the settings that it changes, its source, and how many single
    changes it is made of; once scored its R², and ``why`` it is not trained, "" where it is.
    """

    name: str
    changes: Mapping[str, Any]
    source: str = "the project's convention"
    parts: int = 1
    readout: Readout = Readout(None, "it was not measured")  # noqa: RUF009 (frozen)
    why: str = ""


def candidates(settings: Settings, untrained: Analysis) -> tuple[Candidate, ...]:
    """Return what may help a network, "nothing" first: single changes, then pairs of those whose R²
    can be told, ``MOST`` in all. ``untrained`` is its analysis, which has the advice.
    """
    own, single = settings.as_dict(), []
    seen = [own]
    for each in _single(settings, untrained):
        if (changed := {**own, **each.changes}) not in seen:
            seen.append(changed)
            single.append(each)
    pairs = (
        Candidate(f"{a.name}, {b.name}", {**a.changes, **b.changes}, f"{a.source}; {b.source}", 2)
        for a, b in combinations(single, 2)
        if not {*a.changes} & {*b.changes} and not UNPAIRED & {*a.changes, *b.changes}
    )
    nothing = Candidate(NOTHING, {}, "the network as it is", 0)
    return (nothing, *single, *pairs)[:MOST]


def _single(settings: Settings, untrained: Analysis) -> Iterator[Candidate]:
    """Yield other weights to start from, another φ, gates that keep the state as long as the lag
    asks for, the advice, other ways to train. Weights that are given stay.
    """
    lag = max(untrained.last.verdict.required_lag or settings.steps, 2)
    keep, vanilla = float(f"{log(lag):.4g}"), settings.cell is CellName.ELMAN
    if settings.start is not StartName.GIVEN:
        for factor in SMALLER:
            changed = {"input_scale": float(f"{settings.input_scale * factor:.4g}")}
            yield Candidate(f"inputs × {factor:g}", changed, "smaller states saturate less")
        orthogonal = {"init": InitializerName.ORTHOGONAL, "gain": 1.0}
        yield Candidate("orthogonal W", orthogonal, "Saxe et al. (2014), arXiv:1312.6120")
        if not vanilla:
            longer = {"forget_bias": keep, "chrono": None}
            yield Candidate(f"keep bias {keep:.2g}", longer, dict(KEEPING)[settings.known_cell])
            yield Candidate("chrono biases", {"chrono": lag, "forget_bias": None}, CHRONO)
        elif settings.weights is None:
            tanh = {"activation": ActivationName.TANH, "center_bias": False}
            yield Candidate("tanh", tanh, "slope 1 at rest")
            for cell, source in KEEPING:
                gated = {**GATED, "cell": cell, "forget_bias": keep}
                yield Candidate(f"{cell.upper()}, keep bias {keep:.2g}", gated, source)
            chrono = {**GATED, "cell": CellName.LSTM, "chrono": lag}
            yield Candidate("LSTM, chrono biases", chrono, CHRONO)
    for each in untrained.remedies:
        # All are trained for the same number of updates.
        changes = {name: value for name, value in each.changes.items() if name != "updates"}
        if changes:
            name = str(each.code).replace("-", " ")
            yield Candidate(name, changes, "the advice of analyze")
    if vanilla and not settings.floss:
        yield Candidate("flossing", {"floss": FLOSSED}, "Engelken (2023), NeurIPS")
    if vanilla and not settings.omega:
        yield Candidate("Ω", {"omega": WEIGHT}, "Pascanu et al. (2013), section 3.3")
