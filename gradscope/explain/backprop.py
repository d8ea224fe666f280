"""The article's graph, f = (x − y) z with p = x − y: forward, backward, one step downhill."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from gradscope.errors import SettingError
from gradscope.report.formats import Document, head

MAX_LEAF = 1e100
"""Leaves beyond this have products that leave float64."""


class Operation(StrEnum):
    """What a step does with its two inputs a and b."""

    SUBTRACT = "−"
    MULTIPLY = "·"


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """``name = inputs[0] operation inputs[1]``."""

    name: str
    operation: Operation
    inputs: tuple[str, str]


@dataclass(frozen=True, eq=False, slots=True)
class Edge:
    """One factor of the chain rule: ``later`` = v was computed from ``earlier`` = u.

    ``slope`` is ∂v/∂u; ``adjoint`` is ∂f/∂v, and ``share`` their product, the part of ∂f/∂u that
    comes along this edge.
    """

    later: str
    earlier: str
    slope: float
    adjoint: float

    @property
    def share(self) -> float:
        """(∂f/∂v)(∂v/∂u)."""
        return self.adjoint * self.slope


def forward(leaves: Mapping[str, float], steps: Sequence[Step]) -> dict[str, float]:
    """Return the value of every node, leaves first."""
    values = dict(leaves)
    for step in steps:
        a, b = (values[name] for name in step.inputs)
        values[step.name] = a - b if step.operation is Operation.SUBTRACT else a * b
    return values


def backward(
    values: Mapping[str, float], steps: Sequence[Step]
) -> tuple[dict[str, float], tuple[Edge, ...]]:
    """Return ∂f/∂u of every node u, f being the last step, and the edges in backward order.

    ``values`` come from ``forward``; ∂f/∂u is 0 for a node that f does not depend on.
    """
    adjoints = dict.fromkeys(values, 0.0)
    adjoints[steps[-1].name] = 1.0
    edges = []
    for step in reversed(steps):
        a, b = (values[name] for name in step.inputs)
        slopes = (1.0, -1.0) if step.operation is Operation.SUBTRACT else (b, a)
        for name, slope in zip(step.inputs, slopes, strict=True):
            edge = Edge(step.name, name, slope, adjoints[step.name])
            adjoints[name] += edge.share
            edges.append(edge)
    return adjoints, tuple(edges)


ARTICLE_GRAPH = (
    Step("p", Operation.SUBTRACT, ("x", "y")),
    Step("f", Operation.MULTIPLY, ("p", "z")),
)


@dataclass(frozen=True, eq=False, slots=True)
class BackpropLesson:
    """Both passes through the graph, and one step of gradient descent.

    ``values`` and ``adjoints`` (∂f/∂node) by name; ``edges`` the factors of the chain rule in the
    order of the backward pass; ``x_moved`` and ``all_moved`` every node's value after one step
    downhill of x alone and of all three leaves.
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
            "values": dict(self.values),
            "gradient": {name: self.adjoints[name] for name in "xyz"},
            "adjoints": dict(self.adjoints),
            "edges": [{**asdict(edge), "share": edge.share} for edge in self.edges],
            "x_moved": {name: self.x_moved[name] for name in "xyzf"},
            "all_moved": {name: self.all_moved[name] for name in "xyzf"},
        }


def backprop_lesson(
    x: float = 4.0, y: float = 1.0, z: float = 3.0, learning_rate: float = 0.1
) -> BackpropLesson:
    """Work through f = (x − y) z, and u ← u − η ∂f/∂u with learning rate η.

    Raises
    ------
    SettingError
        If a number is not within ±1e100.
    """
    leaves = {"x": x, "y": y, "z": z}
    for name, value in {**leaves, "learning-rate": learning_rate}.items():
        if not (math.isfinite(value) and abs(value) <= MAX_LEAF):
            limit = f"{-MAX_LEAF:g} to {MAX_LEAF:g}"
            raise SettingError(f"--{name} is {value}; choose a number from {limit}")
    values = forward(leaves, ARTICLE_GRAPH)
    adjoints, edges = backward(values, ARTICLE_GRAPH)
    moved = {name: value - learning_rate * adjoints[name] for name, value in leaves.items()}
    return BackpropLesson(
        values=values,
        adjoints=adjoints,
        edges=edges,
        learning_rate=learning_rate,
        x_moved=forward({**leaves, "x": moved["x"]}, ARTICLE_GRAPH),
        all_moved=forward(moved, ARTICLE_GRAPH),
    )
