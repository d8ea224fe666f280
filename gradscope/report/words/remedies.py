"""Remedies as sentences, one for every code: with flags for a network that gradscope drew, for an
imported one in words that fit any framework.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gradscope.analysis.results import Analysis
from gradscope.diagnosis.remedies import Remedy, RemedyCode
from gradscope.names import ActivationName
from gradscope.report.words.headline import large_input_weights
from gradscope.report.words.numbers import level, number, pace


def advice(analysis: Analysis) -> list[str]:
    """Return what to do about the network of an analysis, a sentence or two for each remedy."""
    verdict, settings = analysis.last.verdict, analysis.settings
    explodes = math.log(settings.exploding) / verdict.max_lag
    drawn = settings.weights is None
    return [remedy_sentence(each, drawn=drawn, explodes=explodes) for each in analysis.remedies]


def remedy_sentence(remedy: Remedy, *, drawn: bool = True, explodes: float = math.inf) -> str:
    """Return one remedy as a sentence or two, by flag for a network that gradscope ``drawn``.

    ``explodes`` is the growth rate, nats per step, beyond which the change is more than enough.
    """
    words = _REMEDIES if drawn else {**_REMEDIES, **_REMEDIES_ELSEWHERE}
    text = words[remedy.code](remedy.numbers)
    predicted = remedy.numbers.get("predicted_rate")
    if isinstance(predicted, float):
        text += f" Predicted: {level(predicted)} nats per step ({pace(predicted)}), all else equal"
        text += ": it would explode; also use a smaller W." if predicted > explodes else "."
    return text


def _for_sigmoid(numbers: Mapping[str, Any], words: str) -> str:
    """Return what helps a φ whose outputs are all positive."""
    return words if numbers["activation"] == ActivationName.SIGMOID else ""


def _by_gates(numbers: Mapping[str, Any], words: str) -> str:
    """Return what matters where the state itself, and so the inputs, make the gradient larger."""
    return words if numbers["by_way_of"] == "gates" else ""


GAIN = (RemedyCode.RAISE_GAIN, RemedyCode.LOWER_GAIN)
"""One sentence, whose factor says which of the two it is."""

_REMEDIES: Mapping[RemedyCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        RemedyCode.STANDARDISE: lambda n: (
            "Standardise what enters (a smaller --input-scale): U x has a root mean square of "
            f"{number(n['driven'])}."
        ),
        RemedyCode.REVIVE_UNITS: lambda _: (
            "Bring dead units back: start again from other weights, inputs of unit scale and a "
            "smaller learning rate, or use an activation with a slope everywhere (tanh)."
        ),
        RemedyCode.RAISE_SLOPE_CEILING: lambda n: (
            f"Use an activation of slope 1 (--activation {n['activation']}): γ costs the most here."
        ),
        RemedyCode.REDUCE_SATURATION: lambda n: (
            "Keep the units out of saturation: smaller inputs (--input-scale), a smaller --gain"
            f"{_for_sigmoid(n, ', --center-bias')}."
        ),
        RemedyCode.ALIGN_WEIGHTS: lambda _: (
            "Make W's singular values equal (--init orthogonal), so that no direction is weak."
        ),
        RemedyCode.KEEP_ALIGNED: lambda _: (
            "Keep all directions equally strong, as an orthogonal W starts: a smaller "
            "--learning-rate or fewer --updates where training changed that, a --leak nearer 1 "
            "where units leak."
        ),
        **dict.fromkeys(GAIN, lambda n: f"Multiply W by {number(n['factor'])} (--gain)."),
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
            f"For a lag of {n['required_lag']} consider a gated cell (GRU, LSTM) or a shorter lag."
        ),
        RemedyCode.KEEP_LONGER: lambda n: (
            f"Keep the state longer (--forget-bias): by itself the gate loses "
            f"{level(-n['direct'])} nats per step."
        ),
        RemedyCode.OPEN_GATES: lambda _: (
            "Keep the gates open at initialization: smaller inputs (--input-scale) or a smaller "
            "--gain."
        ),
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
        RemedyCode.RAISE_SLOPE_CEILING: lambda n: (
            f"Use an activation of slope 1 ({n['activation']}): γ costs the most here."
        ),
        RemedyCode.REDUCE_SATURATION: lambda n: (
            "Keep the units out of saturation: standardized or smaller inputs, a smaller W at "
            f"the start{_for_sigmoid(n, ', a bias of −W·½')}."
        ),
        RemedyCode.ALIGN_WEIGHTS: lambda _: (
            "Make W's singular values equal, so that no direction is weak: start from an "
            "orthogonal W."
        ),
        RemedyCode.KEEP_ALIGNED: lambda _: (
            "Keep all directions equally strong, as an orthogonal W starts: a smaller learning "
            "rate or fewer updates, a leak nearer 1."
        ),
        **dict.fromkeys(GAIN, lambda n: f"Multiply W by {number(n['factor'])}."),
        RemedyCode.CHECK_SIZE: lambda n: (
            f"Each step multiplies the gradient by {number(n['growth_per_step'])}; no network can "
            "learn: check that the file holds the trained network, not one that diverged, and "
            f"each array in its place{_by_gates(n, '; give inputs on the scale of its training')}."
        ),
        RemedyCode.CLIP: lambda n: (
            f"Clip the gradient norm in training; its {n['quantile']:.0%} quantile is a first "
            "value, and gradscope.torch.watch records the norm."
        ),
        RemedyCode.KEEP_LONGER: lambda n: (
            "Keep the state longer: start with a larger bias on the gate that keeps it (an LSTM's "
            f"forget gate, a GRU's update gate); by itself the gate loses {level(-n['direct'])} "
            "nats per step."
        ),
        RemedyCode.OPEN_GATES: lambda _: (
            "Keep the gates open at initialization: standardized or smaller inputs, a smaller W."
        ),
    }
)
