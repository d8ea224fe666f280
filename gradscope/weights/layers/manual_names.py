"""A hand-written cell, whose arrays the user names: ``--weight-map W=rnn.h2h.weight``.

The letters are those of h ← φ(U x + W h + b), y = V h + c; ``W`` and ``U`` are needed. ``.T`` after
a name says that the array multiplies rows, ``h @ W``, as TensorFlow and much hand-written code have
it: of a square W no shape can tell.
"""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from math import prod

from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.files.contents import WeightFile
from gradscope.weights.layers.recurrent_layer import Candidates, Readout, RecurrentLayer, as_vector

LETTERS = ("W", "U", "b", "V", "c")
NEEDED = ("W", "U")
TRANSPOSED = ".T"
MAX_CANDIDATES = 5

RECURRENT_WORDS = ("h2h", "hh", "w_rec", "recurrent", "rec", "hidden2hidden", "hid", "state")
INPUT_WORDS = ("i2h", "x2h", "ih", "w_in", "input", "in2h", "inp")


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``LETTER=NAME`` pairs, the letter one of W, U, b, V, c. WeightsError if a pair is
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
    missing = [letter for letter in NEEDED if letter not in mapping]
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
    recurrent = _matrix(file, mapping, "W")
    hidden = recurrent.shape[0]
    if recurrent.shape != (hidden, hidden):
        other = _suggestion("W", candidates(file).recurrent)
        raise _misfit(mapping, "W", recurrent, f"W of a vanilla cell is square; {other}")
    inputs = _matrix(file, mapping, "U")
    if inputs.shape[0] != hidden:
        bare = mapping["U"].removesuffix(TRANSPOSED)
        if inputs.shape[1] != hidden:
            other = _suggestion("U", candidates(file, hidden).input)
        elif bare != mapping["U"]:
            other = f"it fits as it is: write U={bare}"
        else:
            other = f"if it multiplies rows (x @ U), write U={bare}{TRANSPOSED}"
        need = f"W has {hidden} units, so U needs {hidden} rows; {other}"
        raise _misfit(mapping, "U", inputs, need)
    layer = RecurrentLayer(
        cell=CellName.ELMAN,
        name=mapping["W"].removesuffix(TRANSPOSED),
        input_weights=inputs,
        recurrent_weights=recurrent,
        input_bias=_vector(file, mapping, "b", hidden),
        **file.time_scales(hidden),
    )
    return layer, _readout(file, mapping, hidden)


def _readout(file: WeightFile, mapping: Mapping[str, str], hidden: int) -> Readout | None:
    if "V" not in mapping:
        return None
    weights = _matrix(file, mapping, "V")
    if weights.shape[1] != hidden:
        need = f"W has {hidden} units, so V needs {hidden} columns"
        remedy = "name another array, or write V=NAME.T if it multiplies rows"
        raise _misfit(mapping, "V", weights, f"{need}; {remedy}")
    return Readout(mapping["V"], weights, _vector(file, mapping, "c", weights.shape[0]))


def _misfit(mapping: Mapping[str, str], letter: str, array: FloatArray, need: str) -> WeightsError:
    return WeightsError(
        f"--weight-map {letter}={mapping[letter]} has shape {array.shape}, but {need}"
    )


def _array(file: WeightFile, letter: str, name: str) -> FloatArray:
    """Return a named array, transposed where the name ends so; an exact name wins."""
    if name in file.arrays:
        return file.arrays[name]
    bare = name.removesuffix(TRANSPOSED)
    if bare != name and bare in file.arrays:
        return file.arrays[bare].T.copy()
    close = difflib.get_close_matches(bare, list(file.arrays)[:2000], n=1)
    hint = f"did you mean {quoted(close[0])}? " if close else ""
    raise WeightsError(
        f"--weight-map {letter}={name}: there is no array of that name; {hint}there are "
        f"{listed(tuple(file.arrays)) or 'none'}; correct it"
    )


def _matrix(file: WeightFile, mapping: Mapping[str, str], letter: str) -> FloatArray:
    array = _array(file, letter, mapping[letter])
    if array.ndim != 2 or array.size == 0:
        raise _misfit(mapping, letter, array, f"{letter} is a matrix; name another array")
    return array


def _vector(
    file: WeightFile, mapping: Mapping[str, str], letter: str, size: int
) -> FloatArray | None:
    """Return a bias (n,), None where none is named."""
    if letter not in mapping:
        return None
    array = _array(file, letter, mapping[letter])
    bias = as_vector(array)
    if bias is None or bias.shape != (size,):
        need = f"{letter} needs ({size},); name another array, or leave it out"
        raise _misfit(mapping, letter, array, need)
    return bias


def _suggestion(letter: str, names: tuple[str, ...]) -> str:
    nothing = f"the file holds nothing of the shape of {letter}"
    return f"candidates are {listed(names)}" if names else nothing


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


def suggested_options(found: Candidates) -> str:
    """Return the ``--weight-map`` options to try first; NAME where nothing fits."""
    options = (("W", found.recurrent), ("U", found.input))
    names = [(letter, next(filter(str.isprintable, names), "NAME")) for letter, names in options]
    return " ".join(f"--weight-map {shlex.quote(f'{letter}={name}')}" for letter, name in names)


def _likeliest(names: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """Return names that contain a telling word before the others, at most a few."""

    def rank(name: str) -> int:
        places = [index for index, word in enumerate(words) if word in name.lower()]
        return min(places, default=len(words))

    return tuple(sorted(names, key=rank)[:MAX_CANDIDATES])
