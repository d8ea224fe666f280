"""The article's graph, f = (x − y) z with p = x − y: forward, backward, one step downhill."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from gradscope.errors import SettingError


class Operation(StrEnum):
    """What a step does with its two inputs."""

    SUBTRACT = "−"
    MULTIPLY = "·"


_VALUES: Mapping[Operation, Callable[[float, float], float]] = MappingProxyType(
    {Operation.SUBTRACT: lambda a, b: a - b, Operation.MULTIPLY: lambda a, b: a * b}
)
_SLOPES: Mapping[Operation, Callable[[float, float], tuple[float, float]]] = MappingProxyType(
    {Operation.SUBTRACT: lambda _a, _b: (1.0, -1.0), Operation.MULTIPLY: lambda a, b: (b, a)}
)


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """``name = inputs[0] operation inputs[1]``."""

    name: str
    operation: Operation
    inputs: tuple[str, str]


@dataclass(frozen=True, eq=False, slots=True)
class Edge:
    """One factor of the chain rule: ``later`` = v was computed from ``earlier`` = u.

    ``slope`` is ∂v/∂u; ``adjoint`` is ∂f/∂v, and ``share`` their product, what this edge adds to
    ∂f/∂u.
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
        values[step.name] = _VALUES[step.operation](a, b)
    return values


def backward(
    values: Mapping[str, float], steps: Sequence[Step]
) -> tuple[dict[str, float], tuple[Edge, ...]]:
    """Return ∂f/∂u for every node u, f being the last step, and every edge on the way back.

    Parameters
    ----------
    values : mapping
        The value of every node, from ``forward``.
    steps : sequence of Step
        The graph.

    Returns
    -------
    adjoints : dict
        ∂f/∂u by name; 0 for a node that f does not hang on.
    edges : tuple of Edge
        The factors in the order in which the backward pass meets them.
    """
    adjoints = dict.fromkeys(values, 0.0)
    adjoints[steps[-1].name] = 1.0
    edges = []
    for step in reversed(steps):
        a, b = (values[name] for name in step.inputs)
        for name, slope in zip(step.inputs, _SLOPES[step.operation](a, b), strict=True):
            edge = Edge(step.name, name, slope, adjoints[step.name])
            adjoints[name] += edge.share
            edges.append(edge)
    return adjoints, tuple(edges)


ARTICLE_GRAPH = (
    Step("p", Operation.SUBTRACT, ("x", "y")),
    Step("f", Operation.MULTIPLY, ("p", "z")),
)

MAX_LEAF = 1e100
"""Leaves beyond this have products that leave float64."""


@dataclass(frozen=True, eq=False, slots=True)
class Descent:
    """One step of gradient descent: the leaves after it, and f there."""

    leaves: Mapping[str, float]
    f: float


@dataclass(frozen=True, eq=False, slots=True)
class BackpropLesson:
    """The two passes and what they are for.

    ``values`` and ``adjoints`` (∂f/∂node) by name; ``edges`` the factors of the chain rule in the
    order of the backward pass; ``x_moved`` and ``all_moved`` one step downhill of x alone and of
    all three leaves.
    """

    values: Mapping[str, float]
    adjoints: Mapping[str, float]
    edges: tuple[Edge, ...]
    learning_rate: float
    x_moved: Descent
    all_moved: Descent


def backprop_lesson(
    x: float = 4.0, y: float = 1.0, z: float = 3.0, learning_rate: float = 0.1
) -> BackpropLesson:
    """Work through f = (x − y) z.

    Parameters
    ----------
    x, y, z : float
        The leaves, each within ±1e100.
    learning_rate : float
        η in u ← u − η ∂f/∂u.

    Returns
    -------
    BackpropLesson

    Raises
    ------
    SettingError
        If a number is not finite, or too large.
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
        x_moved=_descent({**leaves, "x": moved["x"]}),
        all_moved=_descent(moved),
    )


def _descent(leaves: Mapping[str, float]) -> Descent:
    return Descent(leaves, forward(leaves, ARTICLE_GRAPH)["f"])
