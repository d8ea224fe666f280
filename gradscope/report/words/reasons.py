"""Reasons as sentences: one for every code, made of its numbers.

A test holds that no code is without its words. Remedies live in ``advice``; numbers, verdicts and
causes in ``words``.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.report.words.cells import MAIN_CAUSES
from gradscope.report.words.numbers import fraction, level, number, power_of_ten, steps


def reason_sentence(reason: Reason) -> str:
    """Return one reason as a sentence."""
    return _REASONS[reason.code](reason.numbers)


def _of_lag(numbers: Mapping[str, Any]) -> str:
    horizon = numbers["horizon"]
    reach = "beyond the lags measured" if horizon is None else f"{horizon}"
    return f"The memory horizon is {reach}; the task needs {numbers['required_lag']} steps"


def _within(numbers: Mapping[str, Any]) -> str:
    text = (
        f"σ_max stays within the thresholds: {power_of_ten(numbers['log10_norm'])} at lag "
        f"{numbers['max_lag']}"
    )
    expected = numbers["expected_horizon"]
    return text + (f"; at this rate it would vanish at lag {expected}." if expected else ".")


def _counts(numbers: Mapping[str, Any]) -> str:
    return (
        "Not all sequences agree: "
        + ", ".join(f"{n} {regime}" for regime, n in numbers.items())
        + "."
    )


def _bound(numbers: Mapping[str, Any]) -> str:
    rate = numbers["bound_rate_nats_per_step"]
    return level(-math.inf if rate is None else rate)


def _bound_is(numbers: Mapping[str, Any], relation: str) -> str:
    what = "on each step of this course" if numbers.get("of") == "course" else "γ·σ_max(W)"
    return f"{what} {relation} 1"


def _main_cause(numbers: Mapping[str, Any]) -> str:
    cause = MAIN_CAUSES[numbers["cause"]]
    sign = "" if cause.endswith("(") else " = "
    return f"The main cause is {cause}{sign}{level(numbers['nats_per_step'])} nats per step)."


def _learned(numbers: Mapping[str, Any], outcome: str) -> str:
    error = "out of range" if numbers["error"] is None else number(numbers["error"])
    return f"{outcome}: error {error}, baseline {number(numbers['baseline'])}."


_REASONS: Mapping[ReasonCode, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
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
        ReasonCode.SEQUENCES_DISAGREE: _counts,
        ReasonCode.EXACT_ZERO: lambda n: (
            f"In {n['sequences']} of {n['of']} sequences the product is exactly zero, from lag "
            f"{n['lag']} on: "
            "no path leads back."
        ),
        ReasonCode.STATE_OVERFLOWS: lambda n: (
            f"The hidden state overflows at step {n['step']}; the steps before it were examined."
        ),
        ReasonCode.HORIZON_SHORT: lambda n: _of_lag(n) + ": it cannot learn so far back.",
        ReasonCode.HORIZON_REACHES: lambda n: _of_lag(n) + ": the gradient arrives.",
        ReasonCode.HORIZON_UNKNOWN: lambda n: (
            f"The task needs {steps(n['required_lag'])}, but the lags measured end at "
            f"{n['max_lag']}: whether the gradient arrives is not known."
        ),
        ReasonCode.BOUND_FORCES_VANISHING: lambda n: (
            f"The bound {_bound_is(n, '<')} ({_bound(n)} nats per step) is enough to force "
            "vanishing."
        ),
        ReasonCode.BOUND_ALLOWS_EXPLODING: lambda n: (
            f"The bound {_bound_is(n, '≥')} ({_bound(n)} nats per step) allows exploding, but does "
            "not force it."
        ),
        ReasonCode.MAIN_CAUSE: _main_cause,
        ReasonCode.GRADIENT_FINE: lambda _: (
            "The gradient is fine: if training fails, look elsewhere."
        ),
        ReasonCode.AT_BASELINE: lambda n: _learned(n, "It has not learned"),
        ReasonCode.BEATS_BASELINE: lambda n: _learned(n, "It has learned"),
    }
)
