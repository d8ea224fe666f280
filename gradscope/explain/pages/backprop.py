"""Backpropagation through a small graph, in words; the numbers come from ``explain.backprop``."""

from collections.abc import Mapping
from functools import partial

from gradscope.explain.backprop import BackpropLesson
from gradscope.explain.pages.page import Page
from gradscope.report.words.numbers import number

_plain = partial(number, digits=6)


def _factor(value: float) -> str:
    """Return a number as it stands after a dot: negative ones in parentheses."""
    return f"({_plain(value)})" if value < 0 else _plain(value)


def backprop_page(lesson: BackpropLesson) -> Page:
    """Return forward pass, backward pass and descent of the graph f = (x − y) z."""
    values, adjoints, rate = lesson.values, lesson.adjoints, lesson.learning_rate
    x_moved, all_moved = lesson.x_moved, lesson.all_moved
    x, p, f = (_plain(values[name]) for name in "xpf")
    slope = {edge.later + edge.earlier: _plain(edge.slope) for edge in lesson.edges}
    backward = ["∂f/∂f = 1: the end, where the way back begins."]
    for edge in lesson.edges:
        later, earlier = edge.later, edge.earlier
        factors = f"{_factor(edge.adjoint)} · {_factor(edge.slope)}"
        product = f"(∂f/∂{later}) (∂{later}/∂{earlier}) = {factors} = " if later != "f" else ""
        backward.append(f"∂f/∂{earlier} = {product}{_plain(edge.share)}")
    at, everywhere = (
        ", ".join(f"{name} = {_plain(nodes[name])}" for name in "xyz")
        for nodes in (values, all_moved)
    )
    gradient = ", ".join(_plain(adjoints[name]) for name in "xyz")
    texts = {
        "The graph: leaves, nodes, and the local derivative on each edge": _graph(values, slope),
        "Forward: each node from those before it": (
            f"p = x − y = {x} − {_factor(values['y'])} = {p}",
            f"f = p · z = {_factor(values['p'])} · {_factor(values['z'])} = {f}",
        ),
        "Local derivatives: one for each edge, known to the node alone": (
            f"∂p/∂x = {slope['px']}, ∂p/∂y = {slope['py']}",
            f"∂f/∂p = z = {slope['fp']}, ∂f/∂z = p = {slope['fz']}",
        ),
        "Backward, by the chain rule: multiply along a path, add where paths meet": backward,
        f"One step of gradient descent: u ← u − η ∂f/∂u, η = {_plain(rate)}": (
            f"x ← {x} − {_factor(rate)} · {_factor(adjoints['x'])} = {_plain(x_moved['x'])}",
            f"With x alone moved f {_change(values['f'], x_moved['f'])}.",
            f"With all three moved ({everywhere}) f {_change(values['f'], all_moved['f'])}.",
        ),
    }
    return Page(f"f = (x − y) z is {f} at {at}; its gradient is ({gradient}).", texts.items())


def _graph(values: Mapping[str, float], slope: Mapping[str, str]) -> tuple[str, ...]:
    """Draw the graph, its values and its local derivatives."""
    x, y, z, p, f = (f"{name} = {_plain(values[name])}" for name in "xyzpf")
    first = max(len(x), len(y), len(z)) + 1
    upper, lower = f"{x.ljust(first)}── {slope['px']} ─", f"{y.ljust(first)}── {slope['py']} ─"
    joint = max(len(upper), len(lower))
    middle = f"{' ' * (joint + 1)}(−) {p} ── {slope['fp']} ─"
    return (
        f"{upper.ljust(joint, '─')}┐",
        f"{middle}┐",
        f"{(lower.ljust(joint, '─') + '┘').ljust(len(middle) + 1)}(·) {f}",
        f"{z.ljust(first)}── {slope['fz']} ".ljust(len(middle), "─") + "┘",
    )


def _change(before: float, after: float) -> str:
    if after == before:
        return f"stays at {_plain(before)}"
    return f"{'falls' if after < before else 'rises'} from {_plain(before)} to {_plain(after)}"
