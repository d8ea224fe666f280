"""Terminal pages: the answer first, then the numbers, then why and what to do."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import Analysis, ImportedLayer, LayerVerdict, Stage
from gradscope.analysis.settings import Settings
from gradscope.arrays import LN_10, plain
from gradscope.data.series import rewarded_lag
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.verdict import Verdict
from gradscope.names import CellName
from gradscope.report.documents.rows import check_rows, checkpoint_rows
from gradscope.report.figures.panels import PANELS
from gradscope.report.screen import Screen
from gradscope.report.terminal.first_screen import first_screen
from gradscope.report.terminal.table import bullets, table_of
from gradscope.report.words import headline as words
from gradscope.report.words.captions import verification_sentences
from gradscope.report.words.cells import cause_titles, step_bound
from gradscope.report.words.numbers import (
    count,
    fraction,
    interval,
    level,
    number,
    over_steps,
    pace,
)
from gradscope.report.words.reasons import why
from gradscope.report.words.remedies import advice

LAYER_TITLES = ("layer", "kind", "in", "hidden", "gradient", "growth", "horizon")

NOT_DRIVEN = "not driven"
"""For a layer outside the stack that was studied: its inputs are unknown."""


def analysis_page(analysis: Analysis, screen: Screen) -> RenderableType:
    """Return the page of ``analyze``: the first screen, all numbers where they are asked for, and
    what was measured in detail.
    """
    parts: list[RenderableType] = [*first_screen(analysis, screen)]
    if screen.full:
        parts += [Text(), *_tables(analysis, screen)]
    names = "map", "shares", "lyapunov", "singular", "memory", "sensitivity"
    read = [each.reading(analysis) for name in names if (each := PANELS[name]).shown(analysis)]
    if read := read + verification_sentences(analysis):
        parts += [Text(), *bullets("In detail", read, screen)]
    return Group(*parts)


def _tables(analysis: Analysis, screen: Screen) -> Iterator[RenderableType]:
    stages = [words.stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title, *cells) for title, cells in stage_rows(analysis)]
    yield Text(f"{screen.say(words.describe(analysis.settings, analysis))}\n", style="dim")
    yield table_of(["", *stages], rows, screen, gap=3)
    yield Text(f"{screen.say(measure_sentence(analysis))}\n", style="dim")
    if analysis.network is not None:
        yield Text(screen.say(layers_title(analysis)), style="bold")
        yield from (table_of(LAYER_TITLES, layer_rows(analysis), screen, gap=2), Text())
    deep = [PANELS["depth"].reading(analysis)] * PANELS["depth"].shown(analysis)
    yield from bullets("Why", why(analysis) + deep, screen)
    if analysis.remedies:
        sentences, commands = advice(analysis)
        yield from (Text(), *bullets("What to do", sentences, screen, commands))


def stage_rows(analysis: Analysis) -> list[tuple[str, list[str]]]:
    """Return the numbers of every stage: a title and a cell for each stage."""
    columns = [
        _rate_cells(stage, analysis.settings)
        | _reach_cells(stage, analysis.settings)
        | _learning_cells(stage, analysis)
        for stage in analysis.stages
    ]
    return [(title, [column[title] for column in columns]) for title in columns[-1]]


def _rate_cells(stage: Stage, settings: Settings) -> dict[str, str]:
    verdict, growth, titles = stage.verdict, stage.growth, cause_titles(settings)
    look, few = words.look(verdict), ", too few" if growth.short_burn_in else ""
    units = {unit: unit.replace("time_constant", "time constant τ") for unit in stage.rate_per}
    return {
        "gradient": f"{look.symbol} {look.word if verdict.shut else words.regime_word(verdict)}",
        "write level (1: free)": number(plain(stage.write_level)),
        "growth rate, nats per step": level(verdict.rate),
        "  95 % interval": interval(growth.low, growth.high, "{} … {}") or "–",
        "  taken over": over_steps(growth.steps, growth.burn_in) + few,
        **{f"  nats per {name}": level(stage.rate_per[unit]) for unit, name in units.items()},
        "": "not different from 0" if verdict.marginal else pace(verdict.rate),
        **{
            f"  {titles.get(name, name)}": level(rate)
            for name, rate in terms_of(stage.causes).items()
        },
    }


def _reach_cells(stage: Stage, settings: Settings) -> dict[str, str]:
    required, profile = stage.verdict.required_lag, stage.profile
    sequences = count(int((~np.isnan(profile.log_norms[-1])).sum()), "sequence")
    bound = f" ({step_bound(settings)})^ℓ" if settings.cell is CellName.ELMAN else ""
    ends = profile.median, *profile.quantiles((0.05, 0.95)), profile.log_bound
    median, low, high, most = (
        "–" if np.isnan(curve[-1]) else level(float(curve[-1]) / LN_10) for curve in ends
    )
    return {
        "memory horizon, steps": words.horizon(stage),
        **({} if required is None else {"  needed": str(required)}),
        f"log10 σ_max at lag {profile.lags[-1]}": median,
        f"  5 % … 95 % of {sequences}": f"{low} … {high}",
        f"  its bound{bound}": most,
    }


def _learning_cells(stage: Stage, analysis: Analysis) -> dict[str, str]:
    baseline, history, cells = analysis.task_info.baseline, analysis.training, {}
    if baseline is not None:
        cells["gradient norm ‖∂E/∂θ‖"] = number(stage.gradient.norm if stage.gradient else None)
        cells["error per step"] = number(stage.error)
        cells["  its baseline"] = number(baseline.error)
    if analysis.readout is not None:
        first = stage is analysis.stages[0]
        cells["R² of a linear readout"] = number(analysis.readout.score, 2) if first else ""
    if history is not None and (analysis.settings.clip_norm or analysis.settings.clip_value):
        clipped = f"{history.clipped_fraction:.0%}"
        cells["updates clipped"] = clipped if stage is analysis.last else ""
    return cells


def measure_sentence(analysis: Analysis) -> str:
    """Say what the error is compared with and how that of a linear predictor falls with the rows
    it sees; or why there is none.
    """
    baseline = analysis.task_info.baseline
    errors, said = analysis.task_info.lag_errors, ""
    if baseline is None:
        missing = "--targets FILE" if analysis.params.sizes[2] else "--readout NAME, --targets FILE"
        if analysis.settings.cell is None:
            missing = "gradscope.torch.study(…, readout=, targets=)"
        return f"no targets, so no error and no gradient by step ({missing})"
    if errors is not None:
        lags = {rewarded_lag(errors), *np.geomspace(1, errors.size, 6).round().astype(int).tolist()}
        curve = ", ".join(f"{number(float(errors[lag - 1]))} ({lag})" for lag in sorted(lags))
        said = f". Error of a linear predictor (from so many past rows): {curve}"
    return f"baseline: {baseline.meaning}{said}"


def layers_title(analysis: Analysis) -> str:
    """Return what stands above the table of layers."""
    network = analysis.network
    ways = network and {each.direction for each in network.layers}
    apart = ", each way by itself" if ways and len(ways) > 1 else ""
    return f"Layers of {analysis.settings.weights} (studied: {network and network.studied}{apart})"


def layer_rows(analysis: Analysis) -> list[list[str]]:
    """Return the table of all layers of the file; no row for a network from elsewhere."""
    rows = []
    for layer in analysis.network.layers if analysis.network else ():
        verdict, shown = layer_verdict(layer, analysis), (NOT_DRIVEN, "–", "–")
        if verdict is not None:
            look = words.look(verdict)
            far = words.reach(verdict.regime, verdict.horizon, verdict.max_lag)
            shown = f"{look.symbol} {look.word}", level(verdict.rate), far
        kind = "RNN" if layer.cell is CellName.ELMAN else layer.cell.upper()
        rows.append([layer.title, kind, str(layer.input_size), str(layer.hidden_size), *shown])
    return rows


def layer_verdict(layer: ImportedLayer, analysis: Analysis) -> Verdict | LayerVerdict | None:
    """Return the verdict on a layer: for the one that was studied, the analysis's own."""
    studied = analysis.network is not None and layer.title == analysis.network.studied
    return analysis.last.verdict if studied else layer.verdict


def training_page(
    analysis: Analysis, checkpoints: Sequence[Checkpoint], screen: Screen
) -> RenderableType:
    """Return the page of ``train``: that of ``analyze``, and how error, norm and horizon went."""
    below = f"below {fraction(analysis.settings.vanishing)} at lag"
    titles = ("update", "error per step", "gradient norm, unclipped", below)
    rows = [
        [str(update), number(error), number(norm), "never" if horizon is None else str(horizon)]
        for update, error, norm, horizon in checkpoint_rows(analysis, checkpoints)[1]
    ]
    history = analysis.training
    ended = history and [words.training_sentence(history), words.penalty_sentence(history)]
    lines = [Text(screen.say(line)) for line in ended or () if line]
    table = table_of(titles, rows, screen, gap=3)
    return Group(analysis_page(analysis, screen), Text(), table, *lines)


def check_page(rows: Sequence[CheckRow], screen: Screen) -> RenderableType:
    """Return the page of ``check``: every comparison with its deviation."""
    failed = sum(not row.passed for row in rows)
    verdict = f"{failed} of {len(rows)} checks fail." if failed else "All checks pass."
    cells = [
        (quantity, against, f"{deviation:.1e}", f"{allowed:.0e}", "ok" if passed else "FAILS")
        for quantity, against, deviation, allowed, passed in check_rows(rows)[1]
    ]
    table = table_of(("quantity", "against", "deviation", "allowed", ""), cells, screen, gap=2)
    return Group(Text(verdict, style="bold"), Text(), table)
