"""The lesson of BPTT, term by term, in words; numbers come from ``explain.bptt``."""

from gradscope.explain.bptt import BpttLesson, StepGradient, Term
from gradscope.explain.pages.page import DIGITS, Section, matrix_lines, table_lines
from gradscope.report.words.numbers import number


def bptt_answer(lesson: BpttLesson) -> str:
    """Return in one sentence what was summed and that BPTT gives the same."""
    last = lesson.steps[-1]
    count = sum(len(each.terms) for each in lesson.steps)
    return (
        f"∂E_{last.step}/∂W is a sum of {len(last.terms)} terms, one for each step before; all "
        f"{count} of ∂E/∂W agree with BPTT's one sweep to {lesson.deviation:.0e}."
    )


def bptt_sections(lesson: BpttLesson) -> list[Section]:
    """Return the network, its forward pass, and every factor of ∂E_T/∂V, ∂E_T/∂W and ∂E_T/∂U."""
    last = lesson.steps[-1]
    t = last.step
    return [
        _network_section(lesson),
        _forward_section(lesson),
        _output_section(lesson, last),
        Section(
            f"∂E_{t}/∂W = Σ_k (∂E_{t}/∂y_{t}) (∂y_{t}/∂h_{t}) (∂h_{t}/∂h_k) (∂⁺h_k/∂W), "
            f"k = {t} … 1",
            ("∂⁺h_k/∂W holds h_k−1 fixed; row i of φ′(a_k) h_k−1ᵀ is the derivative of unit i.",),
        ),
        *(_term_section(lesson, last, term, "W") for term in last.terms),
        Section(
            f"The sum over the steps before: ∂E_{t}/∂W",
            tuple(matrix_lines(f"∂E_{t}/∂W", last.gradients["W"])),
        ),
        Section(f"∂E_{t}/∂U: the same paths, ending in ∂⁺h_k/∂U = φ′(a_k) x_kᵀ", ()),
        *(_term_section(lesson, last, term, "U") for term in last.terms),
        Section(
            f"The sum over the steps before: ∂E_{t}/∂U",
            tuple(matrix_lines(f"∂E_{t}/∂U", last.gradients["U"])),
        ),
        _general_section(lesson),
    ]


def _network_section(lesson: BpttLesson) -> Section:
    params = lesson.params
    lines = [
        f"a_t = U x_t + W h_t−1, h_t = {params.activation.name}(a_t), h_0 = 0",
        "y_t = V h_t, E_t = (A_t − y_t)²",
        *matrix_lines("U", params.input_weights),
        *matrix_lines("W", params.recurrent_weights),
        *matrix_lines("V", params.output_weights),
    ]
    return Section("The network", tuple(lines))


def _forward_section(lesson: BpttLesson) -> Section:
    """Return what every step saw, held, said and should have said."""
    cell_trajectory, wanted = lesson.trajectory, lesson.targets.values
    units = range(lesson.params.sizes[1])
    titles = ("t", "x_t", *(f"h_t[{i + 1}]" for i in units), "y_t", "A_t", "E_t")
    rows = [
        [
            str(each.step),
            *(
                number(float(value), DIGITS)
                for value in (
                    cell_trajectory.inputs[each.step - 1, 0, 0],
                    *cell_trajectory.hidden[each.step, 0],
                    cell_trajectory.outputs[each.step - 1, 0, 0],
                    wanted[each.step - 1, 0, 0],
                    each.error,
                )
            ),
        ]
        for each in lesson.steps
    ]
    return Section("Forward", tuple(table_lines(titles, rows)))


def _output_section(lesson: BpttLesson, last: StepGradient) -> Section:
    t = last.step
    lines = [
        *matrix_lines(f"∂E_{t}/∂y_{t} = −2 (A_{t} − y_{t})", last.output_slope),
        *matrix_lines(f"h_{t}ᵀ", lesson.trajectory.hidden[t, 0]),
        *matrix_lines(f"∂E_{t}/∂V", last.gradients["V"]),
    ]
    return Section(f"∂E_{t}/∂V = (∂E_{t}/∂y_{t}) h_{t}ᵀ: one term, no time in it", tuple(lines))


def _term_section(lesson: BpttLesson, last: StepGradient, term: Term, weights: str) -> Section:
    """Return one term with every factor; U's repeat what W's have shown as one product."""
    t, k = term.later, term.earlier
    lag = t - k
    if weights == "W":
        lines = [
            *matrix_lines(f"∂E_{t}/∂y_{t}", last.output_slope),
            *matrix_lines(f"∂y_{t}/∂h_{t} = V", lesson.params.output_weights),
            *matrix_lines(_transport_label(t, k), term.transport),
            *matrix_lines(f"their product, ∂E_{t}/∂h_{k}", term.adjoint),
            *matrix_lines(f"∂⁺h_{k}/∂W = φ′(a_{k}) h_{k - 1}ᵀ", term.immediate_w),
            *matrix_lines("the term", term.share_w),
        ]
        if k == 1 and not term.immediate_w.any():
            lines.append("It is zero because h_0 = 0: before the first step there was nothing.")
    else:
        lines = [
            *matrix_lines(f"∂E_{t}/∂h_{k}, as above", term.adjoint),
            *matrix_lines(f"∂⁺h_{k}/∂U = φ′(a_{k}) x_{k}ᵀ", term.immediate_u),
            *matrix_lines("the term", term.share_u),
        ]
    return Section(f"k = {k}, {lag} {'step' if lag == 1 else 'steps'} back", tuple(lines))


def _transport_label(t: int, k: int) -> str:
    if t == k:
        return f"∂h_{t}/∂h_{k} = 1"
    factors = [f"J_{i}" for i in range(t, k, -1)]
    shown = factors if len(factors) <= 3 else [factors[0], "⋯", factors[-1]]
    return f"∂h_{t}/∂h_{k} = {' '.join(shown)}"


def _general_section(lesson: BpttLesson) -> Section:
    """Return the double sum over steps and steps before, beside BPTT's result."""
    lines = [
        "∂E/∂W = Σ_t ∂E_t/∂W = Σ_t Σ_k≤t (∂E_t/∂y_t) (∂y_t/∂h_t) (∂h_t/∂h_k) (∂⁺h_k/∂W)",
        "with ∂h_t/∂h_k = J_t J_t−1 ⋯ J_k+1 and J_i = diag(φ′(a_i)) W; the same for U.",
    ]
    for name, total in lesson.summed.items():
        lines += ["", *matrix_lines(f"Σ of the terms, ∂E/∂{name}", total)]
        lines += matrix_lines(f"BPTT's sweep,   ∂E/∂{name}", lesson.swept[name])
    lines += ["", f"largest difference, relative: {lesson.deviation:.1e}"]
    return Section("The general formula, over all steps", tuple(lines))
