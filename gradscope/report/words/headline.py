"""Verdicts, networks, stages and causes in words; reasons and remedies have files of their own."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.results import Analysis, Comparison, LayerVerdict, Stage
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.growth import Rates, terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import large_input_weights
from gradscope.diagnosis.verdict import Verdict
from gradscope.learning.history import History, Stop
from gradscope.names import Regime, StageName
from gradscope.report.documents.rows import file_of, median_reach, middle
from gradscope.report.words.cells import CAUSE_LABELS, clock_note, model_name, short_name
from gradscope.report.words.numbers import count, fraction, level, number, pace, steps
from gradscope.sweep.changes import changes

MAX_NAMED = 3
"""Networks up to which a headline says what each of them does."""


class RegimeLook(NamedTuple):
    """How a regime is shown in terminal, picture and page: word, symbol, colour, and the colour's
    name in a terminal.
    """

    word: str
    symbol: str
    color: str
    terminal: str


REGIME_LOOKS: Mapping[Regime, RegimeLook] = MappingProxyType(
    {
        Regime.VANISHING: RegimeLook("vanishes", "▼", "#0072B2", "blue"),
        Regime.EXPLODING: RegimeLook("explodes", "▲", "#D55E00", "yellow"),
        Regime.STABLE: RegimeLook("carries", "●", "#009E73", "green"),
        Regime.MIXED: RegimeLook("sequences disagree", "◆", "#6b6b6b", "bright_black"),
        Regime.TRANSIENT: RegimeLook("grows, then vanishes", "▼", "#0072B2", "blue"),
    }
)
"""Colours of Okabe and Ito, and grey."""

REGIME_WORDS: Mapping[Regime, str] = MappingProxyType(
    {regime: look.word for regime, look in REGIME_LOOKS.items()}
)
"""What the gradient does, in the same words everywhere."""

SHUT = RegimeLook("writes nothing", "○", "#6b6b6b", "bright_black")


def look(verdict: Verdict | LayerVerdict) -> RegimeLook:
    """Return how a verdict is shown; where nothing is written, as no regime."""
    shut = isinstance(verdict, Verdict) and verdict.shut
    return SHUT if shut else REGIME_LOOKS[verdict.regime]


def regime_word(verdict: Verdict) -> str:
    """Return what the gradient does: whether that is only so far, and whether its rate is 0."""
    so_far = " so far" if verdict.expected_lag is not None else ""
    return f"{REGIME_WORDS[verdict.regime]}{so_far}{' (marginal)' if verdict.marginal else ''}"


def answer(analysis: Analysis) -> str:
    """Return the verdict on the last stage in one sentence."""
    settings, found = analysis.settings, analysis.task_info.lag_errors
    needs = "task" if found is None or settings.required_lag is not None else "data"
    growth = analysis.last.growth
    long_run = growth.burn_in > 0 and not growth.short_burn_in
    return headline(analysis.last.verdict, settings.vanishing, needs, long_run=long_run)


def headline(
    verdict: Verdict, threshold: float, needs: str = "task", *, long_run: bool = False
) -> str:
    """Return the verdict in one sentence: whether, how far back, how far it must (the task or the
    data ``needs``), how fast, and whether that is so in the ``long_run``.
    """
    if verdict.shut:
        return f"Nothing is written: {_what_is_shut(verdict)}"
    reach, after = _reach(verdict, threshold), verdict.expected_lag
    it, speed = "it", f"; it {pace(verdict.rate, marginal=verdict.marginal)}"
    text = f"the gradient {regime_word(verdict)}"
    if verdict.regime is Regime.MIXED:
        it, text = "their median", f"the {regime_word(verdict)}"
    needed = "" if verdict.required_lag is None else f"; your {needs} needs {verdict.required_lag}"
    text = f"{text}: {it} {reach}{needed}{speed}"
    if after is not None:
        end = f"it would {'be gone' if verdict.rate < 0.0 else 'explode'} after {after}"
        when = "in the long run it " if long_run else ""
        text = f"the gradient {reach}, but {when}{pace(verdict.rate)}: {end}{needed}"
    return f"On white noise {text}" if verdict.white_noise else f"{text[0].upper()}{text[1:]}"


def _what_is_shut(verdict: Verdict) -> str:
    """Return what keeps the parameters from acting, and what to do about it."""
    shut, unscaled = map(verdict.reason, (ReasonCode.NOTHING_WRITTEN, ReasonCode.INPUTS_UNSCALED))
    dead, saturated = map(verdict.reason, (ReasonCode.UNITS_DEAD, ReasonCode.UNITS_SATURATED))
    layer = None if shut is None else shut.numbers.get("layer")
    by, remedy = "", "start from smaller weights and biases"
    if unscaled is not None:
        by, remedy = " by unscaled inputs", "standardise the inputs"
        if large_input_weights(unscaled.numbers):
            # U x, which saturates the units, is what has no unit scale.
            by = by if saturated else " by large input weights"
            remedy = "start from a smaller U"
    if layer is not None:
        return f"the units of {layer} are shut{by}; {remedy}"
    if dead is not None and saturated is None:
        never = f"{dead.numbers['units']} of {dead.numbers['of']} never"
        return f"hardly any unit is active ({never}); {remedy}"
    return f"the units are {'shut' if saturated is None else 'saturated'}{by}; {remedy}"


def _reach(verdict: Verdict, threshold: float) -> str:
    """Return how far back the gradient reaches, or the lag from which on it is too large."""
    above = verdict.reason(ReasonCode.ABOVE_THRESHOLD)
    if above is not None and (verdict.horizon is None or verdict.regime is Regime.EXPLODING):
        numbers: Mapping[str, Any] = above.numbers
        return f"is above {number(numbers['threshold'])} after {steps(numbers['lag'])}"
    if verdict.regime is Regime.EXPLODING:
        return "grows too large at lags that differ between sequences"
    if verdict.horizon is not None:
        line = f" ({fraction(threshold)})" if verdict.required_lag is None else ""
        return f"reaches {steps(verdict.horizon)} back{line}"
    lags = f"all {verdict.max_lag} steps" if verdict.max_lag > 1 else "the only step"
    return f"reaches {lags} measured"


def comparison_headline(comparison: Comparison) -> str:
    """Return how far each network reaches at the greatest length, or which files are better."""
    if file_of(comparison.analyses[0]) is not None:
        return _changes_headline(comparison)
    length = max(analysis.settings.steps for analysis in comparison.analyses)
    found = []
    for group in comparison.groups:
        if group[0].settings.steps == length:
            stages = [each.last for each in group]
            rate, far = middle([each.verdict.rate for each in stages]), horizon(*stages)
            explodes = far == REGIME_WORDS[Regime.EXPLODING]
            does = far if explodes else f"reaches {far} step{'s' * (far != '1')}"
            text = f"{short_name(group[0].settings)} {does}"
            found.append((median_reach(stages), rate, text))
    seeds = max(map(len, comparison.groups))
    over = f"Over {steps(length)}{f', median of {seeds} seeds' if seeds > 1 else ''}"
    if len(found) > MAX_NAMED:
        return f"{over}: from {min(found)[2]} to {max(found)[2]}"
    return f"{over}: {', '.join(text for *_, text in found)}"


def _changes_headline(comparison: Comparison) -> str:
    start, said = comparison.analyses[0], []
    for each in changes(comparison):
        by, stages = each.judged_by, (start.last, each.analysis.last)
        before, after = (
            horizon(stage) if by == "horizon" else number(getattr(stage, by)) for stage in stages
        )
        word = "is worse" if each.worse else "is better" if each.better else "hardly differs"
        text = f"{short_name(each.analysis.settings)} {word}"
        shut = "; nothing is written in it" if each.analysis.last.verdict.shut else ""
        said.append(f"{text} ({by.replace('_', ' ')} {before} → {after}){shut}")
    more = f"; and {len(said) - MAX_NAMED} more" if len(said) > MAX_NAMED else ""
    shut = " (nothing is written in it)" if start.last.verdict.shut else ""
    return f"Against {short_name(start.settings)}{shut}: {'; '.join(said[:MAX_NAMED])}{more}"


def common_regime(stages: Sequence[Stage]) -> Regime:
    """Return what most seeds do; where as many do something else, that they disagree."""
    found = [each.verdict.regime for each in stages]
    most = max(found, key=found.count)
    return most if 2 * found.count(most) > len(found) else Regime.MIXED


def horizon(*stages: Stage) -> str:
    """Return the median horizon of one network over its seeds, in steps; what explodes has none."""
    far = median_reach(stages)
    return reach(common_regime(stages), None if math.isinf(far) else far, stages[0].verdict.max_lag)


def reach(regime: Regime, horizon: float | None, max_lag: int) -> str:
    """Return a memory horizon, in steps: what explodes has none, what carries one beyond lags."""
    if regime is Regime.EXPLODING:
        return REGIME_WORDS[regime]
    return f">{max_lag}" if horizon is None else number(horizon)


def seeds_of(comparison: Comparison) -> str:
    """Return the seeds that were compared."""
    seeds = sorted({each.settings.seed for each in comparison.analyses})
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def describe(settings: Settings, analysis: Analysis) -> str:
    """Return in one line what was studied."""
    inputs, hidden, outputs = analysis.params.sizes
    origin = f"{settings.init} init"
    if settings.weights is not None:
        origin = f"{settings.layer} of {settings.weights}" if settings.layer else settings.weights
    origin += f", gain {settings.gain:g}" if settings.gain != 1 else ""
    if settings.load is not None:
        origin = f"loaded from {settings.load}"
    out = f"{outputs} out" if outputs else "no readout"
    slow = clock_note(settings.dt, settings.tau)
    stepped = settings.cell is None
    state = f"state of {hidden}" if stepped else f"{hidden} hidden"
    seed = "" if stepped else f"; seed {settings.seed}"
    return (
        f"{model_name(settings)}, {inputs} in, {state}, {out}, {origin}; "
        f"{steps(analysis.trajectory.n_steps)}{slow}; {analysis.task_info.description}{seed}"
    )


def stage_title(name: StageName, history: History | None) -> str:
    """Return the name of a stage, with the number of updates behind it."""
    if name is StageName.TRAINED and history is not None:
        return f"after {count(history.updates, 'update')}"
    return {StageName.INITIAL: "before training", StageName.GIVEN: "as given"}.get(name, str(name))


def cause_sentence(causes: Rates) -> str:
    """Return the sum of the causes as an equation in nats per step, what is nothing left out."""
    if causes.total is None:
        return f"{ZERO_PRODUCT}: there is no rate to explain"
    if not terms_of(causes):
        return f"{level(round(causes.total, 3))} nats per step"
    rates = {CAUSE_LABELS.get(name, name): rate or 0.0 for name, rate in terms_of(causes).items()}
    summed = " ".join(
        f"{'−' if round(rate, 3) < 0 else '+'} {abs(rate):.3f} {label}"
        for label, rate in rates.items()
        if round(rate, 3)
    )
    return f"{summed or '0'} = {level(round(causes.total, 3))} nats per step"


def training_sentence(history: History) -> str:
    """Return how training ended, where it did not end as planned; empty otherwise."""
    if history.stop is Stop.INTERRUPTED:
        return f"interrupted after {count(history.updates, 'update')}; the weights so far are kept"
    bad = history.non_finite
    if bad is None:
        return ""
    where = f" at step {bad.step}" if bad.step is not None else ""
    if history.flossed is not None and not history.updates and history.flossed.size < bad.update:
        stopped = f"flossing stopped at update {bad.update}: the {bad.factor} is no longer finite"
        return f"{stopped}{where}; nothing was trained after it. Choose a smaller --floss"
    return (
        f"training stopped at update {bad.update}: the {bad.factor} is no longer finite{where}; "
        f"the weights after {count(history.updates, 'update')} are kept. Choose a smaller "
        "--learning-rate, or --clip-norm"
    )


def penalty_sentence(history: History) -> str:
    """Return what flossing and Ω came to, from first to last update; empty for neither."""
    found = {"rms Lyapunov exponent while flossing": history.flossed, "Ω": history.omega}
    ends = {name: c[[0, -1]].tolist() for name, c in found.items() if c is not None and c.size}
    return "; ".join(f"{name}: {number(a)} → {number(b)}" for name, (a, b) in ends.items())
