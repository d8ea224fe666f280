"""An estimate rests on cells that are really run, and scales the rest by their work."""

import time

import pytest

from gradscope.sweep import preview as estimate_module
from gradscope.sweep.cell import Outcome, Status
from gradscope.sweep.grid import Cell
from gradscope.sweep.preview import estimate
from tests.sweeping import cells_of


def timed_by_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a cell take a millisecond a step on a clock of our own; gives the steps of those run."""
    clock = [0.0]
    ran = []

    def run_cell(cell: Cell) -> Outcome:
        ran.append(cell.settings.steps)
        clock[0] += cell.settings.steps / 1000.0
        return Outcome(cell, Status.DONE)

    monkeypatch.setattr(estimate_module, "run_cell", run_cell)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    return ran


def test_one_cell_of_each_size_is_timed_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = timed_by_steps(monkeypatch)

    found = estimate(cells_of("gain=1:2:10", "steps=10,100,50"))

    assert found.seconds == pytest.approx(10 * (0.010 + 0.100 + 0.050))
    assert (found.timed, found.sizes) == (3, 3)
    # The smallest twice: once to load what the first run loads.
    assert ran == [10, 10, 50, 100]


def test_sizes_beyond_the_budget_are_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = timed_by_steps(monkeypatch)

    found = estimate(cells_of("steps=10,100,1000"), budget=0.05)

    assert ran == [10, 10, 100]
    assert (found.timed, found.sizes) == (2, 3)
    assert found.seconds == pytest.approx(0.010 + 0.100 + 1.000)


def test_nothing_to_do_takes_no_time() -> None:
    assert estimate(()).seconds == 0.0
