"""How to read each panel, in one or two sentences that speak of this run and no other."""

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.names import ActivationName, CellName, Regime
from gradscope.report.documents.rows import median_map, middle
from gradscope.report.words.headline import cause_sentence
from gradscope.report.words.numbers import LN_10, fraction, number, pace, percent, steps
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.theory import THEORY_WORDS

ERRORS_APART = 2.0
"""Standard errors that an exponent must lie from 0 before its sign is believed (``explain standard
error``)."""

ALL_REMAINS = 0.995
"""What of the sizes of the shares remains in their sum where they do not cancel: 100 %, rounded."""


def _power(log10: float) -> str:
    """Return a power of ten, or zero."""
    return f"10^{number(log10)}" if np.isfinite(log10) else "exactly 0"


def profile_caption(analysis: Analysis) -> str:
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
    source = (
        "from W and φ alone"
        if isinstance(analysis.last.causes, CauseRates)
        else "on each step of this course"
    )
    return f"{where} The dotted bound, {source}, would allow {bound} there."


def causes_caption(analysis: Analysis) -> str:
    """Say which cause is the largest, and that all add up."""
    main = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    sentence = f"{reason_sentence(main)} " if main is not None else ""
    added = cause_sentence(analysis.last.causes)
    return f"{sentence}From top to bottom the bars add up exactly: {added}."


def gradient_caption(analysis: Analysis) -> str:
    """Say between which sizes the gradient of the hidden state lies, and when."""
    gradient = analysis.last.gradient
    if gradient is None:
        return "There are no targets, so there is no error whose gradient could be shown."
    values = gradient.log_by_step / LN_10
    reached = np.flatnonzero(np.isfinite(values))
    if not reached.size:
        return "No error reaches any hidden state: there is no target within the steps examined."
    low, high = (reached[int(f(values[reached]))] for f in (np.argmin, np.argmax))
    return (
        f"The error moves the state most at step {high} ({_power(values[high])}) and least at step "
        f"{low} ({_power(values[low])}); a line that falls to the left is gradient lost on its way "
        "back."
    )


def slopes_caption(analysis: Analysis) -> str:
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


def saturation_caption(analysis: Analysis) -> str:
    """Say which part of the units is nearly shut, at the start and at the end."""
    shut = analysis.last.slopes.histogram[:, :2].sum(axis=1)
    return (
        f"Nearly shut (a slope below a tenth of the ceiling) are {shut[0]:.0%} of the units at the "
        f"first step and {shut[-1]:.0%} at the last; a dark band at the bottom is gradient lost at "
        "every step."
    )


def training_caption(analysis: Analysis) -> str:
    """Say how the error went, and between which quantiles the unclipped gradient norm lay."""
    history = analysis.training
    if history is None or not history.updates:
        return "No update was made."
    first, last = history.error_per_step[[0, -1]]
    half, nine = np.quantile(history.gradient_norm, [0.5, 0.9])
    baseline = analysis.task_info.baseline
    beside = f" (baseline {number(baseline.error)}, {baseline.meaning})" if baseline else ""
    return (
        f"The error went from {number(float(first))} to {number(float(last))} in "
        f"{history.updates} updates{beside}. Half "
        f"of the unclipped gradient norms lay below {number(float(half))}, nine in ten below "
        f"{number(float(nine))}; {history.clipped_fraction:.0%} of the updates were clipped."
    )


def map_caption(analysis: Analysis) -> str:
    """Say whether the gradient fades alike everywhere along the diagonal."""
    found = analysis.details.map
    if found is None or found.times.size < 2:
        return "There is but one state: no pair to show."
    middle = median_map(found.log_norms) / LN_10
    below = middle[np.tril_indices(found.times.size, -1)]
    alive = below[np.isfinite(below)]
    if not alive.size:
        return "Every product is exactly zero: no state feels an earlier one."
    return (
        "Each row is one later state, each column an earlier one; the diagonal is a state against "
        f"itself. The median goes down to {_power(float(alive.min()))} and up to "
        f"{_power(float(alive.max()))}; bands along the diagonal mean that all times fade alike."
    )


def why_no_shares(analysis: Analysis) -> str:
    """Say why a gradient has no share at any lag."""
    gradient = analysis.last.gradient
    if gradient is not None and gradient.norm is None:
        return "No step that was reached has a target"
    return "The gradient is exactly zero"


def shares_caption(analysis: Analysis) -> str:
    """Say how long truncated backpropagation must be, and how much the shares cancel."""
    shares = analysis.details.shares
    if shares is None:
        return "The gradient was not split by lag."
    if np.isneginf(shares.log_partial_norms[-1]):
        return f"{why_no_shares(analysis)}: there is nothing to split by lag."
    allowed = percent(analysis.settings.truncation_error)
    length = shares.truncation_length(analysis.settings.truncation_error)
    needed = (
        f"Truncated backpropagation needs {steps(length)} back (--truncate {length}) to keep the "
        f"error of the gradient below {allowed}."
        if length is not None
        else f"No truncation within these lags keeps the error of the gradient below {allowed}."
    )
    left = float(shares.cancellation[-1])
    if left > ALL_REMAINS:
        return f"{needed} Shares of different lags do not cancel."
    return (
        f"{needed} Shares of different lags partly cancel: {left:.0%} of their sizes remain in the "
        "sum."
    )


def singular_caption(analysis: Analysis) -> str:
    """Say how many directions carry the gradient at the longest lag looked at."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return "The spectrum was not asked for."
    found = spectrum.singular
    first, last = (float(np.median(found.participation_ratio[i])) for i in (0, -1))
    return (
        f"At lag {found.lags[0]} the gradient is spread over {number(first)} directions, at lag "
        f"{found.lags[-1]} over {number(last)} (participation ratio); a steep curve means that all "
        "but a few are lost."
    )


def lyapunov_sentence(analysis: Analysis) -> str:
    """Say the largest exponent, and how soon it doubles or halves."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return "not asked for"
    first = middle(spectrum.lyapunov.exponents[:, 0])
    return f"{number(first)} nats per step, {pace(first)}"


def lyapunov_caption(analysis: Analysis) -> str:
    """Say what the largest exponent means, and what is known of the others."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return "The spectrum was not asked for."
    found = spectrum.lyapunov
    largest = middle(found.exponents[:, 0])
    linear = analysis.params.activation.name is ActivationName.IDENTITY
    behaviour = _behaviour(largest, middle(found.standard_errors[:, 0]), linear=linear)
    trusted = float(found.trusted.mean())
    dimension = float(np.median(found.kaplan_yorke_dimension))
    said = f", Kaplan–Yorke dimension {number(dimension)}" if np.isfinite(dimension) else ""
    return (
        f"The largest exponent is {number(largest)} nats per step ({behaviour}{said}); "
        f"{trusted:.0%} of the exponents can be trusted in double precision."
    )


def _behaviour(exponent: float, standard_error: float, *, linear: bool) -> str:
    """Say what the largest exponent does to close trajectories, as far as chance lets one tell. An
    unknown error (+inf: too few steps) tells nothing; chaos needs more than a linear map.
    """
    if linear:
        way = "part" if exponent > 0 else "meet" if exponent < 0 else "stay apart"
        return f"close trajectories {way}; a linear network has no chaos"
    if abs(exponent) <= ERRORS_APART * standard_error:
        return "too close to 0 for so few steps to tell chaos from none"
    return "close trajectories part: chaos" if exponent > 0 else "close trajectories meet: no chaos"


def eigenvalues_title(analysis: Analysis) -> str:
    """Return whose eigenvalues are drawn; a gated cell has no one W, but a block for each gate."""
    gated = analysis.settings.cell is not CellName.ELMAN
    return "Eigenvalues of J_t" if gated else "Eigenvalues of W and of J_t"


def eigenvalues_caption(analysis: Analysis) -> str:
    """Set the spectral radius of W beside that of the Jacobians along the way."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return "The spectrum was not asked for."
    along = float(np.median(np.abs(spectrum.jacobian_eigenvalues).max(axis=1)))
    if not spectrum.eigenvalues.size:
        return (
            f"The spectral radius of the sampled Jacobians is {number(along)} in the middle; those "
            "near 1 belong to directions that the gates keep."
        )
    radius = float(np.abs(spectrum.eigenvalues).max())
    slopes_alone = analysis.settings.leak == 1.0 and number(along) != number(radius)
    pulled = ": the slopes pull the crosses inward" if slopes_alone and along < radius else ""
    return (
        f"The spectral radius of W is {number(radius)}, that of the sampled Jacobians "
        f"{number(along)} in the middle{pulled}. Where W is not normal, eigenvalues inside the "
        "circle do not keep a product from growing first."
    )


def theory_caption(analysis: Analysis) -> str:
    """Say which theory comes nearest to what was measured."""
    spectrum, rate = analysis.details.spectrum, analysis.last.growth.rate
    if spectrum is None or rate is None:
        return "There is no growth rate to set theory beside."
    fit = [each for each in spectrum.theory if each.applies and each.rate is not None]
    nearest = min(fit, key=lambda each: abs((each.rate or 0.0) - rate), default=None)
    if nearest is None:
        return f"No theory applies here; the measured rate is {number(rate)} nats per step."
    return (
        f"Of the theories that apply, {THEORY_WORDS[nearest.name]} ({number(nearest.rate)}) comes "
        f"nearest to the measured {number(rate)} nats per step; hollow marks do not apply here."
    )


def details_sentences(analysis: Analysis) -> list[str]:
    """Return what the closer looks that were taken say, one or two sentences each."""
    details = analysis.details
    said = []
    if details.map is not None:
        said.append(map_caption(analysis))
    if details.shares is not None:
        said.append(shares_caption(analysis))
    if details.spectrum is not None:
        said += [lyapunov_caption(analysis), singular_caption(analysis)]
    return [*said, *verification_sentences(analysis)]


def verification_sentences(analysis: Analysis) -> list[str]:
    """Say how far an exact SVD was from the profile, where one was asked for."""
    verification = analysis.details.verification
    if verification is None:
        return []
    count, worst = verification.lags.size, verification.worst
    return [
        (
            f"Verified by an exact SVD at {count} lags: the worst relative deviation of σ_max is "
            f"{worst:.1e}; the certificate allows {analysis.last.profile.certificate:.1e}."
        )
    ]
