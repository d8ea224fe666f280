"""∂E_t/∂V, ∂E_t/∂W and ∂E_t/∂U of a small RNN, term by term, as one would do it on paper.

    ∂E_t/∂V = (∂E_t/∂y_t) h_tᵀ
    ∂E_t/∂W = Σ_{k=1}^{t} (∂E_t/∂y_t) (∂y_t/∂h_t) (∂h_t/∂h_k) (∂⁺h_k/∂W)
    ∂E_t/∂U = the same with ∂⁺h_k/∂U

where ∂h_t/∂h_k = J_t ⋯ J_{k+1}, J_i = diag(φ′(a_i)) W, and the immediate derivatives ∂⁺ hold the
state before fixed: ∂⁺h_{k,i}/∂W_{ij} = φ′(a_{k,i}) h_{k−1,j}. Every product is written out, at a
cost of O(T³); the sweep that does it in O(T) is ``learning.bptt``. Source: Pascanu, Mikolov &
Bengio (2013), arXiv:1211.5063, equations 3 to 5.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import SettingError
from gradscope.learning.bptt import backpropagate
from gradscope.learning.losses import step_errors
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, InitializerName

LESSON_WEIGHTS = {"V": "output_weights", "W": "recurrent_weights", "U": "input_weights"}

MAX_STEPS, MAX_UNITS = 8, 4
"""What still reads as a page: more terms, or wider matrices, teach nothing new."""


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """The term k of ∂E_t/∂W and ∂E_t/∂U: t − k steps back.

    ``jacobians`` are J_t, …, J_{k+1}, each (H,H), ``transport`` ∂h_t/∂h_k their product;
    ``adjoint`` (H,) is (∂E_t/∂y_t)(∂y_t/∂h_t)(∂h_t/∂h_k); ``immediate_w`` (H,H) and ``immediate_u``
    (H,D) hold the entries of ∂⁺h_k that are not zero, row i those of unit i; ``share_w`` and
    ``share_u`` are the term itself.
    """

    later: int
    earlier: int
    jacobians: tuple[FloatArray, ...]
    transport: FloatArray
    adjoint: FloatArray
    immediate_w: FloatArray
    immediate_u: FloatArray

    @property
    def share_w(self) -> FloatArray:
        """Row i is adjoint_i ∂⁺h_{k,i}/∂W_i."""
        share: FloatArray = self.adjoint[:, None] * self.immediate_w
        return share

    @property
    def share_u(self) -> FloatArray:
        """Row i is adjoint_i ∂⁺h_{k,i}/∂U_i."""
        share: FloatArray = self.adjoint[:, None] * self.immediate_u
        return share


@dataclass(frozen=True, eq=False, slots=True)
class StepGradient:
    """∂E_t of one step t: ``error`` is E_t, ``output_slope`` (O,) is ∂E_t/∂y_t, ``gradients`` maps
    "V", "W" and "U" to ∂E_t/∂(that array), ``terms`` has one entry for each k = t … 1.
    """

    step: int
    error: float
    output_slope: FloatArray
    terms: tuple[Term, ...]
    gradients: dict[str, FloatArray]


@dataclass(frozen=True, eq=False, slots=True)
class BpttLesson:
    """Every step's terms, their sum over all steps, and what BPTT's one sweep gives.

    ``summed`` and ``swept`` map "V", "W" and "U" to ∂E/∂(that array); ``deviation`` is the largest
    difference of an entry, relative to the largest entry of that array.
    """

    params: ElmanParameters
    trajectory: Trajectory
    targets: Targets
    steps: tuple[StepGradient, ...]
    summed: dict[str, FloatArray]
    swept: dict[str, FloatArray]
    deviation: float


def draw_bptt_lesson(
    steps: int = 3, hidden: int = 2, activation: ActivationName = ActivationName.TANH, seed: int = 0
) -> BpttLesson:
    """Draw a small network and one sequence with a target at every step, and take them apart.

    Parameters
    ----------
    steps, hidden : int
        T in 1 … 8 and H in 1 … 4.
    activation : ActivationName
        φ.
    seed : int
        Source of every draw; one input, one output, biases 0, h_0 = 0.

    Raises
    ------
    SettingError
        If a number lies outside its limits.
    """
    for flag, value, most in (("steps", steps, MAX_STEPS), ("hidden", hidden, MAX_UNITS)):
        if not 1 <= value <= most:
            raise SettingError(f"--{flag} is {value}; choose 1 to {most}: more does not fit a page")
    if seed < 0:
        raise SettingError(f"--seed is {seed}; choose 0 or more")
    rng = np.random.default_rng(seed)
    params = initialize(rng, (1, hidden, 1), activation=activation, scheme=InitializerName.GAUSSIAN)
    inputs = rng.standard_normal((steps, 1, 1))
    targets = Targets(rng.standard_normal((steps, 1, 1)), np.ones(steps, dtype=np.bool_))
    return bptt_lesson(params, unroll(params, inputs), targets)


def bptt_lesson(params: ElmanParameters, trajectory: Trajectory, targets: Targets) -> BpttLesson:
    """Take the gradient of one sequence apart.

    Parameters
    ----------
    params : ElmanParameters
        The network.
    trajectory : Trajectory
        Its course over one sequence.
    targets : Targets
        What its outputs were to be.

    Returns
    -------
    BpttLesson
    """
    errors, output_slopes = step_errors(trajectory.outputs, targets)
    steps = tuple(
        _step_gradient(
            params, trajectory, step, float(errors[step - 1]), output_slopes[step - 1, 0]
        )
        for step in range(1, trajectory.n_steps + 1)
    )
    summed = {
        name: np.sum([each.gradients[name] for each in steps], axis=0) for name in LESSON_WEIGHTS
    }
    weights = backpropagate(params, trajectory, targets).weights
    swept = {name: weights[long_name] for name, long_name in LESSON_WEIGHTS.items()}
    deviation = max(_deviation(summed[name], swept[name]) for name in LESSON_WEIGHTS)
    return BpttLesson(params, trajectory, targets, steps, summed, swept, deviation)


def _step_gradient(
    params: ElmanParameters,
    trajectory: Trajectory,
    step: int,
    error: float,
    output_slope: FloatArray,
) -> StepGradient:
    entering = output_slope @ params.output_weights
    terms = tuple(_term(params, trajectory, step, k, entering) for k in range(step, 0, -1))
    gradients = {
        "V": np.outer(output_slope, trajectory.hidden[step, 0]),
        "W": np.sum([each.share_w for each in terms], axis=0),
        "U": np.sum([each.share_u for each in terms], axis=0),
    }
    return StepGradient(step, error, output_slope, terms, gradients)


def _term(
    params: ElmanParameters, trajectory: Trajectory, later: int, earlier: int, entering: FloatArray
) -> Term:
    slopes = trajectory.slopes[:, 0]
    jacobians = tuple(
        slopes[i - 1][:, None] * params.recurrent_weights for i in range(later, earlier, -1)
    )
    transport: FloatArray = np.eye(params.sizes[1])
    for jacobian in jacobians:
        transport = transport @ jacobian
    return Term(
        later=later,
        earlier=earlier,
        jacobians=jacobians,
        transport=transport,
        adjoint=entering @ transport,
        immediate_w=np.outer(slopes[earlier - 1], trajectory.hidden[earlier - 1, 0]),
        immediate_u=np.outer(slopes[earlier - 1], trajectory.inputs[earlier - 1, 0]),
    )


def _deviation(one: FloatArray, other: FloatArray) -> float:
    largest = float(np.max(np.abs(other)))
    return float(np.max(np.abs(one - other))) / (largest or 1.0)
