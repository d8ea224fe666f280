"""Colour, line and marker of a network among others: the same in every picture that names it."""

from collections.abc import Mapping
from types import MappingProxyType

from gradscope.names import ActivationName, CellName
from gradscope.report.figures.style import BLUE, GREEN, INK, ORANGE, VERMILLION

ACTIVATION_LOOKS: Mapping[ActivationName, tuple[str, str, str]] = MappingProxyType(
    {
        ActivationName.TANH: (BLUE, "-", "o"),
        ActivationName.SIGMOID: (VERMILLION, "--", "s"),
        ActivationName.RELU: (GREEN, "-.", "^"),
        ActivationName.IDENTITY: (INK, ":", "D"),
        ActivationName.HARD_TANH: (ORANGE, (0, (5, 1, 1, 1)), "v"),  # type: ignore[dict-item]
        ActivationName.SOFTPLUS: ("#CC79A7", (0, (1, 1)), "P"),  # type: ignore[dict-item]
    }
)
"""Colour, line and marker of a vanilla RNN by its activation."""

CELL_LOOKS: Mapping[CellName, tuple[str, str, str]] = MappingProxyType(
    {CellName.GRU: (GREEN, "-.", "P"), CellName.LSTM: (ORANGE, "--", "X")}
)
"""The same of a gated cell with tanh."""

DARK_CELLS: Mapping[CellName, str] = MappingProxyType(
    {CellName.GRU: "#00513a", CellName.LSTM: "#7d5600"}
)
"""Its colour with any other activation, whose line and marker it takes."""


def network_look(name: str) -> tuple[str, str, str]:
    """Return colour, line and marker of a network by its ``names.network_name``; of anything else,
    such as all networks together, a plain one.
    """
    first, _, second = name.partition(" ")
    if first in list(CellName):
        if not second:
            return CELL_LOOKS.get(CellName(first), (BLUE, "-", "o"))
        return DARK_CELLS[CellName(first)], *ACTIVATION_LOOKS[ActivationName(second)][1:]
    known = first in list(ActivationName)
    return ACTIVATION_LOOKS[ActivationName(first)] if known else (BLUE, "-", "o")
