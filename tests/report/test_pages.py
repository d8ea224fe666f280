"""Terminal pages: they render at every width, in Unicode and in ASCII, whatever is shown."""

import dataclasses
import io
import re

import numpy as np
import pytest
from rich.console import Console, RenderableType

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import Analysis, Comparison, Profile
from gradscope.arrays import LN_10, FloatArray
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.report.screen import Screen
from gradscope.report.terminal.analysis import (
    analysis_page,
    check_page,
    training_page,
)
from gradscope.report.terminal.plot import FARTHEST, profile_plot
from gradscope.report.terminal.sweep import comparison_page
from gradscope.report.terminal.table import table_of
from gradscope.report.words.headline import cause_sentence, look

SCREENS = [Screen(width, unicode) for width in (60, 80, 200) for unicode in (True, False)]
FULL = Screen(80, full=True)
GUTTER = len("1/1000")


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen.width}-{screen.unicode}")
def screen(request: pytest.FixtureRequest) -> Screen:
    found: Screen = request.param
    return found


def rendered(page: RenderableType, screen: Screen) -> list[str]:
    file = io.StringIO()
    console = Console(
        file=file, width=screen.width, markup=False, highlight=False, emoji=False, no_color=True
    )
    console.print(page)
    text = file.getvalue()
    assert screen.unicode or text.isascii()
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= screen.width
    return lines


def test_the_page_of_analyze_renders(analysis: Analysis, screen: Screen) -> None:
    screen = dataclasses.replace(screen, full=True)
    lines = rendered(analysis_page(analysis, screen), screen)

    assert lines[0][0] == screen.say(look(analysis.last.verdict).symbol)
    assert any(line.startswith("growth rate") for line in lines)
    assert "Why" in lines
    assert not re.search(r"\bnan\b|\bNone\b|e-1[5-9]\b", "\n".join(lines))


def test_the_page_of_train_renders(analysis: Analysis, screen: Screen) -> None:
    seen = [Checkpoint(1, 2.0, 3.0, None), Checkpoint(3, float("inf"), float("inf"), 7)]

    lines = rendered(training_page(analysis, seen, screen), screen)

    assert sum(line.split()[:1] in (["1"], ["3"]) for line in lines) >= len(seen)
    assert lines[-1] != ""


def test_the_page_of_compare_renders(analyses: dict[str, Analysis], screen: Screen) -> None:
    kinds = ("trained", "exactly zero", "exploding", "vanishing", "overflow in training")
    comparison = Comparison(tuple(analyses[kind] for kind in kinds))

    lines = rendered(comparison_page(comparison, screen), screen)

    # The last one is the first again, with another training: two of the same settings.
    assert lines[0].startswith("Over 12 steps, median of 2 seeds: ")
    if screen.width >= 80:
        rows = [line for line in lines if re.match(r"[a-z-]+ +12 ", line)]
        assert len(rows) == len(kinds) - 1


def test_the_page_of_check_renders(screen: Screen) -> None:
    rows = (
        CheckRow("gradient of recurrent weights", "central differences", 1e-10, 1e-6),
        CheckRow("σ_max at every lag", "its four causes", float("nan"), 1e-9),
    )

    lines = rendered(check_page(rows, screen), screen)

    assert lines[0] == "1 of 2 checks fail."
    assert sum(line.endswith("FAILS") for line in lines) == 1
    assert rendered(check_page(rows[:1], screen), screen)[0] == "All checks pass."


def test_brackets_and_control_characters_of_names_are_shown_not_obeyed(
    analyses: dict[str, Analysis],
) -> None:
    screen = Screen(200, full=True)
    text = " ".join(rendered(analysis_page(analyses["odd names"], screen), screen))

    assert "[bold]x[/bold]\\nand\\x1b[31m y | z (a  b.csv)" in text


def test_what_rounding_left_of_the_causes_reads_zero(analyses: dict[str, Analysis]) -> None:
    lines = rendered(analysis_page(analyses["untrained"], FULL), FULL)

    cells = {line.rsplit(None, 1)[0].strip(): line.split()[-1] for line in lines if "  " in line}
    assert cells["weights, log σ_max(W)"] == "0"
    assert cells["slope ceiling, log γ"] == "0"
    assert cells["misalignment"] == "0"
    assert cells["its bound (γ·σ_max(W))^ℓ"] == "0"


LAYER = "encoder.the_recurrent_layer_of_the_dorsal_stream.whose_name-is/long[0]"


def test_a_long_name_is_broken_at_its_marks_and_no_number_is(screen: Screen) -> None:
    rows = [[LAYER, "−0.0669", "124 steps"], [], ["a.b[0]", "−0.5", "14 steps"]]

    lines = rendered(table_of(("layer", "growth", "horizon"), rows, screen, gap=2), screen)

    assert lines[1].split()[1:] == [screen.say("−0.0669"), "124", "steps"]
    parts = [line.split()[0] for line in lines[1:-2]]
    assert "".join(parts) == LAYER
    assert all(part[-1] in "._/-" for part in parts[:-1])


def test_a_verdict_without_a_main_cause_says_how_the_causes_add_up(
    analyses: dict[str, Analysis],
) -> None:
    screen = Screen(200, full=True)
    for analysis in analyses.values():
        page = " ".join(rendered(analysis_page(analysis, screen), screen))
        named = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE) is not None
        zero = analysis.last.causes.total is None
        assert (cause_sentence(analysis.last.causes) in page) == (not named and not zero)


def test_clipping_has_a_row_only_where_it_was_asked_for(analyses: dict[str, Analysis]) -> None:
    pages = {
        kind: "\n".join(rendered(analysis_page(analyses[kind], FULL), FULL))
        for kind in ("trained", "clipped")
    }

    assert "updates clipped" not in pages["trained"]
    assert "100%" in pages["clipped"]


# --- The plot -----------------------------------------------------------------------------------


def with_profile(analysis: Analysis, median: FloatArray, bound: FloatArray) -> Analysis:
    """Return the analysis with another lag profile, in log10."""
    profile = Profile(np.arange(1, median.size + 1), median[:, None] * LN_10, bound * LN_10, 1e-16)
    below = np.flatnonzero(median < np.log10(analysis.settings.vanishing))
    verdict = dataclasses.replace(
        analysis.last.verdict,
        horizon=int(below[0]) + 1 if below.size else None,
        max_lag=median.size,
    )
    last = dataclasses.replace(analysis.last, profile=profile, verdict=verdict)
    return dataclasses.replace(analysis, stages=(last,))


RAMP = np.arange(1.0, 51.0)
CURVES = {
    "flat": (np.zeros(50), np.zeros(50)),
    "vanishing": (-0.3 * RAMP, -0.1 * RAMP),
    "exploding": (40.0 * RAMP, 41.0 * RAMP),
    "zero at once": (np.full(50, -np.inf), np.full(50, -np.inf)),
    "zero later": (np.where(RAMP < 8, 0.0, -np.inf), np.zeros(50)),
    "one lag": (np.array([-0.2]), np.array([0.0])),
    "two lags": (np.array([-0.2, -9.0]), np.array([0.0, 0.0])),
    "very long": (-0.6 * np.arange(1.0, 10_001.0), np.zeros(10_000)),
    "grows first": (2.0 - 0.1 * (RAMP - 10.0) ** 2, RAMP),
}


def plotted(analysis: Analysis, screen: Screen) -> list[str]:
    return [str(line) for line in profile_plot(analysis, screen, screen.width)]


@pytest.mark.parametrize("curve", CURVES)
def test_the_plot_has_its_corridor_whatever_the_curve(
    analyses: dict[str, Analysis], screen: Screen, curve: str
) -> None:
    lines = plotted(with_profile(analyses["untrained"], *CURVES[curve]), screen)

    assert max(map(len, lines)) <= screen.width
    labels = [line.split()[0] for line in lines[:-2]]
    place = labels.index("1000")
    assert labels[place : place + 3] == ["1000", "1", "1/1000"]
    assert 5 <= len(lines) <= 2 * FARTHEST + 3
    assert "nan" not in "".join(lines)
    assert screen.unicode or "".join(lines).isascii()


def marks(analysis: Analysis) -> list[tuple[str, int]]:
    """Return the label of the row and the column of every mark of the median, drawn in ASCII."""
    lines = plotted(analysis, Screen(80, unicode=False))
    return [
        (line[: GUTTER + 1].strip(), column)
        for line in lines[:-2]
        for column, mark in enumerate(line[GUTTER + 2 :])
        if mark in "'*.o"
    ]


def test_a_profile_leads_from_row_to_row_and_a_flat_one_stays(
    analyses: dict[str, Analysis],
) -> None:
    median, bound = CURVES["vanishing"]
    for sign, last in ((1.0, "10^-9"), (-1.0, "10^9")):
        found = marks(with_profile(analyses["untrained"], sign * median, bound))
        rows = [row for row, _ in sorted(found, key=lambda mark: mark[1])]
        assert (rows[0], rows[-1]) == ("1", last)
        assert len(list(dict.fromkeys(rows))) == 4

    flat = marks(with_profile(analyses["untrained"], *CURVES["flat"]))
    assert {row for row, _ in flat} == {"1"}
    assert len(flat) == 80 - GUTTER - 2


def test_a_row_is_three_powers_of_ten_and_what_leaves_the_view_is_not_drawn(
    analyses: dict[str, Analysis],
) -> None:
    # 0.3 a lag: 1/1000 at lag 10, 1e-9 at lag 30, out of view from lag 35 on.
    found = marks(with_profile(analyses["untrained"], *CURVES["vanishing"]))

    columns = 80 - GUTTER - 2
    lags = {name: [c / (columns - 1) * 49 + 1 for r, c in found if r == name] for name, _ in found}
    assert np.mean(lags["1/1000"]) == pytest.approx(10, abs=1)
    assert np.mean(lags["10^-9"]) == pytest.approx(30, abs=1)
    assert max(map(max, lags.values())) == pytest.approx(35, abs=1)


def test_the_lags_that_matter_are_marked_on_the_axis(analyses: dict[str, Analysis]) -> None:
    analysis = with_profile(analyses["untrained"], *CURVES["vanishing"])
    verdict = dataclasses.replace(analysis.last.verdict, required_lag=40)
    last = dataclasses.replace(analysis.last, verdict=verdict)
    *rows, rule, labels = plotted(dataclasses.replace(analysis, stages=(last,)), Screen(80))

    ticks = [place for place, sign in enumerate(rule) if sign == "┬"]
    lags = [round((t - GUTTER - 2) / (80 - GUTTER - 3) * 49) + 1 for t in ticks]
    assert lags == [1, 11, 40, 50]
    assert re.findall(r"\d+", labels) == ["1", "11", "40", "50"]
    assert [row[ticks[1]] for row in rows if row.strip().startswith("1/1000")] == ["●"]
    assert {row[ticks[2]] for row in rows} == {"┆"}


@pytest.mark.parametrize("needed", [60, 12])
def test_a_lag_beside_another_or_beyond_those_measured_is_still_named(
    analyses: dict[str, Analysis], needed: int
) -> None:
    analysis = with_profile(analyses["untrained"], *CURVES["vanishing"])
    verdict = dataclasses.replace(analysis.last.verdict, required_lag=needed)
    last = dataclasses.replace(analysis.last, verdict=verdict)
    lines = plotted(dataclasses.replace(analysis, stages=(last,)), Screen(80))

    assert str(needed) in re.findall(r"\d+", lines[-1])
    assert ("→" in lines[-1]) == (needed > 50)
    assert any("┆" in line for line in lines) == (needed <= 50)
