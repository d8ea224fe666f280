"""Pictures: each opens, carries its settings, is the same twice, and draws the odd cases too."""

import dataclasses
import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import gradscope
from gradscope.analysis.results import Analysis
from gradscope.diagnosis.theory import TheoryName
from gradscope.names import (
    ActivationName,
    CellName,
    ColumnWidth,
    InitializerName,
    TaskName,
)
from gradscope.report.figures.analysis import (
    analysis_figure,
    analysis_picture,
    panel_figure,
    panel_picture,
)
from gradscope.report.figures.panels import PANELS
from gradscope.report.figures.style import PANEL_SIZES, typeset
from gradscope.report.figures.time_panels import training_panel
from gradscope.report.provenance.records import read_provenance
from gradscope.report.words.headline import answer
from gradscope.report.words.theory import theory_words
from tests.present import present
from tests.report.drawn_texts import clashes

SMALL = {"hidden": 6, "steps": 12, "sequences": 3, "batch": 4}


def analysis_of(**settings: object) -> Analysis:
    chosen = gradscope.Settings.from_dict({**SMALL, "updates": 3, **settings})
    analysis: Analysis = gradscope.analyze(chosen)
    return analysis


def pixels(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(imread(io.BytesIO(content)), dtype=np.float64)


def written(svg: str) -> str:
    """Return the words of a picture, which Matplotlib leaves beside their outlines."""
    return " ".join(re.findall(r"<!-- (.*?) -->", svg))


@pytest.fixture(scope="module")
def trained() -> Analysis:
    return analysis_of()


def test_the_report_is_a_slide_with_its_settings_inside(trained: Analysis, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    picture.write_bytes(analysis_picture(trained, ".png"))

    height, width, _ = pixels(picture.read_bytes()).shape

    assert width / height == pytest.approx(16 / 9, rel=0.01)
    assert width >= 1920
    assert read_provenance(picture)["settings"] == trained.settings.as_dict()


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"gain": 0.0, "spectrum": True}, "theory", "No theory gives a finite rate here."),
        ({"cell": "gru", "spectrum": True}, "theory", "No theory of the rate applies here"),
        ({}, "training", "No update was made."),
        ({}, "shares", "The gradient by lag: not requested."),
        ({}, "lyapunov", "Lyapunov exponents: not requested."),
    ],
)
def test_a_panel_without_anything_to_draw_says_why(
    changed: dict[str, object], name: str, words: str
) -> None:
    # An empty frame would leave the reader to guess, and Matplotlib would warn of its limits.
    analysis = analysis_of(updates=0, **changed)

    assert words in written(panel_picture(analysis, name, ".svg").decode())


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_analysis_gives_the_same_bytes(trained: Analysis, suffix: str) -> None:
    assert analysis_picture(trained, suffix) == analysis_picture(trained, suffix)


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".pdf", b"%PDF-")])
def test_vector_formats_are_what_their_name_says(
    trained: Analysis, suffix: str, start: bytes
) -> None:
    assert analysis_picture(trained, suffix).startswith(start)


ODD = {
    "no training": {"updates": 0},
    "one step": {"steps": 1, "task": TaskName.SINE, "updates": 0},
    "a product of exact zeros": {"activation": ActivationName.RELU, "gain": 0.0, "updates": 0},
    "exploding": {"activation": ActivationName.IDENTITY, "gain": 30.0, "updates": 0},
    "training that overflows at once": {
        "activation": ActivationName.IDENTITY,
        "gain": 1e14,
        "steps": 12,
        "updates": 5,
    },
    "training to the end of the floats": {"optimizer": "sgd", "learning_rate": 1e75},
    "a lag beyond those measured": {"max_lag": 2, "delay": 9},
    "cross-entropy": {"task": TaskName.TEMPORAL_ORDER},
    "chaos": {"init": InitializerName.GAUSSIAN, "gain": 3.0},
}


@pytest.mark.parametrize("settings", ODD.values(), ids=ODD.keys())
def test_odd_analyses_are_drawn_without_a_warning(settings: dict[str, object]) -> None:
    content = analysis_picture(analysis_of(**settings), ".png")

    image = pixels(content)[..., :3].mean(axis=2)
    assert (image < 0.5).mean() > 0.005  # there is ink on it


def test_the_picture_shows_the_verdict_in_words(trained: Analysis) -> None:
    text = analysis_picture(trained, ".svg").decode()

    # Text is drawn as paths, each letter marked by a comment with the words of its line.
    assert f"<!-- {answer(trained)[:30]}" in text


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were(trained: Analysis) -> None:
    before = dict(mpl.rcParams)

    analysis_picture(trained, ".svg")

    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported() -> None:
    script = (
        "import sys, json, gradscope;"
        "from gradscope.report.figures.analysis import analysis_picture;"
        "s = gradscope.Settings(steps=4, hidden=3, updates=0);"
        "analysis_picture(gradscope.analyze(s), '.png');"
        "print(json.dumps('matplotlib.pyplot' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) is False


@cache
def closely(activation: ActivationName) -> Analysis:
    snapshots = {"map": True, "shares": True, "spectrum": True, "memory": True}
    return analysis_of(activation=activation, steps=60, updates=20, **snapshots)


@pytest.fixture(scope="module")
def looked_at_closely() -> Analysis:
    return analysis_of(map=True, shares=True, spectrum=True, memory=True)


@pytest.mark.parametrize("cell", list(CellName))
def test_no_text_of_the_whole_report_covers_another_or_runs_off_the_page(cell: CellName) -> None:
    # With legends as long as they come: 200 updates, and every look that there is.
    looks = ("map", "shares", "spectrum", "memory", "verify")
    snapshots = dict.fromkeys(looks, True)
    analysis = analysis_of(cell=cell, hidden=4, steps=60, updates=100, clip_norm=1.0, **snapshots)

    assert clashes(analysis_figure(analysis)) == []


@pytest.mark.parametrize("activation", [ActivationName.TANH, ActivationName.SIGMOID])
@pytest.mark.parametrize("width", list(ColumnWidth))
@pytest.mark.parametrize("name", list(PANELS))
def test_no_text_of_a_panel_covers_another_or_runs_off_the_page(
    name: str, width: ColumnWidth, activation: ActivationName
) -> None:
    assert clashes(panel_figure(closely(activation), name, width)) == []


@pytest.mark.parametrize("width", list(ColumnWidth))
@pytest.mark.parametrize("name", list(PANELS))
def test_every_panel_stands_alone_in_the_column_of_a_paper(
    looked_at_closely: Analysis, name: str, width: ColumnWidth
) -> None:
    content = panel_picture(looked_at_closely, name, ".png", width)

    image = pixels(content)
    assert image.shape[1] / 300 == pytest.approx(PANEL_SIZES[width][0], abs=0.01)
    assert (image[..., :3].mean(axis=2) < 0.5).mean() > 0.002


def test_a_closer_look_makes_the_report_longer_not_smaller(looked_at_closely: Analysis) -> None:
    height, width, _ = pixels(analysis_picture(looked_at_closely, ".png")).shape

    assert width >= 1920
    assert height > width


def test_every_theory_is_named_beside_its_point_and_says_whether_it_applies(
    looked_at_closely: Analysis,
) -> None:
    spectrum = looked_at_closely.details.spectrum
    assert spectrum is not None
    axes = Figure().add_subplot()

    PANELS["theory"].draw(axes, looked_at_closely)

    drawn = [each for each in spectrum.theory if each.rate is not None and np.isfinite(each.rate)]
    words = [text.get_text() for text in axes.texts]
    assert words == [
        typeset(theory_words(each.name, looked_at_closely.settings))
        + ("" if each.applies else " (does not apply)")
        for each in drawn
    ]
    assert len(drawn) == len(TheoryName)


@pytest.mark.parametrize("name", list(PANELS))
def test_a_panel_on_the_page_is_called_as_in_the_report(
    looked_at_closely: Analysis, name: str
) -> None:
    axes = Figure().add_subplot()

    PANELS[name].draw(axes, looked_at_closely)

    assert axes.get_title(loc="left") == typeset(PANELS[name].title(looked_at_closely))


@pytest.mark.parametrize("cell", list(CellName))
def test_the_eigenvalues_of_w_are_named_where_there_is_one_w(cell: CellName) -> None:
    axes = Figure().add_subplot()

    PANELS["eigenvalues"].draw(axes, analysis_of(cell=cell, spectrum=True))

    assert (" W " in axes.get_title(loc="left")) == (cell is CellName.ELMAN)
    drawn = axes.get_legend()
    assert drawn is not None
    assert ("W" in [text.get_text() for text in drawn.texts]) == (cell is CellName.ELMAN)


def test_a_net_without_memory_is_drawn_beside_no_theory() -> None:
    # W = 0: every theory gives −∞ or nothing; an axis from −½ to −½ would be a warning, an error.
    silent = analysis_of(gain=0.0, updates=0, spectrum=True)

    assert b"No theory gives" in panel_picture(silent, "theory", ".svg")


def test_no_label_runs_off_the_page_where_the_gradient_norm_spans_one_power_of_ten(
    trained: Analysis,
) -> None:
    history = dataclasses.replace(
        present(trained.training), gradient_norm=np.array([0.69, 2.0, 8.6])
    )

    image = pixels(analysis_picture(dataclasses.replace(trained, training=history), ".png"))

    assert (image[:, -6:, :3] == 1.0).all()


@pytest.mark.parametrize(("updates", "marked"), [(1, True), (12, True), (40, False)])
def test_a_training_of_few_updates_is_drawn_point_by_point(updates: int, marked: bool) -> None:
    figure = Figure()

    axes = figure.add_subplot()
    training_panel(axes, analysis_of(updates=updates))

    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    curves = [
        line
        for each in figure.axes
        for line in each.lines
        if line.get_label() in {"error", "gradient norm"}
    ]
    assert len(curves) == 2
    for line in curves:
        top = present(line.axes).get_ylim()[1]
        assert np.asarray(line.get_ydata(), np.float64).max() < top / 1.02
    assert [line.get_marker() == "o" for line in curves] == [marked, marked]


def test_a_gradient_without_a_target_is_said_and_not_split() -> None:
    # The state overflows long before step 20, the first with a target.
    early = analysis_of(
        steps=60, activation="relu", gain=1e20, updates=0, delay=20, shares=True, seed=1
    )

    shares, steps = (panel_picture(early, name, ".svg") for name in ("shares", "gradient"))

    assert b"No step that was reached has a target" in shares
    assert b"No error reaches" in steps
    assert "nothing to split" in PANELS["shares"].reading(early)
