"""The first screen: the whole answer in 24 lines, and what is left out of a smaller one."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

import numpy as np
import pytest

from gradscope.analysis.results import Analysis, Profile
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.remedies import Remedy, RemedyCode
from gradscope.names import Regime
from gradscope.report.screen import HEIGHT, Screen
from gradscope.report.terminal.first_screen import BAR, WIDE, first_screen
from gradscope.report.words.cells import CAUSE_LABELS
from gradscope.report.words.headline import look
from tests.present import present


def shown(analysis: Analysis, screen: Screen) -> list[str]:
    return [str(line) for line in first_screen(analysis, screen)]


def commands(lines: Sequence[str]) -> list[list[str]]:
    """Return the commands of a page in words, as a shell reads them."""
    joined = "\n".join(lines).replace("\\\n", " ").removeprefix("DO").split("\n")
    typed = [line.removeprefix("DO").strip() for line in joined]
    return [shlex.split(line, comments=True) for line in typed if line.startswith("gradscope ")]


@pytest.mark.parametrize("width", [80, WIDE, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_answer_takes_at_most_24_lines(analysis: Analysis, width: int, unicode: bool) -> None:
    lines = shown(analysis, Screen(width, unicode))

    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= width
    assert lines[0][0] == Screen(width, unicode).say(look(analysis.last.verdict).symbol)
    assert all(line.isascii() for line in lines) or unicode
    assert sum("WHY" in line for line in lines) <= 1
    assert lines[-1] != ""


def test_a_wide_screen_has_plot_and_causes_side_by_side(analyses: dict[str, Analysis]) -> None:
    narrow, wide = (shown(analyses["trained"], Screen(width)) for width in (WIDE - 1, WIDE))

    assert len(wide) < len(narrow)
    assert any("┤" in line and "WHY" in line for line in wide)
    assert not any("┤" in line and "WHY" in line for line in narrow)


def advised(analysis: Analysis) -> Analysis:
    """Return an analysis with two remedies, an R², and a profile that goes to the last row."""
    lags = np.arange(1, 51)
    norms = np.repeat(np.linspace(-0.7, -35.0, 50)[:, None], 3, axis=1)
    profile = Profile(lags, norms, np.zeros(50), 1e-16)
    rate: dict[str, float | int | str | None] = {
        "predicted_rate": -0.25,
        "predicted_from": "measurement",
    }
    remedies = (
        Remedy(RemedyCode.REDUCE_SATURATION, rate, {"input_scale": 0.125}),
        Remedy(RemedyCode.ALIGN_WEIGHTS, rate, {"init": "gaussian"}),
    )
    last = dataclasses.replace(analysis.last, profile=profile)
    readout = dataclasses.replace(present(analysis.readout), score=0.4375)
    stages = (analysis.stages[0], last)
    return dataclasses.replace(analysis, stages=stages, remedies=remedies, readout=readout)


def test_what_does_not_fit_is_left_out_in_order(analyses: dict[str, Analysis]) -> None:
    analysis = advised(analyses["trained"])
    main = present(analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)).numbers["cause"]
    found = []
    for height in range(HEIGHT, 4, -1):
        lines = shown(analysis, Screen(80, height=height))
        assert look(analysis.last.verdict).symbol in lines[0]
        assert any("▸" in line and CAUSE_LABELS[str(main)] in line for line in lines)
        asked = commands(lines)
        assert asked[0][:2] == ["gradscope", "try"]
        readout = any("0.44" in line for line in lines)
        found.append((readout, len(asked), sum("┤" in line for line in lines)))

    stages = list(dict.fromkeys(found))
    assert stages == [(True, 2, 5), (False, 2, 5), (False, 1, 5), (False, 1, 3)]


def test_advice_is_a_command_with_the_rate_that_it_gives(analyses: dict[str, Analysis]) -> None:
    lines = shown(advised(analyses["trained"]), Screen(80))

    tried, changed = commands(lines)
    assert "--hidden" in tried
    assert changed[:2] == ["gradscope", "analyze"]
    assert changed[changed.index("--input-scale") + 1] == "0.125"
    assert any("# growth −0.25" in line for line in lines)


def test_what_cannot_be_trained_is_not_to_be_tried(analyses: dict[str, Analysis]) -> None:
    analysis = advised(analyses["trained"])
    last = dataclasses.replace(analysis.last, error=None, gradient=None)
    without = dataclasses.replace(analysis, stages=(last,))

    assert [words[1] for words in commands(shown(without, Screen(80)))] == ["analyze", "analyze"]


def test_a_network_that_was_not_trained_is_tried_with_updates(
    analyses: dict[str, Analysis],
) -> None:
    analysis = advised(analyses["trained"])
    settings = analysis.settings.with_changes({"updates": 0, "load": "run.npz"})
    tried, _ = commands(shown(dataclasses.replace(analysis, settings=settings), Screen(80)))

    assert "--updates" not in tried  # The default is some.
    assert "--load" not in tried


def test_the_bars_are_as_long_as_the_causes_are_large(analyses: dict[str, Analysis]) -> None:
    analysis = analyses["vanishing"]
    causes = analysis.last.causes
    assert isinstance(causes, CauseRates)
    none = dataclasses.replace(causes, misalignment=0.0)
    stage = dataclasses.replace(analysis.last, causes=none)
    lines = shown(dataclasses.replace(analysis, stages=(stage,)), Screen(80))

    ceiling = next(line for line in lines if "slope ceiling" in line)
    growth = next(line for line in lines if " growth " in line)
    ratio = present(stage.causes.total) / np.log(0.25)
    longest = max(1.0, ratio)
    assert ceiling.count("░") == round(BAR / longest)
    assert growth.count("▓") == round(BAR * ratio / longest)
    assert "misalignment" not in "".join(lines)  # Zero terms are not shown.


def test_every_regime_has_its_symbol_and_shut_its_own(analyses: dict[str, Analysis]) -> None:
    verdict = dataclasses.replace(analyses["untrained"].last.verdict, reasons=())
    looks = {each: look(dataclasses.replace(verdict, regime=each)).symbol for each in Regime}

    assert looks[Regime.VANISHING] == looks[Regime.TRANSIENT]
    assert len(set(looks.values())) == len(Regime) - 1
    assert analyses["exactly zero"].last.verdict.shut
    assert look(analyses["exactly zero"].last.verdict).symbol not in looks.values()


def test_sequences_that_disagree_are_counted_below_the_causes(
    analyses: dict[str, Analysis],
) -> None:
    analysis = analyses["trained"]
    counts = Reason(ReasonCode.SEQUENCES_DISAGREE, {"vanishing": 7, "stable": 5})
    main = present(analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE))
    verdict = dataclasses.replace(
        analysis.last.verdict, regime=Regime.MIXED, reasons=(counts, main)
    )
    stage = dataclasses.replace(analysis.last, verdict=verdict)
    lines = shown(dataclasses.replace(analysis, stages=(stage,)), Screen(80))

    assert lines[0].startswith("◆")
    bars = [place for place, line in enumerate(lines) if "▓" in line]
    told = [place for place, line in enumerate(lines) if {"7", "5"} <= set(re.findall(r"\d", line))]
    assert told
    assert told[0] > bars[0]
