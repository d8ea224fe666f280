"""log ‖(∂s_T/∂s_k) ∂⁺s_k/∂θ‖ by lag ℓ = T − k: how much parameters change s_T by way of s_k.

∂⁺s_k/∂θ, s_{k−1} held, is M_k = ∂⁺s_k/∂a_k times what each weight multiplies. So the Frobenius norm
is ‖P M_k‖ for b, ‖P M_k‖ ‖x_k‖ for U and ‖P M_k‖ ‖h_{k−1}‖ for W, and nothing of the size of θ is
formed. Of P = L R + E, L orthonormal, ‖P M‖² = ‖R M‖² + ‖E M‖²; the random probes of
``rank_adaptive`` estimate the last term without bias. ∂s_T/∂θ itself, their sum over k, is in
``sensitivity``: Zucchet & Orvieto (2024), arXiv:2405.21064.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import LN_10, FloatArray, IntArray, quantiles
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.kernels.rank_adaptive import RankAdaptiveProduct, drop_within
from gradscope.jacobians.lag_norms import parts
from gradscope.machine import held_threads
from gradscope.model.cells import Cell, Linearization
from gradscope.model.trajectory import Trajectory
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ParameterProfile(CompactRepr):
    """The parameter profile of every sequence.

    ``lags`` (L,) are 0 … L − 1 in steps; ``log_norms`` holds the log of the Frobenius norm (L,B) in
    nats, −inf where nothing arrives: "norm" for all parameters, the others by the name of an array.
    """

    lags: IntArray
    log_norms: Mapping[str, FloatArray]

    @property
    def log10_medians(self) -> dict[str, FloatArray]:
        """The medians over the sequences (L,), powers of ten."""
        norms = self.log_norms.items()
        return {name: quantiles(logs, (0.5,))[0] / LN_10 for name, logs in norms}


@held_threads()
def parameter_profile(
    params: Cell, trajectory: Trajectory, max_lag: int | None = None, *, tolerance: float = 1e-6
) -> ParameterProfile:
    """Return log ‖(∂s_T/∂s_{T−ℓ}) ∂⁺s_{T−ℓ}/∂θ‖ for lags ℓ = 0 … ``max_lag``, by default T − 1.

    Sequences in which dropped rows make up more than ``tolerance`` of a squared norm are measured
    again with none dropped. Rounding is relative to σ_max(P) ‖M_k‖. Cost: a product of Jacobians
    and no norms of it. Raises ShapeError if the trajectory holds a number that is not finite.
    """
    chain = cell_chain(params, trajectory)
    linearization = params.linearize(trajectory.cell_trajectory)
    longest = min(chain.n_steps if max_lag is None else max_lag, chain.n_steps - 1)
    names = [name for name, *_ in linearization.fed()]
    logs = np.empty((len(names), longest + 1, chain.n_sequences))
    for part in tracked(parts(chain.n_sequences, chain), "gradients of the weights"):
        sequences = np.arange(chain.n_sequences)[part]
        drop = drop_within(tolerance, chain.state_size)
        logs[..., part], dropped = _measure(linearization, chain, sequences, longest, drop)
        if dropped > tolerance:
            logs[..., part], _ = _measure(linearization, chain, sequences, longest, 0.0)
    found = {"norm": logs, **{name: logs[[each == name for each in names]] for name in names}}
    norms = {name: 0.5 * np.logaddexp.reduce(2.0 * some) for name, some in found.items()}
    return ParameterProfile(np.arange(longest + 1), norms)


@held_threads()
def sensitivity(params: Cell, trajectory: Trajectory, longest: int) -> Mapping[str, FloatArray]:
    """Return the mean over sequences of ‖Σ_k (∂s_T/∂s_k) ∂⁺s_k/∂θ‖² over the last ℓ steps k, ℓ = 1
    … ``longest`` (L,): "norm" for all parameters, the others by the name of an array. Exact;
    infinite where squares leave float64. Memory: B L² numbers per array.
    """
    linearization = params.linearize(trajectory.cell_trajectory)
    fed, (n_steps, many) = tuple(linearization.fed()), trajectory.inputs.shape[:2]
    local = np.empty((longest, many, linearization.local_size))
    grams, squares = np.zeros((len(fed), many, longest, longest)), {"norm": np.zeros(longest)}
    with np.errstate(over="ignore", invalid="ignore"):
        for row in tracked(np.eye(params.state_size), "sensitivity"):
            rows = np.tile(row, (many, 1))
            for lag in range(longest):
                rows = linearization.vjp(rows, n_steps - lag - 1, local[lag])
            for place, (_, part, _) in enumerate(fed):
                some = local[..., part].swapaxes(0, 1)
                grams[place] += some @ some.swapaxes(1, 2)
        for gram, (name, _, by) in zip(grams, fed, strict=True):
            # Steps add up coherently, by ⟨P M_k, P' M_k'⟩ ⟨v_k, v_k'⟩, v what weights multiply.
            some = by[::-1][:longest].swapaxes(0, 1)
            pairs = (gram * (some @ some.swapaxes(1, 2))).mean(axis=0)
            sums = pairs.cumsum(axis=0).cumsum(axis=1).diagonal()
            for each in ("norm", name):
                squares[each] = squares.get(each, 0.0) + np.where(np.isnan(sums), np.inf, sums)
    return squares


def _measure(
    linearization: Linearization, chain: Chain, sequences: IntArray, longest: int, drop: float
) -> tuple[FloatArray, float]:
    """Return logs (F,L,N) for the F parts of ``fed``, and the largest dropped share of a square."""
    fed = [(part, np.linalg.norm(by, axis=2)) for _, part, by in linearization.fed()]
    product = RankAdaptiveProduct(chain, np.full(sequences.size, chain.n_steps), sequences, drop)
    logs = np.empty((len(fed), longest + 1, sequences.size))
    dropped, lag, n_kept = 0.0, 0, chain.state_size
    rows: FloatArray = np.broadcast_to(np.eye(n_kept), (1, sequences.size, n_kept, n_kept))
    exponents: IntArray = np.zeros((1, sequences.size), dtype=np.int64)
    while True:
        lags = np.arange(lag, lag + len(rows))
        at = np.broadcast_arrays(chain.n_steps - lags[:, None] - 1, sequences)
        local = np.empty((*rows.shape[:3], linearization.local_size))
        flat = local.reshape(-1, *local.shape[2:])
        steps, places = (each.ravel() for each in at)
        linearization.adjoints(rows.reshape(-1, *rows.shape[2:]), (steps, places, None), flat)
        # Slopes may be so small that their squares, beside those of the rows, underflow.
        size = np.maximum(local.max(axis=(2, 3)), -local.min(axis=(2, 3)))
        local /= np.where(size > 0.0, size, 1.0)[..., None, None]
        squares, of_probes = (
            np.einsum("mnrg,mnrg->mng", some, some) for some in np.split(local, [n_kept], axis=2)
        )
        of_probes /= max(local.shape[2] - n_kept, 1)
        squares += of_probes
        whole = squares.sum(axis=2)
        share = of_probes.sum(axis=2) / np.where(whole > 0.0, whole, 1.0)
        dropped = max(dropped, float(share.max()))
        with np.errstate(divide="ignore"):
            scale = np.log(size) + exponents * LOG_2
            for out, (part, norm) in zip(logs, fed, strict=True):
                mean = 0.5 * np.log(squares[..., part].sum(axis=2))
                out[lag : lag + len(rows)] = scale + mean + np.log(norm[tuple(at)])
        if product.lag >= longest:
            return logs, dropped
        if product.lag:
            product.compress(np.linalg.norm(rows[-1, :, :n_kept], axis=(1, 2)))
        stretch = product.extend(longest - product.lag)
        lag, n_kept, exponents = stretch.lag + 1, stretch.kept.shape[2], stretch.exponents
        rows = np.concatenate([stretch.kept, stretch.probes], axis=2)
