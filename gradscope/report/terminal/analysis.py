"""Terminal pages: the answer first, then the numbers, then why and what to do."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.details import NO_DETAILS
from gradscope.analysis.results import Analysis, ImportedLayer, LayerVerdict
from gradscope.arrays import LN_10, FloatArray
from gradscope.data.lag_regression import rewarded_lag
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.verdict import Verdict
from gradscope.names import CellName
from gradscope.report.documents.rows import check_rows, checkpoint_rows
from gradscope.report.screen import Screen
from gradscope.report.terminal.plot import profile_plot
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words import headline as words
from gradscope.report.words import numbers
from gradscope.report.words.captions import details_sentences
from gradscope.report.words.cells import CAUSE_TITLES, has_textbook_bound
from gradscope.report.words.numbers import count, interval, level, number, steps
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice

LAYER_TITLES = ("layer", "kind", "in", "hidden", "gradient", "growth", "horizon")

NOT_DRIVEN = "not driven"
"""For a layer outside the stack that was studied: its inputs are unknown."""


def analysis_page(analysis: Analysis, screen: Screen) -> RenderableType:
    """Return the page of ``analyze``: headline, table, plot of the profile, why, what to do."""
    verdict = analysis.last.verdict
    stages = [words.stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title, *cells) for title, cells in stage_rows(analysis)]
    parts = [
        *_opening(analysis, screen),
        table_of(["", *stages], rows, screen, gap=3),
        Text(screen.say(measure_sentence(analysis)), style="dim"),
        Text(),
    ]
    if analysis.network is not None:
        parts.append(Text(screen.say(layers_title(analysis)), style="bold"))
        parts += [table_of(LAYER_TITLES, layer_rows(analysis), screen, gap=2), Text()]
    parts += [Text(profile_plot(analysis, screen)), Text()]
    parts += bullets("Why", [reason_sentence(each) for each in verdict.reasons], screen)
    if analysis.remedies:
        parts += [Text(), *bullets("What to do", advice(analysis), screen)]
    if analysis.details is not NO_DETAILS:
        parts += [Text(), *bullets("In detail", details_sentences(analysis), screen)]
    return Group(*parts)


def _opening(analysis: Analysis, screen: Screen) -> list[RenderableType]:
    return opening(words.answer(analysis), words.describe(analysis.settings, analysis), screen)


def stage_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the numbers of every stage: a title and a cell for each stage."""
    stages, required = analysis.stages, analysis.last.verdict.required_lag
    profiles = [stage.profile for stage in stages]
    _, n_sequences = profiles[-1].log_norms.shape
    bands = [each.quantiles((0.05, 0.95)) for each in profiles]
    bound = " (γ·σ_max(W))^ℓ" if has_textbook_bound(analysis.settings) else ""
    rows = [
        ("gradient", [words.regime_word(stage.verdict) for stage in stages]),
        ("write level (1: free)", [number(stage.write_level) for stage in stages]),
        ("growth rate, nats per step", [level(stage.verdict.rate) for stage in stages]),
        (
            "  95 % interval",
            [interval(each.growth.low, each.growth.high, "{} … {}") or "–" for each in stages],
        ),
        ("  taken over", [numbers.rate_source(stage.growth) for stage in stages]),
    ]
    for unit in stages[-1].rate_per:
        title = f"  nats per {unit.replace('time_constant', 'time constant τ')}"
        rows.append((title, [level(stage.rate_per[unit]) for stage in stages]))
    tested = ((stage.verdict.rate, stage.verdict.marginal) for stage in stages)
    paces = ["not different from 0" if zero else numbers.pace(rate) for rate, zero in tested]
    rows.append(("", paces))
    for name in terms_of(analysis.last.causes):
        rates = [level(getattr(stage.causes, name)) for stage in stages]
        rows.append((f"  {CAUSE_TITLES[name]}", rates))
    rows.append(("memory horizon", [_horizon(stage.verdict) for stage in stages]))
    if required is not None:
        rows.append(("needed", [steps(required)] * len(stages)))
    rows += [
        (f"log10 σ_max at lag {profiles[-1].lags[-1]}", [_log10(each.median) for each in profiles]),
        (
            f"  5 % … 95 % of {count(n_sequences, 'sequence')}",
            [" … ".join(map(_log10, band)) for band in bands],
        ),
        (f"  its bound{bound}", [_log10(each.log_bound) for each in profiles]),
    ]
    baseline = analysis.task_info.baseline
    if baseline is not None:
        norms = [number(stage.gradient.norm if stage.gradient else None) for stage in stages]
        rows += [
            ("gradient norm ‖∂E/∂θ‖", norms),
            ("error per step", [number(stage.error) for stage in stages]),
            ("  its baseline", [number(baseline.error)] * len(stages)),
        ]
    clips = analysis.settings.clip_norm or analysis.settings.clip_value
    if analysis.training is not None and clips:
        first = [""] * (len(stages) - 1)
        rows.append(("updates clipped", [*first, f"{analysis.training.clipped_fraction:.0%}"]))
    return rows


def measure_sentence(analysis: Analysis) -> str:
    """Say what the error is compared with, or why there is none."""
    baseline = analysis.task_info.baseline
    if baseline is not None:
        return f"baseline: {baseline.meaning}{lag_sentence(analysis.task_info.lag_errors)}"
    missing = "--targets FILE" if analysis.params.sizes[2] else "--readout NAME, --targets FILE"
    return f"no targets, so no error and no gradient by step ({missing})"


def lag_sentence(errors: FloatArray | None) -> str:
    """Say how the error of a linear predictor (L,) falls with the rows it sees; empty for none."""
    if errors is None:
        return ""
    shown = {rewarded_lag(errors), *np.geomspace(1, errors.size, 6).round().astype(int).tolist()}
    curve = ", ".join(f"{number(float(errors[lag - 1]))} ({lag})" for lag in sorted(shown))
    return f". Error of a linear predictor (from so many past rows): {curve}"


def layers_title(analysis: Analysis) -> str:
    """Return what stands above the table of layers."""
    studied = analysis.network and analysis.network.studied
    return f"Layers of {analysis.settings.weights} (studied: {studied})"


def layer_rows(analysis: Analysis) -> list[list[str]]:
    """Return the table of all layers of the file; no row for a network from elsewhere."""
    rows = []
    for layer in analysis.network.layers if analysis.network else ():
        verdict, shown = layer_verdict(layer, analysis), (NOT_DRIVEN, "–", "–")
        if verdict is not None:
            reach = f">{verdict.max_lag}" if verdict.horizon is None else steps(verdict.horizon)
            shown = words.REGIME_WORDS[verdict.regime], level(verdict.rate), reach
        kind = "RNN" if layer.cell is CellName.ELMAN else layer.cell.upper()
        rows.append([layer.title, kind, str(layer.input_size), str(layer.hidden_size), *shown])
    return rows


def layer_verdict(layer: ImportedLayer, analysis: Analysis) -> Verdict | LayerVerdict | None:
    """Return the verdict on a layer: for the one that was studied, the analysis's own."""
    studied = analysis.network is not None and layer.title == analysis.network.studied
    return analysis.last.verdict if studied else layer.verdict


def _log10(nats: FloatArray) -> str:
    """Return the last entry of a curve."""
    return level(float(nats[-1]) / LN_10)


def _horizon(verdict: Verdict) -> str:
    reach = steps(verdict.max_lag if verdict.horizon is None else verdict.horizon)
    return f"beyond {reach}" if verdict.horizon is None else reach


def training_page(
    analysis: Analysis, checkpoints: Sequence[Checkpoint], screen: Screen
) -> RenderableType:
    """Return the page of ``train``: the verdict, and how error, gradient norm and horizon went."""
    titles = ("update", "error per step", "gradient norm, unclipped", "memory horizon")
    rows = [
        [str(update), number(error), number(norm), "beyond" if horizon is None else str(horizon)]
        for update, error, norm, horizon in checkpoint_rows(analysis, checkpoints)
    ]
    history, baseline = analysis.training, analysis.task_info.baseline
    before, after = analysis.stages[0].error, analysis.last.error
    rate = level(analysis.last.verdict.rate)
    closing = [
        f"growth rate: {rate} nats per step{numbers.rates_beside(analysis.last.rate_per)}",
        f"held-out error per step: {number(before)} before, {number(after)} after",
        f"baseline: {number(baseline.error)}, {baseline.meaning}" if baseline else "",
        words.cause_sentence(analysis.last.causes),
        words.training_sentence(history) if history is not None else "",
    ]
    lines = [Text(screen.say(line)) for line in closing if line]
    table = table_of(titles, rows, screen, gap=3)
    return Group(*_opening(analysis, screen), table, Text(), *lines)


def check_page(rows: Sequence[CheckRow], screen: Screen) -> RenderableType:
    """Return the page of ``check``: every comparison with its deviation."""
    failed = sum(not row.passed for row in rows)
    verdict = f"{failed} of {len(rows)} checks fail." if failed else "All checks pass."
    cells = [
        (quantity, against, f"{deviation:.1e}", f"{allowed:.0e}", "ok" if passed else "FAILS")
        for quantity, against, deviation, allowed, passed in check_rows(rows)
    ]
    table = table_of(("quantity", "against", "deviation", "allowed", ""), cells, screen, gap=2)
    return Group(Text(verdict, style="bold"), Text(), table)
