"""Stacks of layers for tests: drawn ones, run, and an analysis that shows the map of one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.jacobians.stack_chain import DepthMap
from gradscope.model.activations import IDENTITY
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName, StateName

BLOCKS = {"elman": 1, "pre": 1, "gru": 3, "gru-before": 3, "lstm": 4}


def drawn(kind: str, n_inputs: int, hidden: int, rng: np.random.Generator) -> Cell:
    """Draw a cell without a readout; "pre": one whose state is taken before φ, and leaks."""
    rows, name = BLOCKS[kind] * hidden, kind.partition("-")[0]
    shapes = (rows, n_inputs), (rows, hidden), (rows,), (rows,)
    weights = LayerWeights(*(rng.normal(size=each) / np.sqrt(each[-1]) for each in shapes))
    plain = CellName.ELMAN if name == "pre" else CellName(name)
    cell = cell_without_readout(plain, weights, reset_after=kind != "gru-before")
    if isinstance(cell, ElmanParameters) and name == "pre":
        return replace(cell, state=StateName.PRE, leak=0.4)
    return cell


def run(cells: Sequence[Cell], inputs: FloatArray) -> list[tuple[Cell, Trajectory]]:
    """Return cells, the lowest first, with what each did."""
    ran = unroll_stack([Layer(cell) for cell in cells], inputs)
    return [(cell, each.forward) for cell, each in zip(cells, ran, strict=True)]


def linear_layers(gains: Sequence[float], n_steps: int) -> list[tuple[Cell, Trajectory]]:
    """Return layers h_t = gain h_{t−1} + x_t of one unit each, on zeros."""
    cells = [
        ElmanParameters(
            np.ones((1, 1)), np.full((1, 1), gain), np.zeros(1), np.zeros((0, 1)), np.zeros(0),
            IDENTITY,
        )
        for gain in gains
    ]  # fmt: skip
    return run(cells, np.zeros((n_steps, 1, 1)))


def with_depth(analysis: Analysis) -> Analysis:
    """Return an analysis as if its network were a stack."""
    log_norms = np.log(np.geomspace(1e-5, 1e2, 3)[:, None, None] * 0.9 ** np.arange(40.0)[:, None])
    adjoints: FloatArray = np.zeros((3, 41))
    depth = DepthMap(log_norms, 0.0, adjoints, ("rnn[0]", "rnn[1]", "<b>rnn[2]"))
    return replace(analysis, details=replace(analysis.details, depth=depth))
