"""Reasons as sentences: one for every code, made of its numbers. A test demands one of each."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.results import Analysis
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.remedies import large_input_weights
from gradscope.learning.readout import EXPLAINED, NOTHING_READ
from gradscope.names import Regime, StageName, TaskName
from gradscope.report.words.cells import MAIN_CAUSES
from gradscope.report.words.headline import REGIME_WORDS, cause_sentence
from gradscope.report.words.numbers import fraction, level, number, percent, power_of_ten, steps


def why(analysis: Analysis) -> list[str]:
    """Return the reasons for a verdict; where no cause is the main one, how all of them add up; and
    what a linear readout explains.
    """
    stage, readout = analysis.last, analysis.readout
    sentences = [reason_sentence(each) for each in stage.verdict.reasons]
    added = terms_of(stage.causes) and stage.causes.total is not None
    if added and stage.verdict.reason(ReasonCode.MAIN_CAUSE) is None:
        sentences.append(f"The causes add up: {cause_sentence(stage.causes)}.")
    if readout is not None and readout.score is None:
        sentences.append(f"R² of a linear readout is not known: {readout.why_null}.")
    elif readout is not None and readout.score is not None:
        sentences.append(_readout_sentence(analysis, readout.score))
    return sentences


def _readout_sentence(analysis: Analysis, score: float) -> str:
    first, settings = analysis.stages[0], analysis.settings
    state = "the state" if first.name is StageName.GIVEN else "the untrained state"
    if score >= NOTHING_READ:
        adverb = "already explains" if score >= EXPLAINED else "explains only"
        return f"A linear readout of {state} {adverb} {score:.0%} of the target."
    shown = f"R² {max(score, 0.0):.2f}" if score > -NOTHING_READ else "R² below 0"
    nothing = f"Nothing of the target can be read linearly out of {state} ({shown})"
    # What recall wants is one input among others; of other tasks it need not be linear in them.
    recalls = settings.task is TaskName.RECALL and not (settings.data or settings.weights)
    alone = settings.input_scale > 0.0 and not settings.noise
    if recalls and alone and first.verdict.reaches:
        return f"{nothing}: the gradient arrives, but other inputs drown the one to recall."
    return f"{nothing}; that does not say that it cannot be learned."


def reason_sentence(reason: Reason) -> str:
    """Return one reason as a sentence."""
    return _REASONS[reason.code](reason.numbers)


def _horizon(n: Mapping[str, Any]) -> str:
    reach = "beyond the lags measured" if n["horizon"] is None else f"{n['horizon']}"
    return f"The memory horizon is {reach}; lag {n['required_lag']} is needed"


def _within(n: Mapping[str, Any]) -> str:
    size, then = power_of_ten(n["log10_norm"]), ""
    for name, end in (("expected_horizon", "vanish"), ("expected_explosion", "explode")):
        then += f"; at this rate it would {end} at lag {n[name]}" if n[name] else ""
    return f"σ_max stays within the thresholds: {size} at lag {n['max_lag']}{then}."


def _bound(n: Mapping[str, Any], relation: str) -> str:
    along = " along this trajectory" if n.get("of") == "course" else ""
    rate = n["bound_rate_nats_per_step"]
    rate = level(-math.inf if rate is None else rate)
    return f"The bound of a step{along} {relation} 1 ({rate} nats)"


def _layer(n: Mapping[str, Any]) -> str:
    return f" of {n['layer']}" if "layer" in n else ""


def _unscaled(n: Mapping[str, Any]) -> str:
    name = f" ({n['name']})" if "name" in n else ""
    inputs = f"mean {number(n['mean'])} and standard deviation {number(n['standard_deviation'])}"
    driven = f"U x has a root mean square of {number(n['driven'])}"
    if large_input_weights(n):
        return f"The input weights{_layer(n)} are large: {driven}, for inputs of {inputs}."
    return (
        f"The inputs{_layer(n)} are far from zero mean and unit scale: column {n['column']}{name} "
        f"has {inputs}; {driven}."
    )


def _error(n: Mapping[str, Any]) -> str:
    error = "out of range" if n["error"] is None else number(n["error"])
    return f"error per step {error}, baseline {number(n['baseline'])}."


def _shortened(n: Mapping[str, Any]) -> str:
    before = (
        "beyond the lags measured" if n["horizon_before"] is None else steps(n["horizon_before"])
    )
    said = f"Training shortened the reach: {before} before, {steps(n['horizon_after'])} after."
    if "required_lag" not in n:
        return said
    norm = n["log10_norm_before"]
    size = power_of_ten(-math.inf if norm is None else norm)
    return (
        f"{said} It was trained for lag {n['required_lag']}, at which σ_max was {size} before "
        "training."
    )


def _cause(name: str) -> str:
    return f"cause is {MAIN_CAUSES[name]}" if name in MAIN_CAUSES else f"path is {name}"


def _more(correlation: float) -> str:
    return f"keeps {'more' if correlation > 0.0 else 'less'} of the gradient"


def _through(n: Mapping[str, Any], where: str) -> str:
    size = power_of_ten(-math.inf if n["log10_norm"] is None else n["log10_norm"])
    end, lost = fraction(n["threshold"]), n["threshold"] < 1.0
    then = f"below {end} from lag {n['lag']} on" if lost else f"above {end} at lag {n['lag']}"
    return (
        f"Through the stack the gradient is {'lost' if lost else 'too large'} mainly in {where}: "
        f"from {n['top']} down to {n['layer']} σ_max is {size} at lag {n['from_lag']}, {then}."
    )


_NO_PATH = "no path leads back."

_REASONS: Mapping[ReasonCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        ReasonCode.NOTHING_WRITTEN: lambda n: (
            f"The slopes leave {number(n['write_level'])} of what the parameters{_layer(n)} could "
            f"change in a step (write level; below {fraction(n['threshold'])} nothing is written)."
        ),
        ReasonCode.UNITS_DEAD: lambda n: (
            f"Never active here (dead), and passing no gradient: {n['units']} of {n['of']} units."
        ),
        ReasonCode.UNITS_SATURATED: lambda n: (
            f"Of the {n['of']}, {percent(n['fraction'])} are saturated ({percent(n['low'])} at the "
            "low end): a slope below a tenth of the ceiling."
        ),
        ReasonCode.INPUTS_UNSCALED: _unscaled,
        ReasonCode.SHARE_LOST: lambda n: (
            f"The share of ∂E/∂θ at lag {n['lag']} is {number(n['share'])} of the largest: errors "
            "do not reach the parameters there."
        ),
        ReasonCode.BELOW_THRESHOLD: lambda n: (
            f"The median σ_max(∂h_T/∂h_T−ℓ) falls below {fraction(n['threshold'])} at lag "
            f"{n['lag']}."
        ),
        ReasonCode.ABOVE_THRESHOLD: lambda n: (
            f"The median σ_max(∂h_T/∂h_T−ℓ) rises above {number(n['threshold'])} at lag {n['lag']}."
        ),
        ReasonCode.WITHIN_THRESHOLDS: _within,
        ReasonCode.GROWS_FIRST: lambda n: (
            f"Before it vanishes it grows to {power_of_ten(n['peak_log10_norm'])} at lag "
            f"{n['peak_lag']} (non-normal growth)."
        ),
        ReasonCode.SEQUENCES_DISAGREE: lambda n: (
            "Not all sequences agree: "
            f"it {'; '.join(f'{REGIME_WORDS[Regime(name)]} in {n[name]}' for name in n)}."
        ),
        ReasonCode.EXACT_ZERO: lambda n: (
            f"In {n['sequences']} of {n['of']} sequences {ZERO_PRODUCT}, from lag {n['lag']} on: "
            + ("the gates are shut beyond double precision." if n.get("underflows") else _NO_PATH)
        ),
        ReasonCode.STATE_OVERFLOWS: lambda n: (
            f"The hidden state overflows at step {n['step']}; the steps before it were examined."
        ),
        ReasonCode.HORIZON_SHORT: lambda n: (
            f"{_horizon(n)}: hardly any of the gradient comes from there."
        ),
        ReasonCode.HORIZON_REACHES: lambda n: f"{_horizon(n)}: the gradient arrives.",
        ReasonCode.HORIZON_UNKNOWN: lambda n: (
            f"It must reach {steps(n['required_lag'])} back, but the lags measured end at "
            f"{n['max_lag']}: whether the gradient arrives is unknown."
        ),
        ReasonCode.BOUND_FORCES_VANISHING: lambda n: (
            f"{_bound(n, '<')} is enough to force vanishing."
        ),
        ReasonCode.BOUND_ALLOWS_EXPLODING: lambda n: (
            f"{_bound(n, '≥')} allows exploding, but does not force it."
        ),
        ReasonCode.BOUND_IS_ONE: lambda n: (
            f"{_bound(n, '=')}: the gradient cannot grow, and need not vanish."
        ),
        ReasonCode.MAIN_CAUSE: lambda n: (
            f"The main {_cause(n['cause'])} ({level(n['nats_per_step'])} nats per step)."
        ),
        ReasonCode.FEW_STEPS: lambda n: (
            f"Half of what the gradient {'gains' if n['grows'] else 'loses'} comes from "
            f"{n['steps']} of {n['of']} steps."
        ),
        ReasonCode.GROWTH_FOLLOWS_INPUT: lambda n: (
            f"Where input {n['column']} is larger, a step {_more(n['correlation'])} (correlation "
            f"{level(round(n['correlation'], 2))})."
        ),
        ReasonCode.GRADIENT_FINE: lambda _: (
            "The gradient is fine: if training fails, look elsewhere."
        ),
        ReasonCode.AT_BASELINE: lambda n: f"It does no better than without memory: {_error(n)}",
        ReasonCode.BEATS_BASELINE: lambda n: f"It does better than without memory: {_error(n)}",
        ReasonCode.TRAINING_SHORTENED: _shortened,
        ReasonCode.MAINLY_IN_DEPTH: lambda n: _through(n, "depth, layer by layer"),
        ReasonCode.MAINLY_IN_TIME: lambda n: _through(n, "time"),
    }
)
