"""Remedies as sentences: one for every code, made of its numbers.

For a network that gradscope drew they name flags; for an imported one they fit any framework. A
test demands both of each code.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.remedies import Remedy, RemedyCode, large_input_weights
from gradscope.names import ActivationName
from gradscope.report.provenance.recipe import command_line
from gradscope.report.words.numbers import level, number, pace


def advice(analysis: Analysis) -> tuple[list[str], list[str | None]]:
    """Return what to do about the network of an analysis: for each remedy a sentence or two, and
    the command that does it, None where no setting can.
    """
    settings = analysis.settings
    of = {"drawn": settings.weights is None, "trained": analysis.training is not None}
    sentences = [remedy_sentence(each, **of) for each in analysis.remedies]
    return sentences, [remedy_command(each, settings) for each in analysis.remedies]


def remedy_command(remedy: Remedy, settings: Settings) -> str | None:
    """Return the command of a run with the settings that a remedy changes; None for none."""
    if not remedy.changes:
        return None
    changed = [name for name, value in remedy.changes.items() if value != getattr(settings, name)]
    return command_line(settings.with_changes({"load": None, **remedy.changes}), said=changed)


def remedy_sentence(remedy: Remedy, *, drawn: bool = True, trained: bool = False) -> str:
    """Return one remedy as a sentence or two, by flag for a network that gradscope ``drawn``; what
    was measured is of a ``trained`` one before that.
    """
    words = _REMEDIES if drawn else {**_REMEDIES, **_REMEDIES_ELSEWHERE}
    text = words[remedy.code]({**remedy.changes, **remedy.numbers})
    rate = remedy.numbers.get("predicted_rate")
    if isinstance(rate, float):
        measured = f"Measured{' before training' if trained else ''}:"
        by = measured if remedy.numbers["predicted_from"] == "measurement" else "Predicted: about"
        text += f" {by} {level(rate)} nats per step ({pace(rate)})."
    return text


def _by_gates(numbers: Mapping[str, Any], words: str) -> str:
    """Return what matters where the state itself, and so the inputs, make the gradient larger."""
    return words if numbers["by_way_of"] == "gates" else ""


WAYS = {"gain": "a smaller W", "center_bias": "a bias of −W·½", "input_scale": "smaller inputs"}
"""What keeps units and gates from their ends."""


def _by_smaller(numbers: Mapping[str, Any]) -> str:
    """Return how to keep units from their ends: as the changes do, or as would suit φ."""
    for_sigmoid = numbers.get("activation") == ActivationName.SIGMOID
    fitting = ["center_bias", "input_scale"] if for_sigmoid else ["input_scale"]
    chosen = [name for name in WAYS if name in numbers] or fitting
    words = f"{' and '.join(WAYS[name] for name in chosen)}."
    if "input_scale" in chosen:
        words += " That costs nonlinearity: tasks that need it are then hardly learned."
    return words


GAIN = (RemedyCode.RAISE_GAIN, RemedyCode.LOWER_GAIN)
"""One sentence, whose factor says which of the two it is."""

_REMEDIES: Mapping[RemedyCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        RemedyCode.STANDARDISE: lambda n: (
            f"Standardise what enters (--input-scale): U x has a root mean square of "
            f"{number(n['driven'])}."
        ),
        RemedyCode.REVIVE_UNITS: lambda _: (
            "Bring dead units back: use an activation with a slope everywhere (tanh), or start "
            "again from other weights, inputs of unit scale and a smaller learning rate."
        ),
        RemedyCode.RAISE_SLOPE_CEILING: lambda n: (
            f"Use an activation of slope 1 ({n['activation']}"
            f"{' and a W of gain 1' if 'gain' in n else ''}): that of a sigmoid is at most 1/4."
        ),
        RemedyCode.REDUCE_SATURATION: lambda n: (
            f"Keep the units out of saturation: {_by_smaller(n)}"
        ),
        RemedyCode.ALIGN_WEIGHTS: lambda n: (
            "Make W's singular values equal, so that no direction is weak: start from an "
            f"orthogonal W{' of gain 1' if 'gain' in n else ''}."
        ),
        **dict.fromkeys(
            GAIN,
            lambda n: (
                f"Multiply W by {number(n['factor'])}. A rate near 0 does not by itself make a "
                "network learn."
            ),
        ),
        RemedyCode.CHECK_SIZE: lambda n: (
            f"Each step multiplies the gradient by {number(n['growth_per_step'])}: start again, "
            f"with --gain near 1{_by_gates(n, ', a smaller --input-scale')} and, where training "
            "made W so large, a smaller --learning-rate or --clip-norm."
        ),
        RemedyCode.CLIP: lambda n: (
            f"Clip the gradient norm at {number(n['norm'])} (--clip-norm), its "
            f"{n['quantile']:.0%} quantile in training."
            if n["norm"] is not None
            else "Clip the gradient norm (--clip-norm 1 to begin with); the norms of a run "
            "that does not diverge show which value to use."
        ),
        RemedyCode.GATES: lambda n: (
            f"For a lag of {n['required_lag']} use a gated cell that keeps its state as long from "
            f"the start: an LSTM with a bias of ln {n['lag']} = {number(n['forget_bias'])} on its "
            "forget gate, or a GRU with that on its update gate."
        ),
        RemedyCode.KEEP_LONGER: lambda n: (
            f"Keep the state longer: start with a bias of ln {n['lag']} = "
            f"{number(n['forget_bias'])} on the gate that keeps it (an LSTM's forget gate, a GRU's "
            f"update gate); by itself it now loses {level(-n['direct'])} nats per step."
        ),
        RemedyCode.OPEN_GATES: lambda n: f"Keep the gates open at initialization: {_by_smaller(n)}",
        RemedyCode.LOOK_ELSEWHERE: lambda _: (
            "Look elsewhere: learning rate, number of updates, hidden size, the data."
        ),
    }
)

_REMEDIES_ELSEWHERE: Mapping[RemedyCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        RemedyCode.STANDARDISE: lambda n: (
            "Give the network's own inputs (--data), or weaker noise (a smaller --noise-scale)."
            if n["white_noise"]
            else f"Start from smaller input weights: U x has a root mean square of "
            f"{number(n['driven'])}."
            if large_input_weights(n)
            else "Standardise the inputs to mean 0 and variance 1; train on them (--standardise)."
        ),
        RemedyCode.CHECK_SIZE: lambda n: (
            f"Each step multiplies the gradient by {number(n['growth_per_step'])}; no network can "
            "learn: check that the file holds the trained network, not one that diverged, and "
            f"each array in its place{_by_gates(n, '; give inputs on the scale of its training')}."
        ),
        RemedyCode.CLIP: lambda n: (
            f"Clip the gradient norm in training; its {n['quantile']:.0%} quantile is a first "
            "value, and gradscope.torch.watch records the norm."
        ),
    }
)
