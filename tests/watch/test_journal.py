"""The time budget of a watch: snapshots keep to their share, and large layers get their turn."""

import pytest

from gradscope.watch.journal import ADVANCE, Journal, TimeBudget


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def journal(clock: Clock, share: float | None = 0.1) -> Journal:
    made = Journal(TimeBudget(share, clock), lambda _: None, steps=1)
    made.budget.start()
    return made


def test_snapshots_take_no_more_than_their_share_of_the_time() -> None:
    clock = Clock()
    book = journal(clock)
    for _ in range(1000):
        clock.now += 0.1
        book.steps += 1
        if count := book.affordable("rnn", 0.3, 4):
            clock.now += 0.3 * count
            book.charge("rnn", 0.3 * count, count)

    assert book.budget.spent <= 0.1 * book.budget.elapsed + ADVANCE + 1e-9
    assert book.budget.spent > 0.08 * book.budget.elapsed


def test_a_snapshot_has_as_many_sequences_as_the_budget_allows() -> None:
    clock = Clock()
    book = journal(clock)
    clock.now += 10.0  # 1 s, and the advance

    assert book.affordable("rnn", 0.3, 4) == 3
    assert book.affordable("rnn", 0.2, 4) == 4
    assert book.affordable("rnn", 2.0, 4) == 0


def test_the_cost_is_that_of_the_last_snapshot() -> None:
    clock = Clock()
    book = journal(clock)
    clock.now += 100.0
    book.charge("rnn", 6.0, 2)

    # 10.1 s less 6 s spent leave time for one sequence of 3 s.
    assert book.affordable("rnn", 0.001, 4) == 1


def test_without_a_limit_every_snapshot_has_all_sequences() -> None:
    assert journal(Clock(), share=None).affordable("rnn", 1e9, 4) == 4


@pytest.mark.parametrize("other", ["small", "large"])
def test_a_large_layer_that_waits_is_served_before_a_small_one(other: str) -> None:
    clock = Clock()
    book = journal(clock)
    assert book.affordable("large", 1.0, 1) == 0
    clock.now += 5.0

    assert book.affordable(other, 0.05 if other == "small" else 1.0, 1) == 0
    clock.now += 5.0
    assert book.affordable("large", 1.0, 1) == 1


def test_a_layer_that_is_no_longer_called_holds_up_nobody() -> None:
    clock = Clock()
    book = journal(clock)
    assert book.affordable("large", 1.0, 1) == 0
    clock.now += 5.0
    book.steps += 5

    assert book.affordable("small", 0.05, 1) == 1


def test_a_first_snapshot_that_waits_is_in_the_list_of_the_unseen() -> None:
    clock = Clock()
    book = journal(clock)
    book.affordable("large", 1.0, 1)
    assert book.unseen == {"large": 1.0}
    clock.now += 100.0
    book.affordable("large", 1.0, 1)

    assert book.unseen == {}
