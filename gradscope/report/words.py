"""Numbers, verdicts and causes in words; reasons and remedies live in ``sentences``. Here and
there, and nowhere else, values become words.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gradscope.diagnosis.growth import Rates, terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.verdict import Verdict
from gradscope.learning.history import History, Stop
from gradscope.names import Regime, StageName
from gradscope.report.cell_words import CAUSE_LABELS, model_name, short_name
from gradscope.study.config import Settings
from gradscope.study.results import Analysis, Comparison

LN_10 = math.log(10.0)

QUANTILES: Mapping[str, float] = MappingProxyType({"p05": 0.05, "median": 0.5, "p95": 0.95})
"""Over the sequences, by the names they have in documents."""

STEADY_RATE = 1e-4
"""Growth rates closer to zero than this (a factor 2 in 7000 steps) are called steady."""

NEGLIGIBLE = 1e-9
"""Logarithms and rates closer to zero than this are rounding, and read 0: σ_max is not measured to
more digits."""

LARGEST_DENOMINATOR = 1e6
"""Thresholds below one part in this are written as a decimal number."""

MOST_NAMED = 3
"""Networks up to which a headline has room for what each of them does."""

REGIME_WORDS: Mapping[Regime, str] = MappingProxyType(
    {
        Regime.VANISHING: "The gradient vanishes",
        Regime.EXPLODING: "The gradient explodes",
        Regime.STABLE: "The gradient is stable",
        Regime.MIXED: "The sequences disagree",
        Regime.TRANSIENT: "The gradient grows first, then vanishes",
    }
)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as people write it; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"  # and not −0
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        few = 0 < int(exponent) < 6
        text = f"{float(text):.0f}" if few else f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def level(value: float | None) -> str:
    """Return a logarithm, or a rate of one, as people write it; what rounding left over reads 0."""
    return number(0.0 if value is not None and abs(value) < NEGLIGIBLE else value)


def power_of_ten(exponent: float) -> str:
    """Return 10^exponent, written out where it is short."""
    return number(10.0**exponent) if abs(exponent) < 4 else f"10^{level(exponent)}"


def steps(count: float) -> str:
    """Return a number of steps, without needless digits."""
    text = _count(count)
    return f"{text} step" if text == "1" else f"{text} steps"


def _count(value: float) -> str:
    return number(value, 2) if value < 100 else f"{value:.0f}"


def pace(rate: float) -> str:
    """Return a growth rate in words: how soon it halves or doubles."""
    if math.isinf(rate):
        return "the product is exactly zero"
    if abs(rate) < STEADY_RATE:
        return "neither halves nor doubles"
    return f"{'halves' if rate < 0 else 'doubles'} every {steps(math.log(2.0) / abs(rate))}"


def short_pace(rate: float) -> str:
    """Return a growth rate as a factor and the number of steps it takes, for narrow columns."""
    if math.isinf(rate):
        return "zero"
    if abs(rate) < STEADY_RATE:
        return "steady"
    return f"{'½' if rate < 0 else '×2'} in {_count(math.log(2.0) / abs(rate))}"


def fraction(threshold: float) -> str:
    """Return a threshold as a fraction where that is shorter."""
    whole = round(1.0 / threshold) if threshold * LARGEST_DENOMINATOR >= 1.0 else 0
    if whole >= 2 and math.isclose(whole * threshold, 1.0, rel_tol=1e-9):
        return f"1/{whole}"
    return number(threshold)


def percent(part: float) -> str:
    """Return a part of a whole in percent, without needless digits."""
    return f"{number(100.0 * part)} %"


def headline(verdict: Verdict, threshold: float) -> str:
    """Return the verdict in one sentence: whether, how fast, how far back."""
    parts = [_pace_of(verdict), _reach_of(verdict, threshold)]
    if verdict.regime is Regime.STABLE:
        parts.reverse()
    if verdict.required_lag is not None:
        parts.append(f"the task needs {verdict.required_lag}")
    return f"{REGIME_WORDS[verdict.regime]}: {'; '.join(parts)}"


def _reach_of(verdict: Verdict, threshold: float) -> str:
    """Return the lag from which on too little arrives, or too much."""
    if verdict.horizon is not None:
        return f"below {fraction(threshold)} after {steps(verdict.horizon)}"
    above = verdict.reason(ReasonCode.ABOVE_THRESHOLD)
    if above is not None:
        numbers: Mapping[str, Any] = above.numbers
        return f"above {number(numbers['threshold'])} after {steps(numbers['lag'])}"
    lags = f"all {verdict.max_lag} lags" if verdict.max_lag > 1 else "its only lag"
    return f"above {fraction(threshold)} at {lags}"


def _pace_of(verdict: Verdict) -> str:
    if math.isinf(verdict.rate):
        return "it becomes exactly zero"
    if abs(verdict.rate) < STEADY_RATE:
        return "it neither grows nor shrinks"
    return f"it {pace(verdict.rate)}"


def comparison_headline(comparison: Comparison) -> str:
    """Return in one sentence what each network does at the longest length, of many networks the two
    between which all others lie.
    """
    length = max(analysis.settings.steps for analysis in comparison.analyses)
    longest = {
        short_name(analysis.settings): analysis
        for analysis in comparison.analyses
        if analysis.settings.steps == length
    }
    paces = {name: _pace_alone(analysis.last.verdict) for name, analysis in longest.items()}
    if len(paces) > MOST_NAMED:
        ordered = sorted(longest, key=lambda name: longest[name].last.verdict.rate)
        first, last = (f"{name} ({paces[name]})" for name in (ordered[0], ordered[-1]))
        return f"Over {steps(length)}: from {first} to {last}"
    return f"Over {steps(length)}: {', '.join(f'{name} {pace}' for name, pace in paces.items())}"


def _pace_alone(verdict: Verdict) -> str:
    return _pace_of(verdict).removeprefix("it ")


def describe(settings: Settings, analysis: Analysis) -> str:
    """Return in one line what was studied."""
    inputs, hidden, outputs = analysis.params.sizes
    origin = f"{settings.init} init" + (f", gain {settings.gain:g}" if settings.gain != 1 else "")
    if settings.weights is not None:
        origin = f"{settings.layer} of {settings.weights}"
    if settings.load is not None:
        origin = f"loaded from {settings.load}"
    out = f"{outputs} out" if outputs else "no readout"
    return (
        f"{model_name(settings)}, {inputs} in, {hidden} hidden, {out}, {origin}; "
        f"{steps(analysis.trajectory.n_steps)}; {analysis.facts.description}; seed {settings.seed}"
    )


def stage_title(name: StageName, history: History | None) -> str:
    """Return the name of a stage, with the number of updates behind it."""
    if name is StageName.TRAINED and history is not None:
        return f"after {_updates(history.updates)}"
    return {StageName.INITIAL: "before training", StageName.GIVEN: "as given"}.get(name, str(name))


def stage_of(settings: Settings) -> str:
    """Return how far networks of these settings were to be trained."""
    return f"after {_updates(settings.updates)}" if settings.updates else "before training"


def _updates(count: int) -> str:
    return "1 update" if count == 1 else f"{count} updates"


def cause_sentence(causes: Rates) -> str:
    """Return the sum of the causes as an equation in nats per step."""
    if causes.total is None:
        return "the product is exactly zero: there is no rate to explain"
    summed = " ".join(
        f"{_signed(value or 0.0)} {CAUSE_LABELS[term]}" for term, value in terms_of(causes).items()
    )
    return f"{summed} = {level(round(causes.total, 3))} nats a step"


def _signed(value: float) -> str:
    return f"{'−' if round(value, 3) < 0 else '+'} {abs(value):.3f}"


def training_sentence(history: History) -> str:
    """Return how training ended, where it did not end as planned; empty otherwise."""
    if history.stop is Stop.INTERRUPTED:
        return f"interrupted after {_updates(history.updates)}; what was learned so far is kept"
    bad = history.non_finite
    if bad is None:
        return ""
    where = f" at step {bad.step}" if bad.step is not None else ""
    return (
        f"training stopped at update {bad.update}: the {bad.factor} is no longer finite{where}; "
        f"the weights after {_updates(history.updates)} are kept. Choose a smaller "
        "--learning-rate, or --clip-norm"
    )
