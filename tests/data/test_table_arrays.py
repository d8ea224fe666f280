"""NumPy's ``.npy`` files: every real kind is read, everything else is refused by name."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.data.intake import ALWAYS_ALLOWED
from gradscope.data.table import Table, read_stored, read_table
from gradscope.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages show the bare name of a file."""
    monkeypatch.chdir(tmp_path)
    return Path()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def read(folder: Path, raw: bytes, *columns: str, missing: str = "refuse") -> Table:
    path = folder / "t.npy"
    path.write_bytes(raw)
    return read_table(path, columns, missing)


def message(folder: Path, raw: bytes, *columns: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, raw, *columns)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["?", "u1", ">i4", "i8", "f2", "<f4", ">f8", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_arrays_of_every_kind_are_read(folder: Path, dtype: str, order: str) -> None:
    array = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype, order=order)  # type: ignore[call-overload]

    table = read(folder, npy(array), "2", "1")

    assert table.names == ("2", "1")
    assert table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values, [[1, 0], [1, 1], [0, 1]])


def test_one_dimension_is_one_column(folder: Path) -> None:
    table = read(folder, npy(np.arange(4)))

    assert table.names == ("1",)
    np.testing.assert_array_equal(table.values, [[0], [1], [2], [3]])


def test_several_columns_of_an_array_must_be_chosen_from(folder: Path) -> None:
    assert "3 columns of numbers: '1', '2', '3'; choose with --column" in message(
        folder, npy(np.zeros((4, 3)))
    )


def test_nan_in_an_array_is_a_missing_cell(folder: Path) -> None:
    raw = npy(np.array([1.0, np.nan, 3.0]))

    assert message(folder, raw).startswith(
        "t.npy row 2, column '1': the value is missing (1 in all)"
    )
    filled = read(folder, raw, missing="interpolate")
    np.testing.assert_array_equal(filled.values, [[1], [2], [3]])


def test_infinity_in_an_array_is_refused_only_where_asked_for(folder: Path) -> None:
    raw = npy(np.array([[1.0, 2.0], [3.0, -np.inf]]))

    assert message(folder, raw, "2").startswith("t.npy row 2, column '2': the value is -inf")
    assert read(folder, raw, "1").values.shape == (2, 1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(3, dtype=complex), "values of type complex128"),
        (np.array(["1", "2"]), "values of type <U1"),
        (np.zeros(3, dtype="M8[s]"), "values of type datetime64"),
        (np.zeros(3, dtype=[("a", float)]), "values of type"),
        (np.array([1, None], dtype=object), "holds values of type object"),
        (np.zeros((2, 2, 2)), "shape (2, 2, 2)"),
        (np.zeros(()), "shape ()"),
        (np.zeros((0, 3)), "shape (0, 3)"),
        (np.zeros((3, 0)), "shape (3, 0)"),
    ],
)
def test_arrays_that_are_no_tables_are_refused(folder: Path, array: np.ndarray, words: str) -> None:
    assert words in message(folder, npy(array))


def test_small_numbers_that_unfold_to_many_are_refused(folder: Path) -> None:
    np.savez_compressed(folder / "t.npz", x=np.zeros((ALWAYS_ALLOWED // 8 + 1, 1), dtype=np.uint8))

    with pytest.raises(DataError, match="would unfold to") as caught:
        read_stored(folder / "t.npz")
    assert len(str(caught.value)) <= 300


def test_a_long_double_beyond_float64_is_infinite(folder: Path) -> None:
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is float64 here")
    huge = np.array([1, np.finfo(np.longdouble).max], dtype=np.longdouble)

    assert "row 2, column '1': the value is inf" in message(folder, npy(huge))


def test_damaged_arrays_are_refused(folder: Path) -> None:
    whole = npy(np.arange(100.0))
    zipped = io.BytesIO()
    np.savez(zipped, a=np.arange(3))
    too_large = whole.replace(b"(100,)", b"(10000000000000,)")

    for raw in (b"", whole[:5], whole[:60], whole[:-8], zipped.getvalue(), too_large, b"1,2\n"):
        said = message(folder, raw)
        assert "cannot be read as a .npy array" in said or "bytes, but" in said


@given(
    st.binary(max_size=200), st.integers(0, 150), st.binary(max_size=12), st.sampled_from("fidGV")
)
def test_any_bytes_as_an_array_give_finite_numbers_or_a_data_error(
    tmp_path: Path, tail: bytes, place: int, patch: bytes, kind: str
) -> None:
    whole = npy(np.arange(6).astype("V8" if kind == "V" else kind))
    damaged = whole[:place] + patch + whole[place + len(patch) :] + tail

    for raw in (tail, damaged):
        try:
            table = read(tmp_path, raw, missing="interpolate")
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert np.isfinite(table.values).all()
