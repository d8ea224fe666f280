"""A hand-written cell, whose arrays the user names: ``--weight-map W=rnn.h2h.weight``.

The letters are those of h ← φ(U x + W h + b), y = V h + c, from the state ``h0`` on; ``W`` and
``U`` are needed. Each is an ``Expression``: ``.T`` after a name says that the array multiplies
rows, ``h @ W``, as TensorFlow and much hand-written code have it: of a square W no shape can tell.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import prod

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName, StateName
from gradscope.weights.files.contents import TIME_SCALES, WeightFile, naming
from gradscope.weights.layers.expressions import Expression
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
