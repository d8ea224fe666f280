"""Every dialect of separated text is split alike, and what is no table is refused."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data import delimited
from gradscope.data.cells import cell_value, is_value
from gradscope.data.delimited import CellTable, parse_cells
from gradscope.errors import DataError


def parse(text: str | bytes) -> CellTable:
    return parse_cells(text if isinstance(text, bytes) else text.encode(), "t.csv")


def values(cells: CellTable, column: int) -> FloatArray:
    comma, held = bool(cells.decimal_commas[column]), cells.columns[column]
    if isinstance(held, np.ndarray):
        return held
    return np.array([cell_value(cell, decimal_comma=comma) for cell in held])


def message(text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1.5,2\n3,4.25\n",
        "a;b\n1.5;2\n3;4.25\n",
        "a;b\n1,5;2\n3;4,25\n",
        "a\tb\n1,5\t2\n3\t4,25\n",
        "a\tb\n1.5\t2\n3\t4.25\n",
        "a|b\n1.5|2\n3|4.25\n",
        "a b\n1.5 2\n3 4.25\n",
        "  a     b\n  1.5   2  \n  3     4.25\n",
        "a \t b\n1.5 \t 2\n3 \t 4.25\n",
        "a, b\n1.5, 2\n3, 4.25\n",
        "a ; b\n1,5 ; 2\n3 ; 4,25\n",
        '"a","b"\n"1.5","2"\n"3","4.25"\n',
        'a, "b"\n1.5, "2"\n3, "4.25"\n',
        "\ufeffa,b\n1.5,2\n3,4.25\n",
        "a,b\r\n1.5,2\r\n3,4.25\r\n",
        "a,b\r1.5,2\r3,4.25\r",
        "a,b\n1.5,2\n3,4.25",
        "\n\na,b\n\n1.5,2\n   \n3,4.25\n\n\n",
        '# by "hand, 2024\na,b\n1.5,2\n  # a, break\n3,4.25\n#1,2\n',
        "a,b\n1.5e0,+2\n3E0,425e-2\n",
        "% made by\n%%\n a   b\n 1.5   2\n 3     4.25\n",
        "sep=;\na;b\n1,5;2\n3;4,25\n",
        '"sep=,"\r\na,b\r\n1.5,2\r\n3,4.25\r\n',
        "SEP=\t\na\tb\n1.5\t2\n3\t4.25\n",
        "a,b,\n1.5,2,\n3,4.25,\n",
        "a,b\n1.5,2,\n3,4.25,,\n",
        "a,b,,\n1.5,2\n3,4.25\n",
        ";;\na;b;\n1.5;2;\n3;4.25;\n;;\n;;\n",
        'a,b\n"1.5",2 €\n3,4.25 €\n',
        "a;b\n1,5 %;2\n3 %;4,25\n",
        "a b\n1,5 2\n3 4,25\n",
        "a,b\n1.5,2\n3,4.25\n".encode("utf-16"),
        "a,b\n1.5,2\n3,4.25\n".encode("utf-16-le").join([b"\xff\xfe", b""]),
        ("\ufeff" + "a,b\n1.5,2\n3,4.25\n").encode("utf-16-be"),
    ],
)
def test_every_dialect_gives_the_same_table(text: str | bytes) -> None:
    cells = parse(text)

    assert cells.names == ("a", "b")
    np.testing.assert_array_equal(values(cells, 0), [1.5, 3.0])
    np.testing.assert_array_equal(values(cells, 1), [2.0, 4.25])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5\n6\n7\n", ("1",)),
        ("x\n5\n6\n7", ("x",)),
        ("Sun spots\n5\n6\n7\n", ("Sun spots",)),
        ("5,\n6,\n7,\n", ("1",)),
        ("5,\n6,1\n7,\n", ("1", "2")),
        (",rain\n5,1\n6,1\n7,1\n", ("1", "rain")),
        ("5;1;1\n6;1;1\n7;1;1\n", ("1", "2", "3")),
    ],
)
def test_columns_without_a_name_go_by_their_number(text: str, names: tuple[str, ...]) -> None:
    cells = parse(text)

    assert cells.names == names
    np.testing.assert_array_equal(values(cells, 0), [5, 6, 7])


def test_a_blank_in_the_header_of_a_two_line_file_is_no_separator() -> None:
    assert parse("Sun spots\n5\n").names == ("Sun spots",)


def test_a_missing_first_cell_does_not_make_a_header() -> None:
    assert parse("NA,2\n3,4\n").names == ("1", "2")


@pytest.mark.parametrize("first", ["2020-01-01", "1/2/2020 5:00 PM", "2020-01-01T00:00:00Z"])
def test_a_date_in_the_first_row_is_no_header(first: str) -> None:
    cells = parse(f"{first},5\n{first},6\n")

    assert cells.names == ("1", "2")
    np.testing.assert_array_equal(values(cells, 1), [5, 6])


def test_dates_with_times_do_not_mislead_about_the_separator() -> None:
    # A blank splits these rows into a steady two cells, a comma into three but for the last row.
    rows = "".join(f"2020-01-{day:02} 00:00:00,{day}.5,7\n" for day in range(1, 29))

    text = "time,x,y\n" + rows + "2020 1,1\n"
    assert "line 30 has 2 cells, but most have 3" in message(text)


@pytest.mark.parametrize("separator", [";", "\t", " "])
def test_dates_without_a_header_do_not_mislead_about_the_separator(separator: str) -> None:
    # A comma would split each row in two as evenly, and 1,5 into text and the number 5.
    text = "".join(f"0{day}.01.2020{separator}{day},5\n" for day in range(1, 9))

    np.testing.assert_array_equal(values(parse(text), 1), np.arange(1, 9) + 0.5)


def test_numbers_inside_a_note_do_not_mislead_about_the_separator() -> None:
    # Blanks split off more numbers than bars do, but never the same count twice.
    cells = parse("x|y\n5|a 1 2\n6|b 3\n7|c 4 5 6\n")

    assert cells.names == ("x", "y")
    np.testing.assert_array_equal(values(cells, 0), [5, 6, 7])


def test_quoted_cells_hold_separators_and_line_ends() -> None:
    cells = parse('"rain, mm","a\nb"\n1,2\n3,4\n')

    assert cells.names == ("rain, mm", "a\nb")
    assert tuple(cells.lines) == (3, 4)


def test_rows_keep_the_number_of_their_line() -> None:
    assert tuple(parse('\na,b\n# c\n1,2\n\n"x\ny",3\n4,5\n').lines) == (4, 6, 8)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Price,Close,High\nTicker,A,A\nDate,,\n2020-01-02,5,1\n2020-01-03,6,\n", "Close,High"),
        ("Price,Close,Close\nTicker,A,B\nDate,,\n2020-01-02,5,1\n2020-01-03,6,\n", "A,B"),
        ("P,C,C,O\nT,A,B,A\nDate,,,\n2020-01-02,5,1,2\n2020-01-03,6,1,2\n", "C A,C B,O A"),
        ("agency\tx\ty\n5s\t14n\t6s\nUSGS\t5\t1\nUSGS\t6\t2\n", "x,y"),
        ("day;temp;rain\n;°C;mm\n1.;5,0;2\n2.;6;3,1\n", "temp,rain"),
        (",Sales,\nday,x,y\n1,5,2\n2,6,3\n", "x,y"),
    ],
)
def test_further_rows_of_a_header_are_no_data(text: str, names: str) -> None:
    cells = parse(text)

    assert cells.names[1:] == tuple(names.split(","))
    np.testing.assert_array_equal(values(cells, 1), [5, 6])


@pytest.mark.parametrize(
    "text",
    ["land,x\nChad,NA\nMali,5\n", "day,x\n2020-01-01,\n2020-01-02,5\n", "a,x\n1,oops\n2,5\n"],
)
def test_a_row_of_data_under_the_header_is_none_of_it(text: str) -> None:
    cells = parse(text)

    assert cells.names[1] == "x"
    assert tuple(cells.lines) == (2, 3)


@pytest.mark.parametrize(
    ("text", "decimal_commas"),
    [
        # "1,234" may be 1.234 or a thousand; the 2.5 beside it speaks for the thousand.
        ("1,234;2.5\n999;3.5\n", [False, False]),
        ("1,234;2\n999;3,5\n", [True, True]),
        ("1.234;2\n999;3,5\n", [True, True]),
        ("01.02.2020;2\n02.02.2020;3,5\n", [True, True]),
        ("1.234\t1.234.567\n", [True, True]),
        ("1,234\t0,123\n", [True, True]),
        # Each column for itself, where they differ; an undecided one is not guessed at.
        ("1,5;2.5;1.234\n2;3;4\n", [True, False, None]),
        ("1;1.234\n2;2.345\n", [None, None]),
        ("1;1,234\n2;2,345\n", [None, None]),
        ('1,"1,234"\n2,"2,345"\n', [False, None]),
        ('1,"1,234.5"\n2,"2,345"\n', [False, False]),
        # Between commas, and in columns of blanks, a point is decimal.
        ("1,1.234\n2,2.345\n", [False, False]),
        ("1 1.234\n2 2.345\n", [False, False]),
    ],
)
def test_the_mark_of_a_column_is_decided_by_a_cell_or_not_at_all(
    text: str, decimal_commas: list[bool | None]
) -> None:
    assert parse(text).decimal_commas == decimal_commas


def test_a_no_break_space_between_thousands_is_no_separator() -> None:
    cells = parse("1\u202f234\n2\u202f345\n12\u202f345\n")

    np.testing.assert_array_equal(values(cells, 0), [1234, 2345, 12345])


def test_the_separator_is_found_in_a_sample_after_any_comments_and_blanks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def noted(cell: str) -> bool:
        seen.append(cell)
        return is_value(cell)

    monkeypatch.setattr(delimited, "is_value", noted)
    wide = ";".join(["1,5"] * 20_000)

    cells = parse("\n# made, by; me\n" * 500 + f"{wide}\n" * 3 + "\n" * 50_000)

    assert tuple(cells.lines) == (1001, 1002, 1003)
    assert len(cells.names) == 20_000
    assert set(cells.decimal_commas) == {True}
    # Of each separator, and the cells of the rows that may be a header.
    assert len(seen) < 5 * delimited.SAMPLE_CELLS + 3 * 20_000 + 10


@pytest.mark.parametrize(
    "text", ["t x\n1 500.6\n2 500.0\n", "t x\n1 500,6\n2 500,0\n", "1 500.6\n2 500.0\n"]
)
def test_a_blank_before_three_digits_stands_between_columns(text: str) -> None:
    cells = parse(text)

    np.testing.assert_array_equal(values(cells, 0), [1, 2])
    np.testing.assert_array_equal(values(cells, 1), [500.6, 500.0])


def test_a_short_row_of_a_comma_file_is_not_taken_for_a_decimal_comma() -> None:
    assert "line 2 has 1 cells, but most have 2" in message("1,5\n2\n3,5\n")


def test_blank_rows_at_the_end_are_no_rows_and_those_within_are() -> None:
    assert tuple(parse("a;b\n1;2\n;\n3;4\n;\n \n; \n").lines) == (2, 3, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "t.csv is empty"),
        ("\ufeff", "t.csv is empty"),
        ("\n  \n# only a comment\n", "t.csv is empty"),
        ("a,b\n", "t.csv has a header but no rows"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells, but most have 2"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, but most have 2"),
        ("title\na,b\n1,2\n3,4\n", "line 1 has 1 cells, but most have 2"),
        ("a,b\n1,é\n".encode("latin-1"), "t.csv is not UTF-8 text; save it as UTF-8"),
        (b"\xff\xfea,b\n1", "t.csv is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "t.csv is not UTF-8 text"),
        (b"1,2\n\0,3\n", "t.csv is not UTF-8 text"),
        ('a,b\n1,2\n3,"4\n' + "5,6\n" * 50_000, "line 3: a cell is longer than 131072 characters"),
        ("1," * 200_000, "line 1 has 200001 cells, but 100000 is the most"),
        ("9" * 200_000, "line 1: a cell is longer than 131072 characters"),
    ],
)
def test_a_text_that_is_no_table_is_refused(text: str | bytes, words: str) -> None:
    assert words in message(text)
