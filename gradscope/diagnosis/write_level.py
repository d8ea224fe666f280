"""How freely a network writes: how much of ∂⁺s_k/∂θ its slopes leave, and what shuts it.

    write level = median over steps and sequences of ‖∂⁺s_k/∂θ‖ / the same with every slope at its
                  ceiling (φ′ = γ, σ′ = 1/4, values as given),

Frobenius norms, s_{k−1} held, each block divided by the norm of what it multiplies: ∂s/∂U carries
the scale of the inputs, which would hide what they do to the slopes. σ_max of the product of
Jacobians says how well the best direction is kept; this says whether anything is put in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.model.cells import Cell
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import Trajectory
from gradscope.notebook_repr import CompactRepr

SHUT = 1.0 / 20.0
"""Write level below which nothing is written (convention)."""

SATURATED = 0.1
"""Part of the slope ceiling below which a unit is saturated (convention): |a| > 1.8 for tanh."""

MOST = 0.5
"""Fraction of the units or gates from which on their saturation is named (convention)."""

FAR = 5.0
"""Root mean square of an input, or of U x, beyond which inputs are not of unit scale (convention);
slopes at 5 are 2e-4 for tanh and 0.03 of the ceiling for σ."""

NEAR = 0.01
"""Inputs all below this are hardly seen by weights drawn for unit scale (convention)."""

GATES: Mapping[type[Cell], tuple[int, ...]] = {LstmParameters: (0, 1, 3), GruParameters: (0, 1)}
"""Blocks of the pre-activations that are those of gates."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Writing(CompactRepr):
    """The write level, ``by_block`` for each weight array, and what there is to say against it."""

    level: float
    by_block: Mapping[str, float]
    reasons: tuple[Reason, ...]

    @property
    def hindered(self) -> bool:
        """Whether something is against it; some units that are dead leave others at work."""
        return any(each.code is not ReasonCode.UNITS_DEAD for each in self.reasons)


def write_level(
    params: Cell, trajectory: Trajectory, columns: tuple[str, ...] | None = ()
) -> Writing:
    """Measure how freely a network writes along a trajectory. ``columns`` are the names of its
    inputs (others than those: unnamed), None where these are the states of another layer.
    """
    found, open_ = (
        params.linearize(trajectory.cell_trajectory, at_ceiling=at_ceiling)
        for at_ceiling in (False, True)
    )
    scale = np.max(np.abs(open_.written), axis=2, keepdims=True)
    both = np.stack([found.written, open_.written]) / np.where(scale > 0.0, scale, 1.0)
    squares: dict[str, FloatArray] = {}
    for name, part, _ in found.fed():
        squares[name] = squares.get(name, 0.0) + np.square(both[..., part]).sum(axis=3)
    level = _median_ratio(np.sum(list(squares.values()), axis=0))
    by_block = {name: _median_ratio(each) for name, each in squares.items()}
    shut = {"write_level": level, "threshold": SHUT}
    reasons = [Reason(ReasonCode.NOTHING_WRITTEN, shut)] if level < SHUT else []
    reasons += _saturation(params, trajectory)
    if columns is not None:
        reasons += _unscaled(params, trajectory, columns, saturated=bool(reasons))
    return Writing(level, by_block, tuple(reasons))


def _median_ratio(squares: FloatArray) -> float:
    """Return the median of √(first/second) of squares (2,T,B), 0 where there is nothing to open."""
    found, most = squares
    return float(np.median(np.sqrt(found / np.where(most > 0.0, most, 1.0))))


def _saturation(params: Cell, trajectory: Trajectory) -> Iterator[Reason]:
    """Yield units that are never active, and what is mostly saturated: units, candidates, gates."""
    activation, candidates = params.activation, trajectory.cell_trajectory.candidates
    blocks, below = GATES.get(type(params), ()), np.array([-1.0])
    gate = getattr(params, "gate_activation", activation)
    by_block = trajectory.pre_activations.reshape(*candidates.shape[:2], -1, candidates.shape[2])
    entering = {"gates": (gate, by_block[:, :, blocks])} if blocks else {}
    if activation.slope(below)[0] == activation.value(below)[0] == 0.0:
        # φ is flat below 0, as ReLU is: half of the slopes are 0 in a network that is well.
        dead = int(np.count_nonzero((activation.slope(candidates) == 0.0).all(axis=(0, 1))))
        if dead:
            yield Reason(ReasonCode.UNITS_DEAD, {"units": dead, "of": candidates.shape[2]})
    else:
        entering["candidates" if blocks else "units"] = activation, candidates
    for of, (phi, a) in entering.items():
        flat = phi.slope(a) < SATURATED * phi.slope_ceiling
        part, low = float(np.mean(flat)), float(np.mean(flat & (a < 0.0)))
        if part > MOST:
            yield Reason(ReasonCode.UNITS_SATURATED, {"of": of, "fraction": part, "low": low})


def _unscaled(
    params: Cell, trajectory: Trajectory, columns: tuple[str, ...], *, saturated: bool
) -> Iterator[Reason]:
    """Yield the worst input where inputs are far from unit scale, or U x is and φ is flat."""
    inputs = trajectory.inputs
    mean, deviation = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1))
    size = np.hypot(mean, deviation)
    driven = float(np.sqrt(np.mean(np.square(inputs @ params.input_weights.T))))
    if size.max() > FAR or (saturated and driven > FAR) or 0.0 < np.abs(inputs).max() < NEAR:
        worst = int(np.argmax(size))
        name = {"name": columns[worst]} if len(columns) == size.size else {}
        numbers = {"mean": float(mean[worst]), "standard_deviation": float(deviation[worst])}
        numbers |= {"column": worst + 1, "driven": driven}
        yield Reason(ReasonCode.INPUTS_UNSCALED, {**numbers, **name})
