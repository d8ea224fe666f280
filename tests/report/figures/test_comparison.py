"""The picture of a comparison: every network is named, and no text covers another."""

import dataclasses
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import gradscope
from gradscope.analysis.results import Analysis, Comparison
from gradscope.names import ActivationName, CellName, Regime, network_name
from gradscope.report.figures.analysis import analysis_picture
from gradscope.report.figures.comparison import comparison_figure
from gradscope.report.words.headline import REGIME_LOOKS, horizon
from gradscope.report.words.numbers import number
from gradscope.sweep.compare import cells_of_files
from tests.present import present
from tests.report.drawn_texts import clashes, hidden_share, texts_of

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
    assert hidden_share(figure) < 0.1
    words = words_of(figure)
    named = {network_name(*each) for each in product(kinds, activations)}
    assert named <= set(words)
    assert not any("…" in each for each in words)
    lengths_named = [each for each in words if each.startswith("T = ")]
    # Above them all stands the strip, which has a length of its own.
    assert len(lengths_named) == 1 + count * len(lengths) * (len(lengths) > 1)


def reach_rows(figure: Figure) -> Axes:
    """Return the axes of a comparison that hold a row for each network and length."""
    return figure.axes[0]


def test_rows_stand_by_network_and_length_however_they_were_asked_for() -> None:
    figure = comparison_figure(gradscope.compare(SMALL, EVERY[:2], (60, 5, 20)))

    placed = [(each.xy[1], each.get_text()) for each in annotations(reach_rows(figure))]
    lengths = [text for _, text in sorted(placed) if text.startswith("T = ")]
    assert lengths == ["T = 5", "T = 20", "T = 60"] * 2


def annotations(axes: Axes) -> list[Annotation]:
    return [each for each in axes.texts if isinstance(each, Annotation)]


def test_numbers_beside_a_row_are_reach_need_and_error() -> None:
    comparison = gradscope.compare(SMALL, EVERY[:1], (5, 10))

    figure = comparison_figure(with_errors(comparison, 0.5, math.inf))

    words = [each.get_text() for each in annotations(reach_rows(figure))]
    baselines = [present(each.task_info.baseline).error for each in comparison.analyses]
    assert number(0.5 / baselines[0], 2) in words
    assert "∞" in words
    for each in comparison.analyses:
        assert str(each.last.verdict.required_lag) in words
        assert any(word.endswith(f" {horizon(each.last)}") for word in words)
    assert clashes(figure) == []


def test_what_explodes_has_no_reach_but_its_word_and_colour() -> None:
    settings = SMALL.with_changes({"gain": 40.0, "updates": 0, "steps": 20})
    comparison = gradscope.compare(settings, (ActivationName.IDENTITY,), (20,))
    look = REGIME_LOOKS[Regime.EXPLODING]

    figure = comparison_figure(comparison)

    (word,) = (e for e in annotations(reach_rows(figure)) if look.word in e.get_text())
    assert word.get_color() == look.color


def test_a_comparison_of_a_series_draws_the_lag_that_it_rewards(tmp_path: Path) -> None:
    series = tmp_path / "$x_1$ [red].csv"
    series.write_text("\n".join(str(np.sin(t)) for t in range(90)))

    comparison = gradscope.compare(
        SMALL.with_changes({"data": str(series)}), (ActivationName.TANH,), (5, 10)
    )

    assert {each.last.verdict.required_lag for each in comparison.analyses} == {2}
    needed = [e.get_text() for e in annotations(reach_rows(comparison_figure(comparison)))]
    assert needed.count("2") >= 2
    assert b"$x_1$ [red].csv" in analysis_picture(comparison.analyses[0], ".svg")


def dots_of(axes: Axes) -> list[float]:
    """Return where the seeds are drawn."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return sorted(float(np.asarray(line.get_xdata())[0]) for line in dots)


@pytest.mark.parametrize("seeds", [1, 3])
def test_each_seed_is_a_dot_and_only_several_have_a_bold_median(seeds: int) -> None:
    comparison = gradscope.compare(SMALL, EVERY[:2], (5, 20), seeds=seeds)

    figure = comparison_figure(comparison)

    axes, verdicts = reach_rows(figure), [each.last.verdict for each in comparison.analyses]
    assert dots_of(axes) == sorted(each.horizon or each.max_lag for each in verdicts)
    bold = [e for e in axes.collections if np.max(np.asarray(e.get_linewidth())) > 2.0]
    assert len(bold) == 4 * (seeds > 1)
    assert "before training" in figure.texts[1].get_text().replace("\n", " ")
    assert clashes(figure) == []


def test_files_stand_side_by_side_each_in_a_look_of_its_own(tmp_path: Path) -> None:
    for name, factor in (("a.npz", 0.5), ("b.npz", 0.8), ("$c$.npz", 0.9)):
        arrays = {"rnn.weight_ih_l0": np.ones((2, 3)), "rnn.weight_hh_l0": factor * np.eye(2)}
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
    given = {"activation": "identity", "steps": 30, "sequences": 2}

    figure = comparison_figure(gradscope.compare(cells_of_files([tmp_path], given)))

    words = [each.get_text() for each in annotations(reach_rows(figure))]
    assert [words.count(each) for each in ("\\$c\\$.npz", "a.npz", "b.npz")] == [1, 1, 1]
    assert not any(each.startswith("T = ") for each in words)
    assert clashes(figure) == []
