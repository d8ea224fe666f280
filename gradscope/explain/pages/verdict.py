"""How a saved run's verdict was reached, in words; the numbers come from ``explain.verdict``."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from gradscope.analysis.results import Stage
from gradscope.arrays import LN_10
from gradscope.diagnosis.growth import Tail, terms_of
from gradscope.explain.pages.page import Page, Section
from gradscope.explain.verdict import VerdictLesson
from gradscope.names import CellName, Regime, StageName
from gradscope.report.words.cells import CAUSE_TITLES
from gradscope.report.words.headline import REGIME_WORDS
from gradscope.report.words.numbers import fraction, level, number, power_of_ten, steps

THRESHOLD_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "vanishing": "σ_max below this has vanished. Seven e-folds: nets were found trainable to "
        "about six depth scales, e^−6 (Schoenholz et al. 2017, arXiv:1611.01232, section 5).",
        "exploding": "σ_max above this has exploded: the same distance on the other side.",
        "transient_growth": "Growth before vanishing that is worth a word (convention; Trefethen & "
        "Embree 2005, chapter 14).",
        "agreement": "Fraction of the sequences that must share a regime (convention).",
        "fine": "σ_max at the required lag from which on the gradient is fine (convention).",
        "no_better": "Fraction of the baseline error above which nothing was learned (convention).",
    }
)


def verdict_page(lesson: VerdictLesson) -> Page:
    """Return rate, horizon, causes, bound, regime, need, error and thresholds, each explained."""
    stage = lesson.stage
    verdict, lags = stage.verdict, stage.profile.lags.size
    rate = f"{level(lesson.rate)} nats per step"
    reach = f"beyond {steps(lags)}" if verdict.horizon is None else steps(verdict.horizon)
    bound = f"{level(lesson.bound_rate)} nats per step"
    if lesson.log_weight_norm is not None:
        bound = "(γ σ_max(W))^ℓ"
    thresholds = [
        f"{name.replace('_', '-')} {_size(getattr(lesson.thresholds, name))}: {source}"
        for name, source in THRESHOLD_SOURCES.items()
    ]
    name = "as saved" if stage.name is StageName.GIVEN else stage.name
    return Page(
        f"{REGIME_WORDS[verdict.regime]} ({name}): growth rate {rate}, memory horizon {reach}. "
        "How each number was reached:",
        (
            Section(f"Growth rate: {rate}", _rate_lines(stage.growth.tail)),
            Section(f"Memory horizon: {reach}", _horizon_lines(lesson)),
            Section("Causes: the terms of the growth rate, nats per step", _cause_lines(stage)),
            Section(f"Bound: {bound}", _bound_lines(lesson)),
            Section(f"Regime: {verdict.regime}", _regime_lines(lesson)),
            Section("What is needed, what was learned", _outcome_lines(lesson)),
            Section("Thresholds and where they come from", thresholds),
        ),
    )


def _rate_lines(tail: Tail | None) -> tuple[str, ...]:
    if tail is None:
        return ("At the last lag the product is exactly zero in every sequence: log 0 = −∞.",)
    (first, last), (before, after) = tail.lags, tail.log_norms
    return (
        (
            "f(ℓ) is log σ_max(∂h_T/∂h_T−ℓ) in nats, averaged over the "
            f"{tail.sequences} of {tail.of} sequences whose product is not exactly zero."
        ),
        f"f({first}) = {number(before, 5)}, f({last}) = {number(after, 5)}",
        (
            f"rate = (f({last}) − f({first})) / ({last} − {first}) = "
            f"{number(after - before, 5)} / {last - first} = {number(tail.rate, 5)}"
        ),
        "The first half of the lags is left to the transient.",
    )


def _horizon_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    line, horizon = lesson.thresholds.vanishing, lesson.stage.verdict.horizon
    median = lesson.stage.profile.median
    rule = (
        "The first lag at which the median profile is below "
        f"log({fraction(line)}) = {number(math.log(line), 5)} nats."
    )
    if horizon is None:
        lowest = int(np.argmin(median))
        value = number(float(median[lowest]), 5)
        return rule, f"Its lowest value is {value}, at lag {lowest + 1} of {median.size}."
    at = f"at lag {horizon} it is {number(float(median[horizon - 1]), 5)}"
    if horizon == 1:
        return rule, f"Already {at}."
    before = number(float(median[horizon - 2]), 5)
    return rule, f"At lag {horizon - 1} the median is {before}, {at}."


def _cause_lines(stage: Stage) -> tuple[str, ...]:
    total, terms = stage.causes.total, terms_of(stage.causes)
    known = {name: term for name, term in terms.items() if term is not None}
    if total is None or len(known) < len(terms):
        return ("The product is exactly zero: there is no rate to split.",)
    rows = {
        **{CAUSE_TITLES[name]: term for name, term in known.items()},
        "their sum": sum(known.values()),
        "growth rate, measured": total,
    }
    return (
        # Adding 0 turns −0 into 0.
        *(f"{name:<24}{value + 0.0:>+12.6f}".replace("-", "−") for name, value in rows.items()),
        (
            "Each is the mean over the same sequences, between the same two lags, along the "
            "direction that the product stretches most."
        ),
    )


def _bound_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    rate, gamma, settings = lesson.bound_rate, number(lesson.slope_ceiling), lesson.settings
    forces = (
        "A factor below 1 per step forces vanishing."
        if rate < 0
        else "A factor of 1 or more per step allows exploding but does not force it."
    )
    if settings.cell is not CellName.ELMAN:
        return "The gates and weights along this trajectory let no step add more.", forces
    if lesson.log_weight_norm is None:
        return f"log(1 − α + α γ σ_max(W)), α = {settings.leak:g}, γ = {gamma}.", forces
    norm = f"log σ_max(W) = {level(lesson.log_weight_norm)} nats"
    total = f"log γ + log σ_max(W) = {level(rate)} nats per step"
    return (
        f"γ = max φ′ = {gamma} ({settings.activation}); {norm}.",
        f"{total}: γσ_max(W) = {power_of_ten(rate / LN_10)}. {forces}",
    )


def _regime_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    lines, median = lesson.thresholds, lesson.stage.profile.median
    regime, low, high = lesson.stage.verdict.regime, _size(lines.vanishing), _size(lines.exploding)
    rules = {
        Regime.VANISHING: f"it ends below {low}.",
        Regime.TRANSIENT: (
            f"it grows past {_size(lines.transient_growth)} first, and ends below {low}."
        ),
        Regime.EXPLODING: f"it passes {high} and does not end below {low}.",
        Regime.STABLE: f"it does not end below {low} and never passes {high}.",
        Regime.MIXED: f"fewer than {lines.agreement:.0%} of the sequences share a regime.",
    }
    peak = int(np.argmax(median))
    end, largest = (
        "0" if np.isneginf(nats) else power_of_ten(float(nats) / LN_10)
        for nats in (median[-1], median[peak])
    )
    return (
        (
            f"The median σ_max is {end} at the last lag, {median.size}; its largest is {largest}, "
            f"at lag {peak + 1}."
        ),
        f"{str(regime).capitalize()}, from the profile of every sequence: {rules[regime]}",
    )


def _size(threshold: float) -> str:
    return fraction(threshold) if threshold < 1 else f"{threshold:g}"


def _outcome_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    verdict, learned, most = lesson.stage.verdict, lesson.learned, lesson.thresholds.no_better
    if learned is None:
        return ("There are no targets: which lag is required, or what was learned, is not known.",)
    better = "has learned" if learned.error < most * learned.baseline else "has not learned"
    initial = lesson.stage.name is StageName.INITIAL
    of_error = (
        f"Its error per step is {number(learned.error)}, the baseline's "
        f"{number(learned.baseline)}; to have learned it must be below {most:.0%} of that: "
        f"{'nothing was learned yet' if initial else f'it {better}'}."
    )
    lag, reaches = verdict.required_lag, verdict.reaches
    if lag is None:
        return "Which lag the data requires is not known.", of_error
    if reaches is None:
        return (
            f"The task needs lag {lag}, the lags measured end at {verdict.max_lag}: whether "
            "the gradient arrives is not known."
        ), of_error
    reach = "beyond the lags measured" if verdict.horizon is None else str(verdict.horizon)
    return (
        f"The task needs lag {lag}, the horizon is {reach}: the gradient "
        f"{'arrives' if reaches else 'does not reach so far back'}."
    ), of_error
