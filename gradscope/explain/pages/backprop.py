"""Backpropagation through a small graph, in words; the numbers come from ``explain.backprop``."""

from collections.abc import Mapping

from gradscope.explain.backprop import BackpropLesson
from gradscope.explain.pages.page import Page, Section
from gradscope.report.words.numbers import number


def _plain(value: float) -> str:
    return number(value, 6)


def _factor(value: float) -> str:
    """Return a number as it stands after a dot: negative ones in parentheses."""
    return f"({_plain(value)})" if value < 0 else _plain(value)


def backprop_page(lesson: BackpropLesson) -> Page:
    """Return forward pass, backward pass and descent of the graph f = (x − y) z."""
    x, y, z, p, f = (lesson.values[name] for name in "xyzpf")
    slope = {(edge.later, edge.earlier): _plain(edge.slope) for edge in lesson.edges}
    forward = (
        f"p = x − y = {_plain(x)} − {_factor(y)} = {_plain(p)}",
        f"f = p · z = {_factor(p)} · {_factor(z)} = {_plain(f)}",
    )
    local = (
        f"∂p/∂x = {slope['p', 'x']}, ∂p/∂y = {slope['p', 'y']}",
        f"∂f/∂p = z = {slope['f', 'p']}, ∂f/∂z = p = {slope['f', 'z']}",
    )
    backward = ["∂f/∂f = 1: the end, where the way back begins."]
    for edge in lesson.edges:
        factors = (
            ""
            if edge.later == "f"
            else (
                f"(∂f/∂{edge.later}) (∂{edge.later}/∂{edge.earlier}) = "
                f"{_factor(edge.adjoint)} · {_factor(edge.slope)} = "
            )
        )
        backward.append(f"∂f/∂{edge.earlier} = {factors}{_plain(edge.share)}")
    rate = _plain(lesson.learning_rate)
    at = ", ".join(f"{name} = {_plain(lesson.values[name])}" for name in "xyz")
    gradient = ", ".join(_plain(lesson.adjoints[name]) for name in "xyz")
    everywhere = ", ".join(f"{name} = {_plain(lesson.all_moved[name])}" for name in "xyz")
    product = f"{_factor(lesson.learning_rate)} · {_factor(lesson.adjoints['x'])}"
    descent = (
        f"x ← {_plain(x)} − {product} = {_plain(lesson.x_moved['x'])}",
        f"With x alone moved f {_change(f, lesson.x_moved['f'])}.",
        f"With all three moved ({everywhere}) f {_change(f, lesson.all_moved['f'])}.",
    )
    title = "Backward, by the chain rule: multiply along a path, add where paths meet"
    return Page(
        f"f = (x − y) z is {_plain(f)} at {at}; its gradient is ({gradient}).",
        (
            Section(
                "The graph: leaves, nodes, and the local derivative on each edge",
                _graph(lesson, slope),
            ),
            Section("Forward: each node from those before it", forward),
            Section("Local derivatives: one for each edge, known to the node alone", local),
            Section(title, backward),
            Section(f"One step of gradient descent: u ← u − η ∂f/∂u, η = {rate}", descent),
        ),
    )


def _graph(lesson: BackpropLesson, slope: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """Draw the graph, its values and its local derivatives."""
    x, y, z, p, f = (f"{name} = {_plain(lesson.values[name])}" for name in "xyzpf")
    first = max(len(x), len(y), len(z)) + 1
    upper = f"{x.ljust(first)}── {slope['p', 'x']} ─"
    lower = f"{y.ljust(first)}── {slope['p', 'y']} ─"
    joint = max(len(upper), len(lower))
    middle = f"{' ' * (joint + 1)}(−) {p} ── {slope['f', 'p']} ─"
    bottom = f"{z.ljust(first)}── {slope['f', 'z']} "
    return (
        f"{upper.ljust(joint, '─')}┐",
        f"{middle}┐",
        f"{(lower.ljust(joint, '─') + '┘').ljust(len(middle) + 1)}(·) {f}",
        f"{bottom.ljust(len(middle), '─')}┘",
    )


def _change(before: float, after: float) -> str:
    if after == before:
        return f"stays at {_plain(before)}"
    verb = "falls" if after < before else "rises"
    return f"{verb} from {_plain(before)} to {_plain(after)}"
