"""A strided view is what its definition says, and never reaches outside its storage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import WeightsError
from gradscope.weights.files.tensors import flat_numbers, strided_view

SMALL = st.integers(-1, 6)


@given(
    st.integers(0, 24),
    st.integers(-1, 8),
    st.integers(0, 4).flatmap(lambda n: st.tuples(*[st.lists(SMALL, min_size=n, max_size=n)] * 2)),
)
def test_a_view_holds_exactly_the_entries_its_strides_name(
    count: int, offset: int, shape: tuple[list[int], list[int]]
) -> None:
    size, stride = shape
    flat = np.arange(count, dtype=np.float32)
    negative = min([offset, *size, *stride]) < 0
    places = {
        index: offset + sum(i * step for i, step in zip(index, stride, strict=True))
        for index in itertools.product(*(range(n) for n in size))
    }
    if negative or any(place >= count for place in places.values()) or len(places) > count:
        with pytest.raises(WeightsError):
            strided_view(flat, offset, size, stride)
        return
    view = strided_view(flat, offset, size, stride)
    assert view.shape == tuple(size)
    assert all(view[index] == place for index, place in places.items())


def test_a_view_cannot_be_written_through() -> None:
    view = strided_view(np.arange(4.0), 0, (2, 2), (2, 1))

    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1.0


@given(st.lists(st.integers(0, 2**16 - 1), max_size=20))
def test_bfloat16_is_the_upper_half_of_a_float32(bits: list[int]) -> None:
    raw = np.array(bits, dtype="<u2").tobytes()
    padded = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2))

    values = flat_numbers(raw, "bfloat16")

    np.testing.assert_array_equal(values.view(np.uint32), np.frombuffer(padded, "<u4"))


@pytest.mark.parametrize(("order", "code"), [("little", "<f4"), ("big", ">f4")])
def test_numbers_come_out_the_same_in_either_byte_order(order: str, code: str) -> None:
    numbers = [1.0, -2.5, 3e30]

    values = flat_numbers(np.array(numbers, dtype=code).tobytes(), "float32", order)

    np.testing.assert_array_equal(values, np.array(numbers, dtype=np.float32))
