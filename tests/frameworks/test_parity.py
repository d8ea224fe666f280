"""Where the Jacobians are taken that a framework is held against."""

from hypothesis import given
from hypothesis import strategies as st

from gradscope.frameworks.parity import MAX_JACOBIANS, sampled_places


@given(st.integers(1, 300), st.integers(1, 300))
def test_places_are_few_distinct_and_reach_both_ends(n_steps: int, n_sequences: int) -> None:
    places = sampled_places(n_steps, n_sequences)

    assert len(set(places)) == len(places) <= MAX_JACOBIANS
    assert places[0] == (1, 0)
    assert places[-1] == (n_steps, n_sequences - 1)


@given(st.integers(1, MAX_JACOBIANS), st.integers(1, MAX_JACOBIANS))
def test_where_there_are_few_every_step_and_every_sequence_has_its_turn(
    n_steps: int, n_sequences: int
) -> None:
    steps, sequences = zip(*sampled_places(n_steps, n_sequences), strict=True)

    assert set(steps) == set(range(1, n_steps + 1))
    assert set(sequences) == set(range(n_sequences))
