"""The words of a watch: a line for each event, and the report at the end."""

from collections.abc import Callable
from functools import partial
from io import StringIO
from logging import Logger
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.arrays import LN_10
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.errors import OutputError
from gradscope.report.screen import Screen, printable
from gradscope.report.terminal.table import bullets, table_of
from gradscope.report.words.headline import REGIME_WORDS, headline, look, reach
from gradscope.report.words.numbers import count, level, number, pace, percent
from gradscope.report.words.reasons import reason_sentence
from gradscope.watch.advice import advice
from gradscope.watch.journal import (
    ADVANCE,
    Event,
    Failure,
    Finding,
    Found,
    Journal,
    NewVerdict,
    NonFinite,
    NotWatched,
    Refusal,
)
from gradscope.watch.loggers import number_writer
from gradscope.watch.numbers import numbers
from gradscope.watch.replay import Snapshot

MAX_NAMED = 2
"""Steps up to which each is named."""

Log = Any
"""A function of one string, a logger, a file to append to, what ``number_writer`` knows, a list of
such, or None."""


class WatchLog:
    """Turns events into lines and snapshots into numbers and sends them to each log until it fails:
    ``error`` keeps why the first one did.
    """

    def __init__(self, log: Log) -> None:
        logs = [each for each in (log if isinstance(log, list) else [log]) if each is not None]
        writers = [(each, number_writer(each)) for each in logs]
        self._writers = [writer for _, writer in writers if writer is not None]
        texts = [each for each, writer in writers if writer is None]
        self._texts = [Path(each) if isinstance(each, str) else each for each in texts]
        self.error: Exception | None = None
        for path in (each for each in self._texts if isinstance(each, Path)):
            try:
                path.open("a").close()
            except OSError as error:
                fault = f"cannot be written: {error.strerror}; choose another place"
                raise OutputError(f"the log {path} {fault}") from error

    def __call__(self, event: Event) -> None:
        """Write an event as one line; all but a layer's first verdict are urgent."""
        text, first = _sentence(event), False
        if isinstance(event, NewVerdict):
            first = event.before is None
            verdict, line = event.diagnosis.verdict, event.diagnosis.thresholds.vanishing
            text = f"{text}{': ' if first else '. '}{headline(verdict, line)}"
        self.write(f"gradscope: {printable(text)}.", urgent=not first)

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write lines; a logger gets urgent ones as warnings."""
        for log in self._texts:
            self._guarded(log, partial(_write, log, text, urgent=urgent))

    def write_numbers(self, snapshot: Snapshot) -> None:
        """Write the numbers of a snapshot."""
        for writer in self._writers:
            self._guarded(writer, partial(writer, numbers(snapshot), snapshot.step))

    def _guarded(self, log: Any, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 (whatever a user's function raises)
            self.error = self.error or error
            self._texts = [each for each in self._texts if each is not log]
            self._writers = [each for each in self._writers if each is not log]


def _write(log: Any, text: str, *, urgent: bool) -> None:
    if isinstance(log, Logger):
        (log.warning if urgent else log.info)("%s", text)
    elif isinstance(log, Path):
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    else:
        log(text)


REFUSAL_WORDS = {
    Refusal.SCRIPTED: "it is scripted, and hooks do not reach inside; watch the module that "
    "was passed to torch.jit",
    Refusal.UNSEEN: "no call of it was seen in the training (of a cell, with only input and state, "
    "both (B,…)): it is called otherwise, or not, or within torch.compile; give watch what that "
    "returned",
    Refusal.STATE_REPLACED: "the state it is given is not the one it returned, or detached: what "
    "happens in between is unknown; watch a module or a step() around both",
}
"""Why a module is not watched, and what to do about it."""


FINDING_WORDS = {
    Finding.STATE_CARRIED: "the initial state is the one of the last training step with its graph: "
    "the gradient goes back into that step too, an error unless its graph is kept; detach it",
    Finding.ONE_STEP: "{of_them} of {sequences} sequences have a single step and nothing to carry: "
    "empty ones that were lengthened? Leave them out",
}
"""What a layer is given, and what to do about it."""


def _sentence(event: Event) -> str:
    if isinstance(event, NotWatched):
        return f"{event.title} is not watched: {REFUSAL_WORDS[event.refusal]}"
    place = f"step {event.step}, {event.title}"
    if isinstance(event, NonFinite):
        where = "" if event.time_step is None else f" at time step {event.time_step}"
        where += "" if event.sequence is None else f" of sequence {event.sequence}"
        return f"{place}: the {event.quantity} is not finite{where}"
    if isinstance(event, Found):
        return f"{place}: {FINDING_WORDS[event.finding].format(**event._asdict())}"
    if isinstance(event, Failure):
        end = f"will not be retried ({event.error}); training continues"
        return f"{place}: the measurement failed and {end}"
    regime = event.diagnosis.verdict.regime
    if event.before is None:
        return place
    return f"{place}: {REGIME_WORDS[event.before]} → {REGIME_WORDS[regime]}"


def watch_report(journal: Journal, *, log_error: Exception | None = None, width: int = 100) -> str:
    """Return the report of a watch as plain text."""
    screen, out = Screen(width), StringIO()
    parts: list[RenderableType] = [Text(screen.say(opening(journal)), style="bold"), Text()]
    if journal.snapshots:
        parts += [_layers(journal, screen), Text()]
    for title, sentences in report_sections(journal, log_error).items():
        parts += bullets(title, sentences, screen)
    console = Console(file=out, width=width, color_system=None, markup=False, force_jupyter=False)
    console.print(Group(*parts), highlight=False)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def report_sections(journal: Journal, log_error: Exception | None = None) -> dict[str, list[str]]:
    """Return the sentences of the report by their title, those that there are."""
    budget, failures = journal.budget, [_sentence(failure) for failure in journal.failures]
    share = f"{percent(budget.share)} of the time plus {number(ADVANCE)} s" if budget.share else ""
    limit = f" (limit {number(budget.limit)} s: {share})" if share else ""
    cost = f"snapshots took {number(budget.spent)} s{limit}, hooks {number(budget.hooks)} s"
    failures += [*_late(journal), cost]
    if log_error is not None:
        kind = type(log_error).__name__
        failures.append(f"the log failed and is no longer written ({kind}: {log_error})")
    counts = journal.trouble_count
    sections: dict[str, list[str]] = {
        "Why": _causes(journal),
        "What to do": advice(journal),
        "Verdicts that changed": [_sentence(alert) for alert in journal.alerts],
        "Not finite": [
            _sentence(found) + (f", the first of {counts[key]} times" if counts[key] > 1 else "")
            for key, found in journal.trouble.items()
        ],
        "What it is given": list(map(_sentence, journal.findings.values())),
        "Not watched": _not_watched(journal),
        "The watch itself": failures,
        "Gradient norm, unclipped": _norms(journal),
    }
    return {
        title: [each if each.endswith(".") else f"{each}." for each in said]
        for title, said in sections.items()
        if said
    }


def opening(journal: Journal) -> str:
    """Return how much was watched, what was seen of it, and what that cost."""
    budget = journal.budget
    at = sorted({step for looks in journal.looks.values() for step in looks})
    seen = (
        f"seen at step{'s' if at[1:] else ''} {' and '.join(map(str, at))}"
        if at
        else "no layer, cell or step seen"
    )
    seen = seen if len(at) <= MAX_NAMED else f"seen at {len(at)} steps from {at[0]} to {at[-1]}"
    unit = "training step" if journal.optimized else "pass" if journal.steps == 1 else "passe"
    spent, elapsed = number(budget.spent, 2), number(budget.elapsed, 2)
    return f"Watched {count(journal.steps, unit)}, {seen}; snapshots took {spent} of {elapsed} s."


def _late(journal: Journal) -> list[str]:
    """Return how often snapshots could be taken, where not as often as was asked for."""
    budget, at = journal.budget, [step for looks in journal.looks.values() for step in looks]
    wanted = 1 + (journal.steps - 1) // journal.every
    if not budget.share or not at or not journal.n_waits or len(set(at)) >= wanted:
        return []
    cost = budget.spent / len(at) * len(journal.looks)
    gap = max(1, round(cost * journal.steps / (budget.share * budget.elapsed)))
    share = f"a share of {percent(budget.share)} is enough for one in {gap}"
    remedy = "raise share or every, or lower max_lag or sequences"
    seen = f"seen at {len(set(at))} of the {wanted} steps that every={journal.every} asks for"
    return [f"{seen}: {share} ({remedy})"]


def _layers(journal: Journal, screen: Screen) -> Table:
    """Return a row for each layer: its last verdict, the first beside it where they differ."""
    titles = ("layer", "gradient", "growth,\nsteps", "horizon", "log10\nσ_max", "at\nlag")
    rows = []
    for title in dict.fromkeys(each.title for each in journal.snapshots):
        snapshots = [each for each in journal.snapshots if each.title == title]
        seen = [each.diagnosis for each in snapshots if each.diagnosis is not None]
        cells = ["not finite", *["–"] * 4]
        if seen:
            verdicts, last = (seen[0].verdict, seen[-1].verdict), seen[-1].verdict
            words = (f"{look(each).symbol} {look(each).word}" for each in verdicts)
            # Lags beyond which nothing was measured depend on the time there was.
            lags = max(each.max_lag for each in verdicts)
            horizons = [reach(each.regime, each.horizon, lags) for each in verdicts]
            ends = np.sort(seen[-1].norms.log_norms[-1])  # NaN last
            cells = [
                " → ".join(dict.fromkeys(words)),
                pace(last.rate, marginal=last.marginal, short=True),
                " → ".join(dict.fromkeys(horizons)),
                level(float(ends[((~np.isnan(ends)).sum() - 1) // 2]) / LN_10),
                str(last.max_lag),
            ]
        deviations = [each.deviation for each in snapshots if each.deviation is not None]
        off_by = f"{max(deviations):.0e}" if deviations else "–"
        rows.append([title, *cells, str(len(snapshots)), off_by])
    return table_of((*titles, "snapshots", "replay\noff by"), rows, screen, gap=2)


def _causes(journal: Journal) -> list[str]:
    sentences = []
    for title, diagnosis in journal.diagnoses.items():
        codes = (ReasonCode.MAIN_CAUSE, ReasonCode.HORIZON_UNKNOWN)
        reasons = [each for code in codes if (each := diagnosis.verdict.reason(code))]
        sentences += [f"{title}: {reason_sentence(each)}" for each in reasons]
        if diagnosis.verdict.reason(ReasonCode.HORIZON_UNKNOWN):
            sentences[-1] += " Where calls have no more steps than that, none can arrive"
    dropped = ", ".join(dict.fromkeys(each.title for each in journal.snapshots if each.dropout))
    left = ", ".join(dict.fromkeys(each.title for each in journal.snapshots if each.left_out))
    sentences += [f"{left}: measured without the dropout within the step"] if left else []
    same = "the replay drops the same fraction of values, but not the same values"
    return sentences + ([f"{dropped}: dropout between layers; {same}"] if dropped else [])


def _not_watched(journal: Journal) -> list[str]:
    refused = [f"{each.title}: {REFUSAL_WORDS[each.refusal]}" for each in journal.refused]
    return refused + [
        f"{name}: no snapshot yet; a single lag is expected to take {number(cost)} s, more than "
        "the share of the time allows so far (raise share)"
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
    spread = f"half of {norms.size} steps below {half}, nine in ten below {nine}"
    return [f"{spread}; the largest {largest}"]
