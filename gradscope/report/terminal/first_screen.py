"""The first screen of ``analyze`` is the whole answer: verdict, profile, why, what to do, numbers.

Where it does not fit it loses R² first, then the second thing to do, then the plot's lower half;
never the sentence, the main cause, the first thing to do.
"""

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap

from rich.text import Text

from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.names import Regime, StartName
from gradscope.report.provenance.recipe import command_line
from gradscope.report.screen import Screen
from gradscope.report.terminal.plot import profile_plot
from gradscope.report.terminal.table import command_lines, table_lines
from gradscope.report.words import headline as words
from gradscope.report.words.cells import CAUSE_LABELS, MAIN_CAUSES
from gradscope.report.words.numbers import NEGLIGIBLE, interval, level, number
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice

WIDE, MARGIN, BAR = 110, 6, 14
"""Columns: from which on plot and causes stand side by side; of the headings; of a bar. A cause
that would have less than half a column is left out."""

SAID_ELSEWHERE = frozenset(
    {ReasonCode.BELOW_THRESHOLD, ReasonCode.ABOVE_THRESHOLD, ReasonCode.WITHIN_THRESHOLDS}
    | {ReasonCode.HORIZON_SHORT, ReasonCode.HORIZON_REACHES, ReasonCode.MAIN_CAUSE}
    | {ReasonCode.BOUND_ALLOWS_EXPLODING, ReasonCode.AT_BASELINE, ReasonCode.BEATS_BASELINE}
)
"""Reasons that sentence, plot, bars or numbers show, and one that decides nothing."""

FITS = ((9, 1, 2, 3), (2, 1, 2, 3), (2, 0, 2, 3), (2, 0, 1, 3), (2, 0, 1, 1))
"""From all to least: lines on what was studied, whether R² is shown, things to do, and rows of the
plot below that of 1."""


def first_screen(analysis: Analysis, screen: Screen) -> list[Text]:
    """Return the answer in the lines that a screen has, else in as few as it takes."""
    wide, look = screen.width >= WIDE, words.look(analysis.last.verdict)
    half = screen.width // (1 + wide)
    room = half - MARGIN
    said = wrap(screen.say(f"{look.symbol} {words.answer(analysis)}."), screen.width)
    head = [Text(line, f"bold {look.terminal}") for line in said]
    head.append(Text(screen.say("  gradient that arrives, σ_max(∂h_T/∂h_T−ℓ), by lag ℓ"), "dim"))
    reasons = [each for each in analysis.last.verdict.reasons if each.code not in SAID_ELSEWHERE]
    first = [reason_sentence(each).partition(". ")[0].removesuffix(".") for each in reasons]
    told = [list(map(Text, wrap(screen.say(f"{each}."), room))) for each in first]
    things, causes = _things_to_do(analysis, screen), _bars(analysis, screen, room)
    if not causes and told:
        causes = told.pop(0)
    for about, readout, many, farthest in FITS:
        plot = profile_plot(analysis, screen, half - 2 * wide, farthest)
        above = max(len(plot), len(causes)) if wide else len(plot) + 1 + len(causes)
        todo = _beside("DO", [line for thing in things[:many] for line in thing])
        rest = [part for part in (todo, _numbers(analysis, screen, readout, about)) if part]
        left = screen.height - len(head) - above - sum(len(part) + 1 for part in rest)
        if left >= 0:
            break
    left += wide * (above - len(causes))
    for lines in told:
        if len(lines) <= left:
            causes, left = causes + lines, left - len(lines)
    why = _beside("WHY", causes)
    parts = [_beside(plot, why, half), *rest] if wide else [plot, why, *rest]
    return head + [line for part in parts for line in (*part, Text())][:-1]


def _beside(left: str | Sequence[Text], right: Sequence[Text], at: int = MARGIN) -> list[Text]:
    """Return lines, or a title of others, with those others beside them; none for a title alone."""
    if isinstance(left, str):
        left = [Text(left, "bold")][: len(right)]
    pairs = zip_longest(left, right, fillvalue=Text())
    space = " " * at
    return [
        Text.assemble(a, space[a.cell_len :], b, no_wrap=True, overflow="ignore") for a, b in pairs
    ]


def _bars(analysis: Analysis, screen: Screen, room: int) -> list[Text]:
    """Return the causes that matter and their sum as bars; none where there is no rate."""
    stage, main = analysis.last, analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    if stage.causes.total is None:
        return []
    cause = str(main.numbers["cause"]) if main else ""
    notes = {cause: MAIN_CAUSES.get(cause, "").rpartition(": ")[2]}
    notes["growth"] = f"{interval(stage.growth.low, stage.growth.high)} per step".strip()
    terms = {**terms_of(stage.causes), "growth": stage.causes.total}
    rates = {name: rate or 0.0 for name, rate in terms.items()}
    longest = max(NEGLIGIBLE, *map(abs, rates.values()))
    bars = []
    for name, rate in rates.items():
        if name in notes or BAR * abs(rate) > 0.5 * longest:
            fill, regime = ("█", Regime.EXPLODING) if rate > 0.0 else ("░", Regime.VANISHING)
            bar = ("▓" if name == "growth" else fill) * round(BAR * abs(rate) / longest)
            sign, size = "+" if rate > NEGLIGIBLE else "", level(float(f"{rate:.2g}"))
            label = f"{' ▸'[name == cause]} {CAUSE_LABELS.get(name, name):<15} "
            line = Text(screen.say(label), "bold" if name == cause else "")
            line.append(screen.say(f"{bar:<{BAR}}"), words.REGIME_LOOKS[regime].terminal)
            line.append(screen.say(f" {sign}{size:<{7 - len(sign)}} "))
            note = screen.say(notes.get(name, ""))
            fits = line.cell_len + len(note) <= room
            more = [Text(f"{'':18}{note}")] if name == "growth" and not fits else []
            bars += [line.append(note * fits), *more]
    return bars


def _things_to_do(analysis: Analysis, screen: Screen) -> list[list[Text]]:
    """Return what to do, each in lines of its own: ``try`` first where it can train, then advice as
    a command, with the growth rate that it gives, or where there is none as a sentence.
    """
    settings, found = analysis.settings, []
    rows: list[tuple[str, str | None, str]] = []
    verdict = analysis.last.verdict
    helps = analysis.remedies or verdict.regime in (Regime.VANISHING, Regime.EXPLODING)
    helps = helps and settings.cell is not None  # Code of somebody's own is not trained.
    if helps and analysis.last.error is not None:
        start = settings.start if settings.weights is None else settings.start or StartName.SCRATCH
        trained = {"load": None, "updates": settings.updates or Settings().updates, "start": start}
        first = command_line(settings.with_changes(trained), "try")
        rows.append(("", first, "trains each change, says which helps"))
    when = " before training" if analysis.training is not None else ""
    for remedy, sentence, command in zip(analysis.remedies, *advice(analysis), strict=True):
        rate = remedy.numbers.get("predicted_rate")
        gives = f"growth {level(rate)}{when}" if isinstance(rate, float) else ""
        rows.append((sentence, command, gives))
    for sentence, typed, note in rows:
        said = wrap(screen.say(sentence), screen.width - MARGIN)
        lines = command_lines(typed, screen) if typed else said
        shown = list(map(Text, lines))
        if typed and note and MARGIN + len(lines[-1]) + len(note) + 4 <= screen.width:
            shown[-1].append(screen.say(f"  # {note}"), "dim")
        found.append(shown)
    return found


def _numbers(analysis: Analysis, screen: Screen, readout: int, lines: int) -> list[Text]:
    """Return what training changed, and beside it what was studied and where the rest stands."""
    stages, baseline, read = analysis.stages, analysis.task_info.baseline, analysis.readout
    titles = (words.stage_title(each.name, None).removesuffix(" training") for each in stages)
    rows = [["", *titles], ["memory horizon", *map(words.horizon, stages)]]
    if baseline is not None:
        title = f"error (baseline {number(baseline.error)})"
        rows.append([title, *(number(each.error) for each in stages)])
    if readout and read is not None and read.score is not None:
        score = number(round(read.score, 2))
        rows.append(["readout R²", score, *["–"] * (len(stages) - 1)])
    rows = [[screen.say(cell) for cell in row] for row in rows]
    wide = max(len(title) for title, *_ in rows)
    rows = [[title.ljust(wide), *cells] for title, *cells in rows]
    table = [Text(line) for line in table_lines(rows[0], rows[1:])]
    at, most = table[0].cell_len + 3, max(len(rows) - 1, lines)
    about = screen.say(words.describe(analysis.settings, analysis))
    shown = wrap(about, screen.width - at, max_lines=most, placeholder=screen.say(" …"))
    shown.append("all numbers: --full")
    return _beside(table, [Text(line, "dim") for line in shown], at)
