"""The article's graph, f = (x − y) z with p = x − y: forward, backward, one step downhill."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gradscope.errors import SettingError
from gradscope.study.lessons.graph import Edge, Operation, Step, backward, forward

ARTICLE_GRAPH = (
    Step("p", Operation.SUBTRACT, ("x", "y")),
    Step("f", Operation.MULTIPLY, ("p", "z")),
)

LARGEST_LEAF = 1e100
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
        if not (math.isfinite(value) and abs(value) <= LARGEST_LEAF):
            limit = f"{-LARGEST_LEAF:g} to {LARGEST_LEAF:g}"
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
