"""How each number of a saved run's verdict was reached, measured again from the file."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.fields import RATE_FROM, ZERO_PRODUCT
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Stage
from gradscope.analysis.settings import Settings, span
from gradscope.analysis.stage import learned_by, thresholds
from gradscope.arrays import LN_10, plain
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.theory import ROUNDING
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Learned
from gradscope.errors import ArchiveError
from gradscope.names import CellName, Regime, StageName
from gradscope.report.formats import Document, head, named
from gradscope.report.terminal.table import Page
from gradscope.report.words.cells import cause_titles, has_textbook_bound, step_bound
from gradscope.report.words.headline import REGIME_WORDS, headline, regime_word
from gradscope.report.words.numbers import fraction, level, number, over_steps, power_of_ten, steps


@dataclass(frozen=True, eq=False, slots=True)
class VerdictLesson:
    """A verdict with what it was made from.

    ``stage`` has the lag profile, its bound and the causes; ``bound_rate`` bounds its growth rate,
    in nats per step: log(γ σ_max(W)) for a vanilla RNN. ``slope_ceiling`` is γ, ``log_weight_norm``
    the bound less log γ: log σ_max(W) in nats; None where the bound has other terms.
    """

    settings: Settings
    stage: Stage
    learned: Learned | None
    thresholds: Thresholds
    bound_rate: float
    slope_ceiling: float
    log_weight_norm: float | None

    def document(self) -> Document:
        """Return each number of the verdict with those behind it, as JSON has them."""
        stage, norm, growth = self.stage, self.log_weight_norm, self.stage.growth
        no_norm = "the bound has other terms: a leak, or gates" if norm is None else "W is zero"
        points = growth.tail and named(growth.tail, "lags", "sequences", "of", nats="log_norms")
        content = {
            "stage": stage.name,
            **named(stage.verdict, "regime", "horizon", "required_lag", rate_nats_per_step="rate"),
            "rate_interval_95": None if growth.low is None else [growth.low, growth.high],
            "rate_from": named(growth, *RATE_FROM),
            "rate_between": points,
            "rate_null_because": ZERO_PRODUCT if growth.rate is None else None,
            "causes": asdict(stage.causes),
            "bound_rate_nats_per_step": self.bound_rate,
            "log_slope_ceiling": math.log(self.slope_ceiling),
            "log_weight_norm": norm,
            "log_weight_norm_null_because": no_norm if plain(norm) is None else None,
            "error": self.learned and self.learned.error,
            "baseline": self.learned and self.learned.baseline,
            "thresholds": asdict(self.thresholds),
            # Kept for scripts that read it; always null, since only saved runs are explained.
            "in_the_file": None,
        }
        return {**head("explain.verdict", self.settings.as_dict()), **plain(content)}


def verdict_lesson(path: Path) -> VerdictLesson:
    """Measure a saved run (``.npz``) again.

    Raises ArchiveError if the file cannot be read or is no saved run, SettingError if it holds
    settings outside their limits.
    """
    if path.suffix.lower() == ".json":
        remedy = f"give the saved run, which gradscope rerun {path} --save run.npz writes"
        raise ArchiveError(f"{path} holds no network to measure; {remedy}")
    analysis = analyze(prepare({"load": str(path)}))
    settings = analysis.settings
    stage, gamma = analysis.last, analysis.params.activation.slope_ceiling
    bound_rate = float(stage.profile.log_bound[0])
    norm = bound_rate - math.log(gamma) if has_textbook_bound(settings) else None
    learned, lines = learned_by(stage.error, analysis.task_info), thresholds(settings)
    return VerdictLesson(settings, stage, learned, lines, bound_rate, gamma, norm)


THRESHOLD_SOURCES = {
    "vanishing": "σ_max below this has vanished. Seven e-folds: nets were found trainable to "
    "about six depth scales, e^−6 (Schoenholz et al. 2017, arXiv:1611.01232, section 5).",
    "exploding": "σ_max above this has exploded: the same distance on the other side.",
    "transient_growth": "Growth before vanishing worth reporting (convention; Trefethen & "
    "Embree 2005, chapter 14).",
    "agreement": "Fraction of the sequences that must share a regime (convention).",
    "fine": "σ_max at the required lag from which on the gradient is fine (convention).",
    "no_better": "Fraction of the baseline error above which nothing was learned (convention).",
}


def verdict_page(lesson: VerdictLesson) -> Page:
    """Return rate, horizon, causes, bound, regime, need, error and thresholds, each explained."""
    stage, verdict = lesson.stage, lesson.stage.verdict
    rate, bound = (f"{level(each)} nats per step" for each in (verdict.rate, lesson.bound_rate))
    beyond = f"beyond {steps(stage.profile.lags.size)}"
    reach = beyond if verdict.horizon is None else steps(verdict.horizon)
    thresholds = [
        f"{name.replace('_', '-')} {_size(getattr(lesson.thresholds, name))}: {source}"
        for name, source in THRESHOLD_SOURCES.items()
    ]
    texts = {
        f"Growth rate: {rate}": _rate_lines(stage),
        f"Memory horizon: {reach}": _horizon_lines(lesson),
        "Causes: the terms of the growth rate, nats per step": _cause_lines(
            stage, cause_titles(lesson.settings)
        ),
        f"Bound: {bound if lesson.log_weight_norm is None else '(γ σ_max(W))^ℓ'}": (
            _bound_lines(lesson)
        ),
        f"Regime: {REGIME_WORDS[verdict.regime]}": _regime_lines(lesson),
        "What is needed, what was learned": _outcome_lines(lesson),
        "Thresholds and where they come from": thresholds,
    }
    name = "as saved" if stage.name is StageName.GIVEN else stage.name
    shut = f"{headline(verdict, lesson.thresholds.vanishing)}. " if verdict.shut else ""
    return Page(
        f"{shut}Gradient: {regime_word(verdict)} ({name}); growth rate {rate}, memory horizon "
        f"{reach}. How each number was reached:",
        texts.items(),
    )


def _rate_lines(stage: Stage) -> tuple[str, ...]:
    growth, tail = stage.growth, stage.growth.tail
    margin = f"95 % interval: {number(growth.low, 5)} to {number(growth.high, 5)}"
    of = f"{growth.sequences} of {growth.of} sequences whose product is not exactly zero"
    if growth.burn_in and growth.rate is not None:
        further = growth.burn_in + growth.steps - stage.slopes.median.size
        over = over_steps(growth.steps, growth.burn_in)
        return (
            (
                "The mean of log(‖J_t v‖/‖v‖) along a vector v that every step carries on, over "
                f"{of}, and over {over} of burn-in, in which state and v forget where they began."
            ),
            f"After the examined steps come {further} with further inputs. {margin}.",
        )
    if tail is None or growth.rate is None:
        return ("The product becomes exactly zero in every sequence: log 0 = −∞.",)
    (first, last), (before, after) = tail.lags, tail.log_norms
    rise, rate = number(after - before, 5), number(growth.rate, 5)
    return (
        (
            "No burn-in: the slope of the lag profile. f(ℓ) is log σ_max(∂h_T/∂h_T−ℓ) in nats, "
            f"averaged over the {of}."
        ),
        f"f({first}) = {number(before, 5)}, f({last}) = {number(after, 5)}",
        f"rate = (f({last}) − f({first})) / ({last} − {first}) = {rise} / {last - first} = {rate}",
        f"The first half of the lags is left to the transient. {margin}.",
    )


def _horizon_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    line, horizon = lesson.thresholds.vanishing, lesson.stage.verdict.horizon
    logs = lesson.stage.profile.median.tolist()
    log_line = f"log({fraction(line)}) = {number(math.log(line), 5)}"
    rule = f"The first lag at which the median profile is below {log_line} nats."
    if horizon is None:
        lag = int(np.argmin(logs)) + 1
        return rule, f"Its lowest value is {number(logs[lag - 1], 5)}, at lag {lag} of {len(logs)}."
    at = f"at lag {horizon} it is {number(logs[horizon - 1], 5)}"
    if horizon == 1:
        return rule, f"Already {at}."
    return rule, f"At lag {horizon - 1} the median is {number(logs[horizon - 2], 5)}, {at}."


def _cause_lines(stage: Stage, titles: Mapping[str, str]) -> tuple[str, ...]:
    total, terms = stage.causes.total, terms_of(stage.causes)
    known = {name: term for name, term in terms.items() if term is not None}
    if total is None or len(known) < len(terms):
        return ("The product is exactly zero: there is no rate to split.",)
    rows = {
        **{titles[name]: term for name, term in known.items()},
        "their sum": sum(known.values()),
        "growth rate, measured": total,
    }
    width = max(map(len, rows)) + 2
    return (
        # Adding 0 turns −0 into 0.
        *(
            f"{name:<{width}}{value + 0.0:>+12.6f}".replace("-", "−")
            for name, value in rows.items()
        ),
        (
            "Each is the mean over the same sequences and steps, along "
            + ("v." if stage.growth.burn_in else "the direction that the product stretches most.")
        ),
    )


def _bound_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    rate, gamma, settings = lesson.bound_rate, number(lesson.slope_ceiling), lesson.settings
    forces = "A factor of 1 or more per step allows exploding but does not force it."
    if abs(rate) <= ROUNDING:
        forces = "A factor of 1 per step forbids exploding, and does not force vanishing."
    elif rate < 0:
        forces = "A factor below 1 per step forces vanishing."
    if settings.cell is not CellName.ELMAN:
        return "The gates and weights along this trajectory let no step add more.", forces
    if lesson.log_weight_norm is None:
        return f"log({step_bound(settings)}), α = {span(settings.leak)}, γ = {gamma}.", forces
    norm = f"log σ_max(W) = {level(lesson.log_weight_norm)} nats"
    total = f"log γ + log σ_max(W) = {level(rate)} nats per step"
    return (
        f"γ = max φ′ = {gamma} ({settings.activation}); {norm}.",
        f"{total}: γσ_max(W) = {power_of_ten(rate / LN_10)}. {forces}",
    )


def _regime_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    lines, median = lesson.thresholds, lesson.stage.profile.median
    regime, low, high = lesson.stage.verdict.regime, _size(lines.vanishing), _size(lines.exploding)
    growth = _size(lines.transient_growth)
    rules = {
        Regime.VANISHING: f"it ends below {low}.",
        Regime.TRANSIENT: f"it grows past {growth} first, and ends below {low}.",
        Regime.EXPLODING: f"it passes {high} and does not end below {low}.",
        Regime.STABLE: f"it does not end below {low} and never passes {high}.",
        Regime.MIXED: f"fewer than {lines.agreement:.0%} of the sequences share a regime.",
    }
    end, largest = (
        "0" if np.isneginf(nats) else power_of_ten(float(nats) / LN_10)
        for nats in (median[-1], median.max())
    )
    sizes = f"The median σ_max is {end} at the last lag, {median.size}; its largest is {largest}"
    return (
        f"{sizes}, at lag {int(np.argmax(median)) + 1}.",
        f"{str(regime).capitalize()}, from the profile of every sequence: {rules[regime]}",
    )


def _size(threshold: float) -> str:
    return fraction(threshold) if threshold < 1 else f"{threshold:g}"


def _outcome_lines(lesson: VerdictLesson) -> tuple[str, ...]:
    verdict, learned, most = lesson.stage.verdict, lesson.learned, lesson.thresholds.no_better
    if learned is None:
        return ("There are no targets: which lag is required, or what was learned, is not known.",)
    better = "it does better" if learned.error < most * learned.baseline else "it does no better"
    if lesson.stage.name is StageName.INITIAL:
        better = "nothing has been learned yet"
    error, baseline = number(learned.error), number(learned.baseline)
    of_error = (
        f"Its error per step is {error}, {baseline} without memory; to do better it must be "
        f"below {most:.0%} of that: {better}."
    )
    lag, reaches = verdict.required_lag, verdict.reaches
    if lag is None:
        return "Which lag is required is not known (--required-lag).", of_error
    if reaches is None:
        return (
            f"The task needs lag {lag}, the lags measured end at {verdict.max_lag}: whether the "
            "gradient arrives is not known."
        ), of_error
    reach = "beyond the lags measured" if verdict.horizon is None else verdict.horizon
    end = "arrives" if reaches else "does not arrive"
    return f"The task needs lag {lag}, the horizon is {reach}: the gradient {end}.", of_error
