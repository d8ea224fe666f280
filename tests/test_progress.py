"""How far the work is: counted where someone shows it, and without a trace in the numbers."""

from collections.abc import Iterator

import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.check import check
from gradscope.analysis.settings import Settings
from gradscope.names import CellName
from gradscope.progress import SHOWN, progress, tracked, work
from gradscope.report.documents.analysis import analysis_document, check_document, spectrum_document


@pytest.fixture
def shown() -> Iterator[None]:
    SHOWN.set()
    yield
    SHOWN.clear()


@pytest.mark.usefixtures("shown")
def test_an_inner_loop_is_a_part_of_the_item_of_the_outer_one() -> None:
    seen = []
    for _ in tracked(range(2), "sequences"):
        with work("lags", 4) as at:
            for at.done in range(4):
                found = progress()
                assert found is not None
                seen.append(found[1])

    assert seen == [lag / 8 for lag in range(8)]
    assert progress() is None


@pytest.mark.usefixtures("shown")
def test_the_time_left_is_unknown_at_first_and_an_end_before_the_last_item_is_an_end() -> None:
    for _ in tracked((each for each in "abc"), "letters", 3):
        assert progress() == ("letters, 0 of 3", 0.0, float("inf"))
        break

    assert progress() is None


def test_loops_are_left_as_they_are_where_nobody_looks() -> None:
    items = range(3)

    assert tracked(items, "lags") is items


@pytest.mark.parametrize("cell", CellName)
def test_numbers_are_the_same_bits_where_they_are_shown(cell: CellName) -> None:
    settings = Settings(
        cell=cell, hidden=5, steps=12, sequences=2, updates=2, map=True, shares=True, spectrum=True
    )

    def numbers() -> list[object]:
        found, rows = analyze(settings), check(settings)
        documents = analysis_document(found), spectrum_document(found)
        return [*documents, check_document(rows, settings.as_dict())]

    alone = numbers()
    SHOWN.set()
    try:
        assert numbers() == alone
    finally:
        SHOWN.clear()
