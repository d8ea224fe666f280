"""BPTT of a small RNN, term by term, in words; the numbers come from ``explain.bptt``."""

from gradscope.explain.bptt import BpttLesson, Term
from gradscope.explain.pages.page import DIGITS, Page, Section, matrix_lines, table_lines
from gradscope.report.words.numbers import number


def bptt_page(lesson: BpttLesson) -> Page:
    """Return the network, its forward pass, and every factor of ∂E_T/∂V, ∂E_T/∂W and ∂E_T/∂U."""
    params, last = lesson.params, lesson.steps[-1]
    t, gradients = last.step, last.gradients
    network = (
        f"a_t = U x_t + W h_t−1, h_t = {params.activation.name}(a_t), h_0 = 0",
        "y_t = V h_t, E_t = (A_t − y_t)²",
        *matrix_lines("U", params.input_weights),
        *matrix_lines("W", params.recurrent_weights),
        *matrix_lines("V", params.output_weights),
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
    sum_title = f"The sum over the steps before: ∂E_{t}/∂"
    sections = (
        Section("The network", network),
        Section("Forward", _forward_lines(lesson)),
        Section(f"∂E_{t}/∂V = (∂E_{t}/∂y_{t}) h_{t}ᵀ: one term, no time in it", output),
        Section(
            f"∂E_{t}/∂W = Σ_k (∂E_{t}/∂y_{t}) (∂y_{t}/∂h_{t}) (∂h_{t}/∂h_k) (∂⁺h_k/∂W), "
            f"k = {t} … 1",
            ("∂⁺h_k/∂W holds h_k−1 fixed; row i of φ′(a_k) h_k−1ᵀ is the derivative of unit i.",),
        ),
        *(_term_section(lesson, term, "W") for term in last.terms),
        Section(f"{sum_title}W", matrix_lines(f"∂E_{t}/∂W", gradients["W"])),
        Section(f"∂E_{t}/∂U: the same paths, ending in ∂⁺h_k/∂U = φ′(a_k) x_kᵀ", ()),
        *(_term_section(lesson, term, "U") for term in last.terms),
        Section(f"{sum_title}U", matrix_lines(f"∂E_{t}/∂U", gradients["U"])),
        Section("The general formula, over all steps", general),
    )
    count = sum(len(each.terms) for each in lesson.steps)
    answer = (
        f"∂E_{t}/∂W is a sum of {len(last.terms)} terms, one for each step before; all "
        f"{count} of ∂E/∂W agree with BPTT's one sweep to {lesson.deviation:.0e}."
    )
    return Page(answer, sections)


def _forward_lines(lesson: BpttLesson) -> list[str]:
    """Return input, state, output, target and error of every step."""
    trajectory = lesson.trajectory
    titles = ["t", "x_t", *(f"h_t[{i + 1}]" for i in range(lesson.params.sizes[1]))]
    rows = []
    for each in lesson.steps:
        values = (
            trajectory.inputs[each.step - 1, 0, 0],
            *trajectory.hidden[each.step, 0],
            trajectory.outputs[each.step - 1, 0, 0],
            lesson.targets.values[each.step - 1, 0, 0],
            each.error,
        )
        rows.append([str(each.step), *(number(float(value), DIGITS) for value in values)])
    return table_lines((*titles, "y_t", "A_t", "E_t"), rows)


def _term_section(lesson: BpttLesson, term: Term, weights: str) -> Section:
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
    if weights == "W" and k == 1 and not immediate.any():
        lines.append("It is zero because h_0 = 0: before the first step there was nothing.")
    return Section(f"k = {k}, {t - k} {'step' if t - k == 1 else 'steps'} back", lines)
