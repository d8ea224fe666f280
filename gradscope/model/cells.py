"""What every cell is, seen from outside: a state, a trajectory, and the linear part of each step.

A cell carries a state s_t of size S from step to step, s_t = F(x_t, s_{t−1}), and shows H of it to
a linear readout: y_t = V h_t + c. What the cells keep of themselves:

=======  =====  ==================  ================================================================
cell     S      hidden h_t          pre-activations, blocks of H
=======  =====  ==================  ================================================================
Elman    H      s_t, or φ(s_t)      a
GRU      H      s_t                 r, z, n (PyTorch's order), then W_n h + b′ where the reset gate
                                    comes after that product
LSTM     2H     s_t = (h_t, c_t)    i, f, g, o (PyTorch's order)
=======  =====  ==================  ================================================================

The step's linear part is a ``Linearization``: J_t = ∂s_t/∂s_{t−1} kept as its factors, applied
from the left or from the right, never multiplied out. Everything that propagates gradients
(``learning.bptt``, ``jacobians``) uses the linearization and does not depend on the cell. The
cells themselves are in ``elman``, ``gru`` and ``lstm``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.model.activations import Activation, activation_of
from gradscope.notebook_repr import CompactRepr

MANY_ROWS = 32
"""Rows per sequence from which summing the blocks of W to one matrix before the product pays."""

Steps = slice | IntArray
"""Several steps, as an index into arrays (T,B,·): ``slice(n)`` for steps 1 … n."""

At = int | Steps | tuple[int, slice, None] | tuple[IntArray, IntArray, None]
"""Which steps a linearization works at, as an index into its (T,B,·) factors: ``t - 1`` for rows
(B,·) at step t, ``Steps`` for rows (n,B,·) at n steps, ``(t - 1, slice(None), None)`` for rows
(B,r,·) at step t, ``(steps - 1, sequences, None)`` for rows (N,r,·) at steps of sequences."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CellTrajectory(CompactRepr):
    """What a cell did with its inputs.

    ``inputs`` (T,B,D); ``states`` (T+1,B,S) with s_t at ``[t]``, the given s_0 first; ``hidden``
    (T+1,B,H), what the readout sees; ``pre_activations`` (T,B,G), block by block as in the table
    above; ``candidates`` (T,B,H), where φ itself is taken: in units, or gated candidates.
    """

    inputs: FloatArray
    states: FloatArray
    hidden: FloatArray
    pre_activations: FloatArray
    candidates: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class Linearization(ABC):
    """A cell linearised along a trajectory. ``at`` says which steps; see ``At``."""

    cell_trajectory: CellTrajectory

    @property
    @abstractmethod
    def local_size(self) -> int:
        """G, the size of a step's local adjoints."""

    @property
    @abstractmethod
    def openings(self) -> FloatArray:
        """Factor on the gradient in one step, (T,B,H): αφ′, or the gate that keeps the state."""

    @abstractmethod
    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """VJP: rows (…,S) at s_t back to s_{t−1}, rows · J_t. On the way fill ``local`` (…,G) with
        the adjoints of what the weights feed, of which ``weight_gradients`` is made.
        """

    def adjoints(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray | None:
        """Fill ``local`` as ``vjp`` does, where no step back follows."""
        return self.vjp(rows, at, local)

    @abstractmethod
    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """JVP: vectors (…,S) at s_{t−1} on to s_t, J_t v."""

    def vjp_many(self, rows: FloatArray, at: At) -> FloatArray:
        """Rows (N,r,S) · J_t and no adjoints: factor by factor, one flat GEMM per weight matrix, or
        where rows are many through as few GEMMs as the step can be merged to.
        """
        return self.vjp(rows, at, np.empty((*rows.shape[:-1], self.local_size)))

    def jvp_many(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v for vectors (N,r,S), likewise."""
        return self.jvp(vectors, at)

    @property
    def written(self) -> FloatArray:
        """‖∂⁺s_t/∂a‖ for each number a that weights feed, (T,B,G), as ``local`` orders them; of a
        state that is taken before φ, ‖∂⁺φ(s_t)/∂a‖, since no weight sees s_t itself.
        """
        return self.openings

    def fed(self) -> Iterator[tuple[str, slice, FloatArray]]:
        """Yield the name of each weight array, the part of ``local`` that it feeds, and what it
        multiplies there (T,B,n). A name may come twice, for other rows of the array.
        """
        everything, trajectory = slice(self.local_size), self.cell_trajectory
        yield "input_weights", everything, trajectory.inputs
        yield "recurrent_weights", everything, trajectory.hidden[:-1]
        yield "hidden_bias", everything, np.ones((*trajectory.inputs.shape[:2], 1))

    def enter(self, errors: FloatArray, _at: At = slice(None), /) -> FloatArray:
        """Turn ∂E/∂h_t (…,H), as the readout sends it, into ∂E/∂s_t (…,S), by default all t."""
        return errors

    def weight_gradients(self, local: FloatArray, steps: Steps) -> dict[str, FloatArray]:
        """Gather ∂E/∂U, ∂E/∂W and ∂E/∂b from local adjoints ∂E/∂a_t (N,B,G) at N steps."""
        return {
            "input_weights": outer_sum(local, self.cell_trajectory.inputs[steps]),
            "recurrent_weights": outer_sum(local, self.cell_trajectory.hidden[:-1][steps]),
            "hidden_bias": local.sum(axis=(0, 1)),
        }

    @abstractmethod
    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """Build J_t v up stage by stage, the last one J_t v: what each adds is a cause."""

    @abstractmethod
    def log_bound(self) -> float:
        """A number that log σ_max(J_t) exceeds at no step of the trajectory, in nats."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Cell(CompactRepr, ABC):
    """A network of one recurrent layer and a linear readout, whatever its cell.

    U (H,D), W (H,H) and b (H,), of a gated cell block above block; V (O,H) and c (O,).
    """

    input_weights: FloatArray
    recurrent_weights: FloatArray
    hidden_bias: FloatArray
    output_weights: FloatArray
    output_bias: FloatArray

    @property
    @abstractmethod
    def activation(self) -> Activation:
        """φ."""

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of its weight arrays, in a fixed order."""
        return WEIGHT_NAMES

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.recurrent_weights.shape[-1]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(D, H, O): input, hidden and output size."""
        return self.input_weights.shape[1], self.hidden_size, self.output_bias.size

    @property
    def state_size(self) -> int:
        """S; H unless the cell says otherwise."""
        return self.hidden_size

    def weights(self) -> Iterator[tuple[str, FloatArray]]:
        """Yield each weight array with its name, in a fixed order."""
        for name in self.weight_names:
            yield name, getattr(self, name)

    def with_weights(self, weights: dict[str, FloatArray]) -> Self:
        """Return the same network with other weights, by name."""
        changes: dict[str, Any] = {name: weights[name] for name in self.weight_names}
        return replace(self, **changes)

    def _check_weights(self, blocks: int, **more: tuple[int, ...]) -> None:
        """Make the weights float64 arrays; refuse shapes that do not belong together: U, W and b of
        so many blocks of H rows, V and c, and ``more`` arrays by name.
        """
        for name in {"activation", "gate_activation"}.intersection(dir(self)):
            object.__setattr__(self, name, activation_of(getattr(self, name)))
        for name in self.weight_names:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        hidden = self.hidden_bias.size if blocks == 1 else self.hidden_size
        outputs = self.output_bias.size
        wanted = {
            "input_weights": (blocks * hidden, self.input_weights.shape[-1]),
            "recurrent_weights": (blocks * hidden, hidden),
            "hidden_bias": (blocks * hidden,),
            "output_weights": (outputs, hidden),
            "output_bias": (outputs,),
        }
        for name, shape in {**wanted, **more}.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ShapeError(f"{name} has shape {found}, but the biases ask for {shape}")

    @abstractmethod
    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Go through inputs (T,B,D) from s_0 (B,S)."""

    @abstractmethod
    def linearize(
        self, cell_trajectory: CellTrajectory, *, at_ceiling: bool = False
    ) -> Linearization:
        """Take the linear part of every step of a trajectory, or what it would be ``at_ceiling``:
        with every slope at its largest (φ′ = γ, σ′ = 1/4) and every value as it is.
        """


WEIGHT_NAMES = tuple(each.name for each in fields(Cell))
"""The weights that every cell has; ``U x``, ``W h`` and ``b`` of a gated cell block above block."""


def project_inputs(inputs: FloatArray, weights: FloatArray, bias: FloatArray) -> FloatArray:
    """Return U x_t + b for all steps (T,B,G), as one GEMM."""
    driven = product(inputs, weights.T)
    driven += bias
    return driven


def product(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return rows (…,n) · matrix (n,m) as one flat GEMM."""
    if rows.ndim == 2:
        return rows @ matrix
    flat = rows.reshape(-1, rows.shape[-1]) @ matrix
    return flat.reshape(*rows.shape[:-1], matrix.shape[1])


def merged(gains: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return Σ diag(gains_k) W_k over blocks of gains (N,kH) and weights (kH,H), as (H,N,H)."""
    hidden = weights.shape[1]
    by_row = gains.reshape(gains.shape[0], -1, hidden).transpose(2, 0, 1)
    return np.matmul(by_row, weights.reshape(-1, hidden, hidden).swapaxes(0, 1), out=out)


def outer_sum(rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Return Σ over steps and sequences of rows (N,B,n) ⊗ columns (N,B,m), as one GEMM: (n,m)."""
    flat = rows.reshape(-1, rows.shape[2])
    return flat.T @ columns.reshape(flat.shape[0], columns.shape[2])


def largest(factor: FloatArray) -> float:
    """Return max |factor|, 0 where it has no entry."""
    return float(np.abs(factor).max(initial=0.0))


def spectral_norm(weights: FloatArray) -> float:
    """Return σ_max of a weight matrix."""
    return float(np.linalg.norm(weights, 2))


def log_of(bound: float) -> float:
    """Return log of a bound in nats, −inf for 0."""
    with np.errstate(divide="ignore"):
        return float(np.log(bound))
