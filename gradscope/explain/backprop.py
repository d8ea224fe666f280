"""The lesson's graph, f = (x − y) z with p = x − y: forward, backward, one step downhill."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

from gradscope.errors import SettingError
from gradscope.report.formats import Document, head
from gradscope.report.terminal.table import Page
from gradscope.report.words.numbers import number

MAX_LEAF = 1e100
"""Leaves beyond this have products that leave float64."""


@dataclass(frozen=True, eq=False, slots=True)
class Edge:
    """One factor of the chain rule: ∂v/∂u, ∂f/∂v and their product, u ``earlier``, v ``later``."""

    later: str
    earlier: str
    slope: float
    adjoint: float
    share: float


def forward(x: float, y: float, z: float) -> dict[str, float]:
    """Return the value of every node, leaves first."""
    p = x - y
    return {"x": x, "y": y, "z": z, "p": p, "f": p * z}


def backward(values: Mapping[str, float]) -> tuple[dict[str, float], tuple[Edge, ...]]:
    """Return ∂f/∂u of every node u, and the edges in backward order."""
    adjoints, edges = dict.fromkeys(values, 0.0) | {"f": 1.0}, []
    z, p = values["z"], values["p"]
    for later, earlier, slope in (("f", "p", z), ("f", "z", p), ("p", "x", 1.0), ("p", "y", -1.0)):
        share = adjoints[later] * slope
        edges.append(Edge(later, earlier, slope, adjoints[later], share))
        adjoints[earlier] += share
    return adjoints, tuple(edges)


@dataclass(frozen=True, eq=False, slots=True)
class BackpropLesson:
    """Both passes through the graph: ``values`` and ``adjoints`` (∂f/∂node) by name, ``edges`` in
    backward order; ``x_moved`` and ``all_moved``, every node's value after one step of gradient
    descent of x alone and of all three leaves.
    """

    values: Mapping[str, float]
    adjoints: Mapping[str, float]
    edges: tuple[Edge, ...]
    learning_rate: float
    x_moved: Mapping[str, float]
    all_moved: Mapping[str, float]

    def document(self) -> Document:
        """Return the lesson as JSON has it."""
        leaves = {name: self.values[name] for name in "xyz"}
        return {
            **head("explain.backprop", {**leaves, "learning_rate": self.learning_rate}),
            "values": self.values,
            "gradient": {name: self.adjoints[name] for name in "xyz"},
            "adjoints": self.adjoints,
            "edges": [asdict(edge) for edge in self.edges],
            "x_moved": {name: self.x_moved[name] for name in "xyzf"},
            "all_moved": {name: self.all_moved[name] for name in "xyzf"},
        }


def backprop_lesson(
    x: float = 4.0, y: float = 1.0, z: float = 3.0, learning_rate: float = 0.1
) -> BackpropLesson:
    """Work through f = (x − y) z, and u ← u − η ∂f/∂u with learning rate η.

    Raises SettingError if a number is not within ±1e100.
    """
    leaves = {"x": x, "y": y, "z": z}
    for name, value in {**leaves, "learning-rate": learning_rate}.items():
        if not abs(value) <= MAX_LEAF:
            limit = f"{-MAX_LEAF:g} to {MAX_LEAF:g}"
            raise SettingError(f"--{name} is {value}; choose a number from {limit}")
    values = forward(x, y, z)
    adjoints, edges = backward(values)
    moved = {name: value - learning_rate * adjoints[name] for name, value in leaves.items()}
    x_moved = forward(moved["x"], y, z)
    return BackpropLesson(values, adjoints, edges, learning_rate, x_moved, forward(**moved))


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
    chain = ["∂f/∂f = 1: the output, where the backward pass starts."]
    for edge in lesson.edges:
        later, earlier = edge.later, edge.earlier
        factors = f"{_factor(edge.adjoint)} · {_factor(edge.slope)}"
        product = f"(∂f/∂{later}) (∂{later}/∂{earlier}) = {factors} = " if later != "f" else ""
        chain.append(f"∂f/∂{earlier} = {product}{_plain(edge.share)}")
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
        "Local derivatives: one for each edge, from its node alone": (
            f"∂p/∂x = {slope['px']}, ∂p/∂y = {slope['py']}",
            f"∂f/∂p = z = {slope['fp']}, ∂f/∂z = p = {slope['fz']}",
        ),
        "Backward, by the chain rule: multiply along a path, add where paths meet": chain,
        f"One step of gradient descent: u ← u − η ∂f/∂u, η = {_plain(rate)}": (
            f"x ← {x} − {_factor(rate)} · {_factor(adjoints['x'])} = {_plain(x_moved['x'])}",
            f"With x alone moved f {_change(values['f'], x_moved['f'])}.",
            f"With all three moved ({everywhere}) f {_change(values['f'], all_moved['f'])}.",
        ),
    }
    return Page(f"f = (x − y) z is {f} at {at}; its gradient is ({gradient}).", texts.items())


def _graph(values: Mapping[str, float], slope: Mapping[str, str]) -> tuple[str, ...]:
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
