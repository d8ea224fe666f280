"""The time budget of a watch: snapshots keep to their share, and large layers get their turn."""

import pytest

from gradscope.watch.journal import ADVANCE, Journal, NonFinite, Quantity, TimeBudget


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
        count, lags = book.affordable("rnn", 0.03, 4, 10)
        if count:
            clock.now += 0.03 * count * lags
            book.charge("rnn", 0.03 * count * lags, count * lags)

    # One more fits in, for the end.
    assert book.budget.spent + 0.3 <= book.budget.limit + 0.1
    assert book.budget.spent > 0.08 * book.budget.elapsed
    count, lags = book.affordable("rnn", 0.03, 4, 10, last=True)
    assert count
    assert book.budget.spent + 0.03 * count * lags <= book.budget.limit


def test_the_first_snapshot_has_one_sequence_and_leaves_time_for_the_last() -> None:
    book = journal(Clock())

    assert book.affordable("rnn", 1e-5, 4, 50) == (1, 50)
    count, lags = book.affordable("rnn", ADVANCE / 100, 4, 50)
    assert (count, lags) == (1, 25)
    assert book.affordable("rnn", ADVANCE, 4, 50) == (0, 0)
    assert book.unseen == {"rnn": ADVANCE}


def seen(clock: Clock, **costs: float) -> Journal:
    """Return a journal whose modules each had a snapshot at these seconds per sequence and lag."""
    book = journal(clock)
    for name, cost in costs.items():
        book.charge(name, cost, 1)
    book.budget.spent = 0.0
    return book


def test_a_snapshot_has_as_many_sequences_as_the_budget_allows() -> None:
    clock = Clock()
    book = seen(clock, rnn=0.03)
    clock.now += 10.0  # 1 s, and the advance, less what the last snapshot needs

    assert book.affordable("rnn", 9.0, 4, 10) == (3, 10)
    assert book.affordable("rnn", 9.0, 4, 5) == (4, 5)
    assert book.affordable("rnn", 9.0, 4, 30) == (0, 30)
    assert book.n_waits == 1


def test_the_last_snapshot_has_fewer_lags_rather_than_none() -> None:
    clock = Clock()
    book = seen(clock, rnn=0.03)

    assert book.affordable("rnn", 9.0, 4, 10, last=True) == (1, 3)
    book.budget.spent = book.budget.limit
    assert book.affordable("rnn", 9.0, 4, 10, last=True) == (1, 1)


def test_without_a_limit_every_snapshot_has_all_sequences() -> None:
    assert journal(Clock(), share=None).affordable("rnn", 1e9, 4, 10) == (4, 10)


@pytest.mark.parametrize("other", ["small", "large"])
def test_a_large_layer_that_waits_is_served_before_a_small_one(other: str) -> None:
    clock = Clock()
    book = seen(clock, small=0.005, large=0.1)
    assert book.affordable("large", 9.0, 1, 10)[0] == 0
    clock.now += 5.0

    assert book.affordable(other, 9.0, 1, 10)[0] == 0
    clock.now += 15.0
    assert book.affordable("large", 9.0, 1, 10)[0] == 1


def test_a_layer_that_is_no_longer_called_holds_up_nobody() -> None:
    clock = Clock()
    book = seen(clock, small=0.005, large=0.1)
    assert book.affordable("large", 9.0, 1, 10)[0] == 0
    clock.now += 20.0
    book.steps += 5

    assert book.affordable("small", 9.0, 1, 10)[0] == 1


def test_passes_until_the_optimizer_steps_belong_to_its_first_step() -> None:
    book = journal(Clock())
    for step in (1, 2, 3):
        book.steps = step
        book.charge("rnn", 0.01, 1)
        book.gradient(step, 2.0**step, "")
        book.not_finite(NonFinite(step, "rnn", Quantity.INPUT, 4))
    book.count_steps()

    assert (book.steps, book.looks) == (1, {"rnn": [1]})
    assert [each.step for each in book.trouble.values()] == [1]
    assert book.gradient_norms[1].size == 0, "norms of parts of a gradient"
