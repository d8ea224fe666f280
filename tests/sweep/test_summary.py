"""Groups, fields and curves hold quantiles of the cells that share a place."""

import itertools
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.settings import Settings
from gradscope.errors import SettingError
from gradscope.sweep.cell import CURVES, columns
from gradscope.sweep.query import Rows
from gradscope.sweep.summary import (
    grid_of_values,
    quantile_curves,
    shared_settings,
    summarize,
    swept_axes,
)

NAMES = tuple(name for name in columns() if name not in CURVES)


def rows_of(*cells: dict[str, Any]) -> Rows:
    """Return rows as a store would give them, most of their columns at their defaults."""
    plain = {
        **dict.fromkeys(NAMES),
        **Settings().as_dict(),
        "column": "[]",
        "weight_map": "[]",
        "status": "done",
    }
    made = ({**plain, "key": str(number), **cell} for number, cell in enumerate(cells))
    return Rows(NAMES, tuple(tuple(cell[name] for name in NAMES) for cell in made))


def test_a_field_is_the_median_over_seeds_and_every_value_has_its_place() -> None:
    rates = {
        (g, t, s): 100.0 * g + t + 10.0 * s for g in (1, 3, 2) for t in (5, 7) for s in range(3)
    }
    rows = rows_of(
        *(
            {"gain": float(g), "steps": t, "seed": s, "rate_nats_per_step": rate}
            for (g, t, s), rate in rates.items()
        )
    )

    field = grid_of_values(rows, None, None, "rate_nats_per_step")

    assert (field.x.name, field.x.values) == ("gain", (1.0, 2.0, 3.0))
    assert (field.y.name, field.y.values) == ("steps", (5, 7))
    # The median of the three seeds is the one in the middle: 10 more than the first.
    expected = [[115.0, 215.0, 315.0], [117.0, 217.0, 317.0]]
    np.testing.assert_array_equal(field.panels["tanh"], expected)
    assert (field.cells, field.mixed) == (3, ("3 seeds",))


def test_x_and_y_can_be_chosen_and_turned() -> None:
    rows = rows_of(
        *(
            {"gain": float(g), "steps": t, "rate_nats_per_step": float(g * t)}
            for g in (1, 2)
            for t in (5, 7)
        )
    )

    field = grid_of_values(rows, "steps", "gain", "rate_nats_per_step")

    np.testing.assert_array_equal(field.panels["tanh"], [[5.0, 7.0], [10.0, 14.0]])


def test_a_product_of_zero_is_the_smallest_rate_and_a_horizon_beyond_the_largest() -> None:
    cells = [{"gain": 1.0, "steps": t, "seed": s, "horizon": 4, "rate_nats_per_step": -1.0}
             for t in (5, 7) for s in range(3)]  # fmt: skip
    other = [{"gain": 2.0, "steps": t, "seed": s} for t in (5, 7) for s in range(2)]
    other += [{"gain": 2.0, "steps": t, "seed": 2, "horizon": 9, "rate_nats_per_step": 0.1}
              for t in (5, 7)]  # fmt: skip
    rows = rows_of(*cells, *other)

    rate = grid_of_values(rows, "gain", "steps", "rate_nats_per_step").panels["tanh"]
    horizon = grid_of_values(rows, "gain", "steps", "horizon").panels["tanh"]

    np.testing.assert_array_equal(rate, [[-1.0, -np.inf]] * 2)
    np.testing.assert_array_equal(horizon, [[4.0, np.inf]] * 2)


def test_a_place_without_a_done_cell_is_nan_and_failures_do_not_count() -> None:
    rows = rows_of(
        {"gain": 1.0, "steps": 5, "rate_nats_per_step": -1.0},
        {"gain": 2.0, "steps": 7, "rate_nats_per_step": -2.0},
        {"gain": 1.0, "steps": 7, "status": "failed", "error": "lost"},
    )

    field = grid_of_values(rows, "gain", "steps", "rate_nats_per_step")

    np.testing.assert_array_equal(field.panels["tanh"], [[-1.0, np.nan], [np.nan, -2.0]])


def test_activations_are_panels_unless_they_are_an_axis() -> None:
    rows = rows_of(
        *(
            {"activation": a, "gain": float(g), "rate_nats_per_step": float(g)}
            for a in ("tanh", "relu")
            for g in (1, 2)
        )
    )

    assert list(quantile_curves(rows, "gain", "rate_nats_per_step").curves) == ["tanh", "relu"]
    field = grid_of_values(rows, "gain", "activation", "rate_nats_per_step")
    assert (list(field.panels), field.y.values) == (["elman"], ("relu", "tanh"))


def test_cells_are_panels_of_their_own_and_never_mixed() -> None:
    rows = rows_of(
        *(
            {"cell": c, "activation": a, "gain": float(g), "steps": t, "rate_nats_per_step": rate}
            for c, rate in (("elman", -1.0), ("gru", -2.0), ("lstm", -3.0))
            for a in ("tanh", "sigmoid")
            for g in (1, 2)
            for t in (5, 7)
        )
    )
    named = ["tanh", "sigmoid", "GRU", "sigmoid GRU", "LSTM", "sigmoid LSTM"]

    field = grid_of_values(rows, None, None, "rate_nats_per_step")
    quantiles = quantile_curves(rows, "gain", "rate_nats_per_step")

    assert list(field.panels) == list(quantiles.curves) == named
    assert [float(panel[0, 0]) for panel in field.panels.values()] == [-1, -1, -2, -2, -3, -3]
    assert (field.mixed, quantiles.mixed) == ((), ("steps",))
    by_activation = grid_of_values(rows, "gain", "activation", "rate_nats_per_step")
    assert list(by_activation.panels) == ["elman", "GRU", "LSTM"]
    by_cell = grid_of_values(rows, "gain", "cell", "rate_nats_per_step")
    assert list(by_cell.panels) == ["tanh", "sigmoid"]
    both = grid_of_values(rows, "activation", "cell", "rate_nats_per_step")
    assert list(both.panels) == ["all networks"]


def test_a_sweep_of_one_gated_cell_is_called_by_its_name() -> None:
    rows = rows_of(*({"cell": "gru", "gain": float(g), "steps": t} for g in (1, 2) for t in (5, 7)))

    assert list(grid_of_values(rows, None, None, "horizon").panels) == ["GRU"]


def test_a_fan_holds_quantiles_and_counts() -> None:
    rows = rows_of(
        *(
            {"steps": t, "seed": s, "rate_nats_per_step": float(s)}
            for t in (5, 7)
            for s in range(20)
        )
    )

    quantiles = quantile_curves(rows, None, "rate_nats_per_step")

    assert quantiles.x.name == "steps"
    np.testing.assert_allclose(quantiles.curves["tanh"][:, 0], [0.95, 4.75, 9.5, 14.25, 18.05])
    np.testing.assert_array_equal(quantiles.counts["tanh"], [20, 20])


def test_a_hidden_axis_is_named() -> None:
    rows = rows_of(
        *(
            {"steps": t, "gain": float(g), "hidden": h}
            for t in (5, 7)
            for g in (1, 2)
            for h in (3, 4)
        )
    )

    assert grid_of_values(rows, "gain", "steps", "horizon").mixed == ("hidden",)


def test_words_and_absent_limits_are_axes_too() -> None:
    rows = rows_of({"max_lag": None, "init": "uniform"}, {"max_lag": 5, "init": "glorot"})
    axes = swept_axes(rows)

    assert axes["max_lag"].values == (5, "none")
    assert axes["init"].values == ("glorot", "uniform")
    np.testing.assert_array_equal(axes["init"].places, [0.0, 1.0])


def test_shared_settings_are_those_with_one_value() -> None:
    shared = shared_settings(
        rows_of({"gain": 1.0, "center_bias": 0}, {"gain": 2.0, "center_bias": 0})
    )

    assert "gain" not in shared
    assert shared["center_bias"] is False
    assert shared["steps"] == 100


def test_a_summary_groups_by_words_and_counts_regimes_and_failures() -> None:
    rows = rows_of(
        {"activation": "tanh", "regime": "stable", "rate_nats_per_step": 0.0, "horizon": None},
        {"activation": "relu", "regime": "vanishing", "rate_nats_per_step": -1.0, "horizon": 4},
        {"activation": "relu", "status": "failed", "error": "lost"},
        {"activation": "relu", "regime": "vanishing", "rate_nats_per_step": -2.0, "horizon": 3},
    )

    summary = summarize(rows)

    assert summary.names == ("activation",)
    tanh, relu = summary.groups
    assert (tanh.values, tanh.cells, tanh.failed, tanh.horizon) == (("tanh",), 1, 0, np.inf)
    assert (relu.cells, relu.failed, relu.regimes) == (3, 1, {"vanishing": 2})
    assert (relu.rate, relu.horizon) == (-1.5, 3.5)
    assert summary.errors == {"lost": 1}


def test_an_absent_setting_is_called_none_as_it_is_asked_for() -> None:
    rows = rows_of({"truncate": None}, {"truncate": 5})

    groups = summarize(rows).groups

    assert {group.values[-1] for group in groups} == {"none", "5"}


def test_a_summary_can_be_of_some_cells_of_a_store() -> None:
    rows = rows_of({"gain": 1.0}, {"gain": 2.0}, {"gain": 3.0})

    assert [group.values for group in summarize(rows, {"0", "2"}).groups] == [("1.0",), ("3.0",)]


def test_a_summary_is_by_what_was_swept_as_far_as_it_stays_short() -> None:
    gains, inits = [float(g) for g in range(20)], ("glorot", "uniform")
    grid = itertools.product(gains, inits, (3, 4))
    rows = rows_of(*({"gain": g, "init": i, "hidden": h} for g, i, h in grid))

    assert set(summarize(rows).names) == {"init", "hidden"}
    assert summarize(rows).groups[0].cells == 20
    few = rows_of({"gain": 1.0, "hidden": 3}, {"gain": 2.0, "hidden": 4})
    assert set(summarize(few).names) == {"gain", "hidden"}


def test_files_are_networks_of_their_own_in_a_picture() -> None:
    grid = itertools.product(("a", "b"), (1.0, 2.0))
    rows = rows_of(*({"weights": w, "gain": g, "rate_nats_per_step": g} for w, g in grid))

    assert list(quantile_curves(rows, "gain", "rate_nats_per_step").curves) == ["a", "b"]
    field = grid_of_values(rows, "gain", "weights", "rate_nats_per_step")
    assert list(field.panels) == ["tanh"]


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        ("hidden", None, "takes one value"),
        ("seed", None, "seed is what medians and quantiles are taken over; choose from"),
        ("rate", None, "rate is no setting; choose from"),
        ("gain", "gain", "choose two"),
        ("steps", "gian", "gian"),
    ],
)
def test_an_axis_that_is_not_swept_is_refused(x: str, y: str | None, part: str) -> None:
    rows = rows_of(*({"gain": float(g), "steps": t} for g in (1, 2) for t in (5, 7)))

    with pytest.raises(SettingError, match=part):
        grid_of_values(rows, x, y, "horizon")
