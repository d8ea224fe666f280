"""How to read each panel, in one or two sentences that speak of this run and no other."""

import numpy as np

from gradscope.diagnosis.reasons import ReasonCode
from gradscope.names import Regime
from gradscope.report.words import (
    LN_10,
    cause_sentence,
    fraction,
    number,
    reason_sentence,
    steps,
)
from gradscope.study.results import Analysis


def _power(log10: float) -> str:
    """Return a power of ten, or zero."""
    return f"10^{number(log10)}" if np.isfinite(log10) else "exactly 0"


def profile_reading(analysis: Analysis) -> str:
    """Say where the curve of σ_max goes, and what the bound has to do with it."""
    verdict, profile = analysis.last.verdict, analysis.last.profile
    threshold = fraction(analysis.settings.vanishing)
    end = float(profile.median[-1]) / LN_10
    if verdict.horizon is not None:
        where = (
            f"The solid line crosses the dashed threshold {threshold} at lag {verdict.horizon}: an "
            f"error feels nothing that happened more than {steps(verdict.horizon)} before it."
        )
    elif verdict.regime is Regime.EXPLODING:
        where = (
            f"The solid line climbs to {_power(end)} at lag {verdict.max_lag}: a small change long "
            "ago rules the state now, and the gradient with it."
        )
    else:
        where = (
            f"The solid line stays above the dashed threshold {threshold}: it ends at "
            f"{_power(end)} at lag {verdict.max_lag}."
        )
    bound = _power(float(profile.log_bound[-1]) / LN_10)
    return f"{where} The dotted bound, from W and φ alone, would allow {bound} there."


def causes_reading(analysis: Analysis) -> str:
    """Say which cause is the largest, and that all add up."""
    main = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    sentence = f"{reason_sentence(main)} " if main is not None else ""
    added = cause_sentence(analysis.last.causes)
    return f"{sentence}From top to bottom the bars add up exactly: {added}."


def gradient_reading(analysis: Analysis) -> str:
    """Say between which sizes the gradient of the hidden state lies, and when."""
    values = analysis.last.gradient.log_by_step / LN_10
    reached = np.flatnonzero(np.isfinite(values))
    if not reached.size:
        return "No error reaches any hidden state: there is no target within the steps examined."
    low, high = (reached[int(f(values[reached]))] for f in (np.argmin, np.argmax))
    return (
        f"The error moves the state most at step {high} ({_power(values[high])}) and least at step "
        f"{low} ({_power(values[low])}); a line that falls to the left is gradient lost on its way "
        "back."
    )


def slopes_reading(analysis: Analysis) -> str:
    """Say how much of its slope the median unit uses."""
    slopes = analysis.last.slopes
    middle = float(np.median(slopes.median))
    used = middle / slopes.ceiling
    verdict = (
        "most units are saturated, and each step costs gradient"
        if used < 0.5
        else "most units work where φ is steep"
    )
    return (
        f"Over time the median unit has a slope of {number(middle)}, {used:.0%} of the most that φ "
        f"allows (γ = {number(slopes.ceiling)}): {verdict}."
    )


def training_reading(analysis: Analysis) -> str:
    """Say how the error went, and between which quantiles the unclipped gradient norm lay."""
    history = analysis.training
    if history is None or not history.updates:
        return "No update was made."
    first, last = history.error_per_step[[0, -1]]
    half, nine = np.quantile(history.gradient_norm, [0.5, 0.9])
    baseline = analysis.facts.baseline
    return (
        f"The error went from {number(float(first))} to {number(float(last))} in "
        f"{history.updates} updates (baseline {number(baseline.error)}, {baseline.meaning}). Half "
        f"of the unclipped gradient norms lay below {number(float(half))}, nine in ten below "
        f"{number(float(nine))}; {history.clipped_fraction:.0%} of the updates were clipped."
    )
