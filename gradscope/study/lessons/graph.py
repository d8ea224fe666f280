"""Reverse mode on a graph small enough to print: ∂f/∂u = Σ_v (∂f/∂v)(∂v/∂u) over the nodes v that u
feeds.

A graph is its leaves (name → value) and its steps in the order in which they are computed. The
forward pass keeps, beside every value, the local derivative along every edge; the backward pass
multiplies along the edges and adds where they meet. Source: Rumelhart, Hinton & Williams (1986),
Nature 323; the order of the passes is that of Griewank & Walther (2008), chapter 3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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
