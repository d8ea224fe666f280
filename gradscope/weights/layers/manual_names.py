"""A hand-written cell, whose arrays the user names: ``--weight-map W=rnn.h2h.weight``.

The letters are those of h ← φ(U x + W h + b), y = V h + c, from the state ``h0`` on; ``W`` and
``U`` are needed. Each is an ``Expression``: ``.T`` after a name says that the array multiplies
rows, ``h @ W``, as TensorFlow and much hand-written code have it: of a square W no shape can tell.

Expressions are arithmetic on named arrays, ``i2h.weight[:, 57:].T`` or ``m @ n.T / 100``: parsed
and walked node by node here, never evaluated by Python. A name is whatever the file has, dots and
blanks included; the longest that fits is meant. Names, numbers, [i, j:k], .T, + - * / and @ have a
meaning, no more.
"""

import ast
import difflib
import operator
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName, StateName
from gradscope.weights.files.contents import TIME_SCALES, WeightFile, naming
from gradscope.weights.layers.recurrent_layer import Candidates, Readout, RecurrentLayer

SHAPES = {"W": "HH", "U": "HD", "b": "H", "h0": "H", "V": "OH", "c": "O"}
"""The axes of what each letter stands for; what comes first decides the sizes of the others."""

MAX_CANDIDATES = 5

RECURRENT_WORDS = ("W", "h2h", "hh", "w_rec", "recurrent", "rec", "hidden2hidden", "hid", "state")
INPUT_WORDS = ("U", "i2h", "x2h", "ih", "xh", "w_in", "input", "in2h", "inp")
OTHER_WORDS = ("out", "h2o", "hy", "by", "fc", "head", "decode", "init", "h0", "h_0", "x0")
"""What names of arrays contain that are no part of the recurrence: outputs and first states."""

BIAS = re.compile(r"(^|\.)(b|b_[^.]*|[^.]*bias[^.]*)$")
NO_SUGGESTION = "no arrays fit W (H,H) and U (H,D); compute them, as --weight-map 'W=m @ n.T'"

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


def parse_mapping(given: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Read ``LETTER=EXPRESSION`` pairs, the letter one of ``SHAPES``. WeightsError if a pair is
    malformed, a letter is unknown or given twice, or W or U is missing.
    """
    mapping: dict[str, str] = {}
    for pair in map("=".join, given.items()) if isinstance(given, Mapping) else given:
        letter, equals, name = pair.partition("=")
        if letter not in SHAPES or letter in mapping or not equals or not name:
            remedy = f"write LETTER=NAME, each letter of {', '.join(SHAPES)} once"
            raise WeightsError(f"--weight-map is {quoted(pair)}; {remedy}")
        mapping[letter] = name
    if not {"W", "U"} <= mapping.keys():
        both = "name both, --weight-map W=NAME --weight-map U=NAME"
        raise WeightsError(f"the mapping has no {'U' if 'W' in mapping else 'W'}; {both}")
    return mapping


def mapped_layer(
    file: WeightFile, pairs: Mapping[str, str] | Sequence[str]
) -> tuple[RecurrentLayer, tuple[Readout, ...]]:
    """Return the vanilla cell that a mapping of letters to names describes, φ unknown, and its
    output layer if mapped. WeightsError if a name is not there, or a shape does not fit.
    """
    mapping = parse_mapping(pairs)
    found: dict[str, FloatArray] = {}
    sizes: dict[str, int] = {}
    for letter in filter(mapping.__contains__, SHAPES):
        found[letter] = _fitting(file, letter, mapping[letter], sizes)
    scales = {"leak": None, **file.time_scales(sizes["H"])}
    layer = RecurrentLayer(
        cell=CellName.ELMAN,
        name=Expression(mapping["W"], file.arrays).names[0],
        input_weights=found["U"],
        recurrent_weights=found["W"],
        input_bias=found.get("b"),
        initial_state=found.get("h0"),
        **scales,
        state=StateName.POST if scales["leak"] == 1.0 else None,
        inferred=("state",),
    )
    if "V" not in mapping:
        return layer, ()
    name = Expression(mapping["V"], file.arrays).names[0]
    return layer, (Readout(name, found["V"], found.get("c")),)


def _fitting(file: WeightFile, letter: str, text: str, sizes: dict[str, int]) -> FloatArray:
    """Return the array of a letter, whose axes must have these sizes; new ones are added."""
    with naming(f"--weight-map {letter}"):
        array = np.asarray(Expression(text, file.arrays).value, np.float64, order="C")
    axes = SHAPES[letter]
    if len(axes) == 1 and array.size == max((1, *array.shape)):
        array = array.reshape(-1)

    def fits(shape: tuple[int, ...]) -> bool:
        new = dict(zip(axes, shape, strict=False)) | sizes
        return array.size > 0 and shape == tuple(map(new.get, axes))

    if fits(array.shape):
        sizes |= zip(axes, array.shape, strict=True)
        return array
    turned = f"transposed it fits: write '{letter}=({text}).T'"
    other = turned if fits(array.shape[::-1]) else "gradscope inspect FILE lists what there is"
    need = ", ".join(str(sizes.get(axis, axis)) for axis in axes) + "," * (len(axes) == 1)
    has = f"--weight-map {quoted(f'{letter}={text}')} has shape {array.shape}"
    raise WeightsError(f"{has}, but ({need}) is needed; {other}")


def candidates(file: WeightFile) -> Candidates:
    """Return what may be W, square, and U, (H,D) or (D,H), the likeliest names first; H is that of
    the likeliest W.
    """
    shapes = {name: array.shape for name, array in file.arrays.items() if "bias" not in name}
    shapes = {name: shape for name, shape in shapes.items() if len(shape) == 2 and prod(shape) > 1}
    square = [name for name, (n, m) in shapes.items() if n == m]
    recurrent = _likeliest(square, RECURRENT_WORDS)
    hidden = shapes[recurrent[0]][0] if recurrent else None
    fitting = [n for n, shape in shapes.items() if hidden in shape and n not in recurrent[:1]]
    fitting.sort(key=set(square).__contains__)
    return Candidates(recurrent, _likeliest(fitting, INPUT_WORDS))


def suggested(file: WeightFile) -> tuple[str, ...]:
    """Return the likeliest mapping, one that holds together: W and U, or one matrix on [x, h] in
    two slices, with the biases of their modules; empty where no arrays fit.
    """
    arrays, close = file.arrays, candidates(file)
    used = [n for n in (*close.recurrent[:1], *close.input[:1]) if not _place(n, OTHER_WORDS)]
    wide = [name for name, a in arrays.items() if a.ndim == 2 and 1 < len(a) < a.shape[1]]
    wide = [name for name in wide if _place(name, INPUT_WORDS)] or wide
    pairs: list[str] = []
    hidden = 0
    if len(used) == 2:
        hidden = len(arrays[used[0]])
        # Whoever stores U for x @ U stores W for h @ W.
        turned = ".T" * (len(arrays[used[1]]) != hidden)
        pairs = [f"W={used[0]}{turned}", f"U={used[1]}{turned}"]
    elif len(wide) == 1 and not close.recurrent:
        used, (hidden, width) = wide, arrays[wide[0]].shape
        pairs = [f"W={wide[0]}[:, {width - hidden}:]", f"U={wide[0]}[:, :{width - hidden}]"]
    vectors = [n for n, a in arrays.items() if a.size == max((0, *a.shape)) == hidden]
    vectors = [n for n in vectors if not _place(n, (*OTHER_WORDS, *TIME_SCALES))]
    homes = {name.rpartition(".")[0] for name in used}
    beside = [n for n in vectors if n.rpartition(".")[0] in homes and BIAS.search(n)]
    biases = " + ".join(beside or vectors * (len(vectors) == 1))
    pairs += [f"b={biases}"] if biases else []
    first = [name for name in file.first_states if arrays[name].size == hidden]
    pairs += [f"h0={first[0]}"] if len(first) == 1 else []
    with suppress(WeightsError):
        mapped_layer(file, pairs)
        return tuple(pairs)
    return ()


def options(pairs: Iterable[str]) -> str:
    """Return the ``--weight-map`` options of a mapping as they are typed."""
    return " ".join(f"--weight-map {shlex.quote(pair)}" for pair in pairs)


def _place(name: str, words: Sequence[str]) -> int:
    """Return how early the first of these words comes that a name contains, or ends in as it is
    written, counted from the last; 0 for none.
    """
    found = [word in name.lower() or f".{name}".endswith(f".{word}") for word in words]
    return len(words) - found.index(True) if any(found) else 0


def _likeliest(names: Iterable[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return names that contain a telling word before the others, outputs last, at most a few."""
    ranks = {n: (_place(n, OTHER_WORDS) > 0, -_place(n, words)) for n in names if n.isprintable()}
    return tuple(sorted(ranks, key=ranks.__getitem__)[:MAX_CANDIDATES])
