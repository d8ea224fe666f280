"""∂E_t/∂V, ∂E_t/∂W and ∂E_t/∂U of a small RNN, term by term, as one would do it on paper.

    ∂E_t/∂V = (∂E_t/∂y_t) h_tᵀ
    ∂E_t/∂W = Σ_{k=1}^{t} (∂E_t/∂y_t) (∂y_t/∂h_t) (∂h_t/∂h_k) (∂⁺h_k/∂W)
    ∂E_t/∂U = the same with ∂⁺h_k/∂U

where ∂h_t/∂h_k = J_t ⋯ J_{k+1}, J_i = diag(φ′(a_i)) W, and the immediate derivatives ∂⁺ hold the
previous state fixed: ∂⁺h_{k,i}/∂W_{ij} = φ′(a_{k,i}) h_{k−1,j}. Every product is written out,
O(T²) of them; the sweep that needs O(T) is ``learning.bptt``. Source: Pascanu, Mikolov & Bengio
(2013), arXiv:1211.5063, equations 3 to 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from gradscope.report.formats import Document, head

LESSON_WEIGHTS = {"V": "output_weights", "W": "recurrent_weights", "U": "input_weights"}

MAX_STEPS, MAX_UNITS = 8, 4
"""More terms or wider matrices do not fit a page."""


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """The term k of ∂E_t/∂W and ∂E_t/∂U: t − k steps back.

    ``transport`` (H,H) is ∂h_t/∂h_k; ``adjoint`` (H,) is (∂E_t/∂y_t)(∂y_t/∂h_t)(∂h_t/∂h_k);
    ``immediate`` maps "W" (H,H) and "U" (H,D) to the entries of ∂⁺h_k that are not zero, row i
    those of unit i.
    """

    later: int
    earlier: int
    transport: FloatArray
    adjoint: FloatArray
    immediate: Mapping[str, FloatArray]

    @property
    def share(self) -> dict[str, FloatArray]:
        """The term itself: row i is adjoint_i ∂⁺h_{k,i}/∂W_i, and the same for U."""
        return {name: self.adjoint[:, None] * each for name, each in self.immediate.items()}


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
    """Every step's terms, their sum over all steps, and the result of BPTT's single sweep.

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

    def document(self, settings: Mapping[str, Any]) -> Document:
        """Return the network and every factor of every term as JSON has them."""
        trajectory = self.trajectory
        return {
            **head("explain.bptt", settings),
            "network": _lists(dict(self.params.weights())),
            "steps": [
                {
                    "step": each.step,
                    "input": trajectory.inputs[each.step - 1, 0].tolist(),
                    "hidden": trajectory.hidden[each.step, 0].tolist(),
                    "output": trajectory.outputs[each.step - 1, 0].tolist(),
                    "target": self.targets.values[each.step - 1, 0].tolist(),
                    "error": each.error,
                    "error_by_output": each.output_slope.tolist(),
                    "gradient": _lists(each.gradients),
                    "terms": [
                        {
                            "earlier": term.earlier,
                            "lag": term.later - term.earlier,
                            "transport": term.transport.tolist(),
                            "adjoint": term.adjoint.tolist(),
                            "immediate": _lists(term.immediate),
                            "share": _lists(term.share),
                        }
                        for term in each.terms
                    ],
                }
                for each in self.steps
            ],
            "summed": _lists(self.summed),
            "bptt": _lists(self.swept),
            "largest_relative_difference": self.deviation,
        }


def _lists(arrays: Mapping[str, FloatArray]) -> Document:
    return {name: array.tolist() for name, array in arrays.items()}


def draw_bptt_lesson(
    steps: int = 3, hidden: int = 2, activation: ActivationName = ActivationName.TANH, seed: int = 0
) -> BpttLesson:
    """Draw a small network and one sequence with a target at every step, and take them apart.

    One input, one output, biases 0, h_0 = 0; ``steps`` in 1 … 8 and ``hidden`` in 1 … 4.

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
    """Take the gradient of one sequence apart, step by step and term by term."""
    errors, output_slopes = step_errors(trajectory.outputs, targets)
    steps = []
    for step in range(1, trajectory.n_steps + 1):
        slope = output_slopes[step - 1, 0]
        terms = _terms(params, trajectory, step, slope @ params.output_weights)
        gradients = {
            "V": np.outer(slope, trajectory.hidden[step, 0]),
            **{name: np.sum([each.share[name] for each in terms], axis=0) for name in "WU"},
        }
        steps.append(StepGradient(step, float(errors[step - 1]), slope, terms, gradients))
    weights = backpropagate(params, trajectory, targets).weights
    swept = {name: weights[long_name] for name, long_name in LESSON_WEIGHTS.items()}
    summed = {name: np.sum([each.gradients[name] for each in steps], axis=0) for name in swept}
    deviation = max(
        float(np.max(np.abs(summed[name] - each))) / (float(np.max(np.abs(each))) or 1.0)
        for name, each in swept.items()
    )
    return BpttLesson(params, trajectory, targets, tuple(steps), summed, swept, deviation)


def _terms(
    params: ElmanParameters, trajectory: Trajectory, step: int, entering: FloatArray
) -> tuple[Term, ...]:
    """Return the terms k = t … 1 of step t; ``entering`` (H,) is ∂E_t/∂h_t without later steps."""
    slopes = trajectory.slopes[:, 0]
    transport: FloatArray = np.eye(params.sizes[1])
    terms = []
    for k in range(step, 0, -1):
        immediate = {
            "W": np.outer(slopes[k - 1], trajectory.hidden[k - 1, 0]),
            "U": np.outer(slopes[k - 1], trajectory.inputs[k - 1, 0]),
        }
        terms.append(Term(step, k, transport, entering @ transport, immediate))
        transport = transport @ (slopes[k - 1][:, None] * params.recurrent_weights)
    return tuple(terms)
