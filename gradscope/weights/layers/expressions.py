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

LONGEST = 1000
"""Characters of an expression, which bound its depth too; a name in a file has no more."""

MAX_NUMBERS = 2**26
"""Entries of what an expression makes on its way, unless an array has more: W of 8,192 units."""

SIGN = r"\.T\b|\d+\.?\d*(?:[eE][+-]?\d+)?|[\s@*/+\-()\[\]:,]"
OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.USub: operator.neg, ast.UAdd: operator.pos,
    ast.Mult: operator.mul, ast.Div: operator.truediv, ast.MatMult: operator.matmul,
}  # fmt: skip


class Expression:
    """An expression over the arrays of a file: its ``value``, and the ``names`` that it mentions.

    Raises WeightsError, one line with the piece that is meant, where it cannot be read, names no
    array, or makes shapes that do not fit, numbers that are not finite, or too many of them.
    """

    def __init__(self, text: str, arrays: Mapping[str, FloatArray]) -> None:
        self.arrays, self.names = arrays, list[str]()
        if len(text) > LONGEST:
            raise self._error(text, f"has more than {LONGEST} characters; save what it makes")
        # A number is a name only where nothing else is said.
        inside = [n for n in arrays if n in text and (n == text or re.search(r"[^\W\d]", n))]
        known = "|".join(map(re.escape, sorted(inside, key=len, reverse=True))) or r"\Z."
        # No letter may follow a name, unless it is the T of its transpose.
        name = rf"(?P<name>(?<![\w.])(?:{known})(?!\w|\.(?!T\b)\w))"
        pattern = rf"{name}|(?P<sign>{SIGN})|[^\W\d][\w.]*|."
        try:
            python = re.sub(pattern, self._placed, text, flags=re.DOTALL).strip()
            self.value = self._walked(ast.parse(python, mode="eval").body)
        except (SyntaxError, RecursionError, MemoryError):
            raise self._error(text, "is no complete expression; correct it") from None

    def _placed(self, match: re.Match[str]) -> str:
        """Return signs as they are, and for a name a word that Python's grammar has."""
        if match["name"] is not None:
            self.names.append(match["name"])
            return f"_{len(self.names) - 1} "
        if match["sign"] is not None:
            return match.group()
        bare = match.group().removesuffix(".T")
        close = difflib.get_close_matches(bare, list(self.arrays)[:2000], n=1)
        there = f"there are {listed(tuple(self.arrays)) or 'none'}; correct it"
        there = f"did you mean {quoted(close[0])}?" if close else there
        raise self._error(bare, f"names no array; {there}")

    def _walked(self, node: ast.AST) -> Any:
        """Return the array, number or slice that a node stands for."""
        match node:
            case ast.Name(id=place):
                return self.arrays[self.names[int(place[1:])]]
            case ast.Constant(value=number) if number < np.inf:
                return number
            case ast.Slice(lower=start, upper=stop, step=step):
                return slice(*(each and self._walked(each) for each in (start, stop, step)))
            case ast.UnaryOp(op=op, operand=inner):
                do, given = OPERATORS[type(op)], (inner,)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                do, given = OPERATORS[type(op)], (left, right)
            case ast.Attribute(value=inner):
                do, given = np.transpose, (inner,)
            case ast.Subscript(value=inner, slice=index):
                places = tuple(map(self._walked, getattr(index, "elts", [index])))
                do, given = (lambda array: array[places]), (inner,)
            case _:
                raise self._error(node, "is none of names, numbers, [i, j:k], .T, @, *, /, + and -")
        return self._made(node, do, *map(self._walked, given))

    def _made(self, node: ast.AST, function: Callable[..., Any], *given: Any) -> Any:
        """Return what an operation makes of arrays, counted before it is made."""
        shapes = [np.shape(each) for each in given]
        product = function is operator.matmul
        try:
            shape = shapes[0][:-1] + shapes[1][1:] if product else np.broadcast_shapes(*shapes)
            if prod(shape) > max(MAX_NUMBERS, *map(prod, shapes)):
                raise self._error(node, f"makes {shape}, more than {MAX_NUMBERS} numbers")
            with np.errstate(all="ignore"):
                made = function(*given)
            if np.isfinite(made).all():
                return made
        except (ValueError, IndexError, TypeError, ArithmeticError):
            fit = " and ".join(map(str, shapes))
            raise self._error(node, f"does not fit the shape {fit}; correct it") from None
        raise self._error(node, "makes numbers that are not finite; correct it")

    def _error(self, piece: ast.AST | str, says: str) -> WeightsError:
        if isinstance(piece, ast.AST):
            piece = re.sub(r"\b_(\d+)", lambda at: self.names[int(at[1])], ast.unparse(piece))
        return WeightsError(f"{quoted(piece)} {says}")
