"""A hand-written cell, whose arrays the user names: ``--weight-map W=rnn.h2h.weight``.

The letters are those of h ← φ(U x + W h + b), y = V h + c; ``W`` and ``U`` are needed. Each is an
``Expression``: ``.T`` after a name says that the array multiplies rows, ``h @ W``, as TensorFlow
and much hand-written code have it: of a square W no shape can tell.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.files.contents import TIME_SCALES, WeightFile, naming
from gradscope.weights.layers.expressions import Expression
from gradscope.weights.layers.recurrent_layer import Candidates, Readout, RecurrentLayer

SHAPES = {"W": "HH", "U": "HD", "b": "H", "V": "OH", "c": "O"}
"""The axes of what each letter stands for; what comes first decides the sizes of the others."""

LETTERS = tuple(SHAPES)
TRANSPOSED = ".T"
MAX_CANDIDATES = 5

RECURRENT_WORDS = ("W", "h2h", "hh", "w_rec", "recurrent", "rec", "hidden2hidden", "hid", "state")
INPUT_WORDS = ("U", "i2h", "x2h", "ih", "xh", "w_in", "input", "in2h", "inp")
OTHER_WORDS = ("out", "h2o", "hy", "by", "fc", "head", "decode", "init", "h0", "h_0", "x0")
"""What names of arrays contain that are no part of the recurrence: outputs and first states."""


NO_SUGGESTION = (
    "no arrays fit W (H, H) and U (H, D) as they are; --weight-map takes [i, j:k], .T, @, *, /, + "
    "and - of them"
)


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``LETTER=EXPRESSION`` pairs, the letter one of W, U, b, V, c. WeightsError if a pair is
    malformed, a letter is unknown or given twice, or W or U is missing.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        letter, equals, name = pair.partition("=")
        if letter not in LETTERS or not equals or not name:
            raise WeightsError(
                f"--weight-map is {quoted(pair)}; write LETTER=NAME, a letter of "
                f"{', '.join(LETTERS)}, as in --weight-map W=rnn.h2h.weight"
            )
        if letter in mapping:
            raise WeightsError(f"--weight-map gives {letter} twice ({quoted(pair)}); give it once")
        mapping[letter] = name
    check_mapping(mapping)
    return mapping


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Refuse a mapping of unknown letters, or without W and U."""
    for letter in mapping:
        if letter not in LETTERS:
            remedy = f"choose from {', '.join(LETTERS)}"
            raise WeightsError(f"the mapping has a letter {quoted(letter)}; {remedy}")
    missing = [letter for letter in ("W", "U") if letter not in mapping]
    if missing:
        raise WeightsError(
            f"the mapping has no {' and no '.join(missing)}; name both the recurrent and the input "
            "weights: --weight-map W=NAME --weight-map U=NAME"
        )


def mapped_layer(
    file: WeightFile, mapping: Mapping[str, str]
) -> tuple[RecurrentLayer, Readout | None]:
    """Return the vanilla cell that a mapping of letters to names describes, φ unknown, and its
    output layer if mapped. WeightsError if a name is not there, or a shape does not fit.
    """
    check_mapping(mapping)
    found: dict[str, FloatArray] = {}
    sizes: dict[str, int] = {}
    for letter in filter(mapping.__contains__, LETTERS):
        found[letter] = _fitting(file, letter, mapping[letter], sizes)
    layer = RecurrentLayer(
        cell=CellName.ELMAN,
        name=Expression(mapping["W"], file.arrays).names[0],
        input_weights=found["U"],
        recurrent_weights=found["W"],
        input_bias=found.get("b"),
        **file.time_scales(sizes["H"]),
        inferred=("state",),
        names_as="--weight-map",
    )
    readout = Readout(mapping["V"], found["V"], found.get("c")) if "V" in found else None
    return layer, readout


def _fitting(file: WeightFile, letter: str, text: str, sizes: dict[str, int]) -> FloatArray:
    """Return the array of a letter, whose axes must have these sizes; new ones are added."""
    with naming(f"--weight-map {letter}"):
        array = np.asarray(Expression(text, file.arrays).value, np.float64, order="C")
    axes = SHAPES[letter]
    if len(axes) == 1 and array.size == max((1, *array.shape)):
        array = array.reshape(-1)
    found = _sizes(axes, array.shape, sizes)
    if found is not None:
        sizes |= found
        return array
    close, bare = candidates(file, sizes.get("H")), text.removesuffix(TRANSPOSED)
    names = {"W": close.recurrent, "U": close.input}.get(letter)
    other = f"candidates are {listed(names)}" if names else "name another array"
    if _sizes(axes, array.shape[::-1], sizes) and bare in file.arrays and bare != text:
        other = f"it fits as it is: write {letter}={bare}"
    elif _sizes(axes, array.shape[::-1], sizes):
        turned = text if text in file.arrays else f"({text})"
        other = f"if it multiplies rows, write {letter}={turned}{TRANSPOSED}"
    need = ", ".join(str(sizes.get(axis, axis)) for axis in axes)
    raise WeightsError(
        f"--weight-map {quoted(f'{letter}={text}')} has shape {array.shape}, but ({need}) is "
        f"needed; {other}"
    )


def _sizes(axes: str, shape: tuple[int, ...], known: Mapping[str, int]) -> Mapping[str, int] | None:
    """Return the sizes of axes, known or decided by a shape; None where it does not fit."""
    sizes, pairs = dict(known), list(zip(axes, shape, strict=False))
    fits = len(axes) == len(shape) and all(sizes.setdefault(axis, n) == n > 0 for axis, n in pairs)
    return sizes if fits else None


def candidates(file: WeightFile, hidden: int | None = None) -> Candidates:
    """Return what may be W, square, and U, (H,D) or (D,H), the likeliest names first; H is
    ``hidden``, by default that of the likeliest W.
    """
    shapes = {name: array.shape for name, array in file.arrays.items() if "bias" not in name}
    shapes = {name: shape for name, shape in shapes.items() if len(shape) == 2 and prod(shape) > 1}
    recurrent = _likeliest([name for name, (n, m) in shapes.items() if n == m], RECURRENT_WORDS)
    if hidden is None and recurrent:
        hidden = shapes[recurrent[0]][0]
    fitting = [n for n, shape in shapes.items() if hidden in shape and n not in recurrent[:1]]
    return Candidates(recurrent, _likeliest(fitting, INPUT_WORDS))


def suggested(file: WeightFile) -> tuple[str, ...]:
    """Return the likeliest mapping, one that holds together: W and U, or one matrix on [x, h] in
    two slices, with the biases of their modules; empty where no arrays fit.
    """
    arrays, close = file.arrays, candidates(file)
    square, inputs = (
        [name for name in names if not _telling(name, OTHER_WORDS)]
        for names in (close.recurrent, close.input)
    )
    wide = [name for name, a in arrays.items() if a.ndim == 2 and 1 < len(a) < a.shape[1]]
    wide = [name for name in wide if _telling(name, INPUT_WORDS)] or wide
    if square and inputs:
        used, hidden = (square[0], inputs[0]), len(arrays[square[0]])
        # Whoever stores U for x @ U stores W for h @ W.
        turned = TRANSPOSED * (len(arrays[inputs[0]]) != hidden)
        pairs = [f"W={square[0]}{turned}", f"U={inputs[0]}{turned}"]
    elif len(wide) == 1 and not close.recurrent:
        used, (hidden, width) = (wide[0],), arrays[wide[0]].shape
        pairs = [f"W={wide[0]}[:, {width - hidden}:]", f"U={wide[0]}[:, :{width - hidden}]"]
    else:
        return ()
    vectors = [name for name, a in arrays.items() if a.size == max((0, *a.shape)) == hidden]
    vectors = [name for name in vectors if not _telling(name, (*OTHER_WORDS, *TIME_SCALES))]
    modules = {name.rpartition(".")[0] for name in used}
    beside = [n for n in vectors if n.rpartition(".")[0] in modules and n[n.rfind(".") + 1] in "bB"]
    chosen = beside or vectors * (len(vectors) == 1)
    pairs += [f"b={' + '.join(chosen)}"] * bool(chosen)
    try:
        mapped_layer(file, parse_mapping(pairs))
    except WeightsError:
        return ()
    return tuple(pairs)


def options(pairs: Iterable[str]) -> str:
    """Return the ``--weight-map`` options of a mapping as they are typed."""
    return " ".join(f"--weight-map {shlex.quote(pair)}" for pair in pairs)


def _telling(name: str, words: Sequence[str]) -> int:
    """Return how soon among these words there is one that a name contains, 0 for never; a capital
    is all of its last word.
    """
    found = [word in name.lower() or f".{name}".endswith(f".{word}") for word in words]
    return len(words) - found.index(True) if any(found) else 0


def _likeliest(names: Iterable[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return names that contain a telling word before the others, at most a few."""
    shown = filter(str.isprintable, names)
    return tuple(sorted(shown, key=lambda name: -_telling(name, words))[:MAX_CANDIDATES])
