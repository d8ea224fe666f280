"""The lessons of ``explain`` in words: backpropagation, BPTT term by term, vanishing products.

Their numbers come from ``study.lessons``; their documents live in ``lesson_documents``, the words
of a saved run's verdict in ``lesson_verdict``.
"""

from collections.abc import Sequence

from gradscope.report.lesson_page import (
    DIGITS,
    Section,
    matrix_lines,
    scientific,
    table_lines,
)
from gradscope.report.words import LN_10, NEGLIGIBLE, fraction, level, number, pace
from gradscope.study.lessons.backprop import BackpropLesson, Descent
from gradscope.study.lessons.bptt_terms import BpttLesson, StepGradient, Term
from gradscope.study.lessons.products import THRESHOLD, ProductLesson

LESSON_LAGS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lags whose factor and product are shown, those that the run has."""


def _plain(value: float) -> str:
    return number(value, 6)


def _factor(value: float) -> str:
    """Return a number as it stands after a dot: negative ones in parentheses."""
    return f"({_plain(value)})" if value < 0 else _plain(value)


def backprop_answer(lesson: BackpropLesson) -> str:
    """Return the gradient of f = (x − y) z in one sentence."""
    at = ", ".join(f"{name} = {_plain(lesson.values[name])}" for name in "xyz")
    slopes = ", ".join(_plain(lesson.adjoints[name]) for name in "xyz")
    return f"f = (x − y) z is {_plain(lesson.values['f'])} at {at}; its gradient is ({slopes})."


def backprop_sections(lesson: BackpropLesson) -> list[Section]:
    """Return forward pass, backward pass and descent of the graph f = (x − y) z."""
    x, y, z, p, f = (lesson.values[name] for name in "xyzpf")
    edges = {(edge.later, edge.earlier): edge for edge in lesson.edges}
    forward = (
        f"p = x − y = {_plain(x)} − {_factor(y)} = {_plain(p)}",
        f"f = p · z = {_factor(p)} · {_factor(z)} = {_plain(f)}",
    )
    local = (
        f"∂p/∂x = {_plain(edges['p', 'x'].slope)}, ∂p/∂y = {_plain(edges['p', 'y'].slope)}",
        f"∂f/∂p = z = {_plain(edges['f', 'p'].slope)}, ∂f/∂z = p = {_plain(edges['f', 'z'].slope)}",
    )
    backward = ["∂f/∂f = 1: the end, where the way back begins."]
    for edge in lesson.edges:
        if edge.later == "f":
            line = f"∂f/∂{edge.earlier} = {_plain(edge.share)}"
        else:
            line = (
                f"∂f/∂{edge.earlier} = (∂f/∂{edge.later}) (∂{edge.later}/∂{edge.earlier}) = "
                f"{_factor(edge.adjoint)} · {_factor(edge.slope)} = {_plain(edge.share)}"
            )
        backward.append(line)
    rate = _plain(lesson.learning_rate)
    back = "Backward, by the chain rule: multiply along a path, add where paths meet"
    return [
        Section("The graph: leaves, nodes, and the local derivative on each edge", _graph(lesson)),
        Section("Forward: each node from those before it", forward),
        Section("Local derivatives: one for each edge, known to the node alone", local),
        Section(back, tuple(backward)),
        Section(f"One step of gradient descent: u ← u − η ∂f/∂u, η = {rate}", _descent(lesson)),
    ]


def _graph(lesson: BackpropLesson) -> tuple[str, ...]:
    """Draw the graph, its values and its local derivatives."""
    slopes = {(edge.later, edge.earlier): _plain(edge.slope) for edge in lesson.edges}
    x, y, z, p, f = (f"{name} = {_plain(lesson.values[name])}" for name in "xyzpf")
    first = max(len(x), len(y), len(z)) + 1
    second = len(f" (−)  {p} ") + max(len(slopes["p", "x"]), len(slopes["p", "y"])) + 3
    gap = " " * first
    upper = f"{x.ljust(first)}── {slopes['p', 'x']} ─┐"
    lower = f"{y.ljust(first)}── {slopes['p', 'y']} ─┘"
    joint = max(len(upper), len(lower))
    upper = f"{upper[:-2].ljust(joint - 2, '─')}─┐"
    lower = f"{lower[:-2].ljust(joint - 2, '─')}─┘"
    middle = f"{gap}{' ' * (joint - first)}(−) {p} ── {slopes['f', 'p']} ─┐"
    reach = max(len(middle), joint + second)
    bottom = f"{z.ljust(first)}── {slopes['f', 'z']} "
    return (
        upper,
        f"{middle[:-2].ljust(reach - 2, '─')}─┐",
        f"{lower.ljust(reach)}(·) {f}",
        f"{bottom.ljust(reach - 1, '─')}┘",
    )


def _descent(lesson: BackpropLesson) -> tuple[str, ...]:
    rate, before = lesson.learning_rate, lesson.values["f"]
    x, slope = lesson.values["x"], lesson.adjoints["x"]
    moved = lesson.x_moved.leaves["x"]
    everywhere = ", ".join(f"{n} = {_plain(v)}" for n, v in lesson.all_moved.leaves.items())
    return (
        f"x ← {_plain(x)} − {_factor(rate)} · {_factor(slope)} = {_plain(moved)}",
        f"With x alone moved f {_course(before, lesson.x_moved)}.",
        f"With all three moved ({everywhere}) f {_course(before, lesson.all_moved)}.",
    )


def _course(before: float, after: Descent) -> str:
    if after.f == before:
        return f"stays at {_plain(before)}"
    verb = "falls" if after.f < before else "rises"
    return f"{verb} from {_plain(before)} to {_plain(after.f)}"


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
    course, wanted = lesson.trajectory, lesson.targets.values
    units = range(lesson.params.sizes[1])
    titles = ("t", "x_t", *(f"h_t[{i + 1}]" for i in units), "y_t", "A_t", "E_t")
    rows = [
        [
            str(each.step),
            *(
                number(float(value), DIGITS)
                for value in (
                    course.inputs[each.step - 1, 0, 0],
                    *course.hidden[each.step, 0],
                    course.outputs[each.step - 1, 0, 0],
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


def vanishing_answer(lessons: Sequence[ProductLesson]) -> str:
    """Return in one sentence how fast each activation's product goes."""
    parts = [f"{each.activation}'s product {pace(each.rate)}" for each in lessons]
    return f"The same W, two activations: {', '.join(parts)}."


def vanishing_sections(lessons: Sequence[ProductLesson]) -> list[Section]:
    """Return the running products side by side, and what each column says."""
    first = lessons[0]
    shown = [lag for lag in LESSON_LAGS if lag < first.lags.size] + [int(first.lags[-1])]
    titles = ["lag"]
    for each in lessons:
        titles += [f"{each.activation}: J", "product", "bound"]
    rows = [
        [
            str(lag),
            *(
                scientific(float(curve[lag - 1]))
                for each in lessons
                for curve in (each.log_factors, each.log_norms, each.log_bound)
            ),
        ]
        for lag in shown
    ]
    legend = (
        "J: σ_max of the factor J_T−ℓ+1 that joins the product at this lag, diag(φ′(a)) W.",
        "product: σ_max(∂h_T/∂h_T−ℓ), of all factors so far. bound: (γ σ_max(W))^ℓ.",
    )
    return [
        Section("One factor more at each lag", (*table_lines(titles, rows), "", *legend)),
        *(Section(f"What {each.activation} does", _product_lines(each)) for each in lessons),
    ]


def _product_lines(lesson: ProductLesson) -> tuple[str, ...]:
    gamma, last = number(lesson.slope_ceiling), int(lesson.lags[-1])
    bound = float(lesson.log_bound[0])
    reach = f"from lag {lesson.horizon} on" if lesson.horizon else f"at none of the {last} lags"
    ends = (lesson.log_norms, lesson.log_factor_products, lesson.log_bound)
    norm, factors, limit = (level(float(curve[-1]) / LN_10) for curve in ends)
    of_bound = (
        f"γ = max φ′ = {gamma} and σ_max(W) = {scientific(lesson.log_weight_norm)}: the bound is "
        f"{scientific(bound)} a step, which {_what_the_bound_does(bound)}."
    )
    of_norm = (
        f"σ_max is below {fraction(THRESHOLD)} {reach}; over the later half it changes by "
        f"{level(lesson.rate)} nats a step."
    )
    of_end = (
        f"At lag {last} log10 is {norm} for the product, {factors} for the factors' norms "
        f"multiplied, {limit} for the bound."
    )
    return of_bound, of_norm, of_end, _plain_product(lesson)


def _what_the_bound_does(log_bound: float) -> str:
    if abs(log_bound) < NEGLIGIBLE:
        return "forbids exploding and says no more"
    return "forces vanishing" if log_bound < 0 else "allows exploding, but does not force it"


def _plain_product(lesson: ProductLesson) -> str:
    """Return where a product without care leaves float64."""
    if lesson.zero_lag is not None:
        log10 = float(lesson.log_norms[lesson.zero_lag - 1]) / LN_10
        return (
            f"Multiplied plainly in float64 the product is exactly 0 from lag {lesson.zero_lag} "
            f"on; by logarithms σ_max is 10^{level(log10)} there."
        )
    if lesson.infinite_lag is not None:
        return f"Multiplied plainly in float64 it overflows at lag {lesson.infinite_lag}."
    return "Multiplied plainly in float64 it stays within range."
