"""``compare`` rests on the cells of a sweep."""

from gradscope.analysis.settings import Settings
from gradscope.names import ActivationName
from gradscope.sweep.compare import comparison_cells
from tests.sweeping import TINY, cells_of


def test_a_comparison_has_the_cells_of_the_sweep_over_the_same_values() -> None:
    activations = (ActivationName.SIGMOID, ActivationName.TANH)

    compared = comparison_cells(Settings.from_dict({**TINY, "seed": 3}), activations, (4, 6))

    swept = cells_of("activation=sigmoid,tanh", "steps=4,6", seed=3)
    assert [each.as_dict() for each in compared] == [cell.settings.as_dict() for cell in swept]
