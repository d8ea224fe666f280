"""A user's file comes out as finite numbers, exactly, or as one line that names the slip.

Dialects are in ``test_delimited``, the choice of columns in ``test_columns``, ``.npy`` files in
``test_table_arrays``.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradscope.data.table import Table, read_table
from gradscope.errors import DataError

SUNSPOTS = Path(__file__).parents[2] / "sample_runs" / "data" / "sunspots.csv"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages show the bare name of a file."""
    monkeypatch.chdir(tmp_path)
    return Path()


def read(
    folder: Path,
    text: str | bytes,
    *columns: str,
    missing: str = "refuse",
    name: str = "t.csv",
) -> Table:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, columns, missing)


def message(folder: Path, text: str | bytes, *columns: str, name: str = "t.csv") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, text, *columns, name=name)
    line = str(caught.value)
    assert "\n" not in line
    return line


# --- A real file ------------------------------------------------------------------------------


def test_the_sunspot_numbers_are_read_by_name() -> None:
    table = read_table(SUNSPOTS, ("SUNACTIVITY",))

    assert table.names == ("SUNACTIVITY",)
    assert table.values.shape == (309, 1)
    assert table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values[:4, 0], [5, 11, 16, 23])


def test_a_year_column_is_listed_and_not_silently_dropped() -> None:
    with pytest.raises(DataError, match=r"2 columns of numbers: 'YEAR', 'SUNACTIVITY'.*--column"):
        read_table(SUNSPOTS)


def test_german_amounts_are_read(folder: Path) -> None:
    rows = [1234.5 + 11.09 * k for k in range(40)]
    shown = [f"{each:,.2f}".translate(str.maketrans(",.", ".,")) for each in rows]
    text = "Datum;Umsatz\n" + "".join(f"{k + 1:02}.01.2020;{x}\n" for k, x in enumerate(shown))

    np.testing.assert_allclose(read(folder, text).values[:, 0], rows, rtol=1e-12)


def test_a_point_alone_is_a_missing_rate(folder: Path) -> None:
    text = "DATE,DGS10\n2020-01-01,5.0\n2020-01-02,.\n2020-01-03,5.2\n"

    assert "line 3, column 'DGS10': the value is missing (1 in all)" in message(folder, text)
    filled = read(folder, text, missing="interpolate").values[:, 0]
    np.testing.assert_allclose(filled, [5.0, 5.1, 5.2])


# --- Which columns ----------------------------------------------------------------------------


def test_several_columns_come_in_the_order_they_are_asked_for(folder: Path) -> None:
    table = read(folder, "a;b;c\n1,5;x;3\n2,5;y;4\n", "c", "1")

    assert table.names == ("c", "a")
    np.testing.assert_array_equal(table.values, [[3, 1.5], [4, 2.5]])


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "T.CSV"])
def test_the_ending_does_not_decide_the_separator(folder: Path, name: str) -> None:
    assert read(folder, "a;b\n1;2\n", "b", name=name).values.item() == 2.0


@pytest.mark.parametrize("text", ["5\n6\n7\n", "x\n5\n6\n7", "5,\n6,\n7,\n", "q,p\na,5\nb,6\nc,7"])
def test_the_only_column_of_numbers_needs_no_choice(folder: Path, text: str) -> None:
    np.testing.assert_array_equal(read(folder, text).values, [[5.0], [6.0], [7.0]])


def test_a_slip_does_not_make_another_column_the_only_one(folder: Path) -> None:
    # Without a choice, 'temp' must not be passed over in favour of 'rain' for its one bad cell.
    assert "2 columns of numbers" in message(folder, "temp,rain\n1,2\nx,3\n4,5\n")
    assert message(folder, "day,temp\nMo,1\nTu,x\nWe,3\n").startswith("t.csv line 3, column 'temp'")


def test_a_file_of_words_has_no_column_of_numbers(folder: Path) -> None:
    assert "no column of numbers (columns: 'a', 'b')" in message(folder, "a,b\nx,y\nz,w\n")


# --- Cells that are not numbers ---------------------------------------------------------------


def test_text_among_numbers_is_named_with_its_line_and_column(folder: Path) -> None:
    assert message(folder, "YEAR,SUN\n1,2\n# note\n\n3,n/a?\n", "SUN") == (
        "t.csv line 5, column 'SUN': 'n/a?' is not a number; "
        "correct the cell or choose another column (--column)"
    )


def test_lines_are_counted_across_cells_that_span_several(folder: Path) -> None:
    assert "line 4, column 'a'" in message(folder, 'note,a\n"x\ny",1\n"z",oops\n', "a")


def test_long_text_is_cut_and_stays_on_one_line(folder: Path) -> None:
    line = message(folder, 'a,b\n1,2\n3,"' + "x\n\x1b" * 900 + '"\n', "b")

    assert r"'x\n\x1bx" in line
    assert "…'" in line
    assert len(line) < 250


def test_a_mark_unlike_the_others_is_explained(folder: Path) -> None:
    line = message(folder, '"1.5",2\n"2,5",4\n', "1")

    assert line.startswith("t.csv line 2, column '1': '2,5' is not a number as others are")


def test_decimals_that_may_be_thousands_are_asked_about_and_one_cell_decides(folder: Path) -> None:
    line = message(folder, "x;y\n1.234;a\n2.345;b\n", "x")

    assert "line 2, column 'x': '1.234'" in line
    assert "1.2340 or 1.234,0" in line
    for cell, first in (("1.2340", 2.345), ("1.234,0", 2345.0)):
        assert read(folder, f"x;y\n2.345;a\n{cell};b\n", "x").values[0, 0] == first


def test_other_units_in_a_column_are_refused(folder: Path) -> None:
    assert read(folder, "x\n5 %\n\n-\n6 %\n", missing="interpolate").values.max() == 6.0
    assert "line 3, column 'x': '0.05' has another unit" in message(folder, "x\n5 %\n0.05\n")
    assert "line 3, column 'x': '€5' has another unit" in message(folder, "x\n$5\n€5\n")


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400", "-1e400"])
def test_infinite_numbers_are_refused(folder: Path, cell: str) -> None:
    line = message(folder, f"a,b\n1,2\n{cell},3\n", "a")

    assert line.startswith("t.csv line 3, column 'a': the value is ")
    assert "inf (1 in all); correct it, or choose another column" in line


def test_slips_in_columns_that_are_not_asked_for_do_not_matter(folder: Path) -> None:
    assert read(folder, "a,b\n1,oops\n2,inf\n3,\n", "a").values.shape == (3, 1)


# --- Missing cells ----------------------------------------------------------------------------

MISSING = [
    "",
    " ",
    ".",
    "..",
    ":",
    "n.a.",
    "<NA>",
    "NA",
    "N/A",
    "NaN",
    "nan",
    "null",
    "None",
    "?",
    "-",
    "#N/A",
    '""',
]


@pytest.mark.parametrize("word", MISSING)
def test_a_missing_cell_is_refused_by_name_line_and_remedy(folder: Path, word: str) -> None:
    assert message(folder, f"a,b\n1,2\n3,{word}\n5,6\n", "b") == (
        "t.csv line 3, column 'b': the value is missing (1 in all); "
        "correct it, or use --missing interpolate"
    )


@pytest.mark.parametrize("word", MISSING)
def test_missing_cells_lie_on_the_line_between_their_neighbours(folder: Path, word: str) -> None:
    text = f"a,b\n1,{word}\n1,2\n1,{word}\n1,{word}\n1,8\n1,{word}\n"

    table = read(folder, text, "b", "a", missing="interpolate")

    np.testing.assert_allclose(table.values[:, 0], [2, 2, 4, 6, 8, 8], rtol=1e-15)
    np.testing.assert_array_equal(table.values[:, 1], 1)


def test_a_failed_formula_is_a_cell_and_not_a_comment(folder: Path) -> None:
    table = read(folder, "a,b\n1,1\n#N/A,2\n3,3\n", "a", missing="interpolate")
    np.testing.assert_array_equal(table.values[:, 0], [1, 2, 3])

    assert "line 3, column 'a': '#DIV/0!'" in message(folder, "a,b\n1,1\n#DIV/0!,2\n3,3\n", "a")


def test_interpolation_between_huge_neighbours_does_not_overflow(folder: Path) -> None:
    text = "a\n-1.7e308\nNA\n1.7e308\n"

    assert read(folder, text, missing="interpolate").values[1, 0] == 0.0


@pytest.mark.parametrize("missing", ["refuse", "interpolate", "keep"])
def test_a_column_without_any_number_cannot_be_filled(folder: Path, missing: str) -> None:
    with pytest.raises(DataError, match=r"column 'b': no value in this column"):
        read(folder, "a,b\n1,\n2,NA\n", "b", missing=missing)


def test_tabs_alone_are_a_row_of_missing_cells(folder: Path) -> None:
    assert "line 3, column 'b': the value is missing" in message(
        folder, "a\tb\n1\t2\n\t\n3\t4\n", "b"
    )


# --- Files that are not tables ----------------------------------------------------------------


def test_a_file_that_is_not_there_is_named_as_given() -> None:
    with pytest.raises(DataError, match=r"^no/such/file\.csv does not exist; .*--data"):
        read_table(Path("no/such/file.csv"))


@pytest.mark.parametrize("name", ["d.csv", "d.npy", "d"])
def test_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(DataError, match=r"is a folder|is not a \.csv"):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (PermissionError(13, "no"), "t.csv cannot be read: no; check its permissions"),
        (OSError(5, "disk"), "t.csv cannot be read: disk"),
    ],
)
def test_a_file_that_may_not_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, problem: OSError, words: str
) -> None:
    def refuse(_: Path) -> bytes:
        raise problem

    monkeypatch.setattr(Path, "stat", refuse)

    with pytest.raises(DataError, match=words):
        read_table(Path("t.csv"))


@pytest.mark.parametrize("name", ["nul\0.csv", "x" * 5000 + ".csv"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_table(Path(name))


@pytest.mark.parametrize("name", ["t.npz", "t.ods", "t.parquet", "t"])
def test_other_endings_are_answered_with_the_ones_that_are_read(folder: Path, name: str) -> None:
    line = message(folder, "1\n2\n", name=name)

    assert line.startswith(f"{name} is not a .csv, .tsv, .txt, .dat, .gz, .xlsx or .npy file")


# --- Properties -------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
word = st.text(st.characters(categories=["L"], include_characters="_ ,;'|\t#"), max_size=6)
# Names that every dialect can hold; the "x" makes them neither numbers nor dates.
names = word.map(lambda text: " ".join(f"x{text}".split()))


@st.composite
def text_tables(draw: st.DrawFn) -> tuple[list[str], np.ndarray, str]:
    """Draw the names of columns, their values, and a text that holds both."""
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 4)))
    values = draw(hnp.arrays(np.float64, shape, elements=numbers))
    separator = draw(st.sampled_from([",", ";", "\t", "|", " ", "  "]))
    comma = separator in (";", "\t") and shape[1] > 1 and draw(st.booleans())
    spelled = [[repr(float(v)).replace(".", "," if comma else ".") for v in row] for row in values]
    header = draw(st.none() | st.lists(names, min_size=shape[1], max_size=shape[1], unique=True))
    quoted = draw(st.booleans())
    if header:
        spelled.insert(0, [f'"{name}"' for name in header])
    rows = [
        [f'"{cell}"' if quoted and '"' not in cell else cell for cell in row] for row in spelled
    ]
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    gap = draw(st.sampled_from(["", line_end, f"# a, b;c{line_end}"]))
    last = draw(st.sampled_from(["", line_end, line_end * 3]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    text = mark + (line_end + gap).join(separator.join(row) for row in rows) + last
    return header or [str(k + 1) for k in range(shape[1])], values, text


@given(text_tables())
def test_what_is_written_in_any_dialect_is_read_back_exactly(
    tmp_path: Path, case: tuple[list[str], np.ndarray, str]
) -> None:
    expected_names, values, text = case

    table = read(tmp_path, text, *expected_names, missing="keep")

    assert list(table.names) == expected_names
    np.testing.assert_array_equal(table.values, values)


snippets = st.sampled_from(
    ["1", "2.5", "NA", ",", ";", "\t", " ", "|", '"', "\n", "\r", "#", "x", "1e999", "\ufeff", "-"]
)
texts = st.text(max_size=80) | st.lists(snippets, max_size=60).map("".join)


@given(
    texts.map(str.encode) | st.binary(max_size=80),
    st.sampled_from([(), ("1",), ("x",), ("1", "2")]),
    st.sampled_from(["refuse", "interpolate", "keep", "-9999"]),
)
def test_any_text_gives_finite_numbers_or_a_data_error(
    tmp_path: Path, raw: bytes, columns: tuple[str, ...], missing: str
) -> None:
    try:
        table = read(tmp_path, raw, *columns, missing=missing)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert table.values.shape[1] == len(table.names) >= 1
        assert np.isfinite(table.values).all()
