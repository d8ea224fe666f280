"""Terminal pages of many networks: of ``compare``, by length over several seeds or files against
the first; of sweeps, what would be done, what was done, what a store holds.
"""

import math
from collections import Counter
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.analysis.results import Comparison
from gradscope.names import Regime
from gradscope.report.documents.rows import file_of, middle
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import WORDY, bullets, first_rows, opening, table_of
from gradscope.report.words.cells import short_name
from gradscope.report.words.headline import (
    REGIME_LOOKS,
    REGIME_WORDS,
    common_regime,
    comparison_headline,
    horizon,
    seeds_of,
)
from gradscope.report.words.numbers import count, level, number, pace
from gradscope.sweep.changes import changes
from gradscope.sweep.grid import describe, shared_and_swept
from gradscope.sweep.merge import Merged
from gradscope.sweep.preview import Preview
from gradscope.sweep.run import Progress
from gradscope.sweep.summary import Summary

FIRST_CELLS = 5
MAX_ERRORS = 5

REGIME_COLUMNS = ("vanishing", "transient", "stable", "exploding", "mixed")

COMPARISON_TITLES = (
    *("network", "steps", "needed", "growth,\nsteps", "horizon\nbefore", "horizon\nafter"),
    *("error /\nbaseline", "each seed's\nhorizon"),
)
FILE_TITLES = ("file", "horizon", "change", "rate", "change", "error", "change", "")


def duration(seconds: float) -> str:
    """Return a duration as people say it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def plan_page(preview: Preview, screen: Screen) -> RenderableType:
    """Return the page of ``sweep --dry-run``: how many cells, the first of them, how long."""
    kept = len(preview.cells) - len(preview.missing)
    stored = f"{kept} of them in {preview.store} already"
    stored = stored if kept else f"none in {preview.store} yet"
    who = "one worker" if preview.workers is None else count(preview.workers, "worker")
    guess = preview.estimate
    timed = f"timed on one cell of each of {guess.timed} of {count(guess.sizes, 'size')}"
    time = f"about {duration(preview.seconds)} on {who} ({timed})"
    time = time if preview.missing else "nothing to do"
    answer = f"{count(len(preview.cells), 'cell')}, {stored}: {time}."
    failed = f"{count(preview.failed, 'cell')} failed before; --retry-failed runs them again."
    about = [Text(failed)] if preview.failed else []
    names = tuple(shared_and_swept(preview.cells)[1]) or ("activation", "steps", "seed")
    settings = [cell.settings.as_dict() for cell in preview.cells[:FIRST_CELLS]]
    rows = [[describe({name: each[name]}).partition("=")[2] for name in names] for each in settings]
    table = first_rows(names, rows, screen, of=len(preview.cells), all_in="--format csv")
    return Group(Text(screen.say(answer), style="bold"), *about, Text(), *table)


def sweep_page(
    summary: Summary, progress: Progress, store: Path, seconds: float, screen: Screen
) -> RenderableType:
    """Return the page of ``sweep``: what the cells do, what was done, and the groups."""
    done = [
        f"{count(progress.done, 'cell')} computed in {duration(seconds)}",
        f"{progress.kept} kept from before" if progress.kept else "",
        f"{progress.all_failed} failed" if progress.all_failed else "",
        f"{progress.missing} missing" if progress.missing else "",
    ]
    held = f"{progress.total - progress.missing} of the {count(progress.total, 'cell')} requested"
    about = f"{', '.join(filter(None, done))}; {store} holds {held}"
    return store_page(summary, store, screen, about)


def store_page(summary: Summary, store: Path, screen: Screen, about: str = "") -> RenderableType:
    """Return the page of ``report``: what the cells of a store do, its groups, the most frequent
    errors of failed cells.
    """
    cells, failed = (sum(getattr(g, of) for g in summary.groups) for of in ("cells", "failed"))
    every = sum((Counter(group.regimes) for group in summary.groups), Counter())
    does = [
        f"{REGIME_WORDS[Regime(each)]} in {every[each]}" for each in REGIME_COLUMNS if every[each]
    ]
    answer = f"The gradient {', '.join(does)} of {cells} cells" if does else "No cell has a result"
    about = about or f"{store}" + (f"; {count(failed, 'cell')} failed" if failed else "")
    errors = [f"{many} × {text}" for text, many in list(summary.errors.items())[:MAX_ERRORS]]
    rest = len(summary.errors) - MAX_ERRORS
    errors += [f"… and {rest} other errors"] if rest > 0 else []
    below = [Text(), *bullets("Failed", errors, screen)] if errors else []
    return Group(*opening(answer, about, screen), *summary_table(summary, screen), *below)


def merge_page(merged: Merged, target: Path, screen: Screen) -> RenderableType:
    """Return the page of ``merge``."""
    parts = [
        f"{count(merged.cells, 'cell')} of {count(merged.stores, 'store')} in {target}",
        f"{merged.duplicates} duplicates resolved" if merged.duplicates else "",
        f"{merged.failed} failed" if merged.failed else "",
        "" if merged.lost == 0 else f"{merged.lost or 'an unknown number'} lost",
    ]
    return Text(screen.say(f"{', '.join(filter(None, parts))}."), style="bold")


def summary_table(summary: Summary, screen: Screen) -> tuple[Table, Text]:
    """Return a row for each group: regimes, median growth rate and horizon."""
    present = {regime for group in summary.groups for regime in group.regimes}
    regimes = [regime for regime in REGIME_COLUMNS if regime in present]
    looks = [REGIME_LOOKS[Regime(regime)] for regime in regimes]
    failed = ["failed"] * any(group.failed for group in summary.groups)
    spectra = ["λ_1"] * any(group.exponent is not None for group in summary.groups)
    rows = []
    for group in summary.groups:
        numbers = [group.cells, *(group.regimes.get(regime, 0) for regime in regimes)]
        numbers += [group.failed] * len(failed)
        explodes = 2 * group.regimes.get(Regime.EXPLODING, 0) > sum(group.regimes.values())
        far = "beyond" if group.horizon == math.inf else number(group.horizon)
        medians = [level(group.rate), "–" if explodes else far]
        medians += [level(group.exponent)] * len(spectra)
        rows.append([*group.values, *(str(each or "–") for each in numbers), *medians])
    titles = (*summary.names, "cells", *(each.symbol for each in looks), *failed)
    titles = (*titles, "rate", "horizon", *spectra)
    table = table_of(titles, rows, screen, gap=2, left=summary.names)
    said = ", ".join(f"{each.symbol} {each.word}" for each in looks)
    rates = " and ".join(["rate", *spectra])
    said += " in so many cells; " if said else ""
    note = f"{said}{rates} (nats per step) and horizon (steps) are medians over the cells"
    return table, Text(screen.say(note), "dim")


def comparison_page(comparison: Comparison, screen: Screen) -> RenderableType:
    """Return the page of ``compare``: a row per network and length, or per file what changed."""
    if file_of(comparison.analyses[0]) is not None:
        return _files_page(comparison, screen)
    rows: list[list[str]] = []
    seen, explodes = {}, REGIME_LOOKS[Regime.EXPLODING]
    for group in comparison.groups:
        settings, required = group[0].settings, group[0].last.verdict.required_lag
        name, last = short_name(settings), [each.last for each in group]
        look = REGIME_LOOKS[common_regime(last)]
        if rows and name != rows[-1][0]:
            rows.append([])
        trained = len(group[0].stages) > 1
        errors = [each.relative_error for each in group if each.relative_error is not None]
        seen[look] = f"{look.symbol} {look.word}"
        before = horizon(*(each.stages[0] for each in group))
        after = f"{look.symbol} {horizon(*last)}"
        rows.append(
            [
                *(name, str(settings.steps), "–" if required is None else str(required)),
                pace(middle([stage.verdict.rate for stage in last]), short=True),
                *((before, after) if trained else (after, "–")),
                number(middle(errors) if errors else None),
                " ".join(horizon(stage).replace(explodes.word, explodes.symbol) for stage in last),
            ]
        )
    about = f"{', '.join(seen.values())}; {_shared(comparison)}"
    answer = opening(comparison_headline(comparison), about, screen)
    left = {*WORDY, COMPARISON_TITLES[-1]}
    return Group(*answer, table_of(COMPARISON_TITLES, rows, screen, gap=1, left=left))


def _shared(comparison: Comparison) -> str:
    """Return what all cells of a comparison have in common."""
    first, settings = comparison.analyses[0], comparison.analyses[0].settings
    trained = (
        f"after {count(settings.updates, 'update')}" if settings.updates else "before training"
    )
    about = str(settings.task) if settings.data is None else first.task_info.description
    return (
        f"{trained}; {settings.hidden} hidden units, {settings.init} init, "
        f"gain {settings.gain:g}; {about}; {seeds_of(comparison)}"
    )


def _files_page(comparison: Comparison, screen: Screen) -> RenderableType:
    """Return the page of files: a row for each, and what it is against the first."""
    seen = dict.fromkeys(each.task_info.description for each in comparison.analyses)
    rows = []
    for analysis, change in zip(comparison.analyses, [None, *changes(comparison)], strict=True):
        last, of = analysis.last, change.of if change else {}
        shown = {"horizon": horizon(last), "rate": number(last.verdict.rate)}
        row = [short_name(analysis.settings)]
        for name, value in {**shown, "error": number(last.error)}.items():
            moved, within = of.get(name, (None, None))
            sign = "+" if moved is not None and moved > 0.0 else ""
            interval = "" if moved is None or within is None else f" ± {number(within, 2)}"
            row += [value, f"{sign}{number(moved)}{interval}"]
        judged = change and ("worse" if change.worse else "better" * change.better)
        rows.append([*row, judged or ""])
    about = (
        f"{'; '.join(seen)}; rate in nats per step, error per step, ± the interval of "
        "a change at 95 %; better or worse by the error (without targets the horizon)"
    )
    table = table_of(FILE_TITLES, rows, screen, gap=1, left=("file", ""))
    return Group(*opening(comparison_headline(comparison), about, screen), table)
