"""The weights of a network belong together, and are told so in one line where they do not."""

from typing import Any

import numpy as np
import pytest

from gradscope.errors import ShapeError
from gradscope.model.activations import RELU, TANH
from gradscope.model.cells import WEIGHT_NAMES, ElmanParameters
from gradscope.model.initializers import initialize

SHAPES = {
    "input_weights": (4, 2),
    "recurrent_weights": (4, 4),
    "hidden_bias": (4,),
    "output_weights": (3, 4),
    "output_bias": (3,),
}


def ones(**other: Any) -> ElmanParameters:
    """Return a network of ones, but for what is given."""
    arrays: dict[str, Any] = {name: np.ones(shape) for name, shape in SHAPES.items()}
    return ElmanParameters(**(arrays | other))


def test_the_sizes_are_read_from_the_shapes() -> None:
    params = ones()

    assert params.sizes == (2, 4, 3)
    assert params.activation is TANH


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("input_weights", (3, 2)),
        ("input_weights", (2,)),
        ("recurrent_weights", (4, 3)),
        ("recurrent_weights", (1, 4, 4)),
        ("hidden_bias", (4, 1)),
        ("output_weights", (4, 3)),
        ("output_bias", (1, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_one_that_would(
    name: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError, match=r"has shape \(.*ask for \(") as caught:
        ones(**{name: np.ones(shape)})

    assert "\n" not in str(caught.value)


def test_lists_and_integers_become_float64_arrays() -> None:
    params = ones(input_weights=[[1, 2]] * 4, hidden_bias=np.ones(4, dtype=np.int8))

    assert all(array.dtype == np.float64 for _, array in params.weights())


def test_weights_come_by_name_in_a_fixed_order() -> None:
    params = initialize(np.random.default_rng(1), (2, 4, 3))

    assert [name for name, _ in params.weights()] == list(WEIGHT_NAMES)
    assert all(array is getattr(params, name) for name, array in params.weights())


def test_other_weights_make_another_network_of_the_same_kind() -> None:
    params = ones(activation=RELU)

    other = params.with_weights({name: 2.0 * array for name, array in params.weights()})

    assert other.activation is RELU
    for (_, before), (_, after) in zip(params.weights(), other.weights(), strict=True):
        np.testing.assert_array_equal(after, 2.0 * before)
        np.testing.assert_array_equal(before, 1.0)
