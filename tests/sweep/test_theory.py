"""The lines of theory over a phase diagram, against closed forms."""

from typing import Any

import numpy as np
import pytest

from gradscope.sweep.summary import GridOfValues, grid_of_values
from gradscope.sweep.theory import FEW, theory_grids
from tests.sweep.test_summary import rows_of

GAINS = (0.25, 0.5, 2.0)


def grids(*gains: float, **shared: Any) -> dict[str, GridOfValues]:
    """Return theory over gain and steps, of orthogonal W under hardly any drive."""
    cells = (
        {
            "gain": gain,
            "steps": steps,
            "updates": 0,
            "input_scale": 1e-9,
            "hidden": 4,
            "lags": steps,
        }
        | {"log10_bound": steps * np.log10(gain), "rate_nats_per_step": 0.0}
        | shared
        for gain in gains
        for steps in (4, 8)
    )
    rows = rows_of(*cells)
    return theory_grids(rows, grid_of_values(rows, "gain", "steps", "rate_nats_per_step"))


def test_without_drive_the_mean_field_of_tanh_is_the_logarithm_of_the_gain_up_to_one() -> None:
    # σ_w of an orthogonal matrix is its gain; below 1 only the state 0 is left, where slopes are 1.
    field = grids(*GAINS)["mean field"].panels["tanh"]

    np.testing.assert_allclose(field[:, :2], np.log([GAINS[:2]] * 2), rtol=1e-9)
    assert (field[:, 2] > 0.0).all()


def test_the_bound_is_that_of_the_store_and_changes_sign_at_gain_one() -> None:
    bound = grids(*GAINS)["bound"]

    expected = np.outer([4.0, 8.0], np.log10(GAINS))
    np.testing.assert_allclose(bound.panels["tanh"], expected)


@pytest.mark.parametrize(
    "shared", [{"updates": 9}, {"activation": "relu"}, {"cell": "gru"}, {"noise": 0.1}], ids=str
)
def test_what_the_mean_field_does_not_cover_has_none(shared: dict[str, Any]) -> None:
    assert list(grids(*GAINS, **shared)) == ["bound"]


def test_of_many_places_a_few_are_enough_the_ends_among_them() -> None:
    x = grids(*np.linspace(0.1, 2.0, 3 * FEW).tolist())["mean field"].x

    assert len(x.values) == FEW
    assert (x.values[0], x.values[-1]) == (0.1, 2.0)
