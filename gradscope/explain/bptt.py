"""∂E_t/∂V, ∂E_t/∂W and ∂E_t/∂U of a small RNN, term by term, as one would do it on paper.

    ∂E_t/∂V = (∂E_t/∂y_t) h_tᵀ
    ∂E_t/∂W = Σ_{k=1}^{t} (∂E_t/∂y_t) (∂y_t/∂h_t) (∂h_t/∂h_k) (∂⁺h_k/∂W)
    ∂E_t/∂U = the same with ∂⁺h_k/∂U

where ∂h_t/∂h_k = J_t ⋯ J_{k+1}, J_i = diag(φ′(a_i)) W, and the immediate derivatives ∂⁺ hold the
previous state fixed: ∂⁺h_{k,i}/∂W_{ij} = φ′(a_{k,i}) h_{k−1,j}. Every product is written out,
O(T²) of them; the sweep that needs O(T) is ``learning.bptt``. Source: Pascanu, Mikolov & Bengio
(2013), arXiv:1211.5063, equations 3 to 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, plain
from gradscope.data.batch import Targets
from gradscope.explain.vanishing import check_lesson
from gradscope.learning.bptt import backpropagate
from gradscope.learning.losses import step_errors
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, InitializerName
from gradscope.report.formats import Document, head, named
from gradscope.report.terminal.table import DIGITS, Page, matrix_lines, table_lines
from gradscope.report.words.numbers import number, percent, steps

LESSON_WEIGHTS = {"V": "output_weights", "W": "recurrent_weights", "U": "input_weights"}

MAX_STEPS, MAX_UNITS = 8, 4
"""More terms or wider matrices do not fit a page."""


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """The term k of ∂E_t/∂W and ∂E_t/∂U, t = ``later``, k = ``earlier``.

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
        """The term itself: row i is adjoint_i ∂⁺h_{k,i}/∂W_i, likewise for U."""
        return {name: self.adjoint[:, None] * each for name, each in self.immediate.items()}


@dataclass(frozen=True, eq=False, slots=True)
class StepGradient:
    """∂E_t of one step t: ``error`` is E_t, ``output_slope`` (O,) is ∂E_t/∂y_t, ``gradients`` maps
    "V", "W" and "U" to ∂E_t/∂(that array), ``terms`` has one entry for each k = t … 1.
    """

    step: int
    error: float
    output_slope: FloatArray
    terms: Sequence[Term]
    gradients: Mapping[str, FloatArray]

    @property
    def weights(self) -> FloatArray:
        """What each term adds along ∂E_t/∂(W, U), in parts of it: their sum is 1 (0 where it is 0),
        and one is below 0 where it works against the others.
        """
        terms = np.array([np.hstack([*each.share.values()]).ravel() for each in self.terms])
        whole = terms.sum(axis=0)
        weights: FloatArray = terms @ whole / (whole @ whole or 1.0)
        return weights


@dataclass(frozen=True, eq=False, slots=True)
class BpttLesson:
    """Every step's terms, their sum over all steps, and the result of BPTT's single sweep.

    ``summed`` and ``swept`` map "V", "W" and "U" to ∂E/∂(that array); ``deviation`` is the largest
    difference of an entry, relative to the largest entry of that array.
    """

    params: ElmanParameters
    trajectory: Trajectory
    targets: Targets
    steps: Sequence[StepGradient]
    summed: Mapping[str, FloatArray]
    swept: Mapping[str, FloatArray]
    deviation: float

    def document(self, settings: Mapping[str, Any]) -> Document:
        """Return the network and every factor of every term as JSON has them."""
        trajectory = self.trajectory
        factors = ("transport", "adjoint", "immediate", "share")
        steps = [
            {
                **named(each, "step", "error", gradient="gradients"),
                "error_by_output": each.output_slope,
                "input": trajectory.inputs[each.step - 1, 0],
                "hidden": trajectory.hidden[each.step, 0],
                "output": trajectory.outputs[each.step - 1, 0],
                "target": self.targets.values[each.step - 1, 0],
                "terms": [
                    {"lag": term.later - term.earlier, **named(term, "earlier", *factors)}
                    | {"part_of_gradient": weight}
                    for term, weight in zip(each.terms, each.weights, strict=True)
                ],
            }
            for each in self.steps
        ]
        content = {
            "network": dict(self.params.weights()),
            "initial_state": trajectory.hidden[0, 0],
            "steps": steps,
            "summed": self.summed,
            "bptt": self.swept,
            "largest_relative_difference": self.deviation,
        }
        return {**head("explain.bptt", settings), **plain(content)}


def draw_bptt_lesson(
    steps: int = 3, hidden: int = 2, activation: ActivationName = ActivationName.TANH, seed: int = 0
) -> BpttLesson:
    """Take a random network apart, with one sequence that has a target at every step.

    One input, one output, biases 0, h_0 drawn from ±1/2, so that no term is zero; ``steps`` in
    1 … 8 and ``hidden`` in 1 … 4, else SettingError.
    """
    check_lesson(steps, hidden, seed, (MAX_STEPS, MAX_UNITS))
    rng = np.random.default_rng(seed)
    params = initialize(rng, (1, hidden, 1), activation=activation, scheme=InitializerName.GAUSSIAN)
    inputs = rng.standard_normal((steps, 1, 1))
    targets = Targets(rng.standard_normal((steps, 1, 1)), np.ones(steps, dtype=np.bool_))
    first = rng.uniform(-0.5, 0.5, (1, hidden))
    return bptt_lesson(params, unroll(params, inputs, first), targets)


def bptt_lesson(params: ElmanParameters, trajectory: Trajectory, targets: Targets) -> BpttLesson:
    """Take the gradient of one sequence apart, step by step and term by term."""
    errors, output_slopes = step_errors(trajectory.outputs, targets)
    slopes, hidden = trajectory.slopes[:, 0], trajectory.hidden[:, 0]
    immediate = [
        {"W": np.outer(slope, before), "U": np.outer(slope, entering)}
        for slope, before, entering in zip(slopes, hidden, trajectory.inputs[:, 0], strict=False)
    ]
    steps = []
    for t in range(1, trajectory.n_steps + 1):
        output_slope = output_slopes[t - 1, 0]
        by_state = output_slope @ params.output_weights
        transport: FloatArray = np.eye(params.sizes[1])
        terms = []
        for k in range(t, 0, -1):
            terms.append(Term(t, k, transport, by_state @ transport, immediate[k - 1]))
            transport = transport @ (slopes[k - 1][:, None] * params.recurrent_weights)
        gradients = {
            "V": np.outer(output_slope, hidden[t]),
            **{name: np.sum([each.share[name] for each in terms], axis=0) for name in "WU"},
        }
        steps.append(StepGradient(t, float(errors[t - 1]), output_slope, terms, gradients))
    weights = backpropagate(params, trajectory, targets).weights
    swept = {name: weights[long_name] for name, long_name in LESSON_WEIGHTS.items()}
    summed = {name: np.sum([each.gradients[name] for each in steps], axis=0) for name in swept}
    deviation = max(
        float(np.max(np.abs(summed[name] - each))) / (float(np.max(np.abs(each))) or 1.0)
        for name, each in swept.items()
    )
    return BpttLesson(params, trajectory, targets, steps, summed, swept, deviation)


def bptt_page(lesson: BpttLesson) -> Page:
    """Return the network, its forward pass, and every factor of ∂E_T/∂V, ∂E_T/∂W and ∂E_T/∂U."""
    params, last = lesson.params, lesson.steps[-1]
    t, gradients = last.step, last.gradients
    network = (
        f"a_t = U x_t + W h_t−1, h_t = {params.activation.name}(a_t)",
        "y_t = V h_t, E_t = (A_t − y_t)²",
        *matrix_lines("U", params.input_weights),
        *matrix_lines("W", params.recurrent_weights),
        *matrix_lines("V", params.output_weights),
        *matrix_lines("h_0ᵀ", lesson.trajectory.hidden[0, 0]),
    )
    output = (
        *matrix_lines(f"∂E_{t}/∂y_{t} = −2 (A_{t} − y_{t})", last.output_slope),
        *matrix_lines(f"h_{t}ᵀ", lesson.trajectory.hidden[t, 0]),
        *matrix_lines(f"∂E_{t}/∂V", gradients["V"]),
    )
    general = [
        "∂E/∂W = Σ_t ∂E_t/∂W = Σ_t Σ_k≤t (∂E_t/∂y_t) (∂y_t/∂h_t) (∂h_t/∂h_k) (∂⁺h_k/∂W)",
        "with ∂h_t/∂h_k = J_t J_t−1 ⋯ J_k+1 and J_i = diag(φ′(a_i)) W; the same for U.",
    ]
    for name, total in lesson.summed.items():
        general += ["", *matrix_lines(f"Σ of the terms, ∂E/∂{name}", total)]
        general += matrix_lines(f"BPTT's sweep,   ∂E/∂{name}", lesson.swept[name])
    general += ["", f"largest difference, relative: {lesson.deviation:.1e}"]
    weights_title = f"∂E_{t}/∂W = Σ_k (∂E_{t}/∂y_{t}) (∂y_{t}/∂h_{t}) (∂h_{t}/∂h_k) (∂⁺h_k/∂W), "
    held = "∂⁺h_k/∂W holds h_k−1 fixed; row i of φ′(a_k) h_k−1ᵀ is the derivative of unit i."
    sections: list[tuple[str, Sequence[str]]] = [
        (f"The net over time, and the weight of each path from E_{t} back", _unrolled_lines(last)),
        ("The network", network),
        ("Forward", _forward_lines(lesson)),
        (f"∂E_{t}/∂V = (∂E_{t}/∂y_{t}) h_{t}ᵀ: one term, no time in it", output),
    ]
    for name, title, lines in (
        ("W", f"{weights_title}k = {t} … 1", (held,)),
        ("U", f"∂E_{t}/∂U: the same paths, ending in ∂⁺h_k/∂U = φ′(a_k) x_kᵀ", ()),
    ):
        sections += [(title, lines), *(_term_section(lesson, term, name) for term in last.terms)]
        added = matrix_lines(f"∂E_{t}/∂{name}", gradients[name])
        sections.append((f"The sum over the steps up to {t}: ∂E_{t}/∂{name}", added))
    parts = last.weights
    main = t - int(np.argmax(parts))
    share, least = (percent(round(float(each), 2)) for each in (parts.max(), parts[-1]))
    answer = f"{share} of ∂E_{t}/∂(W, U) comes along the path to k = {main}, {steps(t - main)} back"
    answer += f"; the longest, to k = 1, adds {least}." if main > 1 else "."
    return Page(answer, [*sections, ("The general formula, over all steps", general)])


def _unrolled_lines(last: StepGradient) -> list[str]:
    """Return the states over time, what arrives at each, and the weight of the path to it."""
    t, terms = last.step, last.terms[::-1]
    wide = min(14, 68 // (t + 1))  # With the names of the rows, 80 columns.
    sizes = (number(float(np.linalg.norm(each.transport, 2)), 2) for each in terms)
    rows = {
        "states": [*(f"h_{k} ◂".ljust(wide - 1, "─") + " " for k in range(t)), f"h_{t} ◂ E_{t}"],
        "": ["", *[" ↑"] * t],
        "inputs": ["", *(f"x_{each.earlier}" for each in terms)],
        "arrives": ["", *sizes],
        "weight": ["", *(percent(round(each, 2)) for each in last.weights[::-1].tolist())],
    }
    lines = (name.ljust(8) + "".join(c.ljust(wide) for c in row) for name, row in rows.items())
    return [
        *map(str.rstrip, lines),
        "",
        "The error enters at the right and flows back; a path ends at every step k.",
        f"arrives: σ_max(∂h_{t}/∂h_k), what the J_i on the way leave.",
        f"weight: what the path adds along ∂E_{t}/∂(W, U), in parts of it: 100 % together.",
    ]


def _forward_lines(lesson: BpttLesson) -> list[str]:
    trajectory, targets = lesson.trajectory, lesson.targets.values
    states = [f"h_t[{i + 1}]" for i in range(lesson.params.sizes[1])]
    errors = [[each.error] for each in lesson.steps]
    columns = (trajectory.inputs[:, 0], trajectory.hidden[1:, 0], trajectory.outputs[:, 0])
    values = np.hstack([*columns, targets[:, 0], errors]).tolist()
    rows = [[str(t), *(number(each, DIGITS) for each in row)] for t, row in enumerate(values, 1)]
    return table_lines(("t", "x_t", *states, "y_t", "A_t", "E_t"), rows)


def _term_section(lesson: BpttLesson, term: Term, weights: str) -> tuple[str, list[str]]:
    """Return one term with every factor; U's repeat what W's have shown as one product."""
    t, k = term.later, term.earlier
    immediate = term.immediate[weights]
    factors = [f"J_{i}" for i in range(t, k, -1)] or ["1"]
    if len(factors) > 3:
        factors = [factors[0], "⋯", factors[-1]]
    if weights == "W":
        lines = [
            *matrix_lines(f"∂E_{t}/∂y_{t}", lesson.steps[t - 1].output_slope),
            *matrix_lines(f"∂y_{t}/∂h_{t} = V", lesson.params.output_weights),
            *matrix_lines(f"∂h_{t}/∂h_{k} = {' '.join(factors)}", term.transport),
            *matrix_lines(f"their product, ∂E_{t}/∂h_{k}", term.adjoint),
            *matrix_lines(f"∂⁺h_{k}/∂W = φ′(a_{k}) h_{k - 1}ᵀ", immediate),
        ]
    else:
        lines = [
            *matrix_lines(f"∂E_{t}/∂h_{k}, as above", term.adjoint),
            *matrix_lines(f"∂⁺h_{k}/∂U = φ′(a_{k}) x_{k}ᵀ", immediate),
        ]
    lines += matrix_lines("the term", term.share[weights])
    return f"k = {k}, {steps(t - k)} back", lines
