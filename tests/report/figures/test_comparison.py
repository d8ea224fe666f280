"""The picture of a comparison: every network is named, and no text covers another."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import gradscope
from gradscope.analysis.results import Analysis, Comparison
from gradscope.names import ActivationName, CellName
from gradscope.report.figures.analysis import analysis_picture
from gradscope.report.figures.comparison import comparison_figure, comparison_picture
from gradscope.sweep.compare import cells_of_files
from tests.present import present
from tests.report.drawn_texts import clashes, texts_of

SMALL = gradscope.Settings.from_dict(
    {"hidden": 6, "steps": 12, "sequences": 3, "batch": 4, "updates": 1}
)
EVERY = tuple(ActivationName)[:6]

NETWORKS = {
    1: (EVERY[:1], (CellName.ELMAN,)),
    2: (EVERY[:2], (CellName.ELMAN,)),
    3: (EVERY[:1], tuple(CellName)),
    4: (EVERY[:4], (CellName.ELMAN,)),
    6: (EVERY, (CellName.ELMAN,)),
    8: (EVERY[:4], (CellName.GRU, CellName.LSTM)),
    18: (EVERY, tuple(CellName)),
}


def words_of(figure: Figure) -> list[str]:
    return [each.get_text() for each in texts_of(figure)]


def with_errors(comparison: Comparison, *errors: float) -> Comparison:
    """Return a comparison whose analyses have these errors."""

    def changed(analysis: Analysis, error: float) -> Analysis:
        last = dataclasses.replace(analysis.last, error=error)
        return dataclasses.replace(analysis, stages=(*analysis.stages[:-1], last))

    return Comparison(tuple(map(changed, comparison.analyses, errors)))


@pytest.mark.parametrize("lengths", [(10,), (4, 13, 40, 126)], ids=str)
@pytest.mark.parametrize("count", NETWORKS)
def test_no_text_covers_another_however_many_networks(count: int, lengths: tuple[int, ...]) -> None:
    activations, kinds = NETWORKS[count]
    settings = SMALL.with_changes({"updates": 0, "sequences": 1})

    figure = comparison_figure(gradscope.compare(settings, activations, lengths, kinds=kinds))

    assert clashes(figure) == []
    assert not any("…" in words for words in words_of(figure))
    names = [each.get_text() for each in present(figure.legends[0]).get_texts()]
    assert len(names) == count + 1
    assert names[-1] == "vanished: below 1/1000"


def test_the_lengths_are_named_once_above_the_ends_of_their_curves() -> None:
    figure = comparison_figure(gradscope.compare(SMALL, EVERY[:2], (5, 20, 60)))

    named = {
        each.get_text(): each.xy[0] for each in figure.axes[0].texts if isinstance(each, Annotation)
    }

    assert named == {"T = 20": 20, "T = 60": 60, "T = 5": 5}


def test_lengths_are_drawn_in_order_however_they_were_asked_for() -> None:
    figure = comparison_figure(gradscope.compare(SMALL, EVERY[:2], (60, 5, 20)))

    drawn = [np.asarray(line.get_xdata()).tolist() for line in figure.axes[1].lines]
    assert [5, 20, 60] in drawn
    assert drawn == [sorted(each) for each in drawn]


def test_many_lengths_are_named_where_there_is_room_the_longest_first() -> None:
    lengths = (10, 14, 19, 27, 37, 52, 72, 100, 139, 193, 268, 373, 518, 720, 1000)
    settings = SMALL.with_changes({"updates": 0, "sequences": 1, "hidden": 2})

    figure = comparison_figure(gradscope.compare(settings, EVERY[:1], lengths))

    assert clashes(figure) == []
    for axes in figure.axes[1:3]:
        ticks = axes.get_xticks().tolist()
        assert 1000 in ticks
        assert set(ticks) < set(lengths)
        assert len(ticks) > 5


def test_a_length_that_no_curve_reaches_is_not_named() -> None:
    settings = SMALL.with_changes({"max_lag": 7})

    figure = comparison_figure(gradscope.compare(settings, EVERY[:2], (7, 20)))

    assert [each.get_text() for each in figure.axes[0].texts] == ["T = 7"]


def test_an_end_that_is_exactly_zero_is_not_named() -> None:
    analyses = [
        gradscope.analyze(SMALL.with_changes({"updates": 0, **changes}))
        for changes in ({"steps": 20, "gain": 0.0}, {"steps": 8})
    ]

    figure = comparison_figure(Comparison(tuple(analyses)))

    assert [each.get_text() for each in figure.axes[0].texts] == ["T = 8"]


def test_an_error_that_overflows_everywhere_is_said_where_nothing_can_be_drawn() -> None:
    overflowing = with_errors(gradscope.compare(SMALL, EVERY[:1], (5, 10)), math.inf, math.inf)

    figure = comparison_figure(overflowing)

    assert "The error is infinite:\nthe state overflows." in words_of(figure)
    assert clashes(figure) == []


def test_an_error_that_overflows_at_one_length_stands_hollow_at_the_edge() -> None:
    figure = comparison_figure(
        with_errors(gradscope.compare(SMALL, EVERY[:1], (5, 10)), 1.0, math.inf)
    )

    errors = figure.axes[2]
    assert "hollow: infinite" in words_of(figure)
    hollow = [line for line in errors.lines if line.get_fillstyle() == "none"]
    assert [np.asarray(line.get_xdata()).tolist() for line in hollow] == [[10]]
    assert clashes(figure) == []


def test_products_of_exactly_zero_are_said_where_no_curve_can_be_drawn() -> None:
    figure = comparison_figure(
        gradscope.compare(SMALL.with_changes({"gain": 0.0, "updates": 0}), EVERY[:2], (5, 10))
    )

    assert "Every product is exactly zero." in words_of(figure)
    assert not any(np.isfinite(line.get_ydata(orig=False)).any() for line in figure.axes[0].lines)
    assert clashes(figure) == []


def test_a_horizon_beyond_the_lags_is_called_so() -> None:
    figure = comparison_figure(gradscope.compare(SMALL, EVERY[:1], (5, 10)))

    assert figure.axes[1].get_title(loc="left") == "Memory horizon (hollow: beyond the lags)"


def test_a_comparison_is_drawn_with_every_activation() -> None:
    text = comparison_picture(
        gradscope.compare(SMALL, tuple(ActivationName), (3, 9)), ".svg"
    ).decode()

    assert all(f"<!-- {activation} -->" in text for activation in ActivationName)


def test_a_comparison_says_where_nothing_is_learned_and_has_horizons_to_read_off() -> None:
    figure = comparison_figure(gradscope.compare(SMALL, EVERY[:2], (20, 60)))
    figure.canvas.draw()

    horizons, errors = figure.axes[1:3]
    low, high = horizons.get_ylim()
    assert sum(low <= tick <= high for tick in horizons.get_yticks()) > 1
    assert [text.get_text() for text in present(errors.get_legend()).get_texts()] == [
        "nothing learned"
    ]


def test_a_comparison_of_a_series_draws_the_lag_that_it_rewards(tmp_path: Path) -> None:
    series = tmp_path / "$x_1$ [red].csv"
    series.write_text("\n".join(str(np.sin(t)) for t in range(90)))

    comparison = gradscope.compare(
        SMALL.with_changes({"data": str(series)}), (ActivationName.TANH,), (5, 10)
    )

    assert {each.last.verdict.required_lag for each in comparison.analyses} == {2}
    assert b"<!-- needed -->" in comparison_picture(comparison, ".svg")
    assert b"$x_1$ [red].csv" in analysis_picture(comparison.analyses[0], ".svg")


def test_each_seed_is_a_dot_beside_the_median_and_training_beside_what_was_before() -> None:
    comparison = gradscope.compare(SMALL, EVERY[:2], (5, 20), seeds=3)

    figure = comparison_figure(comparison)

    horizons = figure.axes[1]
    assert [len(np.asarray(dots.get_offsets())) for dots in horizons.collections] == [3] * 4
    drawn = np.sort(
        np.concatenate([np.asarray(d.get_offsets()) for d in horizons.collections])[:, 1]
    )
    verdicts = [each.last.verdict for each in comparison.analyses]
    assert drawn.tolist() == sorted(each.horizon or each.max_lag for each in verdicts)
    assert "before training" in words_of(figure)
    assert clashes(figure) == []


def test_files_stand_side_by_side_each_in_a_look_of_its_own(tmp_path: Path) -> None:
    for name, factor in (("a.npz", 0.5), ("b.npz", 0.8), ("$c$.npz", 0.9)):
        arrays = {"rnn.weight_ih_l0": np.ones((2, 3)), "rnn.weight_hh_l0": factor * np.eye(2)}
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
    given = {"activation": "identity", "steps": 30, "sequences": 2}

    figure = comparison_figure(gradscope.compare(cells_of_files([tmp_path], given)))

    profiles, horizons, errors = figure.axes
    handles, labels = profiles.get_legend_handles_labels()
    assert labels[:3] == ["1: \\$c\\$.npz", "2: a.npz", "3: b.npz"]
    assert len({(line.get_color(), line.get_linestyle()) for line in handles[:3]}) == 3  # type: ignore[attr-defined]
    assert horizons.get_xticks().tolist() == [3, 2, 1]
    assert any("no targets" in each.get_text() for each in errors.texts)
    assert clashes(figure) == []
