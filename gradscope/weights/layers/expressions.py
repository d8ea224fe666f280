"""Arithmetic on named arrays, ``i2h.weight[:, 57:].T`` or ``m @ n.T / 100``: parsed and walked node
by node here, never evaluated by Python. A name is whatever the file has, dots and blanks included;
the longest that fits is meant. Names, numbers, [i, j:k], .T, + - * / and @ have a meaning, no more.
"""

import ast
import difflib
import operator
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError

LONGEST, MAX_NUMBERS = 1000, 2**26
"""Characters of an expression, and so its depth; entries of what it makes on its way."""

SIGN = r"\.T\b|\d+\.?\d*(?:[eE][+-]?\d+)?|[\s@*/+\-()\[\]:,]"
FUNCTIONS: Mapping[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.USub: operator.neg, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.MatMult: operator.matmul, ast.Attribute: np.transpose,
    ast.Subscript: operator.getitem, ast.Tuple: lambda *places: places,
}  # fmt: skip


class Expression:
    """An expression over the arrays of a file: the array that is its ``value``, the ``names`` that
    it mentions. WeightsError, with the piece that is meant, where it has no meaning or is too much.
    """

    def __init__(self, text: str, arrays: Mapping[str, FloatArray]) -> None:
        self.arrays, self.names = arrays, list[str]()
        # A number is a name only where nothing else is said.
        inside = [n for n in arrays if n in text and (n == text or re.search(r"[^\W\d]", n))]
        known = "|".join(map(re.escape, sorted(inside, key=len, reverse=True))) or r"\Z."
        # No letter may follow a name, unless it is the T of its transpose.
        name = rf"(?P<name>(?<![\w.])(?:{known})(?!\w|\.(?!T\b)\w))"
        pattern = rf"{name}|(?P<sign>{SIGN})|[^\W\d][\w.]*|."
        try:
            python = re.sub(pattern, self._placed, text[: LONGEST + 1], flags=re.DOTALL).strip()
            tree = ast.parse(python * (len(text) <= LONGEST), mode="eval")
            self.value: FloatArray = self._walked(tree.body)[...]  # TypeError where it is no array
        except (SyntaxError, RecursionError, MemoryError, TypeError):
            raise self._error(text, f"is no array within {LONGEST} characters") from None

    def _placed(self, match: re.Match[str]) -> str:
        """Return signs as they are, and for a name a word that Python's grammar has."""
        self.names += [match["name"]] if match["name"] else []
        if match["name"] or match["sign"]:
            return match["sign"] or f"_{len(self.names) - 1} "
        bare = match.group().removesuffix(".T")
        close = difflib.get_close_matches(bare, list(self.arrays)[:2000], n=1)
        has = listed((*self.arrays,))
        there = f"did you mean {quoted(close[0])}?" if close else f"it has {has}"
        raise self._error(bare, f"names no array of the file; {there}")

    def _walked(self, node: ast.AST) -> Any:
        """Return the array, number, slice or tuple of slices that a node stands for."""
        if isinstance(node, ast.Name):
            return self.arrays[self.names[int(node.id[1:])]]
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Slice):
            return slice(*(n and self._walked(n) for n in (node.lower, node.upper, node.step)))
        given = [self._walked(n) for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
        function = FUNCTIONS.get(type(getattr(node, "op", node)))
        if function is None:
            raise self._error(node, "is none of names, numbers, [i, j:k], .T, @, *, /, + and -")
        shapes = [each.shape for each in given if isinstance(each, np.ndarray)]
        product = function is operator.matmul
        try:
            shape = shapes[0][:-1] + shapes[1][1:] if product else np.broadcast_shapes(*shapes)
            if prod(shape) > max([MAX_NUMBERS, *map(prod, shapes)]):
                raise self._error(node, f"makes {shape}, more than {MAX_NUMBERS} numbers")
            with np.errstate(all="ignore"):
                return function(*given)
        except (ValueError, IndexError, TypeError, ArithmeticError):
            fit = " and ".join(map(str, shapes)) or "of a number"
            raise self._error(node, f"does not fit the shape {fit}; correct it") from None

    def _error(self, piece: ast.AST | str, says: str) -> WeightsError:
        if isinstance(piece, ast.AST):
            piece = re.sub(r"\b_(\d+)", lambda at: self.names[int(at[1])], ast.unparse(piece))
        return WeightsError(f"{quoted(piece)} {says}")
