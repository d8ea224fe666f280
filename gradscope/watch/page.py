"""The words of a watch: a line for each event, and the report at the end."""

from collections.abc import Callable, Mapping
from io import StringIO
from logging import Logger
from pathlib import Path
from types import MappingProxyType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.arrays import LN_10
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.verdict import Verdict
from gradscope.errors import OutputError
from gradscope.report.screen import Screen, printable
from gradscope.report.terminal.table import bullets, table_of
from gradscope.report.words.headline import headline
from gradscope.report.words.numbers import count, level, number, percent, short_pace
from gradscope.report.words.reasons import reason_sentence
from gradscope.watch.journal import (
    ADVANCE,
    Alert,
    Event,
    Failure,
    FirstSeen,
    Journal,
    NonFinite,
    NotWatched,
    Refusal,
)
from gradscope.watch.replay import Snapshot

Log = Callable[[str], object] | Logger | str | Path | None
"""A function of one string, a logger, a file to append to, or nowhere."""


class WatchLog:
    """Turns events into lines and sends them on.

    A log that fails is not tried again and does not stop the training; ``error`` keeps the reason.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.error: Exception | None = None
        if isinstance(log, str | Path):
            try:
                _add(Path(log), "")
            except OSError as error:
                raise OutputError(
                    f"the log {log} cannot be written: {error.strerror}; choose another place"
                ) from error

    def __call__(self, event: Event) -> None:
        """Write the line of an event."""
        self.write(event_line(event), urgent=not isinstance(event, FirstSeen))

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write lines; a logger gets urgent ones as warnings."""
        if self._log is None or self.error is not None:
            return
        try:
            if isinstance(self._log, Logger):
                (self._log.warning if urgent else self._log.info)("%s", text)
            elif isinstance(self._log, str | Path):
                _add(Path(self._log), f"{text}\n")
            else:
                self._log(text)
        except Exception as error:  # noqa: BLE001 (whatever a user's function raises)
            self.error = error


def _add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


REFUSAL_WORDS: Mapping[Refusal, str] = MappingProxyType(
    {
        Refusal.PROJECTION: "it has a projection (proj_size), whose Jacobian gradscope does not "
        "have; train without proj_size to watch it",
        Refusal.SCRIPTED: "it is scripted, and hooks do not see inside; watch the module that "
        "torch.jit was given",
        Refusal.COMPILED: "it is compiled, and hooks do not see inside; train without "
        "torch.compile while you watch",
        Refusal.STATE_REPLACED: "the state it is given is not the one it returned: what happens in "
        "between is unknown, and its transport through time cannot be measured",
    }
)
"""Why a module is not watched, and what to do about it."""


def event_line(event: Event) -> str:
    """Return an event as one line."""
    if isinstance(event, NotWatched):
        text = f"{event.title} is not watched: {REFUSAL_WORDS[event.refusal]}"
    elif isinstance(event, NonFinite):
        text = _non_finite(event)
    elif isinstance(event, Failure):
        text = _failure(event)
    else:
        verdict, line = event.diagnosis.verdict, event.diagnosis.thresholds.vanishing
        start = f"{_change(event)}. " if isinstance(event, Alert) else f"{_place(event)}: "
        text = start + headline(verdict, line)
    return f"gradscope: {printable(text)}."


def _place(event: FirstSeen | Alert | NonFinite | Failure) -> str:
    return f"step {event.step}, {event.title}"


def _change(alert: Alert) -> str:
    return f"{_place(alert)}: {alert.before} → {alert.diagnosis.verdict.regime}"


def _non_finite(found: NonFinite) -> str:
    where = "" if found.time_step is None else f" at time step {found.time_step}"
    return f"{_place(found)}: the {found.quantity} is not finite{where}"


def _failure(failure: Failure) -> str:
    return (
        f"{_place(failure)}: the watch failed and leaves it alone from now on "
        f"({failure.error}); the training goes on"
    )


def watch_report(journal: Journal, *, log_error: Exception | None = None, width: int = 100) -> str:
    """Return the report of a watch as plain text."""
    screen, out = Screen(width), StringIO()
    parts: list[RenderableType] = [Text(screen.say(_opening(journal)), style="bold"), Text()]
    if journal.snapshots:
        parts += [_layers(journal, screen), Text()]
    failures = [_failure(failure) for failure in journal.failures]
    if log_error is not None:
        kind = type(log_error).__name__
        failures.append(f"the log failed and was not written any further ({kind}: {log_error})")
    sections: Mapping[str, list[str]] = {
        "Why": _causes(journal),
        "Verdicts that changed": [_change(alert) for alert in journal.alerts],
        "Not finite": [
            _non_finite(found) + (f", the first of {count} times" if count > 1 else "")
            for found, count in zip(
                journal.trouble.values(), journal.trouble_count.values(), strict=True
            )
        ],
        "Not watched": _not_watched(journal),
        "The watch itself": failures,
        "Gradient norm, unclipped": _norms(journal),
    }
    for title, sentences in sections.items():
        if sentences:
            parts += bullets(title, [f"{sentence}." for sentence in sentences], screen)
    console = Console(file=out, width=width, color_system=None, force_terminal=False, markup=False)
    console.print(Group(*parts), highlight=False)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _opening(journal: Journal) -> str:
    taken = len({(each.step, each.title) for each in journal.snapshots})
    spent, elapsed, allowed = journal.budget.spent, journal.budget.elapsed, journal.budget.share
    share = f", {percent(spent / elapsed)} of the time" if elapsed else ""
    limit = f" (at most {percent(allowed)} and {number(ADVANCE)} s)" if allowed else ""
    counted = f"{count(journal.steps, 'training step')}: {count(taken, 'snapshot')} took"
    return f"Watched {counted} {number(spent)} s{share}{limit}."


def _layers(journal: Journal, screen: Screen) -> Table:
    """Return a row for each layer: its first verdict and its last."""
    titles = ("layer", "gradient", "growth,\nsteps", "horizon", "log10\nσ_max", "at\nlag")
    by_layer: dict[str, list[Snapshot]] = {}
    for each in journal.snapshots:
        by_layer.setdefault(each.title, []).append(each)
    rows = []
    for title, snapshots in by_layer.items():
        seen = [each.diagnosis for each in snapshots if each.diagnosis is not None]
        cells = _cells(seen[0], seen[-1]) if seen else ["not finite", *["–"] * 4]
        deviations = [each.deviation for each in snapshots if each.deviation is not None]
        off_by = f"{max(deviations):.0e}" if deviations else "–"
        rows.append([title, *cells, str(len(snapshots)), off_by])
    return table_of((*titles, "snapshots", "replay\noff by"), rows, screen, gap=2)


def _cells(first: Diagnosis, last: Diagnosis) -> list[str]:
    """Return a layer's numbers, the first beside the last where they differ."""

    def both(words: Callable[[Verdict], str]) -> str:
        return " → ".join(dict.fromkeys((words(first.verdict), words(last.verdict))))

    ends = sorted(last.norms.log_norms[-1].tolist())
    return [
        both(lambda verdict: str(verdict.regime)),
        short_pace(last.verdict.rate),
        both(lambda verdict: str(verdict.horizon or f">{verdict.max_lag}")),
        level(ends[(len(ends) - 1) // 2] / LN_10),
        str(last.verdict.max_lag),
    ]


def _causes(journal: Journal) -> list[str]:
    sentences = []
    for title, diagnosis in journal.diagnoses.items():
        main = diagnosis.verdict.reason(ReasonCode.MAIN_CAUSE)
        if main is not None:
            sentences.append(f"{title}: {reason_sentence(main).removesuffix('.')}")
    dropped = dict.fromkeys(each.title for each in journal.snapshots if each.dropout)
    if dropped:
        sentences.append(
            f"{', '.join(dropped)}: dropout between layers; the replay drops the same fraction of "
            "values, but not the same values"
        )
    return sentences


def _not_watched(journal: Journal) -> list[str]:
    refused = [f"{each.title}: {REFUSAL_WORDS[each.refusal]}" for each in journal.refused]
    return refused + [
        f"{name}: no snapshot yet; one sequence is expected to take {number(cost)} s, more than "
        "the share of the time allows so far (raise share, or lower max_lag)"
        for name, cost in journal.unseen.items()
    ]


def _norms(journal: Journal) -> list[str]:
    """Return how large the unclipped gradient norm was where it was finite."""
    at, norms = journal.gradient_norms
    at, norms = at[np.isfinite(norms)], norms[np.isfinite(norms)]
    if not norms.size:
        return []
    top = int(np.argmax(norms))
    largest = f"{number(float(norms[top]))} at step {at[top]}"
    if norms.size == 1:
        return [f"{largest}, the only one"]
    half, nine = (number(float(each)) for each in np.quantile(norms, [0.5, 0.9]))
    return [
        f"half of {norms.size} steps below {half}, nine in ten below {nine}; the largest {largest}"
    ]
