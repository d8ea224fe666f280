"""Remedies as sentences, one for every code, in words that fit any framework."""

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
    found, settings = analysis.remedies, analysis.settings
    trained = analysis.training is not None or settings.load is not None
    sentences = [remedy_sentence(each, trained=trained) for each in found]
    return sentences, [remedy_command(each, settings) for each in found]


def remedy_command(remedy: Remedy, settings: Settings) -> str | None:
    """Return the command of a run with the settings that a remedy changes; None for none."""
    if not remedy.changes:
        return None
    changed = [name for name, value in remedy.changes.items() if value != getattr(settings, name)]
    return command_line(settings.with_changes({"load": None, **remedy.changes}), said=changed)


def remedy_sentence(remedy: Remedy, *, trained: bool = False) -> str:
    """Return one remedy as a sentence or two; what was measured is of a ``trained`` network before
    that.
    """
    changed = {**remedy.changes, "changed": bool(remedy.changes)}
    text = _REMEDIES[remedy.code]({**changed, **remedy.numbers})
    rate = remedy.numbers.get("predicted_rate")
    if isinstance(rate, float):
        measured = f"Measured{' before training' if trained else ''}:"
        by = measured if remedy.numbers["predicted_from"] == "measurement" else "Predicted: about"
        text += f" {by} {level(rate)} nats per step ({pace(rate)})."
    return text


def _check_size(numbers: Mapping[str, Any]) -> str:
    """Return where a growth out of all proportion may come from; of gates also from the inputs."""
    gates = numbers["by_way_of"] == "gates"
    text = f"Each step multiplies the gradient by {number(numbers['growth_per_step'])}"
    if numbers["changed"]:
        return (
            f"{text}: start again, with a gain near 1{', smaller inputs' * gates} and, where "
            "training made W so large, a smaller learning rate or a clipped gradient."
        )
    return (
        f"{text}; no network can learn: check that the file holds the trained network, not one "
        "that diverged, and each array in its place"
        f"{'; give inputs on the scale of its training' * gates}."
    )


def _standardise(numbers: Mapping[str, Any]) -> str:
    """Return what has no unit scale: noise, U, or the inputs."""
    what = "Standardise what enters to mean 0 and variance 1"
    if large_input_weights(numbers):
        what = "Start from smaller input weights"
    if numbers["white_noise"]:
        what = "Give the network's own inputs (--data), or weaker noise"
    return f"{what}: U x has a root mean square of {number(numbers['driven'])}."


def _multiply(numbers: Mapping[str, Any]) -> str:
    factor = number(numbers["factor"])
    return f"Multiply W by {factor}. A rate near 0 does not by itself make a network learn."


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


_REMEDIES: Mapping[RemedyCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        RemedyCode.STANDARDISE: _standardise,
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
        RemedyCode.RAISE_GAIN: _multiply,
        RemedyCode.LOWER_GAIN: _multiply,
        RemedyCode.CHECK_SIZE: _check_size,
        RemedyCode.CLIP: lambda n: (
            f"Clip the gradient norm at {number(n['norm'])}, its {n['quantile']:.0%} quantile in "
            "training."
            if n["norm"] is not None
            else f"Clip the gradient norm, at 1 to begin with; its {n['quantile']:.0%} quantile in "
            "training, which gradscope.torch.watch records too, is a better value."
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
