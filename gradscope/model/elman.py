"""The vanilla RNN (Elman 1990), with or without a leak, in both conventions of its state.

=====  =============================================================================================
post   h_t = (1−α) h_{t−1} + α φ(U x_t + W h_{t−1} + b): the state is the activation.
       J_t = (1−α) I + α diag(φ′(a_t)) W.
pre    v_t = (1−α) v_{t−1} + α (U x_t + W φ(v_{t−1}) + b), h_t = φ(v_t): the state is what φ is
       taken of, as in networks of firing rates, where τ v̇ = −v + W φ(v) + U x + b and α = dt/τ.
       J_t = (1−α) I + α W diag(φ′(v_{t−1})).
=====  =============================================================================================

α in (0, 1] is one number or one for each unit; 1 is no leak. y_t = V h_t + c. Sources: Elman
(1990), Cognitive Science 14(2); for the leak Jaeger et al. (2007), Neural Networks 20(3); for the
state as pre-activation Sompolinsky, Crisanti & Sommers (1988), Phys. Rev. Lett. 61.
"""

from abc import ABC
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError, ShapeError
from gradscope.model import cells
from gradscope.model.activations import TANH, Activation, word_of
from gradscope.model.cells import At, Cell, CellTrajectory, Linearization
from gradscope.names import StateName
from gradscope.progress import tracked


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ElmanParameters(Cell):
    """A vanilla RNN: U (H,D), W (H,H), b (H,), V (O,H) and c (O,); φ, the leak α, one number or
    (H,) in (0, 1] (1: none), and the convention of the state, see above.

    Raises ShapeError if shapes do not belong together, SettingError for a leak outside (0, 1].
    """

    activation: Activation = TANH
    leak: float | FloatArray = 1.0
    state: StateName = StateName.POST

    def __post_init__(self) -> None:
        self._check_weights(1)
        object.__setattr__(self, "leak", checked_leak(self.leak, self.state_size))
        object.__setattr__(self, "state", word_of(StateName, self.state))

    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Go through inputs (T,B,D) from s_0 (B,H): one GEMM for all inputs, one a step."""
        states = np.empty((inputs.shape[0] + 1, *initial_state.shape))
        states[0] = initial_state
        pre_activations = cells.project_inputs(inputs, self.input_weights, self.hidden_bias)
        transposed = np.ascontiguousarray(self.recurrent_weights.T)
        value, leaks, kept = self.activation.value, has_leak(self.leak), 1.0 - self.leak
        if self.state is StateName.PRE:
            for step, a in enumerate(tracked(pre_activations, "steps")):
                a[:] += value(states[step]) @ transposed
                states[step + 1] = kept * states[step] + self.leak * a
            return CellTrajectory(inputs, states, value(states), pre_activations, states[:-1])
        carried = np.empty_like(states[0])
        for before, a, after in zip(
            states, tracked(pre_activations, "steps"), states[1:], strict=False
        ):
            np.add(a, np.matmul(before, transposed, out=carried), out=a)
            after[:] = value(a)
            if leaks:
                after[:] = kept * before + self.leak * after
        return CellTrajectory(inputs, states, states, pre_activations, pre_activations)

    def linearize(
        self, cell_trajectory: CellTrajectory, *, at_ceiling: bool = False
    ) -> "PostLinearization | PreLinearization":
        """Take the linear part of every step of a trajectory; see ``Cell``."""
        slopes = self.activation.slope_at(cell_trajectory.candidates, ceiling=at_ceiling)
        if self.state is StateName.PRE:
            last = self.activation.slope_at(cell_trajectory.states[-1:], ceiling=at_ceiling)
            return PreLinearization(cell_trajectory, self, np.concatenate([slopes, last]))
        gains = self.leak * slopes if has_leak(self.leak) else slopes
        return PostLinearization(cell_trajectory, self, gains)

    def log_bound(self, slope_ceiling: float) -> float:
        """log(max(1−α) + max(α) γ σ_max(W)), which no step exceeds, in nats."""
        return log_bound_per_step(self.recurrent_weights, slope_ceiling, self.leak)


def checked_leak(leak: float | FloatArray, size: int) -> float | FloatArray:
    """Return a leak as a number, or as (H,) numbers where the units differ."""
    given = np.asarray(leak, dtype=np.float64)
    if given.shape not in ((), (size,)):
        raise ShapeError(
            f"the leak has shape {given.shape}; give 1, or 1 for each of the {size} hidden units"
        )
    outside = given[~((given > 0.0) & (given <= 1.0))]
    if outside.size:
        raise SettingError(f"the leak is {outside.flat[0]:g}; choose a number in (0, 1]")
    return float(given.flat[0]) if (given == given.flat[0]).all() else given


def log_bound_per_step(
    weights: FloatArray, slope_ceiling: float, leak: float | FloatArray = 1.0
) -> float:
    """Return log(1 − α + α γ σ_max(W)), the most that one step can add to log σ_max(P), in nats;
    with a leak of each unit log(max(1−α) + max(α) γ σ_max(W)).
    """
    kept, driven = cells.largest(np.asarray(1.0 - leak)), cells.largest(np.asarray(leak))
    return cells.log_of(kept + driven * (slope_ceiling * cells.spectral_norm(weights)))


def require_vanilla(params: Cell) -> ElmanParameters:
    """Return a vanilla RNN as such; SettingError for another cell."""
    if isinstance(params, ElmanParameters):
        return params
    raise SettingError(f"{type(params).__name__} is no vanilla RNN; give ElmanParameters")


def one_leak(params: ElmanParameters) -> float:
    """Return the leak that all units share; SettingError where they differ."""
    if isinstance(params.leak, float):
        return params.leak
    raise SettingError(
        f"the leak is {params.leak.min():g} to {params.leak.max():g}, but theory takes one number"
    )


def has_leak(leak: float | FloatArray) -> bool:
    """Whether any unit leaks."""
    return not (isinstance(leak, float) and leak == 1.0)


def with_kept(carried: FloatArray, rows: FloatArray, leak: float | FloatArray) -> FloatArray:
    """Add what each unit keeps of itself, (1−α) times rows (…,H)."""
    return carried + (1.0 - leak) * rows if has_leak(leak) else carried


@dataclass(frozen=True, eq=False, slots=True)
class _ElmanLinearization(Linearization, ABC):
    """What the linearizations of both conventions share."""

    cell: ElmanParameters

    @property
    def local_size(self) -> int:
        """H: the adjoints of a_t."""
        return self.cell.state_size

    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """M v = (1−α) v + αγ W v, the step with its slopes at the ceiling, then as they are."""
        leak, driven = self.cell.leak, cells.product(vectors, self.cell.recurrent_weights.T)
        at_ceiling = (1.0 - leak) * vectors + leak * self.cell.activation.slope_ceiling * driven
        return {"ceiling": at_ceiling, "saturation": self.jvp(vectors, at)}

    def recurrent_gradient(self, local: FloatArray, vectors: FloatArray, _at: At, /) -> FloatArray:
        """Σ ∂(rows · J_t v)/∂W, the trajectory held: for v (n,m,H) at s_{t−1} and the ``local``
        (n,m,H) that ``vjp`` makes of the rows. Here W multiplies v.
        """
        return cells.outer_sum(local, vectors)

    def log_bound(self) -> float:
        """log(max(1−α) + max(α) γ σ_max(W)), in nats."""
        return self.cell.log_bound(self.cell.activation.slope_ceiling)


@dataclass(frozen=True, eq=False, slots=True)
class PostLinearization(_ElmanLinearization):
    """J_t = (1−α) I + diag(gains_t) W, gains α φ′(a_t) (T,B,H) at ``[t-1]``."""

    gains: FloatArray

    @property
    def openings(self) -> FloatArray:
        """α φ′(a_t)."""
        return self.gains

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` becomes ∂E/∂a_t."""
        np.multiply(rows, self.gains[at], out=local)
        return with_kept(cells.product(local, self.cell.recurrent_weights), rows, self.cell.leak)

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        carried = cells.product(vectors, self.cell.recurrent_weights.T) * self.gains[at]
        return with_kept(carried, vectors, self.cell.leak)


@dataclass(frozen=True, eq=False, slots=True)
class PreLinearization(_ElmanLinearization):
    """J_t = (1−α) I + α W diag(φ′(v_{t−1})), slopes φ′(v_t) (T+1,B,H) at ``[t]``, v_0 first."""

    slopes: FloatArray

    @property
    def openings(self) -> FloatArray:
        """φ′(v_{t−1})."""
        return self.slopes[:-1]

    @property
    def written(self) -> FloatArray:
        """α φ′(v_t)."""
        return self.cell.leak * self.slopes[1:]

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` becomes ∂E/∂a_t."""
        np.multiply(rows, self.cell.leak, out=local)
        carried = cells.product(local, self.cell.recurrent_weights)
        carried *= self.slopes[at]
        return with_kept(carried, rows, self.cell.leak)

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        sloped = vectors * self.slopes[at]
        carried = self.cell.leak * cells.product(sloped, self.cell.recurrent_weights.T)
        return with_kept(carried, vectors, self.cell.leak)

    def recurrent_gradient(self, local: FloatArray, vectors: FloatArray, at: At, /) -> FloatArray:
        """W multiplies φ′(v_{t−1}) ∘ v."""
        return cells.outer_sum(local, vectors * self.slopes[at])

    def enter(self, errors: FloatArray, at: At = slice(None), /) -> FloatArray:
        """The readout sees φ(v_t)."""
        return errors * self.slopes[1:][at]
