"""The long short-term memory, with its full state s_t = (h_t, c_t).

    i, f, o = σ(U x_t + W h_{t−1} + b),  g = φ(U_g x_t + W_g h_{t−1} + b_g),
    c_t = f ∘ c_{t−1} + i ∘ g,        h_t = o ∘ φ(c_t),        y_t = V h_t + c.

Blocks stand in PyTorch's order i, f, g, o. The state has S = 2H numbers: gradient that travels
along c never touches W, so a Jacobian of h alone misses what the cell was made for. With
A = diag(g i′) W_i + diag(c_{t−1} f′) W_f + diag(i φ′) W_g = ∂c_t/∂h_{t−1} and q = o φ′(c_t),

    J_t = [ diag(q) A + diag(φ(c_t) o′) W_o    diag(q f) ]
          [ A                                  diag(f)   ].

Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), with the forget gate of Gers,
Schmidhuber & Cummins (2000), Neural Computation 12(10), and without peepholes.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model import cells
from gradscope.model.activations import SIGMOID, TANH, Activation
from gradscope.model.cells import MANY_ROWS, At, Cell, CellTrajectory, Linearization
from gradscope.progress import tracked


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LstmParameters(Cell):
    """An LSTM: U (4H,D), W (4H,H) and b (4H,), blocks i, f, g, o one above the other (where a file
    has two biases, their sum), V (O,H), c (O,), φ of the candidate and of the cell's output, and
    the function of the gates, σ above.

    Raises ShapeError if the shapes do not belong together.
    """

    activation: Activation = TANH
    gate_activation: Activation = field(default=SIGMOID, repr=False)

    def __post_init__(self) -> None:
        self._check_weights(4)

    @property
    def state_size(self) -> int:
        """S = 2H."""
        return 2 * self.hidden_size

    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Go through inputs (T,B,D) from (h_0, c_0) (B,2H)."""
        size, value, gate = self.hidden_size, self.activation.value, self.gate_activation
        driven = cells.project_inputs(inputs, self.input_weights, self.hidden_bias)
        states = np.empty((inputs.shape[0] + 1, *initial_state.shape))
        states[0] = initial_state
        transposed = np.ascontiguousarray(self.recurrent_weights.T)
        for step, a in enumerate(tracked(driven, "steps")):
            np.add(a, states[step, :, :size] @ transposed, out=a)
            gates = gate.value(a[:, : 2 * size])
            after = gates[:, size:] * states[step, :, size:]
            after += gates[:, :size] * value(a[:, 2 * size : 3 * size])
            states[step + 1, :, size:] = after
            states[step + 1, :, :size] = gate.value(a[:, 3 * size :]) * value(after)
        candidates = driven[..., 2 * size : 3 * size]
        return CellTrajectory(inputs, states, states[..., :size], driven, candidates)

    def linearize(
        self, cell_trajectory: CellTrajectory, *, at_ceiling: bool = False
    ) -> "LstmLinearization":
        """Take the linear part of every step of a trajectory; see ``Cell``."""
        size, value, gate = self.hidden_size, self.activation.value, self.gate_activation
        slope = partial(self.activation.slope_at, ceiling=at_ceiling)
        gate_slope = partial(gate.slope_at, ceiling=at_ceiling)
        blocks = np.split(cell_trajectory.pre_activations, 4, axis=2)
        entry, forget, output = (gate.value(blocks[i]) for i in (0, 1, 3))
        memory = cell_trajectory.states[..., size:]
        gains = np.empty_like(cell_trajectory.pre_activations)
        gains[..., :size] = value(blocks[2]) * gate_slope(blocks[0])
        gains[..., size : 2 * size] = memory[:-1] * gate_slope(blocks[1])
        gains[..., 2 * size : 3 * size] = entry * slope(blocks[2])
        gains[..., 3 * size :] = value(memory[1:]) * gate_slope(blocks[3])
        return LstmLinearization(cell_trajectory, self, gains, forget, output * slope(memory[1:]))


@dataclass(frozen=True, eq=False, slots=True)
class LstmLinearization(Linearization):
    """J_t by ``gains`` (T,B,4H) before the blocks of W, ``forget`` f and ``shown`` q (T,B,H)."""

    cell: LstmParameters
    gains: FloatArray
    forget: FloatArray
    shown: FloatArray

    @property
    def local_size(self) -> int:
        """4H: the adjoints of the four blocks."""
        return 4 * self.cell.hidden_size

    @property
    def openings(self) -> FloatArray:
        """The forget gate f."""
        return self.forget

    @property
    def written(self) -> FloatArray:
        """What i, f and g change of c_t, and through it of h_t; what o changes of h_t."""
        both = np.hypot(1.0, self.shown)
        return np.concatenate([both, both, both, np.ones_like(both)], axis=-1) * self.gains

    def adjoints(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Fill ``local`` with the adjoints of a_i, a_f, a_g, a_o; return that of c_t."""
        size, gains = self.cell.hidden_size, self.gains[at]
        to_cell = rows[..., size:] + rows[..., :size] * self.shown[at]
        for block in (slice(0, size), slice(size, 2 * size), slice(2 * size, 3 * size)):
            np.multiply(to_cell, gains[..., block], out=local[..., block])
        np.multiply(rows[..., :size], gains[..., 3 * size :], out=local[..., 3 * size :])
        return to_cell

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` as of ``adjoints``."""
        to_cell, size = self.adjoints(rows, at, local), self.cell.hidden_size
        carried = np.empty_like(rows)
        carried[..., :size] = cells.product(local, self.cell.recurrent_weights)
        np.multiply(to_cell, self.forget[at], out=carried[..., size:])
        return carried

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        size = self.cell.hidden_size
        fed = cells.product(vectors[..., :size], self.cell.recurrent_weights.T) * self.gains[at]
        to_cell = fed[..., :size] + fed[..., size : 2 * size] + fed[..., 2 * size : 3 * size]
        to_cell += vectors[..., size:] * self.forget[at]
        carried = self._show(to_cell, at)
        carried[..., :size] += fed[..., 3 * size :]
        return carried

    def vjp_many(self, rows: FloatArray, at: At) -> FloatArray:
        """Rows · J_t; of many rows, (rows_h, adjoint of c_t) meets both blocks in one GEMM."""
        if rows.shape[-2] < MANY_ROWS:
            return Linearization.vjp_many(self, rows, at)
        size = self.cell.hidden_size
        adjoints = rows.copy()
        adjoints[..., size:] += rows[..., :size] * self.shown[at]
        carried = np.empty_like(adjoints)
        np.matmul(adjoints, self._from_hidden(at), out=carried[..., :size])
        np.multiply(adjoints[..., size:], self.forget[at], out=carried[..., size:])
        return carried

    def jvp_many(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        if vectors.shape[-2] < MANY_ROWS:
            return Linearization.jvp_many(self, vectors, at)
        size = self.cell.hidden_size
        fed = vectors[..., :size] @ self._from_hidden(at).swapaxes(1, 2)
        carried = self._show(fed[..., size:] + vectors[..., size:] * self.forget[at], at)
        carried[..., :size] += fed[..., :size]
        return carried

    def _from_hidden(self, at: At) -> FloatArray:
        """diag(φ(c_t) o′) W_o above A = ∂c_t/∂h_{t−1}, (N,2H,H)."""
        size, weights = self.cell.hidden_size, self.cell.recurrent_weights
        gains = self.gains[at][:, 0]
        rows = np.empty((2 * size, gains.shape[0], size))
        cells.merged(gains[:, 3 * size :], weights[3 * size :], out=rows[:size])
        cells.merged(gains[:, : 3 * size], weights[: 3 * size], out=rows[size:])
        return rows.swapaxes(0, 1)

    def _show(self, to_cell: FloatArray, at: At) -> FloatArray:
        """Return (q ∘ u, u): what a change u of c_t is in (h_t, c_t), the output gate held."""
        return np.concatenate([to_cell * self.shown[at], to_cell], axis=-1)

    def enter(self, errors: FloatArray, _at: At = slice(None), /) -> FloatArray:
        """The readout sees h_t; nothing enters at c_t."""
        return np.concatenate([errors, np.zeros_like(errors)], axis=-1)

    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """The forget gate alone, with W_g v and φ at its ceiling, φ as it is, i, moving gates."""
        size = self.cell.hidden_size
        to_candidate = self.cell.recurrent_weights[2 * size : 3 * size]
        driven = cells.product(vectors[..., :size], to_candidate.T)
        direct = vectors[..., size:] * self.forget[at]
        slopes = self.cell.activation.slope(self.cell_trajectory.candidates[at])
        gated = self.gains[at][..., 2 * size : 3 * size]
        cell_changes = {
            "direct": direct,
            "recurrent_weights": direct + self.cell.activation.slope_ceiling * driven,
            "candidate_saturation": direct + slopes * driven,
            "closed_gates": direct + gated * driven,
        }
        shown = {name: self._show(each, at) for name, each in cell_changes.items()}
        return {**shown, "gate_slopes": self.jvp(vectors, at)}

    def log_bound(self) -> float:
        """Log σ_max of the 2 × 2 matrix of bounds on the four blocks of J_t, in nats."""
        norms = [cells.spectral_norm(each) for each in np.split(self.cell.recurrent_weights, 4)]
        tops = [cells.largest(each) for each in np.split(self.gains, 4, axis=2)]
        paths = [top * norm for top, norm in zip(tops, norms, strict=True)]
        to_cell, forget, shown = sum(paths[:3]), *map(cells.largest, (self.forget, self.shown))
        blocks = np.array([[shown * to_cell + paths[3], shown * forget], [to_cell, forget]])
        return cells.log_of(cells.spectral_norm(blocks))
