"""Terminal pages: the answer first, then the numbers, then why and what to do. Built with Rich,
printed by ``cli``.
"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.details import NO_DETAILS
from gradscope.analysis.results import Analysis, Comparison, Stage
from gradscope.names import CellName
from gradscope.report.screen import Screen
from gradscope.report.terminal.layers import layers_of, measure_sentence
from gradscope.report.terminal.plot import profile_plot
from gradscope.report.terminal.table import add_row, bullets, columns_of
from gradscope.report.words.captions import details_sentences
from gradscope.report.words.cells import cause_rows, has_textbook_bound, short_name
from gradscope.report.words.headline import (
    cause_sentence,
    comparison_headline,
    describe,
    headline,
    stage_of,
    stage_title,
    training_sentence,
)
from gradscope.report.words.numbers import LN_10, level, number, pace, short_pace, steps
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice


def analysis_page(analysis: Analysis, screen: Screen) -> RenderableType:
    """Return the page of ``analyze``: headline, table, plot of the profile, why, what to do."""
    verdict = analysis.last.verdict
    parts: list[RenderableType] = [
        *_opening(analysis, screen),
        stage_table(analysis, screen),
        Text(screen.say(measure_sentence(analysis)), style="dim"),
        *layers_of(analysis, screen),
        Text(),
        Text(profile_plot(analysis, screen)),
        Text(),
        *bullets("Why", [reason_sentence(each) for each in verdict.reasons], screen),
    ]
    if analysis.remedies:
        parts += [Text(), *bullets("What to do", advice(analysis), screen)]
    if analysis.details is not NO_DETAILS:
        parts += [Text(), *bullets("A closer look", details_sentences(analysis), screen)]
    return Group(*parts)


def _opening(analysis: Analysis, screen: Screen) -> list[RenderableType]:
    answer = headline(analysis.last.verdict, analysis.settings.vanishing)
    return [
        Text(screen.say(f"{answer}."), style="bold"),
        Text(screen.say(describe(analysis.settings, analysis)), style="dim"),
        Text(),
    ]


def stage_table(analysis: Analysis, screen: Screen) -> Table:
    """Return the numbers of every stage, a column each."""
    stages = (stage_title(stage.name, analysis.training) for stage in analysis.stages)
    table = columns_of(["", *stages], screen, gap=3)
    for title, cells in stage_rows(analysis):
        add_row(table, [title, *cells], screen)
    return table


def stage_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the numbers of every stage: a title and a cell for each stage."""
    stages = analysis.stages
    last = analysis.last.profile.lags[-1]
    rows = [
        ("gradient", [str(stage.verdict.regime) for stage in stages]),
        ("growth rate, nats per step", [level(stage.verdict.rate) for stage in stages]),
        *_time_constant_row(stages),
        ("", [pace(stage.verdict.rate) for stage in stages]),
        *((title, _causes_of(stages, name)) for title, name in cause_rows(analysis.last.causes)),
        ("memory horizon", [_horizon(stage) for stage in stages]),
    ]
    if analysis.task_info.required_lag is not None:
        rows.append(("the task needs", [steps(analysis.task_info.required_lag)] * len(stages)))
    rows += [
        (f"log10 σ_max at lag {last}", [_log10(float(s.profile.median[-1])) for s in stages]),
        (f"  5 % … 95 % of {_sequences(analysis)}", [_band(stage) for stage in stages]),
        (_bound_title(analysis), [_log10(float(s.profile.log_bound[-1])) for s in stages]),
        *_error_rows(analysis),
    ]
    clips = analysis.settings.clip_norm or analysis.settings.clip_value
    if analysis.training is not None and clips:
        first = [""] * (len(stages) - 1)
        rows.append(("updates clipped", [*first, f"{analysis.training.clipped_fraction:.0%}"]))
    return rows


def _error_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the rows that speak of an error; none where there are no targets."""
    stages, baseline = analysis.stages, analysis.task_info.baseline
    if baseline is None:
        return []
    norms = [number(stage.gradient.norm if stage.gradient else None) for stage in stages]
    return [
        ("gradient norm ‖∂E/∂θ‖", norms),
        ("error per step", [number(stage.error) for stage in stages]),
        ("  its baseline", [number(baseline.error)] * len(stages)),
    ]


def _sequences(analysis: Analysis) -> str:
    count = analysis.last.profile.log_norms.shape[1]
    return "1 sequence" if count == 1 else f"{count} sequences"


def _causes_of(stages: Sequence[Stage], name: str) -> list[str]:
    return [level(getattr(stage.causes, name)) for stage in stages]


def _time_constant_row(stages: Sequence[Stage]) -> list[tuple[str, list[str]]]:
    rates = [stage.rate_per_time_constant for stage in stages]
    if any(rate is None for rate in rates):
        return []
    return [("  nats a time constant τ", [level(rate) for rate in rates])]


def _bound_title(analysis: Analysis) -> str:
    plain = has_textbook_bound(analysis.settings)
    return "  its bound (γ·σ_max(W))^ℓ" if plain else "  its bound"


def _log10(nats: float) -> str:
    return level(nats / LN_10)


def _horizon(stage: Stage) -> str:
    verdict = stage.verdict
    if verdict.horizon is None:
        return f"beyond {steps(verdict.max_lag)}"
    return steps(verdict.horizon)


def _band(stage: Stage) -> str:
    low, high = (float(stage.profile.quantile(quantile)[-1]) for quantile in (0.05, 0.95))
    return f"{_log10(low)} … {_log10(high)}"


COMPARISON_TITLES = (
    "activation",
    "steps",
    "gradient",
    "growth,\nsteps",
    "horizon",
    "needed",
    "log10\nσ_max",
    "error /\nbaseline",
)


def comparison_page(comparison: Comparison, screen: Screen) -> RenderableType:
    """Return the page of ``compare``: the answer, and a table with a row per activation and
    length.
    """
    first = comparison.analyses[0]
    gated = any(each.settings.cell is not CellName.ELMAN for each in comparison.analyses)
    titles = ("network", *COMPARISON_TITLES[1:]) if gated else COMPARISON_TITLES
    table = columns_of(titles, screen, gap=2)
    before = short_name(first.settings)
    for analysis in comparison.analyses:
        if short_name(analysis.settings) != before:
            table.add_section()
            table.add_row()
        before = short_name(analysis.settings)
        add_row(table, _comparison_cells(analysis), screen)
    return Group(
        Text(screen.say(f"{comparison_headline(comparison)}."), style="bold"),
        Text(screen.say(_shared(first)), style="dim"),
        Text(),
        table,
    )


def _shared(first: Analysis) -> str:
    """Return what all cells of a comparison have in common."""
    settings = first.settings
    about = str(settings.task) if settings.data is None else first.task_info.description
    return (
        f"{stage_of(settings)}; {settings.hidden} hidden units, {settings.init} init, "
        f"gain {settings.gain:g}; {about}; seed {settings.seed}"
    )


def _comparison_cells(analysis: Analysis) -> list[str]:
    stage, verdict = analysis.last, analysis.last.verdict
    return [
        short_name(analysis.settings),
        str(analysis.settings.steps),
        str(verdict.regime),
        short_pace(verdict.rate),
        str(verdict.horizon or f">{verdict.max_lag}"),
        str(verdict.required_lag if verdict.required_lag is not None else "–"),
        _log10(float(stage.profile.median[-1])),
        number(analysis.relative_error),
    ]


def training_page(
    analysis: Analysis, checkpoints: Sequence[Checkpoint], screen: Screen
) -> RenderableType:
    """Return the page of ``train``: the verdict, and how loss, gradient norm and horizon went."""
    history = analysis.training
    titles = ("update", "error per step", "gradient norm, unclipped", "memory horizon")
    table = columns_of(titles, screen, gap=3)
    targets = history.target_steps if history is not None else 1
    for each in checkpoints:
        reach = "beyond" if each.horizon is None else str(each.horizon)
        cells = (str(each.update), number(each.loss / targets), number(each.gradient_norm), reach)
        add_row(table, cells, screen)
    baseline = analysis.task_info.baseline
    before, after = analysis.stages[0].error, analysis.last.error
    closing = [
        f"held-out error per step: {number(before)} before, {number(after)} after",
        f"baseline: {number(baseline.error)}, {baseline.meaning}" if baseline else "",
        cause_sentence(analysis.last.causes),
        training_sentence(history) if history is not None else "",
    ]
    lines = [Text(screen.say(line)) for line in closing if line]
    return Group(*_opening(analysis, screen), table, Text(), *lines)


def check_page(rows: Sequence[CheckRow], screen: Screen) -> RenderableType:
    """Return the page of ``check``: every comparison with its deviation."""
    failed = sum(not row.passed for row in rows)
    verdict = "All checks pass." if not failed else f"{failed} of {len(rows)} checks fail."
    table = columns_of(("quantity", "against", "deviation", "allowed", ""), screen, gap=2)
    for row in rows:
        result = "ok" if row.passed else "FAILS"
        deviation, allowed = f"{row.deviation:.1e}", f"{row.tolerance:.0e}"
        add_row(table, (row.quantity, row.against, deviation, allowed, result), screen)
    return Group(Text(verdict, style="bold"), Text(), table)
