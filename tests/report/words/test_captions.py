"""How to read each panel: no sentence claims more than the numbers of its run."""

import dataclasses

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import gradscope
from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis
from gradscope.diagnosis.motion import MotionCode
from gradscope.report.figures.pages import place_labels
from gradscope.report.figures.panels import PANELS
from gradscope.report.words.captions import (
    profile_caption,
)
from gradscope.report.words.theory import MOTION_WORDS, motion_sentences
from tests.present import present

SMALL = {"hidden": 6, "steps": 12, "sequences": 3, "batch": 4, "updates": 0}


def analysis_of(**settings: object) -> Analysis:
    found: Analysis = gradscope.analyze(gradscope.Settings(**{**SMALL, **settings}))
    return found


@pytest.fixture(scope="module")
def drawn() -> Analysis:
    return analysis_of(spectrum=True)


@pytest.fixture(scope="module")
def gated() -> Analysis:
    return analysis_of(cell="lstm", spectrum=True)


def with_motion(analysis: Analysis, code: MotionCode, alone: MotionCode) -> Analysis:
    spectrum: Spectrum = present(analysis.details.spectrum)
    changed = dataclasses.replace(
        spectrum,
        motion=dataclasses.replace(spectrum.motion, code=code),
        alone=dataclasses.replace(spectrum.alone, code=alone),
    )
    return dataclasses.replace(
        analysis, details=dataclasses.replace(analysis.details, spectrum=changed)
    )


def test_no_dimension_is_given_where_the_state_is_not_on_an_attractor(drawn: Analysis) -> None:
    for code in MotionCode:
        text = PANELS["lyapunov"].reading(with_motion(drawn, code, code))

        gone = (MotionCode.UNSTABLE_FIXED_POINT, MotionCode.UNSTABLE_CYCLE, MotionCode.DIVERGES)
        assert ("dimension" in text) == (code not in gone)
        assert MOTION_WORDS[code][:8] in text


def test_chaos_that_the_inputs_suppress_is_said(drawn: Analysis) -> None:
    calmed = with_motion(drawn, MotionCode.STABLE_RESPONSE, MotionCode.CHAOS)

    assert len(motion_sentences(present(calmed.details.spectrum))) == 3
    same = with_motion(drawn, MotionCode.UNSTABLE_RESPONSE, MotionCode.CHAOS)
    assert len(motion_sentences(present(same.details.spectrum))) == 2


def test_the_bound_of_a_gated_cell_is_not_said_to_come_from_its_weights_alone(
    drawn: Analysis, gated: Analysis
) -> None:
    assert "from the network alone" in profile_caption(drawn)
    assert "network alone" not in profile_caption(gated)


def test_slopes_are_said_to_pull_eigenvalues_inward_only_where_they_do(drawn: Analysis) -> None:
    assert "pull the crosses inward" in PANELS["eigenvalues"].reading(drawn)
    linear = analysis_of(activation="identity", spectrum=True)
    assert "inward" not in PANELS["eigenvalues"].reading(linear)
    leaky = analysis_of(leak=0.5, gain=3.0, spectrum=True)
    assert "inward" not in PANELS["eigenvalues"].reading(leaky)


def test_a_gated_cell_has_no_mark_of_w_in_the_legend_of_its_eigenvalues(gated: Analysis) -> None:
    axes = Figure().subplots()

    PANELS["eigenvalues"].draw(axes, gated)

    assert axes.get_legend_handles_labels()[1] == ["|z| = 1", "$J_t$"]


@pytest.mark.parametrize("delay", [1, 10, 18])
def test_the_mark_of_the_truncation_length_stays_inside_its_panel(delay: int) -> None:
    analysis = analysis_of(steps=20, delay=delay, shares=True, updates=3, cell="lstm")
    figure = Figure(figsize=(2.7, 2.2))
    axes = figure.subplots()

    PANELS["shares"].draw(axes, analysis)

    place_labels(figure)
    (mark,) = figure.axes[1].texts
    inside, text = axes.get_window_extent(), Text.get_window_extent(mark)
    assert inside.x0 <= text.x0
    assert text.x1 <= inside.x1


def test_shares_that_do_not_cancel_are_not_said_to() -> None:
    # W = 0: the whole gradient is the share of lag 0.
    alone, many = analysis_of(gain=0.0, shares=True), analysis_of(shares=True)

    assert PANELS["shares"].reading(alone).endswith("do not cancel.")
    assert "partly cancel" in PANELS["shares"].reading(many)
