"""Terminal pages: the answer first, then the numbers, then why and what to do. Built with Rich,
printed by ``cli``.
"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradscope.diagnosis.reasons import ReasonCode
from gradscope.report.words import (
    LN_10,
    cause_sentence,
    describe,
    headline,
    number,
    pace,
    reason_sentence,
    remedy_sentence,
    stage_title,
    steps,
    training_sentence,
)
from gradscope.study.check import CheckRow
from gradscope.study.checkpoints import Checkpoint
from gradscope.study.results import Analysis, Comparison, Stage

CAUSE_ROWS = (
    ("  weights, log σ_max(W)", "weights"),
    ("  slope ceiling, log γ", "slope_ceiling"),
    ("  misalignment", "misalignment"),
    ("  saturation", "saturation"),
)


def analysis_page(analysis: Analysis, plot: str) -> RenderableType:
    """Return the page of ``analyze``: headline, table, plot of the profile, why, what to do."""
    verdict = analysis.last.verdict
    parts: list[RenderableType] = [
        Text(headline(verdict, analysis.settings.vanishing) + ".", style="bold"),
        Text(describe(analysis.settings, analysis), style="dim"),
        Text(),
        stage_table(analysis),
        Text(),
        Text(plot),
        Text(),
        *_bullets("Why", [reason_sentence(each) for each in verdict.reasons]),
    ]
    if analysis.remedies:
        parts += [
            Text(),
            *_bullets("What to do", [remedy_sentence(each) for each in analysis.remedies]),
        ]
    return Group(*parts)


def _bullets(title: str, sentences: Sequence[str]) -> list[RenderableType]:
    points = Table.grid(padding=(0, 1))
    for sentence in sentences:
        points.add_row(Text("•"), Text(sentence))
    return [Text(title, style="bold"), Padding(points, (0, 0, 0, 1))]


def stage_table(analysis: Analysis) -> Table:
    """Return the numbers of every stage, a column each."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    for stage in analysis.stages:
        table.add_column(stage_title(stage.name, analysis.training), justify="right")
    for title, cells in _stage_rows(analysis):
        table.add_row(Text(title), *(Text(cell) for cell in cells))
    return table


def _stage_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    stages, baseline = analysis.stages, analysis.facts.baseline
    last = analysis.last.profile.lags[-1]
    rows = [
        ("gradient", [str(stage.verdict.regime) for stage in stages]),
        ("growth rate, nats a step", [number(stage.verdict.rate) for stage in stages]),
        *((title, _causes_of(stages, name)) for title, name in CAUSE_ROWS),
        ("", [pace(stage.verdict.rate) for stage in stages]),
        ("memory horizon", [_horizon(stage) for stage in stages]),
    ]
    if analysis.facts.required_lag is not None:
        rows.append(("the task needs", [steps(analysis.facts.required_lag)] * len(stages)))
    rows += [
        (
            f"log10 σ_max at lag {last}",
            [number(float(s.profile.median[-1]) / LN_10) for s in stages],
        ),
        ("  5 % … 95 % of sequences", [_band(stage) for stage in stages]),
        (
            "  its bound (γσ_max(W))^ℓ",
            [number(float(s.profile.log_bound[-1]) / LN_10) for s in stages],
        ),
        ("gradient norm ‖∂E/∂θ‖", [number(stage.gradient.norm) for stage in stages]),
        ("error a step", [number(stage.error) for stage in stages]),
        ("  baseline: " + baseline.meaning, [number(baseline.error)] * len(stages)),
    ]
    if analysis.training is not None:
        first = [""] * (len(stages) - 1)
        rows.append(("updates clipped", [*first, f"{analysis.training.clipped_fraction:.0%}"]))
    return rows


def _causes_of(stages: Sequence[Stage], name: str) -> list[str]:
    return [number(getattr(stage.causes, name)) for stage in stages]


def _horizon(stage: Stage) -> str:
    verdict = stage.verdict
    return (
        steps(verdict.horizon) if verdict.horizon is not None else f"beyond {verdict.max_lag} steps"
    )


def _band(stage: Stage) -> str:
    low, high = (float(stage.profile.quantile(level)[-1]) / LN_10 for level in (0.05, 0.95))
    return f"{number(low)} … {number(high)}"


def comparison_page(comparison: Comparison) -> RenderableType:
    """Return the page of ``compare``: one table, a row per activation and length."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("activation", "steps"):
        table.add_column(title, justify="right" if title == "steps" else "left")
    for title in (
        "gradient",
        "halves/doubles",
        "horizon",
        "needed",
        "log10 σ_max",
        "error",
        "baseline",
        "learned",
    ):
        table.add_column(
            title, justify="left" if title in ("gradient", "halves/doubles") else "right"
        )
    before = None
    for analysis in comparison.analyses:
        if before not in (None, analysis.settings.activation):
            table.add_section()
        before = analysis.settings.activation
        table.add_row(*(Text(cell) for cell in _comparison_cells(analysis)))
    return table


def _comparison_cells(analysis: Analysis) -> list[str]:
    stage, verdict = analysis.last, analysis.last.verdict
    return [
        str(analysis.settings.activation),
        str(analysis.settings.steps),
        str(verdict.regime),
        pace(verdict.rate),
        str(verdict.horizon or f">{verdict.max_lag}"),
        str(verdict.required_lag if verdict.required_lag is not None else "–"),
        number(float(stage.profile.median[-1]) / LN_10),
        number(stage.error),
        number(analysis.facts.baseline.error),
        _learned(stage),
    ]


def _learned(stage: Stage) -> str:
    if stage.verdict.reason(ReasonCode.BEATS_BASELINE):
        return "yes"
    return "no" if stage.verdict.reason(ReasonCode.AT_BASELINE) else "–"


def training_page(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> RenderableType:
    """Return the page of ``train``: the verdict, and how loss, gradient norm and horizon went."""
    history = analysis.training
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("update", "error a step", "gradient norm, unclipped", "memory horizon"):
        table.add_column(title, justify="right")
    targets = history.target_steps if history is not None else 1
    for each in checkpoints:
        reach = "beyond" if each.horizon is None else str(each.horizon)
        table.add_row(
            str(each.update), number(each.loss / targets), number(each.gradient_norm), reach
        )
    baseline = analysis.facts.baseline
    before, after = analysis.stages[0].error, analysis.last.error
    return Group(
        Text(headline(analysis.last.verdict, analysis.settings.vanishing) + ".", style="bold"),
        Text(describe(analysis.settings, analysis), style="dim"),
        Text(),
        table,
        Text(),
        Text(f"held-out error a step: {number(before)} before, {number(after)} after"),
        Text(f"baseline: {number(baseline.error)}, {baseline.meaning}"),
        Text(cause_sentence(analysis.last.causes)),
        Text(training_sentence(history) if history is not None else ""),
    )


def check_page(rows: Sequence[CheckRow]) -> RenderableType:
    """Return the page of ``check``: every comparison with its deviation."""
    failed = sum(not row.passed for row in rows)
    verdict = "All checks pass." if not failed else f"{failed} of {len(rows)} checks fail."
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("quantity", "against", "deviation", "allowed", ""):
        table.add_column(title, justify="right" if title in ("deviation", "allowed") else "left")
    for row in rows:
        cells = (row.quantity, row.against, f"{row.deviation:.1e}", f"{row.tolerance:.0e}")
        table.add_row(*(Text(cell) for cell in cells), Text("ok" if row.passed else "FAILS"))
    return Group(Text(verdict, style="bold"), Text(), table)
