"""The chain of a whole stack: gradient that goes back in time and down through its layers.

Layer l sees what layer l − 1 shows at the same step. With J^l = ∂s^l_t/∂s^l_{t−1} and D^l =
∂s^l_t/∂s^{l−1}_t, rows R^l at the states of step t go through the layers from the top down,

    A^L = R^L,    A^l = R^l + A^{l+1} D^{l+1},    A^l J^l at s^l_{t−1}:

no Jacobian of the joint state is made. A^l counts what s^l_t does in its own layer and above.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray, quantiles
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians import lag_norms
from gradscope.jacobians.chain import require_finite
from gradscope.jacobians.kernels import rank_adaptive
from gradscope.jacobians.kernels.lanczos import leading_singular_values
from gradscope.jacobians.kernels.powers_of_two import LOG_2, Scaled, added, rescaled
from gradscope.jacobians.step_chain import StepChain
from gradscope.model.cells import Cell, CellTrajectory, product
from gradscope.notebook_repr import CompactRepr


class StackChain(StepChain):
    """The chain of the joint state (s^1, …, s^L) of ``layers``, each a cell and what it did, the
    lowest first. Raises ShapeError if one does not see the one below, or a number is not finite.
    """

    __slots__ = ("ends", "layers", "linearizations")

    def __init__(self, layers: Sequence[tuple[Cell, CellTrajectory]]) -> None:
        for (_, below), (cell, ran) in zip(layers, layers[1:], strict=False):
            if ran.inputs.shape != below.hidden[1:].shape or ran.inputs.shape[2] != cell.sizes[0]:
                found = ran.inputs.shape, below.hidden[1:].shape
                raise ShapeError(f"a layer has inputs {found[0]}, but that below shows {found[1]}")
        for _, ran in layers:
            require_finite(ran.states, "states")
        object.__setattr__(self, "layers", [cell for cell, _ in layers])
        object.__setattr__(self, "linearizations", [cell.linearize(ran) for cell, ran in layers])
        ends = np.cumsum([cell.state_size for cell, _ in layers]).tolist()
        object.__setattr__(self, "ends", ends)
        super().__init__(self._pull, (*layers[0][1].inputs.shape[:2], ends[-1]))

    def go_back(
        self, rows: Sequence[Scaled], step: int | IntArray, sequences: IntArray
    ) -> tuple[list[Scaled], list[Scaled]]:
        """Return A^l of every layer at steps t, and what of it is at t − 1 (at t = 0 the same)."""
        if np.ndim(step) == 0 and step == 0:
            return list(rows), list(rows)
        at = np.broadcast_to(np.asarray(step) - 1, sequences.shape), sequences, None
        arrived, before, below = list(rows), list(rows), None
        for layer in range(len(rows) - 1, -1, -1):
            cell, of = self.layers[layer], self.linearizations[layer]
            if below is not None:
                arrived[layer] = added(rows[layer], (of.enter(below[0], at), below[1]))
            array, exponents = arrived[layer]
            local = np.empty((*array.shape[:-1], of.local_size))
            before[layer] = rescaled(of.vjp(array, at, local), exponents)
            fed = next(part for name, part, _ in of.fed() if name == "input_weights")
            below = rescaled(product(local[..., fed], cell.input_weights), exponents)
        return arrived, before

    def split(self, rows: FloatArray) -> list[Scaled]:
        """Return joint rows (N,r,S) layer by layer."""
        none = np.zeros(len(rows), dtype=np.int64)
        return [(each, none) for each in np.split(rows, self.ends[:-1], axis=2)]

    def _pull(self, rows: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        before = self.go_back(self.split(rows), steps, sequences)[1]
        return np.concatenate([each * _power(shift) for each, shift in before], axis=2)


def _power(exponents: IntArray) -> FloatArray:
    return np.ldexp(1.0, exponents)[:, None, None]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DepthMap(CompactRepr):
    """How much of the gradient at the top of a stack at step T arrives at each layer, ℓ steps back.

    ``log_norms`` (layers,L,B), the lowest first, is log σ_max(∂h^top_T/∂s^l_{T−ℓ}), ℓ = 0 … L − 1,
    in nats, −inf where nothing arrives, with a relative error of σ_max up to ``certificate``;
    ``log_adjoints`` (layers,T+1) is log ‖∂E/∂s^l_t‖ over all sequences, None without targets.
    """

    log_norms: FloatArray
    certificate: float
    log_adjoints: FloatArray | None = None

    @property
    def median(self) -> FloatArray:
        """Median over the sequences (layers,L), nats."""
        return np.asarray(quantiles(self.log_norms, (0.5,))[0])

    def compact_fields(self) -> dict[str, Any]:
        """Return the sizes."""
        return dict(zip(("layers", "lags", "sequences"), self.log_norms.shape, strict=True))


def depth_map(
    chain: StackChain, max_lag: int | None = None, *, tolerance: float = 1e-6
) -> DepthMap:
    """Return log σ_max(∂h^top_T/∂s^l_{T−ℓ}) for every layer l and lag ℓ = 0 … max_lag.

    As in ``lag_norms``, directions of h_T that are negligible in every layer are dropped, and kept
    where random rows show that one comes back. Every layer has its own exponents. Raises
    SettingError if ``max_lag``, by default T, is not in 0 … T, or the tolerance not in (0, 1).
    """
    lag_norms.check_tolerance(tolerance)
    longest, drop = chain.n_steps if max_lag is None else max_lag, 0.0
    if not 0 <= longest <= chain.n_steps:
        raise SettingError(f"the longest lag is {max_lag}; choose 0 to {chain.n_steps}")
    found, worst, every = [], 0.0, np.arange(chain.n_sequences)
    dropped = rank_adaptive.drop_within(lag_norms.SHARE_OF_TRUNCATION * tolerance, chain.ends[-1])
    for part in lag_norms.parts(every.size, chain):
        for drop in (dropped, 0.0):
            log_norms, error = _carried(chain, every[part], longest, tolerance, drop)
            if error <= tolerance:
                break
        found.append(log_norms)
        worst = max(worst, error)
    return DepthMap(np.concatenate(found, axis=2), worst)


def _carried(
    chain: StackChain, sequences: IntArray, longest: int, tolerance: float, drop: float
) -> tuple[FloatArray, float]:
    """Return log σ_max (layers,L,N) and the largest error of σ_max, from one drop."""
    count, rank, last = sequences.size, chain.layers[-1].hidden_size, chain.n_steps
    accuracy, worst = lag_norms.SHARE_OF_ITERATION * tolerance, 0.0
    log_norms = np.empty((len(chain.layers), longest + 1, count))
    rows = chain.split(np.zeros((count, rank, chain.ends[-1])))
    unit, at = np.tile(np.eye(rank), (count, 1, 1)), (np.full(count, last - 1), sequences, None)
    rows[-1] = chain.linearizations[-1].enter(unit, at), rows[-1][1]
    rng, due = np.random.default_rng(rank_adaptive.PROBE_SEED), rank_adaptive.FIRST_COMPRESSION
    for lag in range(longest + 1):
        arrived, rows = chain.go_back(rows, last - lag, sequences)
        for layer, (array, exponents) in enumerate(arrived):
            leading = leading_singular_values(array[:, :rank], accuracy)
            lost = rank_adaptive.truncation_error(array[:, rank:], leading.sigma)
            worst = max(worst, float((lost + leading.error).max()))
            with np.errstate(divide="ignore"):
                log_norms[layer, lag] = np.log(leading.sigma) + exponents * LOG_2
        if drop and lag >= due:
            joint, rank = _compressed(chain, rows, rank, drop, rng)
            rows = [(new, old[1]) for (new, _), old in zip(chain.split(joint), rows, strict=True)]
            due += max(1, int(np.sqrt(2.0 * lag)))
    return log_norms, worst


def _compressed(
    chain: StackChain, rows: list[Scaled], rank: int, drop: float, rng: np.random.Generator
) -> tuple[FloatArray, int]:
    """Rotate rows so that they fall off, and turn those negligible in every layer into probes, all
    layers at their own scales: none is negligible beside another.
    """
    joint = np.concatenate([each for each, _ in rows], axis=2)
    graded, probes = rank_adaptive.graded_rows(joint[:, :rank]), joint[:, rank:]
    energies = np.add.reduceat(np.square(graded), [0, *chain.ends[:-1]], axis=2)
    tails = np.cumsum(energies[:, ::-1], axis=1)[:, ::-1]
    # The limit of ``RankAdaptiveProduct`` with σ_max² ≥ ‖R‖²/r.
    kept = (tails > drop**2 / joint.shape[2] * tails[:, :1]).any(axis=(0, 2))
    left = max(1, int(np.count_nonzero(kept)))
    if left < rank:
        drawn = rng.standard_normal((rank_adaptive.n_probes(joint.shape[2]), rank - left))
        probes = drawn @ graded[:, left:] + (probes if probes.size else 0.0)
    return np.concatenate([graded[:, :left], probes], axis=1), left


def stack_adjoint_norms(chain: StackChain, entering: FloatArray, scales: IntArray) -> FloatArray:
    """Return log ‖∂E/∂s^l_t‖ (layers,T+1), t = 0 … T, over sequences, in nats, from what enters at
    the top's state at each step, (T,B,S) times 2**``scales`` (T,).
    """
    every = np.arange(chain.n_sequences)
    rows = chain.split(np.zeros((every.size, 1, chain.ends[-1])))
    log_norms = np.empty((len(rows), chain.n_steps + 1, every.size))
    for step in range(chain.n_steps, -1, -1):
        if step:
            shift = np.full(every.size, scales[step - 1])
            rows[-1] = added(rows[-1], rescaled(entering[step - 1][:, None], shift))
        arrived, rows = chain.go_back(rows, step, every)
        for layer, (array, exponents) in enumerate(arrived):
            with np.errstate(divide="ignore"):
                sizes = np.log(np.linalg.norm(array[:, 0], axis=1))
            log_norms[layer, step] = sizes + exponents * LOG_2
    return np.asarray(0.5 * np.logaddexp.reduce(2.0 * log_norms, axis=2))
