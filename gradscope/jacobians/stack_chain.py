"""The chain of a whole stack: gradient goes back in time and down through the layers.

Layer l sees what layer l − 1 shows at the same step. With J^l = ∂s^l_t/∂s^l_{t−1} and D^l =
∂s^l_t/∂s^{l−1}_t, rows R^l at step t are A^l = R^l + A^{l+1} D^{l+1}, from the top A^L = R^L down,
and A^l J^l one step before; J v alone makes a Jacobian of the joint state (s^1, …, s^L).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import require_finite
from gradscope.jacobians.kernels import rank_adaptive
from gradscope.jacobians.kernels.lanczos import leading_singular_values
from gradscope.jacobians.kernels.powers_of_two import LOG_2, Scaled, added, rescaled
from gradscope.jacobians.lag_norms import SHARE_OF_ITERATION, SHARE_OF_TRUNCATION, check_tolerance
from gradscope.jacobians.step_chain import StepChain
from gradscope.machine import held_threads
from gradscope.model.cells import Cell, CellTrajectory, Linearization, product
from gradscope.notebook_repr import CompactRepr


class StackChain(StepChain):
    """The chain of the joint state of ``layers``, each a cell and what it did, the lowest first.
    Raises ShapeError if one does not see the one below, or a number is not finite.
    """

    of: list[tuple[Cell, Linearization]]
    ends: list[int]

    def __init__(self, layers: Sequence[tuple[Cell, CellTrajectory]]) -> None:
        for (_, below), (_, ran) in pairwise(layers):
            seen, shown = ran.inputs.shape, below.hidden[1:].shape
            if seen != shown:
                raise ShapeError(f"a layer has inputs {seen}, but the one below shows {shown}")
        require_finite(np.concatenate([ran.states for _, ran in layers], axis=2), "the states")
        ends = np.cumsum([cell.state_size for cell, _ in layers]).tolist()
        of = [(cell, cell.linearize(ran)) for cell, ran in layers]
        self.__dict__.update(of=of, ends=ends)
        super().__init__(self._pull, self._push, (*layers[0][1].inputs.shape[:2], ends[-1]))

    def go_back(
        self, rows: list[Scaled], steps: IntArray, sequences: IntArray
    ) -> tuple[list[Scaled], list[Scaled]]:
        """Return A^l of every layer at the steps t ≥ 1, and A^l J^l, from rows R^l."""
        arrived, before, at, below = list(rows), list(rows), (steps - 1, sequences, None), None
        for layer in range(len(rows) - 1, -1, -1):
            cell, of = self.of[layer]
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
        return np.concatenate([e * np.ldexp(1.0, n)[:, None, None] for e, n in before], axis=2)

    def _push(self, vectors: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        unit = np.broadcast_to(np.eye(self.state_size), (len(vectors), *[self.state_size] * 2))
        return np.asarray(vectors @ self._pull(unit, steps, sequences).swapaxes(1, 2))


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DepthMap(CompactRepr):
    """How much of the gradient at the top of a stack at step T arrives at each layer, ℓ steps back.

    ``log_norms`` (layers,L,B), the lowest first, is log σ_max(∂h^top_T/∂s^l_{T−ℓ}), ℓ = 0 … L − 1,
    by all paths, in nats, −inf where nothing arrives, σ_max within a relative ``certificate``;
    ``log_adjoints`` (layers,T+1) is log ‖∂E/∂s^l_t‖ over all sequences, None without targets.
    """

    log_norms: FloatArray
    certificate: float
    log_adjoints: FloatArray | None = None
    layers: tuple[str, ...] = ()


@held_threads()
def depth_map(chain: StackChain, max_lag: int | None = None, tolerance: float = 1e-6) -> DepthMap:
    """Return log σ_max(∂h^top_T/∂s^l_{T−ℓ}) for every layer l and lag ℓ = 0 … max_lag.

    As in ``lag_norms``, directions of h_T that are negligible at every layer are dropped, but where
    random rows show that one comes back. Each layer has its own exponents. Raises SettingError if
    ``max_lag``, by default T, is not in 0 … T, or the tolerance not in (0, 1).
    """
    check_tolerance(tolerance)
    longest = chain.n_steps if max_lag is None else max_lag
    if not 0 <= longest <= chain.n_steps:
        raise SettingError(f"the longest lag is {max_lag}; choose 0 to {chain.n_steps}")
    top, of = chain.of[-1]
    unit = np.tile(np.eye(top.hidden_size), (chain.n_sequences, 1, 1))
    at = np.full(len(unit), chain.n_steps - 1), np.arange(len(unit)), None
    first = of.enter(unit, at), np.zeros(len(unit), dtype=np.int64)
    drop = rank_adaptive.drop_within(SHARE_OF_TRUNCATION * tolerance, chain.ends[-1])
    found = _carried(chain, {chain.n_steps: first}, longest, tolerance, drop)
    if found.certificate > tolerance:
        found = _carried(chain, {chain.n_steps: first}, longest, tolerance, 0.0)
    return found


def stack_adjoint_norms(chain: StackChain, entering: FloatArray, scales: IntArray) -> FloatArray:
    """Return log ‖∂E/∂s^l_t‖ (layers,T+1) over sequences in nats, t = 0 … T, from what enters at
    the top's state at each step, (T,B,S) times 2**``scales`` (T,).
    """
    at_step = {t: rescaled(rows[:, None], scales[t - 1]) for t, rows in enumerate(entering, 1)}
    norms = _carried(chain, at_step, chain.n_steps, 0.5, 0.0).log_norms[:, ::-1]
    return np.asarray(0.5 * np.logaddexp.reduce(2.0 * norms, axis=2))


def _carried(
    chain: StackChain, entering: Mapping[int, Scaled], longest: int, tolerance: float, drop: float
) -> DepthMap:
    """Carry back the rows (B,r,S) that enter at the top's state at some steps, one of them T."""
    every, worst, rank = np.arange(chain.n_sequences), 0.0, entering[chain.n_steps][0].shape[1]
    log_norms = np.empty((len(chain.of), longest + 1, every.size))
    rows = chain.split(np.zeros((every.size, rank, chain.ends[-1])))
    rng = np.random.default_rng(rank_adaptive.PROBE_SEED)
    for lag in range(longest + 1):
        steps = np.full(every.size, step := chain.n_steps - lag)
        if step in entering:
            rows[-1] = added(rows[-1], entering[step])
        arrived, rows = chain.go_back(rows, steps, every) if step else (rows, rows)
        for layer, (array, exponents) in enumerate(arrived):
            leading = leading_singular_values(array[:, :rank], SHARE_OF_ITERATION * tolerance)
            lost = rank_adaptive.truncation_error(array[:, rank:], leading.sigma)
            worst = max(worst, float((lost + leading.error).max()))
            with np.errstate(divide="ignore"):
                log_norms[layer, lag] = np.log(leading.sigma) + exponents * LOG_2
        if drop and lag % rank_adaptive.FIRST_COMPRESSION == 0 < lag:
            # σ_max² is at least ‖R‖²/r: as there, r/S of it, each layer at its own scale.
            limits = np.stack([np.square(each[:, :rank]).sum(axis=(1, 2)) for each, _ in rows])
            joint = np.concatenate([each for each, _ in rows], axis=2)
            limits *= drop**2 / joint.shape[2]
            joint, rank = rank_adaptive.compressed(joint, rank, limits, rng, *chain.ends[:-1])
            pairs = zip(chain.split(joint), rows, strict=True)
            rows = [(new, exponents) for (new, _), (_, exponents) in pairs]
    return DepthMap(log_norms, worst)
