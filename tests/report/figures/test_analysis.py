"""Pictures: each opens, carries its settings, is the same twice, and draws the odd cases too."""

import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.diagnosis.theory import TheoryName
from gradscope.names import (
    ActivationName,
    CellName,
    ColumnWidth,
    InitializerName,
    TaskName,
    Theme,
)
from gradscope.report.figures.analysis import (
    analysis_figure,
    analysis_picture,
    hero_figure,
    panel_figure,
    sheet_figure,
    spectrum_figure,
    training_figure,
)
from gradscope.report.figures.pages import PANEL_SIZES, VIEW
from gradscope.report.figures.panels import HERO, PANELS, View
from gradscope.report.figures.style import GROWTH_SHADES, TEXT_SIZE, growth_colors, power, typeset
from gradscope.report.provenance.records import read_provenance
from gradscope.report.words.headline import answer
from gradscope.report.words.theory import theory_words
from tests.present import present
from tests.report.drawn_texts import clashes, hidden_share
from tests.stacks import with_depth

SMALL = {"hidden": 6, "steps": 12, "sequences": 3, "batch": 4}


def analysis_of(**settings: object) -> Analysis:
    chosen = gradscope.Settings.from_dict({**SMALL, "updates": 3, **settings})
    analysis: Analysis = gradscope.analyze(chosen)
    return analysis


def pixels(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(imread(io.BytesIO(content)), dtype=np.float64)


def written(svg: str) -> str:
    """Return the words of a picture, which are text and no outlines."""
    return html.unescape(" ".join(re.findall(r">([^<>]+)</(?:text|tspan)>", svg)))


@pytest.fixture(scope="module")
def trained() -> Analysis:
    return analysis_of()


@pytest.mark.parametrize(
    ("panel", "view", "inches"),
    [
        ("", View(), (7.2, 5.7)),
        (HERO, View(), (7.2, 3.6)),
        ("", View(sheet=True), (8.27, 11.69)),
        (HERO, View(theme=Theme.SLIDE), (7.2, 4.05)),
    ],
)
def test_a_picture_has_the_size_of_its_print_and_its_settings_inside(
    trained: Analysis, tmp_path: Path, panel: str, view: View, inches: tuple[float, float]
) -> None:
    picture, earlier = tmp_path / "report.png", VIEW.set(view)
    picture.write_bytes(analysis_picture(trained, ".png", panel, view))
    VIEW.reset(earlier)

    height, width, _ = pixels(picture.read_bytes()).shape

    assert (width / 300, height / 300) == pytest.approx(inches, abs=0.01)
    assert read_provenance(picture)["settings"] == trained.settings.as_dict()


def test_a_card_has_the_size_that_web_pages_show_and_its_command(trained: Analysis) -> None:
    card = View(card=True)

    assert pixels(analysis_picture(trained, ".png", view=card)).shape[:2] == (630, 1200)
    assert "gradscope analyze" in written(analysis_picture(trained, ".svg", view=card).decode())


def test_a_dark_slide_has_no_colour_of_paper_left(trained: Analysis) -> None:
    earlier = VIEW.set(View(theme=Theme.DARK, dpi=100))
    image = pixels(analysis_picture(trained, ".png", HERO))
    VIEW.reset(earlier)

    assert image.shape[1] == 720
    assert (image[..., :3].mean(axis=2) < 0.3).mean() > 0.5
    ink = image[..., :3].max(axis=2) > 0.5
    assert 0.01 < ink.mean() < 0.4


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

    assert words in written(analysis_picture(analysis, ".svg", name).decode())


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
    content = analysis_picture(trained, ".svg").decode()

    assert answer(trained)[:20] in written(content)
    assert "sans-serif" in content
    assert {float(size) for size in re.findall(r"font-size: ([\d.]+)px", content)} <= {
        *(TEXT_SIZE * part for part in (1.0, 0.7)),
        11.0,
    }


def test_a_pdf_has_fonts_that_can_be_edited(trained: Analysis) -> None:
    content = analysis_picture(trained, ".pdf")

    assert b"/CIDFontType2" in content
    assert b"/Type3" not in content


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
    return with_depth(analysis_of(activation=activation, steps=60, updates=20, **snapshots))


@pytest.fixture(scope="module")
def looked_at_closely() -> Analysis:
    return with_depth(analysis_of(map=True, shares=True, spectrum=True, memory=True))


@pytest.mark.parametrize("cell", list(CellName))
def test_no_text_of_the_whole_report_covers_another_or_runs_off_the_page(cell: CellName) -> None:
    # With legends as long as they come: 200 updates, and every look that there is.
    looks = ("map", "shares", "spectrum", "memory", "verify")
    snapshots = dict.fromkeys(looks, True)
    analysis = analysis_of(cell=cell, hidden=4, steps=60, updates=100, clip_norm=1.0, **snapshots)

    assert clashes(analysis_figure(analysis)) == []
    assert clashes(hero_figure(analysis)) == []


@pytest.mark.parametrize("activation", [ActivationName.TANH, ActivationName.SIGMOID])
@pytest.mark.parametrize("width", list(ColumnWidth))
@pytest.mark.parametrize("name", list(PANELS))
def test_no_text_of_a_panel_covers_another_or_runs_off_the_page(
    name: str, width: ColumnWidth, activation: ActivationName
) -> None:
    assert clashes(panel_figure(closely(activation), name, width)) == []


@pytest.mark.parametrize("draw", [hero_figure, training_figure, spectrum_figure])
def test_no_text_of_a_page_of_one_column_covers_another_or_runs_off_it(
    looked_at_closely: Analysis, draw: Callable[[Analysis], Figure]
) -> None:
    earlier = VIEW.set(View(width=ColumnWidth.SINGLE))
    figure = draw(looked_at_closely)
    VIEW.reset(earlier)

    assert figure.get_size_inches()[0] == PANEL_SIZES[ColumnWidth.SINGLE][0]
    assert clashes(figure) == []
    assert hidden_share(figure) < 0.1


@pytest.mark.parametrize("width", list(ColumnWidth))
@pytest.mark.parametrize("name", list(PANELS))
def test_every_panel_stands_alone_in_the_column_of_a_paper(
    looked_at_closely: Analysis, name: str, width: ColumnWidth
) -> None:
    content = analysis_picture(looked_at_closely, ".png", name, View(width=width))

    image = pixels(content)
    assert image.shape[1] / 300 == pytest.approx(PANEL_SIZES[width][0], abs=0.01)
    assert (image[..., :3].mean(axis=2) < 0.5).mean() > 0.002


def test_a_sheet_has_every_panel(looked_at_closely: Analysis) -> None:
    titles = {axes.get_title(loc="left") for axes in sheet_figure(looked_at_closely).axes}

    assert titles >= {typeset(each.title(looked_at_closely)) for each in PANELS.values()}


def test_every_theory_is_named_beside_its_point_hollow_where_it_does_not_apply(
    looked_at_closely: Analysis,
) -> None:
    spectrum = looked_at_closely.details.spectrum
    assert spectrum is not None
    axes = Figure().add_subplot()

    PANELS["theory"].draw(axes, looked_at_closely)

    drawn = [each for each in spectrum.theory if each.rate is not None and np.isfinite(each.rate)]
    words = [text.get_text() for text in axes.texts]
    named = [typeset(theory_words(each.name, looked_at_closely.settings)) for each in drawn]
    assert words == [*named, "measured", "hollow: does not apply here"]
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

    assert b"No theory gives" in analysis_picture(silent, ".svg", "theory")


@pytest.mark.parametrize(("updates", "marked"), [(1, True), (12, True), (40, False)])
def test_a_training_of_few_updates_is_drawn_point_by_point(updates: int, marked: bool) -> None:
    errors, reach = training_figure(analysis_of(updates=updates)).axes

    assert all(float(tick).is_integer() for tick in errors.get_xticks())
    (curve,) = (line for line in errors.lines if line.get_label() == "error")
    assert np.asarray(curve.get_ydata(), np.float64).max() < errors.get_ylim()[1] / 1.02
    assert (curve.get_marker() == "o") == marked
    assert reach.get_xlim() == errors.get_xlim()


def test_a_gradient_without_a_target_is_said_and_not_split() -> None:
    # The state overflows long before step 20, the first with a target.
    early = analysis_of(
        steps=60, activation="relu", gain=1e20, updates=0, delay=20, shares=True, seed=1
    )

    shares, steps = (analysis_picture(early, ".svg", name) for name in ("shares", "gradient"))

    assert b"No step that was reached has a target" in shares
    assert b"No error reaches" in steps
    assert "nothing to split" in PANELS["shares"].reading(early)


# --- Ten real runs -------------------------------------------------------------------------------

LONG_NAME = "encoder_" * 25


def stack_of(tmp_path: Path, name: str, gates: int) -> Analysis:
    """Return the analysis of a layer of a bidirectional stack from a file."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}.weight_{part}_l{depth}{end}": 0.4 * rng.normal(size=(4 * gates, columns))
        for depth in (0, 1)
        for end in ("", "_reverse")
        for part, columns in (("hh", 4), ("ih", 3 if depth == 0 else 8))
    }
    np.savez(tmp_path / "net.npz", **arrays)  # type: ignore[arg-type]
    given = {"weights": str(tmp_path / "net.npz"), "activation": "tanh", "steps": 30}
    analysis: Analysis = gradscope.analyze(settings_of_weights(given))
    return analysis


RUNS: dict[str, dict[str, object]] = {
    "tanh": {"hidden": 32, "steps": 100, "updates": 20},
    "sigmoid": {"activation": "sigmoid", "steps": 100},
    "exploding relu": {"activation": "relu", "gain": 3.0, "steps": 60, "updates": 0},
    "gru": {"cell": "gru", "steps": 60},
    "lstm": {"cell": "lstm", "steps": 60},
    "one lag": {"steps": 1, "updates": 0},
    "ten thousand lags": {"hidden": 4, "steps": 10_000, "sequences": 1, "updates": 0, "delay": 50},
    "dead": {"activation": "relu", "gain": 0.0, "updates": 0},
}


HIDDEN = 0.1
"""The greatest share of a curve that texts may hide."""


@pytest.mark.parametrize("run", ["exploding relu", "one lag", "sigmoid", "dead"])
def test_texts_of_a_hero_cover_no_text_and_no_curve_and_stay_on_the_page(run: str) -> None:
    figure = hero_figure(analysis_of(**RUNS[run]))

    assert clashes(figure) == []
    assert hidden_share(figure) < HIDDEN


@pytest.mark.slow
@pytest.mark.parametrize("run", [*RUNS, "stack", "long name"])
def test_texts_of_real_runs_cover_no_text_and_no_curve_and_stay_on_the_page(
    run: str, tmp_path: Path
) -> None:
    if run in RUNS:
        analysis = analysis_of(**RUNS[run])
    else:
        analysis = stack_of(tmp_path, LONG_NAME if run == "long name" else "encoder", 1)

    for figure in (hero_figure(analysis), analysis_figure(analysis), sheet_figure(analysis)):
        assert clashes(figure) == []
        assert hidden_share(figure) < HIDDEN


# --- One scale -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_every_profile_shows_the_same_corridor_around_1(gain: float) -> None:
    analysis = analysis_of(activation="identity", gain=gain, updates=0)

    for figure in (hero_figure(analysis), panel_figure(analysis, "profile", ColumnWidth.DOUBLE)):
        axes = figure.axes[0]
        assert axes.get_ylim() == (-6.0, 6.0)
        assert [each.get_text() for each in axes.get_yticklabels()] == [
            "10⁻⁶", "1/1000", "1", "1000", "10⁶",
        ]  # fmt: skip


def test_a_stricter_threshold_stays_in_view() -> None:
    figure = hero_figure(analysis_of(vanishing=1e-12, updates=0))

    assert figure.axes[0].get_ylim() == (-24.0, 24.0)


def test_the_colours_of_maps_are_those_of_the_regimes_and_white_at_1() -> None:
    colors, norm = growth_colors(3.0)

    shades = [mpl.colors.to_hex(colors(norm(place))).lower() for place in (-3.0, 0.0, 3.0)]
    assert shades == [GROWTH_SHADES[0], "#ffffff", GROWTH_SHADES[-1].lower()]
    assert (power(-2.0), power(0.0), power(3.0), power(-30.0)) == ("1/100", "1", "1000", "10⁻³⁰")


def test_the_dot_stands_where_the_median_crosses_the_threshold() -> None:
    analysis = analysis_of(activation="sigmoid", steps=40, updates=0)
    horizon = present(analysis.last.verdict.horizon)

    axes = hero_figure(analysis).axes[0]

    (dot,) = (line for line in axes.lines if line.get_marker() == "o")
    ((x, y),) = np.asarray(dot.get_xydata(), np.float64).tolist()
    assert horizon - 1 <= x <= horizon
    assert y == pytest.approx(-3.0)


def test_the_causes_leave_out_what_is_nothing_and_add_up() -> None:
    analysis = analysis_of(activation="tanh", updates=0)

    axes = panel_figure(analysis, "causes", ColumnWidth.DOUBLE).axes[0]

    words = [each.get_text() for each in axes.texts]
    assert "slope ceiling γ" not in words  # It is 1, its logarithm 0.
    assert words[-2] == "growth rate"
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert sum(bar.get_width() for bar in bars[:-1]) == pytest.approx(
        present(analysis.last.causes.total), abs=0.005
    )


def test_a_saved_run_keeps_its_training(trained: Analysis, tmp_path: Path) -> None:
    run = tmp_path / "run.npz"
    run.write_bytes(archive_bytes(trained))

    again = gradscope.analyze(
        gradscope.Settings.from_dict(prepare({"load": str(run)}).resolved.as_dict())
    )

    kept, made = present(again.history), present(trained.training)
    assert again.training is None
    for name in ("loss", "gradient_norm", "clipped", "reach"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))
    assert present(made.reach).tolist()[-1] == [3, trained.last.verdict.horizon or -1]
    assert PANELS["training"].rows(again) == PANELS["training"].rows(trained)
