"""The pages of ``compare``: networks by length over several seeds, or files against the first."""

from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.results import Comparison
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.report.documents.rows import file_of, middle
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import WORDY, bullets, opening, table_of
from gradscope.report.words.cells import short_name
from gradscope.report.words.headline import comparison_headline, horizon, seeds_of
from gradscope.report.words.numbers import count, number, pace, steps
from gradscope.report.words.reasons import reason_sentence
from gradscope.sweep.changes import changes

COMPARISON_TITLES = (
    *("network", "steps", "needed", "growth,\nsteps", "horizon\nbefore", "horizon\nafter"),
    *("error /\nbaseline", "each seed's\nhorizon"),
)
FILE_TITLES = ("file", "horizon", "change", "rate", "change", "error", "change", "")


def comparison_page(comparison: Comparison, screen: Screen) -> RenderableType:
    """Return the page of ``compare``: a row per network and length, or per file what changed."""
    if file_of(comparison.analyses[0]) is not None:
        return _files_page(comparison, screen)
    rows: list[list[str]] = []
    why: list[str] = []
    for group in comparison.groups:
        settings, required = group[0].settings, group[0].last.verdict.required_lag
        name, last = short_name(settings), [each.last for each in group]
        if rows and name != rows[-1][0]:
            rows.append([])
        trained = len(group[0].stages) > 1
        errors = [each.relative_error for each in group if each.relative_error is not None]
        rows.append(
            [
                *(name, str(settings.steps), "–" if required is None else str(required)),
                pace(middle([stage.verdict.rate for stage in last]), short=True),
                *(horizon(*(each.stages[0] for each in group)), horizon(*last) if trained else "–"),
                number(middle(errors) if errors else None),
                " ".join(horizon(stage) for stage in last),
            ]
        )
        shorter = [each.last.verdict.reason(ReasonCode.TRAINING_SHORTENED) for each in group]
        found = [(each, why) for each, why in zip(group, shorter, strict=True) if why is not None]
        for each, reason in found[:1]:
            of = f"seed {each.settings.seed} ({len(found)} of {len(group)})"
            why.append(f"{name}, {steps(settings.steps)}, {of}: {reason_sentence(reason)}")
    answer = opening(comparison_headline(comparison), _shared(comparison), screen)
    explained = [Text(), *bullets("Why", why, screen)] if why else []
    left = {*WORDY, COMPARISON_TITLES[-1]}
    return Group(*answer, table_of(COMPARISON_TITLES, rows, screen, gap=1, left=left), *explained)


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
