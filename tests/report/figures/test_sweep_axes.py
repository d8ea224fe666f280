"""Pictures of sweeps: each opens, is the same twice, and draws the odd cases too."""

import io
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from gradscope.arrays import FloatArray
from gradscope.names import ActivationName, CellName, InitializerName, network_name
from gradscope.report.figures.pages import new_page, picture_bytes
from gradscope.report.figures.phase import phase_figure
from gradscope.report.figures.quantiles import quantile_figure
from gradscope.report.figures.style import RATE_END
from gradscope.report.figures.sweep_axes import finding, turning
from gradscope.sweep.summary import LEVELS, Axis, GridOfValues, QuantileCurves
from tests.report.drawn_texts import clashes, texts_of

GAIN = Axis("gain", (0.5, 1.0, 2.0))
STEPS = Axis("steps", (10, 100, 1000))
SLOPE = np.add.outer(np.zeros(3), [-1.0, -0.1, 0.4])


def field(measure: str = "rate_nats_per_step", **panels: Any) -> GridOfValues:
    return GridOfValues(measure, GAIN, STEPS, panels or {"tanh": SLOPE}, 3, ("3 seeds",))


def phase_picture(
    shown: GridOfValues, rate: GridOfValues, settings: dict[str, Any], suffix: str
) -> bytes:
    return picture_bytes(phase_figure(shown, rate, settings), suffix, settings)


def pixels(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(imread(io.BytesIO(content)), dtype=np.float64)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_field_gives_the_same_bytes(suffix: str) -> None:
    assert phase_picture(field(), field(), {}, suffix) == phase_picture(
        field(), field(), {}, suffix
    )


def test_the_contour_of_zero_stands_where_the_rate_changes_sign_and_reaches_the_borders() -> None:
    # The rate is −0.1 at gain 1 and 0.4 at gain 2: linear in between, it is zero at gain 1.2.
    gain, steps = contour_of(field()).T

    np.testing.assert_allclose(gain, 1.2)
    np.testing.assert_allclose([steps.min(), steps.max()], [10.0**0.5, 10.0**3.5])


LOG_GAIN = Axis("gain", (0.03, 0.3, 3.0, 30.0))


def contour_of(shown: GridOfValues) -> FloatArray:
    """Return the corners of the zero contour in the first panel, as places on both axes."""
    (contour,) = phase_figure(shown, shown, {}).axes[0].lines
    return np.asarray(contour.get_xydata(), dtype=np.float64)


def test_the_contour_of_zero_is_interpolated_on_the_scale_of_a_logarithmic_axis() -> None:
    # The rate of a scaled identity is exactly the logarithm of its gain: zero at gain 1.
    rates = np.tile(np.log(LOG_GAIN.places), (3, 1))

    corners = contour_of(
        GridOfValues("rate_nats_per_step", LOG_GAIN, GAIN, {"identity": rates}, 1, ())
    )

    np.testing.assert_allclose(corners[:, 0], 1.0)
    np.testing.assert_allclose([corners[:, 1].min(), corners[:, 1].max()], [0.25, 2.5])


def test_products_of_exactly_zero_do_not_push_the_contour_onto_what_grows() -> None:
    # Beside −∞, which counts as the smallest finite rate, −1, the rate 1 is met half-way.
    rates = np.array([[-np.inf, 1.0, 1.0], [-1.0, 1.0, 1.0], [-np.inf, 1.0, 1.0]])

    np.testing.assert_allclose(contour_of(field(tanh=rates))[:, 0], 0.75, rtol=2e-3)


def test_the_contour_does_not_run_through_a_place_without_a_result() -> None:
    gap = SLOPE.copy()
    gap[2, 2] = np.nan

    gain, steps = contour_of(field(tanh=gap)).T

    assert gain.max() == pytest.approx(1.2)
    assert steps.max() < 1000.0


SHRINKS, GROWS, RISES, ISLAND, FALLS = (
    np.array(row) for row in ([-2.0, -1.0, -1.0], [1.0, 2.0, 1.0], [-1.0, -1.0, 1.0],
                              [-1.0, 1.0, -1.0], [1.0, -1.0, -2.0])
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((SHRINKS,), "never grows up to gain 2"),
        ((GROWS, GROWS), "grows everywhere"),
        ((RISES,), "turns at gain 1.5"),
        ((RISES, [-1.0, 1.0, 3.0]), "turns at gain 0.75 to 1.5"),
        ((RISES, SHRINKS), "turns at gain 1.5 or never"),
        ((ISLAND, SHRINKS), "grows only at gain 0.75 to 1.5"),
        ((FALLS,), "stops growing at gain 0.75"),
        ((GROWS, SHRINKS), "grows at 3 of 6 places"),
        ((RISES, ISLAND), "grows at 2 of 6 places"),
        ((RISES, [np.nan, -1.0, 1.0]), "grows at 2 of 6 places"),
        ((SHRINKS, [np.nan, -1.0, -1.0]), "grows nowhere"),
        (([-np.inf, -np.inf, -np.inf],), "never grows up to gain 2"),
    ],
    ids=str,
)
def test_a_title_says_where_the_gradient_turns(rows: Any, said: str) -> None:
    assert turning(GAIN, np.array(rows))[1] == said


def test_the_finding_names_the_setting_along_which_the_gradient_turns() -> None:
    rates = {"tanh": np.array([RISES] * 3), "sigmoid": np.array([SHRINKS] * 3)}
    turned = {name: each.T for name, each in rates.items()}
    said = "The gradient of tanh turns at gain 1.5; that of sigmoid never grows up to gain 2"

    assert finding("rate_nats_per_step", rates, GAIN, STEPS, medians=()) == said
    assert finding("rate_nats_per_step", turned, STEPS, GAIN, medians=()) == said
    many = {str(number): each for number in range(5) for each in (np.array([SHRINKS]),)} | rates
    assert "in 1 of 7 networks: tanh" in finding("rate_nats_per_step", many, GAIN, medians=())


def test_a_horizon_beyond_the_lags_is_more_than_those_that_were_measured() -> None:
    horizons = np.array([[4.0, 7.0, np.inf], [4.0, np.inf, np.inf], [4.0, 9.0, 300.0]])
    lags = np.repeat([[10.0], [100.0], [1000.0]], 3, axis=1)

    figure = phase_figure(
        field("horizon", tanh=horizons), field(), {}, lags=field("lags", tanh=lags)
    )

    written = [each.get_text() for each in figure.axes[0].texts]
    assert written == ["4", "7", ">10", "4", ">100", "4", "9", "300"]
    assert "4 to more than 1000 steps" in figure.texts[0].get_text().replace("\n", " ")


def test_theory_has_its_line_and_its_name() -> None:
    theories = {"bound": field(tanh=SLOPE + 0.5), "mean field": field(tanh=SLOPE - 0.1)}

    axes = phase_figure(field(), field(), {}, theories).axes[0]

    assert {
        round(float(np.mean(np.asarray(line.get_xdata(), np.float64))), 3) for line in axes.lines
    } == {
        1.2,
        round(0.5 + 0.5 * 0.5 / 0.9, 3),
        1.4,
    }
    assert {"bound", "mean field"} <= {each.get_text() for each in axes.texts}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_colours_have_the_same_ends_in_every_picture(scale: float) -> None:
    mesh = phase_figure(field(tanh=scale * SLOPE), field(), {}).axes[0].collections[0]

    assert mesh.get_clim() == (-RATE_END, RATE_END)


def test_one_seed_is_drawn_as_dots_and_more_as_a_line() -> None:
    curve = np.cumsum(np.ones((len(LEVELS), 3)), axis=0)
    for most, line in ((1, "None"), (3, "-")):
        counts = {"tanh": np.full(3, most)}
        curves = QuantileCurves("rate_nats_per_step", GAIN, {"tanh": curve}, counts, ())
        assert quantile_figure(curves, {}).axes[0].lines[0].get_linestyle() == line


ODD: dict[str, dict[str, Any]] = {
    "nothing is done": {"tanh": np.full((3, 3), np.nan)},
    "all is zero": {"tanh": np.full((3, 3), -np.inf)},
    "one place is done": {"tanh": np.where(np.eye(3) * [1, 0, 0] > 0, 0.5, np.nan)},
    "all grows": {"tanh": SLOPE + 5.0},
    "exactly nought": {"tanh": np.zeros((3, 3))},
    "infinite beside finite": {"tanh": np.where(SLOPE < 0, -np.inf, SLOPE)},
    "seven panels": {f"φ{number}": SLOPE - number for number in range(7)},
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("measure", ["rate_nats_per_step", "horizon"])
def test_odd_fields_are_drawn_without_a_warning(case: str, measure: str) -> None:
    panels = ODD[case]
    horizons = {name: np.where(panel < 0, 5.0, np.inf) for name, panel in panels.items()}
    shown = field(measure, **(horizons if measure == "horizon" else panels))

    content = phase_picture(shown, field(**panels), {"hidden": 4}, ".png")

    assert pixels(content).shape[1] == 2160


def test_places_without_a_result_are_explained_where_there_are_any() -> None:
    gap = SLOPE.copy()
    gap[1, 1] = np.nan

    assert b"grey: no result" in phase_picture(field(tanh=gap), field(tanh=gap), {}, ".svg")
    assert b"grey: no result" not in phase_picture(field(), field(), {}, ".svg")


def test_words_many_values_and_hidden_axes_are_drawn() -> None:
    inits, gains = Axis("init", ("glorot", "uniform")), Axis("gain", tuple(np.arange(1.0, 60.0)))
    wide = GridOfValues("horizon", gains, inits, {"tanh": np.full((2, 59), 7.0)}, 1, ("hidden",))

    assert phase_picture(wide, wide, {}, ".png")


@pytest.mark.parametrize("measure", ["rate_nats_per_step", "horizon"])
def test_quantiles_are_drawn_with_infinite_and_missing_ones(measure: str) -> None:
    curve = np.cumsum(np.ones((len(LEVELS), 3)), axis=0)
    curve[2:, 1] = np.inf
    curve[:, 2] = np.nan
    quantiles = QuantileCurves(
        measure, STEPS, {"tanh": curve, "other": curve + 1}, {}, ("3 seeds",)
    )

    content = picture_bytes(quantile_figure(quantiles, {}), ".svg", {}).decode()

    assert "at the edge" in content
    assert "median over 3 seeds" in content


def test_the_bands_of_quantiles_reach_the_edge_where_a_quantile_is_infinite() -> None:
    # At 100 steps half of the horizons lie beyond the lags: the bands go on from 20 and 30 upwards.
    curve = np.outer([2.0, 3.0, 5.0, 7.0, 11.0], np.ones(3))
    curve[:, 1] = [20.0, 30.0, np.inf, np.inf, np.inf]

    axes = quantile_figure(
        QuantileCurves("horizon", STEPS, {"tanh": curve}, {}, ("9 seeds",)), {}
    ).axes[0]

    bottom, top = axes.get_ylim()
    assert bottom < 2.0
    assert 30.0 < top < 100.0
    bands = [np.concatenate([p.vertices for p in each.get_paths()]) for each in axes.collections]
    for corners, lowest in zip(bands, (20.0, 30.0), strict=True):
        middle = corners[corners[:, 0] == 100.0, 1]
        assert (middle.min(), middle.max()) == (lowest, top)


EVERY = [network_name(cell, phi) for cell in CellName for phi in ActivationName]
"""All networks that a sweep can hold."""

SHARED: dict[str, Any] = {
    "hidden": 32,
    "init": "orthogonal",
    "task": "recall",
    "updates": 200,
    "weights": None,
    "load": None,
}


@pytest.mark.parametrize("count", [1, 3, 6, len(EVERY)])
@pytest.mark.parametrize("measure", ["rate_nats_per_step", "horizon"])
def test_no_text_of_a_phase_diagram_covers_another_however_many_networks(
    measure: str, count: int
) -> None:
    panels, wide = dict.fromkeys(EVERY[:count], 10.0 + SLOPE), Axis("input_scale", (0.1, 0.5, 1.0))
    shown = GridOfValues(measure, GAIN, wide, panels, 3, ("3 seeds", "steps"))

    figure = phase_figure(shown, shown, SHARED)

    assert clashes(figure) == []
    assert not any("…" in each.get_text() for each in texts_of(figure))


@pytest.mark.parametrize("count", [1, 3, 6])
def test_words_beside_the_panels_and_many_values_below_and_beside_have_room(count: int) -> None:
    inits = Axis("init", tuple(sorted(InitializerName)))
    gains = Axis("gain", tuple(np.geomspace(0.03, 30.0, 13)))

    for x, y in ((gains, inits), (inits, gains)):
        rates = np.ones((len(y.values), len(x.values)))
        shown = GridOfValues("rate_nats_per_step", x, y, dict.fromkeys(EVERY[:count], rates), 1, ())
        figure = phase_figure(shown, shown, SHARED)

        assert clashes(figure) == []
        words = [each.get_text() for each in texts_of(figure)]
        assert set(inits.values) <= set(words)


@pytest.mark.parametrize("count", [1, 3, 6, len(EVERY)])
@pytest.mark.parametrize("measure", ["rate_nats_per_step", "horizon"])
def test_no_text_of_quantiles_covers_another_however_many_networks(
    measure: str, count: int
) -> None:
    curve = np.cumsum(np.ones((len(LEVELS), 3)), axis=0)
    curve[2:, 1] = np.inf
    quantiles = QuantileCurves(
        measure, STEPS, dict.fromkeys(EVERY[:count], curve), {}, ("3 seeds", "gain")
    )

    figure = quantile_figure(quantiles, SHARED)

    assert clashes(figure) == []
    assert not any("…" in each.get_text() for each in texts_of(figure))


def test_nothing_global_is_changed() -> None:
    before = dict(mpl.rcParams)

    phase_picture(field(), field(), {}, ".png")

    assert dict(mpl.rcParams) == before


def ticks_of(axes: Axes) -> list[str]:
    """Return the labels of the ticks on the vertical axis that lie within it."""
    low, high = axes.get_ylim()
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    return [label.get_text() for place, label in ticks if low <= place <= high]


@pytest.mark.parametrize("horizons", [(129.0, 130.0, 131.0), (130.0,) * 3, (6.0, 7.0, np.inf)])
def test_an_axis_of_horizons_has_two_ticks_however_near_they_lie(horizons: Any) -> None:
    curve = np.tile(horizons, (len(LEVELS), 1))
    quantiles = QuantileCurves("horizon", STEPS, {"tanh": curve}, {}, ("3 seeds",))
    shown = field("horizon", tanh=np.tile(horizons, (3, 1)))

    for axes in (
        quantile_figure(quantiles, {}).axes[0],
        phase_figure(shown, field(), {}).axes[-1],
    ):
        labels = ticks_of(axes)
        assert len(set(labels)) == len(labels) >= 2


OF_A_FILE = {**SHARED, "weights": "trained/rate net.npz", "load": None, "data": None, "steps": 150}


@pytest.mark.parametrize("measure", ["rate_nats_per_step", "lyapunov_exponent"])
def test_a_sweep_of_a_file_names_it_and_nothing_that_a_file_does_not_have(measure: str) -> None:
    curve = np.ones((len(LEVELS), 3))
    curves = QuantileCurves(measure, GAIN, {OF_A_FILE["weights"]: curve}, {}, ())
    several = {name: value for name, value in OF_A_FILE.items() if name != "weights"}
    grid = field(measure)

    for figure in (quantile_figure(curves, OF_A_FILE), phase_figure(grid, grid, OF_A_FILE)):
        title, about = (text.get_text() for text in figure.texts)
        assert "rate net.npz" in about
        assert "init" not in about
        assert "task" not in about
        assert ("Lyapunov" in title) == (measure == "lyapunov_exponent")
        assert title[0].isupper()
    assert "task" not in phase_figure(grid, grid, several).texts[1].get_text()
    drawn = phase_figure(grid, grid, {**OF_A_FILE, "weights": None}).texts[1].get_text()
    assert "init orthogonal" in drawn
    assert "task recall" in drawn


def test_long_titles_stand_on_two_lines_and_end_where_no_third_fits() -> None:
    title = "How far back the gradient of each of the networks reaches " * 2
    about = "leaky tanh RNN, 3 in, 40 hidden, the recurrent layer of a file; " * 3

    whole, cut = (new_page(title * times, about * times) for times in (1, 3))

    for figure in (whole, cut):
        figure.add_subplot()
    assert clashes(whole) == []
    assert [text.get_text().replace("\n", " ") for text in whole.texts] == [
        title.strip(),
        about.strip(),
    ]
    assert all(text.get_text().endswith(" …") for text in cut.texts)
    assert clashes(cut) == []
