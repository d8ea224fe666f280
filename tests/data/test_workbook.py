"""Workbooks and packed tables come out as the same numbers as a plain file, within a budget."""

import datetime as dt
import gzip
import sys
import tracemalloc
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.data.intake import MAX_ITEMS
from gradscope.data.table import read_table
from gradscope.errors import DataError

ROWS: list[list[Any]] = [
    ["Datum", "wert"],
    *([dt.date(2020, 1, day), 1.234 * day] for day in range(1, 6)),
]


def book(rows: Sequence[Sequence[Any]]) -> bytes:
    openpyxl = pytest.importorskip("openpyxl", reason="writes the workbooks")
    made = openpyxl.Workbook()
    made.active.title = "Daten"
    for row in rows:
        made.active.append(row)
    made.create_sheet("Notes").append(["x", 5])
    file = BytesIO()
    made.save(file)
    return file.getvalue()


def refusal(path: Path, raw: bytes, *columns: str) -> str:
    path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_table(path, columns)
    assert len(str(caught.value)) <= 300 + len(str(path.parent))
    return str(caught.value)


@pytest.mark.parametrize("name", ["t.xlsx", "T.XLSX", "t.csv"])
def test_the_first_sheet_is_read_exactly(tmp_path: Path, name: str) -> None:
    # 1.234 is a number here, so its point is never one between thousands.
    (tmp_path / name).write_bytes(book([*ROWS, [None, None], [None, ""]]))

    table = read_table(tmp_path / name)

    assert table.names == ("wert",)
    np.testing.assert_array_equal(table.values[:, 0], [1.234 * day for day in range(1, 6)])


def test_a_cell_is_named_by_its_sheet_and_row(tmp_path: Path) -> None:
    bad = refusal(tmp_path / "t.xlsx", book([*ROWS, [None, None], ["", "oops"]]), "wert")
    gap = refusal(tmp_path / "t.xlsx", book([*ROWS, ["x", None], *ROWS[1:]]), "wert")

    assert "sheet 'Daten' row 8, column 'wert': 'oops' is not a number" in bad
    assert "sheet 'Daten' row 7, column 'wert': the value is missing (1 in all)" in gap


@pytest.mark.parametrize("cell", ["1,234", "1.234", "1.234,5"])
def test_text_beside_numbers_is_not_guessed_at(tmp_path: Path, cell: str) -> None:
    line = refusal(tmp_path / "t.xlsx", book([["a"], [5], [1.25], [cell]]), "a")

    assert "row 4, column 'a':" in line
    assert cell in line


def test_numbers_that_are_stored_as_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(book([["a"], ["5"], ["1,5"], ["1.234,5"]]))

    np.testing.assert_array_equal(read_table(tmp_path / "t.xlsx").values[:, 0], [5, 1.5, 1234.5])


def test_without_the_library_a_workbook_is_named_and_how_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    line = refusal(tmp_path / "t.xlsx", b"PK\x03\x04")

    assert "is a workbook" in line
    assert "pip install '.[tables]'" in line


@pytest.mark.parametrize("raw", [b"PK\x03\x04", b"PK\x03\x04" + bytes(500)])
def test_a_damaged_workbook_is_refused(tmp_path: Path, raw: bytes) -> None:
    pytest.importorskip("openpyxl", reason="reads workbooks")

    assert "cannot be read as a workbook" in refusal(tmp_path / "t.xlsx", raw)


def test_a_workbook_that_unfolds_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    whole = zipfile.ZipFile(BytesIO(book(ROWS)))
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(
                name, whole.read(name) + b" " * (70_000_000 * name.endswith("sheet1.xml"))
            )

    assert "would unfold to" in refusal(tmp_path / "t.xlsx", file.getvalue())


def test_a_member_that_says_it_is_short_is_read_no_further(tmp_path: Path) -> None:
    whole = zipfile.ZipFile(BytesIO(book(ROWS)))
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name) + b" " * (2**25 * (name == "xl/workbook.xml")))
    raw = file.getvalue()
    size = (packed.getinfo("xl/workbook.xml").file_size).to_bytes(4, "little")

    tracemalloc.start()
    line = refusal(tmp_path / "t.xlsx", raw.replace(size, (2**12).to_bytes(4, "little")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "cannot be read as a workbook" in line
    assert peak < 2**23


def test_cells_far_apart_do_not_fill_the_memory(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [1.0],
        *([None] * 16_383 + [2.0] for _ in range(2)),
        *([k] for k in range(600)),
    ]

    assert "would unfold to" in refusal(tmp_path / "t.xlsx", book(rows), "1")


@pytest.mark.parametrize("rows", ['<row r="2000000000"/>', "<row/>" * (MAX_ITEMS + 1)])
def test_rows_that_are_not_there_are_counted(tmp_path: Path, rows: str) -> None:
    whole = zipfile.ZipFile(BytesIO(book(ROWS)))
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            member = whole.read(name)
            if name.endswith("sheet1.xml"):
                member = member.replace(b"</sheetData>", f"{rows}</sheetData>".encode())
            packed.writestr(name, member)

    assert "more items" in refusal(tmp_path / "t.xlsx", file.getvalue())


@pytest.mark.parametrize("row", [b"1\n", b"1,1\n", b"," * 1000 + b"\n"])
def test_packed_text_of_more_cells_than_its_size_lets_expect_is_refused(
    tmp_path: Path, row: bytes
) -> None:
    raw = gzip.compress(row * (4 * MAX_ITEMS // max(row.count(b","), 1)))
    tracemalloc.start()
    line = refusal(tmp_path / "t.csv.gz", raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "more items" in line
    assert peak < 2**27


def test_packed_text_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))

    np.testing.assert_array_equal(read_table(path, ("b",)).values[:, 0], [2, 4])


def test_packed_text_that_is_damaged_or_too_long_is_refused(tmp_path: Path) -> None:
    whole, bomb = gzip.compress(b"a\n1\n2\n"), gzip.compress(bytes(70_000_000))

    assert "cannot be read as gzip" in refusal(tmp_path / "t.csv.gz", whole[:-6])
    assert "would unfold to" in refusal(tmp_path / "t.csv.gz", bomb)
