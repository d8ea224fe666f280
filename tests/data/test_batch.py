"""Batches fit together, or say in one line that they do not."""

import numpy as np
import pytest

from gradscope.data.batch import Batch, Targets
from gradscope.errors import ShapeError
from gradscope.names import ErrorName


def targets(steps: int = 4, sequences: int = 3) -> Targets:
    values = np.arange(steps * sequences * 2.0).reshape(steps, sequences, 2)
    return Targets(values, np.arange(steps) % 2 == 0, ErrorName.CROSS_ENTROPY)


def test_the_steps_with_a_target_are_counted() -> None:
    assert targets(5).count == 3


@pytest.mark.parametrize("shape", [(4, 3), (5, 3, 2), (3, 4, 2, 1)])
def test_targets_whose_steps_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"give \(T,B,O\) values and \(T,\) or \(T,B\)"):
        Targets(np.zeros(shape), np.ones(4, dtype=np.bool_))


@pytest.mark.parametrize("shape", [(5, 3, 1), (4, 2, 1)])
def test_inputs_of_other_steps_or_sequences_than_the_targets_are_refused(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(ShapeError, match=r"first two sizes \(steps, sequences\) must agree"):
        Batch(np.zeros(shape), targets())


def test_the_first_steps_are_cut_from_inputs_and_targets_alike() -> None:
    whole = Batch(np.arange(12.0).reshape(4, 3, 1), targets())

    cut = whole.first(3)

    assert (cut.n_steps, cut.n_sequences) == (3, 3)
    np.testing.assert_array_equal(cut.inputs, whole.inputs[:3])
    np.testing.assert_array_equal(cut.targets.values, whole.targets.values[:3])
    assert cut.targets.at_step.tolist() == [True, False, True]
    assert cut.targets.error is ErrorName.CROSS_ENTROPY
