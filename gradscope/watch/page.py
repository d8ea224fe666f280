"""What a watch says: a line for each event, and the report at the end."""

from collections.abc import Callable, Mapping
from io import StringIO
from logging import Logger
from pathlib import Path
from types import MappingProxyType

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.verdict import Verdict
from gradscope.errors import OutputError
from gradscope.report.screen import Screen, printable
from gradscope.report.terminal.table import bullets, table_of
from gradscope.report.words.headline import headline
from gradscope.report.words.numbers import LN_10, level, number, percent, short_pace
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
"""A function of one string, a logger, a file that is added to, or nowhere."""


class WatchLog:
    """Turns events into lines and sends them on.

    A log that fails is not tried again and does not stop the training; ``error`` keeps why.
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
        self.write(event_line(event), urgent=is_urgent(event))

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write some lines; a logger gets the urgent ones as warnings."""
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
        Refusal.STATE_REPLACED: "the state it is given is not the one it returned, so what happens "
        "to it in between is not known; its transport through time cannot be measured",
    }
)
"""Why a module is passed over, and what to do about it."""


def is_urgent(event: Event) -> bool:
    """Whether an event is a warning, not a piece of news."""
    return not isinstance(event, FirstSeen)


def event_line(event: Event) -> str:
    """Return an event as one line."""
    if isinstance(event, NotWatched):
        return _line(f"{event.title} is not watched: {REFUSAL_WORDS[event.refusal]}")
    if isinstance(event, NonFinite):
        return _line(non_finite_words(event))
    if isinstance(event, Failure):
        return _line(failure_words(event))
    change = f"{_change(event)}. " if isinstance(event, Alert) else f"{_place(event)}: "
    diagnosis = event.diagnosis
    return _line(f"{change}{headline(diagnosis.verdict, diagnosis.thresholds.vanishing)}")


def _place(event: FirstSeen | Alert | NonFinite | Failure) -> str:
    return f"step {event.step}, {event.title}"


def _change(alert: Alert) -> str:
    return f"{_place(alert)}: {alert.before} → {alert.diagnosis.verdict.regime}"


def _line(text: str) -> str:
    return f"gradscope: {printable(text)}."


def non_finite_words(found: NonFinite) -> str:
    """Say what was not finite, at which training step and step of the sequence."""
    where = "" if found.time_step is None else f" at time step {found.time_step}"
    return f"{_place(found)}: the {found.quantity} is not finite{where}"


def failure_words(failure: Failure) -> str:
    """Say that the watch failed, and that the training goes on."""
    return (
        f"{_place(failure)}: the watch failed and leaves it alone from now on "
        f"({failure.error}); the training goes on"
    )


def watch_report(journal: Journal, *, log_error: Exception | None = None, width: int = 100) -> str:
    """Return the report of a watch as plain text."""
    screen = Screen(width)
    out = StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=False, markup=False)
    console.print(_page(journal, log_error, screen), highlight=False)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def _page(journal: Journal, log_error: Exception | None, screen: Screen) -> RenderableType:
    parts: list[RenderableType] = [Text(screen.say(_opening(journal)), style="bold"), Text()]
    if journal.snapshots:
        parts += [_layers(journal, screen), Text()]
    sections: Mapping[str, list[str]] = {
        "Why": _causes(journal),
        "Verdicts that changed": [_change(alert) for alert in journal.alerts],
        "Not finite": _trouble(journal),
        "Not watched": _refused(journal),
        "The watch itself": _own_trouble(journal, log_error),
        "Gradient norm, unclipped": _norms(journal),
    }
    for title, sentences in sections.items():
        if sentences:
            parts += bullets(title, [f"{sentence}." for sentence in sentences], screen)
    return Group(*parts)


def _opening(journal: Journal) -> str:
    snapshots = len({(look.step, look.title) for look in journal.snapshots})
    spent, elapsed = journal.budget.spent, journal.budget.elapsed
    share = f", {percent(spent / elapsed)} of the time" if elapsed else ""
    allowed = journal.budget.share
    limit = f" (at most {percent(allowed)} and {number(ADVANCE)} s)" if allowed else ""
    counted = f"{_count(journal.steps, 'training step')}: {_count(snapshots, 'look')} took"
    return f"Watched {counted} {number(spent)} s{share}{limit}."


def _count(number_of: int, thing: str) -> str:
    return f"{number_of} {thing}" if number_of == 1 else f"{number_of} {thing}s"


def _layers(journal: Journal, screen: Screen) -> Table:
    """Return a row for each layer: its first verdict and its last."""
    titles = ("layer", "gradient", "growth,\nsteps", "horizon", "log10\nσ_max", "at\nlag", "looks")
    by_layer: dict[str, list[Snapshot]] = {}
    for look in journal.snapshots:
        by_layer.setdefault(look.title, []).append(look)
    rows = []
    for title, snapshots in by_layer.items():
        seen = [look.diagnosis for look in snapshots if look.diagnosis is not None]
        cells = _cells(seen[0], seen[-1]) if seen else ["not finite", *["–"] * 4]
        rows.append([title, *cells, str(len(snapshots)), _deviation(snapshots)])
    return table_of((*titles, "replay\noff by"), rows, screen, gap=2)


def _cells(first: Diagnosis, last: Diagnosis) -> list[str]:
    """Return what there is to say of a layer; the first beside the last where they differ."""

    def both(words: Callable[[Verdict], str]) -> str:
        return " → ".join(dict.fromkeys((words(first.verdict), words(last.verdict))))

    return [
        both(lambda verdict: str(verdict.regime)),
        short_pace(last.verdict.rate),
        both(lambda verdict: str(verdict.horizon or f">{verdict.max_lag}")),
        level(_median_end(last.norms.log_norms[-1].tolist()) / LN_10),
        str(last.verdict.max_lag),
    ]


def _median_end(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _deviation(snapshots: list[Snapshot]) -> str:
    found = [look.deviation for look in snapshots if look.deviation is not None]
    return f"{max(found):.0e}" if found else "–"


def _causes(journal: Journal) -> list[str]:
    sentences = []
    for title, diagnosis in journal.diagnoses.items():
        main = diagnosis.verdict.reason(ReasonCode.MAIN_CAUSE)
        if main is not None:
            sentences.append(f"{title}: {reason_sentence(main).removesuffix('.')}")
    dropped = dict.fromkeys(look.title for look in journal.snapshots if look.dropout)
    if dropped:
        sentences.append(
            f"{', '.join(dropped)}: dropout between layers; the replay drops as many numbers, but "
            "not the same ones"
        )
    return sentences


def _trouble(journal: Journal) -> list[str]:
    def often(count: int) -> str:
        return f", the first of {count} times" if count > 1 else ""

    return [
        f"{non_finite_words(found)}{often(journal.trouble_count[key])}"
        for key, found in journal.trouble.items()
    ]


def _refused(journal: Journal) -> list[str]:
    waiting = [
        f"{name}: no look yet; one sequence is thought to take {number(price)} s, more than the "
        "share of the time allows so far (raise share, or lower max_lag)"
        for name, price in journal.unseen.items()
    ]
    return [f"{each.title}: {REFUSAL_WORDS[each.refusal]}" for each in journal.refused] + waiting


def _own_trouble(journal: Journal, log_error: Exception | None) -> list[str]:
    said = [failure_words(failure) for failure in journal.failures]
    if log_error is not None:
        kind = type(log_error).__name__
        said.append(f"the log failed and was not written any further ({kind}: {log_error})")
    return said


def _norms(journal: Journal) -> list[str]:
    found = journal.norm_summary
    if found is None:
        return []
    if found.steps == 1:
        return [f"{number(found.largest)} at step {found.largest_step}, the only one"]
    half, nine = number(found.half), number(found.nine_in_ten)
    largest = f"the largest {number(found.largest)} at step {found.largest_step}"
    return [f"half of {found.steps} steps below {half}, nine in ten below {nine}; {largest}"]
