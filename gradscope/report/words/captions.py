"""How to read each panel: one or two sentences with the numbers of this run."""

import numpy as np

from gradscope.analysis.details import Memory, Spectrum
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10
from gradscope.diagnosis.growth import CauseRates, terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.theory import TheoryName
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.lyapunov import ERRORS_APART
from gradscope.jacobians.shares import GradientShares
from gradscope.jacobians.stack_chain import DepthMap
from gradscope.names import Regime
from gradscope.report.documents.rows import median_map, middle
from gradscope.report.words.headline import cause_sentence
from gradscope.report.words.numbers import (
    count,
    fraction,
    interval,
    number,
    pace,
    percent,
    power_of_ten,
    steps,
)
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.theory import motion_words, theory_words

ALL_REMAINS = 0.995
"""Norm of the sum of the shares over the sum of their norms above which they do not cancel."""


def profile_caption(analysis: Analysis) -> str:
    """Say where the curve of σ_max ends, and what the bound would allow."""
    verdict, profile = analysis.last.verdict, analysis.last.profile
    threshold, lag = fraction(analysis.settings.vanishing), verdict.horizon or verdict.max_lag
    where = f"ends at {power_of_ten(float(profile.median[-1]) / LN_10)} at lag {verdict.max_lag}"
    if verdict.horizon is not None:
        where = (
            f"crosses the dashed threshold {threshold} at lag {verdict.horizon}: an error hardly "
            f"depends on a state {steps(verdict.horizon)} before it"
        )
    elif verdict.regime is Regime.EXPLODING:
        where += ": a small change long ago dominates the state now, and the gradient with it"
    if np.isnan(profile.log_bound[lag - 1]):
        return f"The solid line {where}."
    bound = power_of_ten(float(profile.log_bound[lag - 1]) / LN_10)
    textbook = isinstance(analysis.last.causes, CauseRates)
    source = "from the network alone" if textbook else "along this trajectory"
    return f"The solid line {where}. The dotted bound, {source}, would allow {bound} at lag {lag}."


def parameters_caption(analysis: Analysis) -> str:
    """Say how the norm goes for all parameters, and how freely they write."""
    ends = analysis.last.parameter_profile.log10_medians["norm"][[0, -1]]
    first, last = map(power_of_ten, ends)
    return (
        f"The parameters of the last step alone change the last state by {first}, those of "
        f"the first by {last} (Frobenius norm); the size of what U and W multiply has no "
        f"part in the line of b. The write level is {number(analysis.last.write_level)}."
    )


def causes_caption(analysis: Analysis) -> str:
    """Say which cause is the largest, and that all add up."""
    main = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    sentence = f"{reason_sentence(main)} " if main is not None else ""
    added, growth = cause_sentence(analysis.last.causes), analysis.last.growth
    between = interval(growth.low, growth.high)
    if not terms_of(analysis.last.causes):
        return f"Of one part of a state nothing more is known than its growth: {added}{between}."
    return f"{sentence}From top to bottom the bars add up exactly: {added}{between}."


def gradient_caption(analysis: Analysis) -> str:
    """Say between which sizes the gradient of the hidden state lies, and when."""
    gradient = analysis.last.gradient
    if gradient is None:
        return "There are no targets, so there is no error to differentiate."
    values = gradient.log_by_step / LN_10
    reached = np.flatnonzero(np.isfinite(values))
    if not reached.size:
        return "No error reaches any hidden state: there is no target within the steps examined."
    low, high = (reached[int(f(values[reached]))] for f in (np.argmin, np.argmax))
    most, least = power_of_ten(values[high]), power_of_ten(values[low])
    return (
        f"The error moves the state most at step {high} ({most}) and least at step {low} "
        f"({least}); where the line falls to the left, gradient is lost on its way back."
    )


def slopes_caption(analysis: Analysis) -> str:
    """Say how much of its slope the median unit uses."""
    slopes = analysis.last.slopes
    middle = float(np.median(slopes.median))
    used = middle / slopes.ceiling
    saturated = "most units are saturated, and each step loses gradient"
    verdict = saturated if used < 0.5 else "most units work where φ is steep"
    return (
        f"Over time the median unit has a slope of {number(middle)}, {used:.0%} of the most that φ "
        f"allows (γ = {number(slopes.ceiling)}): {verdict}."
    )


def saturation_caption(analysis: Analysis) -> str:
    """Say what fraction of the units is saturated, at the first step and at the last."""
    shut = analysis.last.slopes.histogram[:, :2].sum(axis=1)
    return (
        f"{shut[0]:.0%} of the units are saturated (a slope below a tenth of the ceiling) at the "
        f"first step and {shut[-1]:.0%} at the last; a dark band at the bottom is gradient lost at "
        "every step."
    )


def training_caption(analysis: Analysis) -> str:
    """Say how the error went, and between which quantiles the unclipped gradient norm lay."""
    history = analysis.history
    if history is None or not history.updates:
        return "No update was made."
    first, last = history.error_per_step[[0, -1]]
    half, nine = np.quantile(history.gradient_norm, [0.5, 0.9])
    baseline = analysis.task_info.baseline
    beside = f" (baseline {number(baseline.error)}, {baseline.meaning})" if baseline else ""
    return (
        f"The error per step went from {number(float(first))} to {number(float(last))} in "
        f"{history.updates} updates{beside}. Half "
        f"of the unclipped gradient norms lay below {number(float(half))}, nine in ten below "
        f"{number(float(nine))}; {history.clipped_fraction:.0%} of the updates were clipped."
    )


def map_caption(_: Analysis, found: LagMap) -> str:
    """Say between which sizes the median σ_max lies over all pairs of states."""
    if found.times.size < 2:
        return "There is only one state: no pair to show."
    middle = median_map(found.log_norms) / LN_10
    below = middle[np.tril_indices(found.times.size, -1)]
    alive = below[np.isfinite(below)]
    if not alive.size:
        return "Every product is exactly zero: no state depends on an earlier one."
    return (
        "Each row is one later state, each column an earlier one; the diagonal is a state against "
        f"itself. The median lies between {power_of_ten(float(alive.min()))} and "
        f"{power_of_ten(float(alive.max()))}; bands along the diagonal mean that σ_max depends on "
        "the lag alone."
    )


def why_no_shares(analysis: Analysis) -> str:
    """Say why a gradient has no share at any lag."""
    gradient = analysis.last.gradient
    if gradient is not None and gradient.norm is None:
        return "No step that was reached has a target"
    return "The gradient is exactly zero"


def shares_caption(analysis: Analysis, shares: GradientShares) -> str:
    """Say how long truncated backpropagation must be, and how much the shares cancel."""
    if np.isneginf(shares.log_partial_norms[-1]):
        return f"{why_no_shares(analysis)}: there is nothing to split by lag."
    allowed = percent(analysis.settings.truncation_error)
    length = shares.truncation_length(analysis.settings.truncation_error)
    needed = f"No truncation within these lags keeps the error of the gradient below {allowed}."
    if length is not None:
        flagged = f" (--truncate {length})" if analysis.settings.cell else ""
        needed = (
            f"Truncated backpropagation needs {steps(length)} back{flagged} to keep "
            f"the error of the gradient below {allowed}."
        )
    left = float(shares.cancellation[-1])
    part = f"partly cancel: the norm of their sum is {left:.0%} of the sum of their norms"
    return f"{needed} Shares of different lags {'do not cancel' if left > ALL_REMAINS else part}."


def memory_caption(_: Analysis, memory: Memory) -> str:
    """Say how many units' worth of past inputs can be read out."""
    if np.isnan(memory.capacity):
        return "The state overflows, so nothing is known of what can be read out of it."
    return (
        f"Of independent inputs of the same mean and variance {number(memory.capacity)} values of "
        f"the past {steps(memory.delays.size)} can be read linearly out of {memory.units} units "
        "(the sum of R² over delays; at most one a unit)."
    )


def sensitivity_caption(analysis: Analysis, memory: Memory) -> str:
    """Say how much of it comes by memory, and whether that alone makes it large."""
    found, sharp = memory.sensitivity["norm"], memory.sharp(analysis.last.verdict.regime)
    remedy = " Carried far and therefore sharp: reparametrize or lower the learning rate."
    return (
        f"The mean ‖∂s_T/∂θ‖², s the state, is {number(found[-1])} where θ changes at "
        f"{steps(found.size)}, "
        f"{number(found[0])} where at the last alone; half of it comes within "
        f"{steps(memory.steps_for_half)}.{remedy if sharp else ''}"
    )


def depth_caption(analysis: Analysis, depth: DepthMap) -> str:
    """Say from which lag on too little of the gradient at the top arrives at each layer."""
    end, top = analysis.settings.vanishing, depth.layers[-1]
    below = [np.flatnonzero(row < np.log(end)) for row in median_map(depth.log_norms)]
    lost = [f"{n} at lag {at[0]}" for n, at in zip(depth.layers, below, strict=True) if at.size]
    said = f"first below {fraction(end)}: {', '.join(lost)}" if lost else "no layer loses it"
    return f"How much of the gradient at {top} at the last step arrives at each layer: {said}."


def singular_caption(_: Analysis, spectrum: Spectrum) -> str:
    """Say how many directions carry the gradient at the shortest and the longest lag."""
    found = spectrum.singular
    first, last = (float(np.median(found.participation_ratio[i])) for i in (0, -1))
    return (
        f"At lag {found.lags[0]} the gradient is spread over {number(first)} directions, at lag "
        f"{found.lags[-1]} over {number(last)} (participation ratio, the median of "
        f"{count(found.log_values.shape[1], 'sequence')}); a steep curve means that all but a few "
        "are lost."
    )


def lyapunov_sentence(analysis: Analysis) -> str:
    """Say the largest exponent, how soon it doubles or halves, and what the state does."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return "not asked for"
    first, motion = middle(spectrum.lyapunov.exponents[:, 0]), spectrum.motion
    marginal = abs(first) <= ERRORS_APART * motion.standard_error
    speed = pace(first, marginal=marginal)
    return f"{number(first)} nats per step, {speed}: {motion_words(motion)}"


def lyapunov_caption(_: Analysis, spectrum: Spectrum) -> str:
    """Say what the largest exponent means, and how many can be trusted."""
    found = spectrum.lyapunov
    dimension = float(np.median(found.kaplan_yorke_dimension))
    shown = np.isfinite(dimension) and spectrum.motion.on_attractor
    beside = f"; Kaplan–Yorke dimension {number(dimension)}" if shown else ""
    return (
        f"The largest exponent is {number(middle(found.exponents[:, 0]))} nats per step: "
        f"{motion_words(spectrum.motion)}{beside}; {found.trusted.mean():.0%} of the exponents can "
        "be trusted in double precision."
    )


def eigenvalues_caption(analysis: Analysis, spectrum: Spectrum) -> str:
    """Compare the spectral radius of W with that of the Jacobians."""
    along = float(np.median(np.abs(spectrum.jacobian_eigenvalues).max(axis=1)))
    if not spectrum.eigenvalues.size:
        return (
            f"The median spectral radius of the sampled Jacobians is {number(along)}; eigenvalues "
            "near 1 belong to directions that the state keeps."
        )
    radius = float(np.abs(spectrum.eigenvalues).max())
    slopes_alone = analysis.settings.leak == 1.0 and number(along) != number(radius)
    pulled = ": the slopes pull the crosses inward" if slopes_alone and along < radius else ""
    return (
        f"The spectral radius of W is {number(radius)}, the median of the sampled Jacobians "
        f"{number(along)}{pulled}. Where W is not normal, a product may grow at first even if all "
        "eigenvalues are inside the circle."
    )


def theory_caption(analysis: Analysis, spectrum: Spectrum) -> str:
    """Say which theory predicts the growth rate best; the bound limits it and predicts nothing."""
    growth = analysis.last.growth
    rate = growth.rate
    if rate is None:
        return "There is no growth rate to compare theory with."
    measured = f"the measured {number(rate)}{interval(growth.low, growth.high)} nats per step"
    fit = [each for each in spectrum.theory if each.applies and each.rate is not None]
    predicted = [each for each in fit if each.name is not TheoryName.BOUND]
    nearest = min(predicted, key=lambda each: abs((each.rate or 0.0) - rate), default=None)
    limit = "".join(f"; the bound is {number(e.rate)}" for e in fit if e.name is TheoryName.BOUND)
    if nearest is None:
        return f"No theory of the rate applies here, beside {measured}{limit}."
    which = "comes closest to" if len(predicted) > 1 else "alone applies, beside"
    best = f"{theory_words(nearest.name, analysis.settings)} ({number(nearest.rate)})"
    return (
        f"Of the predictions, {best} {which} {measured}{limit}; theories with hollow marks do not "
        "apply here."
    )


def verification_sentences(analysis: Analysis) -> list[str]:
    """Say how far the profile is from an exact SVD, where one was asked for."""
    checked, allowed = analysis.details.verification, analysis.last.profile.certificate
    if checked is None:
        return []
    swept = f", and by QR sweeps at lag {checked.swept_lag}" if checked.swept_lag else ""
    exceeds = checked.worst > 2.0 * allowed + 1e-9
    return [
        f"Verified by an exact SVD at {count(checked.lags.size, 'lag')}{swept}: the worst relative "
        f"deviation of σ_max is {checked.worst:.1e}; the certificate allows {allowed:.1e}"
        + (", and does not cover rounding in a direction that returns." if exceeds else ".")
    ]
