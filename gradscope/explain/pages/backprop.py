"""The lesson of backpropagation through a small graph in words; its numbers come from
``explain.backprop``.
"""

from gradscope.explain.backprop import BackpropLesson, Descent
from gradscope.explain.pages.page import Section
from gradscope.report.words.numbers import number


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
