"""How a saved run's verdict was reached, in words: each number with the numbers behind it."""

import math
from collections.abc import Sequence

import numpy as np

from gradscope.diagnosis.growth import terms_of
from gradscope.explain.pages.page import Section, table_lines
from gradscope.explain.verdict import VerdictLesson
from gradscope.names import CellName, Regime, StageName
from gradscope.report.words.cells import CAUSE_TITLES, has_textbook_bound
from gradscope.report.words.headline import REGIME_WORDS
from gradscope.report.words.numbers import LN_10, fraction, level, number, power_of_ten, steps

THRESHOLD_SOURCES: Sequence[tuple[str, str]] = (
    (
        "vanishing",
        (
            "σ_max below this has vanished. Seven e-folds: nets were found trainable to about six "
            "depth scales, e^−6 (Schoenholz et al. 2017, arXiv:1611.01232, section 5)."
        ),
    ),
    ("exploding", "σ_max above this has exploded: the same distance on the other side."),
    (
        "transient_growth",
        (
            "Growth before vanishing that is worth a word (convention; Trefethen & Embree 2005, "
            "chapter 14)."
        ),
    ),
    ("agreement", "Fraction of the sequences that must share a regime (convention)."),
    ("fine", "σ_max at the required lag from which on the gradient is fine (convention)."),
    ("no_better", "Fraction of the baseline error above which nothing was learned (convention)."),
)


def verdict_answer(lesson: VerdictLesson) -> str:
    """Return the verdict in one sentence."""
    reach = _reach(lesson)
    stage = {StageName.GIVEN: "as saved"}.get(lesson.stage, str(lesson.stage))
    return (
        f"{REGIME_WORDS[lesson.regime]} ({stage}): growth rate {level(lesson.rate)} nats per step, "
        f"memory horizon {reach}. How each number was reached:"
    )


def verdict_sections(lesson: VerdictLesson) -> list[Section]:
    """Return rate, horizon, causes, bound, regime, need, error and thresholds, each explained."""
    sections = [
        Section(f"Growth rate: {level(lesson.rate)} nats per step", _rate_lines(lesson)),
        Section(_horizon_title(lesson), _horizon_lines(lesson)),
        Section("Causes: the terms of the growth rate, nats per step", _cause_lines(lesson)),
        Section(_bound_title(lesson), _bound_lines(lesson)),
        Section(f"Regime: {lesson.regime}", _regime_lines(lesson)),
        Section("What is needed, what was learned", _outcome_lines(lesson)),
        Section("Thresholds and where they come from", _threshold_lines(lesson)),
    ]
    if lesson.stored is not None:
        sections.append(Section("The file's own numbers beside these", _stored_lines(lesson)))
    return sections


def _rate_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    tail = lesson.tail
    if tail is None:
        return ("At the last lag the product is exactly zero in every sequence: log 0 = −∞.",)
    (first, last), (before, after) = tail.lags, tail.log_norms
    return (
        ("f(ℓ) is log σ_max(∂h_T/∂h_T−ℓ) in nats, averaged over the "
        f"{tail.sequences} of {tail.of} sequences whose product is not exactly zero."),
        f"f({first}) = {number(before, 5)}, f({last}) = {number(after, 5)}",
        (f"rate = (f({last}) − f({first})) / ({last} − {first}) = "
        f"{number(after - before, 5)} / {last - first} = {number(tail.rate, 5)}"),
        "The first half of the lags is left to the transient.",
    )  # fmt: skip


def _horizon_title(lesson: VerdictLesson) -> str:
    return f"Memory horizon: {_reach(lesson)}"


def _reach(lesson: VerdictLesson) -> str:
    beyond = f"beyond {steps(lesson.median.size)}"
    return beyond if lesson.horizon is None else steps(lesson.horizon)


def _horizon_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    line, median = lesson.thresholds.vanishing, lesson.median
    rule = (
        "The first lag at which the median profile is below "
        f"log({fraction(line)}) = {number(math.log(line), 5)} nats."
    )
    if lesson.horizon is None:
        lowest = int(np.argmin(median))
        found = (
            f"Its lowest value is {number(float(median[lowest]), 5)}, at lag {lowest + 1} of "
            f"{median.size}."
        )
        return rule, found
    at = f"at lag {lesson.horizon} it is {number(float(median[lesson.horizon - 1]), 5)}"
    if lesson.horizon == 1:
        return rule, f"Already {at}."
    before = float(median[lesson.horizon - 2])
    return rule, f"At lag {lesson.horizon - 1} the median is {number(before, 5)}, {at}."


def _cause_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    causes = lesson.causes
    terms = terms_of(causes)
    if causes.total is None or None in terms.values():
        return ("The product is exactly zero: there is no rate to split.",)
    rows = [
        *((CAUSE_TITLES[name], _signed(term)) for name, term in terms.items()),
        ("their sum", _signed(sum(term for term in terms.values() if term is not None))),
        ("growth rate, measured", _signed(causes.total)),
    ]
    return (
        *(f"{name:<24}{value:>12}" for name, value in rows),
        (
            "Each is the mean over the same sequences, between the same two lags, along the "
            "direction that the product stretches most."
        ),
    )


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{'−' if value < 0 else '+'}{abs(value):.6f}"


def _bound_title(lesson: VerdictLesson) -> str:
    if has_textbook_bound(lesson.settings):
        return "Bound: (γ σ_max(W))^ℓ"
    return f"Bound: {level(lesson.bound_rate)} nats per step"


def _bound_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    rate, gamma = lesson.bound_rate, number(lesson.slope_ceiling)
    settings = lesson.settings
    forces = (
        "A factor below 1 a step forces vanishing."
        if rate < 0
        else "A factor of 1 a step or more allows exploding but does not force it."
    )
    if settings.cell is not CellName.ELMAN:
        return "The gates and weights of this course let no step add more than that.", forces
    if not has_textbook_bound(settings):
        return f"log(1 − α + α γ σ_max(W)), α = {settings.leak:g}, γ = {gamma}.", forces
    norm = f"log σ_max(W) = {level(lesson.log_weight_norm)} nats"
    total = f"log γ + log σ_max(W) = {level(rate)} nats per step"
    return (
        f"γ = max φ′ = {gamma} ({settings.activation}); {norm}.",
        f"{total}: γσ_max(W) = {power_of_ten(rate / LN_10)}. {forces}",
    )


def _regime_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    lines, median = lesson.thresholds, lesson.median
    peak = int(np.argmax(median))
    rules = {
        Regime.VANISHING: f"it ends below {fraction(lines.vanishing)}.",
        Regime.TRANSIENT: (
            f"it grows past {_line(lines.transient_growth)} first, and ends below "
            f"{fraction(lines.vanishing)}."
        ),
        Regime.EXPLODING: (
            f"it passes {_line(lines.exploding)} and does not end below "
            f"{fraction(lines.vanishing)}."
        ),
        Regime.STABLE: (
            f"it does not end below {fraction(lines.vanishing)} and never passes "
            f"{_line(lines.exploding)}."
        ),
        Regime.MIXED: f"fewer than {lines.agreement:.0%} of the sequences share a regime.",
    }
    judged = "median profile" if lesson.stored is not None else "profile of every sequence"
    curve = (
        f"The median σ_max is {_size(float(median[-1]))} at the last lag, {median.size}; its "
        f"largest is {_size(float(median[peak]))}, at lag {peak + 1}."
    )
    return curve, f"{str(lesson.regime).capitalize()}, from the {judged}: {rules[lesson.regime]}"


def _line(threshold: float) -> str:
    return fraction(threshold) if threshold < 1 else f"{threshold:g}"


def _size(nats: float) -> str:
    return "0" if np.isneginf(nats) else power_of_ten(nats / LN_10)


def _outcome_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    learned, most = lesson.learned, lesson.thresholds.no_better
    if learned is None:
        return ("There are no targets: nobody knows which lag is required, or what was learned.",)
    better = "has learned" if learned.error < most * learned.baseline else "has not learned"
    outcome = "nothing was learned yet" if lesson.stage is StageName.INITIAL else f"it {better}"
    of_error = (
        f"Its error per step is {number(learned.error)}, the baseline's "
        f"{number(learned.baseline)}; "
        f"to have learned it must be below {most:.0%} of that: {outcome}."
    )
    if lesson.required_lag is None:
        return "Nobody knows which lag the data requires.", of_error
    last = int(lesson.median.size)
    if lesson.horizon is None and lesson.required_lag > last:
        return (
            f"The task needs lag {lesson.required_lag}, the lags measured end at {last}: whether "
            "the gradient arrives is not known."
        ), of_error
    enough = lesson.horizon is None or lesson.horizon > lesson.required_lag
    reach = "beyond the lags measured" if lesson.horizon is None else str(lesson.horizon)
    of_lag = (
        f"The task needs lag {lesson.required_lag}, the horizon is {reach}: the gradient "
        f"{'arrives' if enough else 'does not reach so far back'}."
    )
    return of_lag, of_error


def _threshold_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    return tuple(
        f"{name.replace('_', '-')} {_line(getattr(lesson.thresholds, name))}: {source}"
        for name, source in THRESHOLD_SOURCES
    )


def _stored_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    """Set what the file says beside what its curves give, and say where they differ."""
    stored = lesson.stored
    if stored is None:
        return ()
    rows = [
        ["growth rate", level(lesson.rate), level(stored.rate)],
        ["memory horizon", _lag(lesson.horizon), _lag(stored.horizon)],
        ["regime", str(lesson.regime), str(stored.regime)],
    ]
    differing = [row[0] for row in rows if row[1] != row[2]]
    lines = table_lines(("", "worked out", "in the file"), rows)
    if differing == ["regime"] and stored.regime in (Regime.MIXED, Regime.TRANSIENT):
        lines.append(
            "The file's regime is a vote of all sequences; here the median alone is heard."
        )
    elif differing:
        lines.append(f"They differ in: {', '.join(differing)}. The file may have been edited.")
    return tuple(lines)


def _lag(horizon: int | None) -> str:
    return "none" if horizon is None else str(horizon)
