"""What a weight file holds: named float64 arrays, skipped entries, and the file's metadata.

Every format gathers its arrays here, counted before they are allocated (``data.intake``).
``weights.layers`` turns named arrays into layers.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.columns import quoted
from gradscope.data.intake import Intake
from gradscope.errors import WeightsError
from gradscope.notebook_repr import CompactRepr

LONGEST_NAME = 1000
COST = 8
"""What an array counts as against the budget of items."""
TOO_LARGE = "would unfold to"
"""How the reason begins why an array of numbers is left out."""

TIME_SCALES = {"dt": "dt", "tau": "tau", "taus": "tau"}
TIME_SCALES |= dict.fromkeys(("alpha", "alphas", "leak", "leaking_rate"), "leak")
"""Last words of the names of arrays that say how fast units are."""

FIRST_STATE = re.compile(
    r"^(?:(?P<level>.+)\.)?(?=init|learned_|\w+(?:0|_init)$)(?:(?:init|initial|learned)_)?"
    r"(?P<of>h|c|r|x|hidden|cell|state)(?:_?0|_init)?(?:_state)?$"
)
"""What the state is called that every sequence starts from, of a cell in the module ``level``."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class WeightFile(CompactRepr):
    """The arrays of real numbers of one file, as they are named and laid out in it.

    ``format`` is what ``readers`` calls it; ``stored_as``, the number type of each array in the
    file, such as ``bfloat16``; ``skipped``, what each other entry holds; ``about``, metadata: the
    Keras configuration, gradscope's settings.
    """

    path: Path
    format: str
    arrays: Mapping[str, FloatArray]
    stored_as: Mapping[str, str]
    skipped: Mapping[str, str]
    about: Mapping[str, Any]

    @property
    def first_states(self) -> list[str]:
        """The names of arrays that say that it is what every sequence starts from."""
        return [name for name in self.arrays if FIRST_STATE.match(name)]

    def time_scales(self, units: int) -> dict[str, Any]:
        """Return dt, tau and leak by the last words of names: one number, or a tuple of one for
        each of so many units; None where two arrays differ.
        """
        found: dict[str, Any] = {}
        for array_name, array in self.arrays.items():
            name = TIME_SCALES.get(array_name.rpartition(".")[2].lower())
            if name is not None and array.size in (1, units):
                numbers = array.ravel().tolist()
                same = name == "dt" or len(set(numbers)) == 1
                scale = numbers[0] if same else tuple(numbers)
                found[name] = scale if found.get(name, scale) == scale else None
        return found


class Gathering(Intake):
    """The arrays of one file while it is read, and what it may still cost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, WeightsError)
        self.arrays: dict[str, FloatArray] = {}
        self.stored_as: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def admits(self, name: str, n_bytes: int) -> bool:
        """Whether an array may be read: one larger than all that the file may unfold to is left
        out by name. WeightsError if too many bytes were read before it.
        """
        if n_bytes > self.allowance:
            self.skip(
                name, f"{TOO_LARGE} {n_bytes:.3g} bytes, and the file may to {self.allowance:.3g}"
            )
            return False
        self.require(n_bytes, name)
        return True

    def keep(self, name: str, array: np.ndarray[Any, Any], stored_as: str | None = None) -> None:
        """Keep an array of real numbers as float64, counted first."""
        if self.admits(name, 8 * array.size):
            self._admit(name)
            self.left -= 8 * array.size
            self.arrays[name] = as_float64(array, order="C")
            self.stored_as[name] = stored_as or array.dtype.name

    def skip(self, name: str, holds: str) -> None:
        """Note an entry that is no array of real numbers, or is left out."""
        self._admit(name)
        self.skipped[name] = holds

    def check_name(self, name: str) -> None:
        """Raise WeightsError if a name is too long, as those of what nests without end are."""
        if len(name) > LONGEST_NAME:
            raise WeightsError(f"a name has {len(name)} characters; {LONGEST_NAME} are the most")

    def _admit(self, name: str) -> None:
        self.visit(COST)
        self.check_name(name)
        if name in self.arrays or name in self.skipped:
            remedy = "save each array under a name of its own"
            raise WeightsError(f"it holds {quoted(name)} twice; {remedy}")


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Prefix errors with a place, a file or an array in it."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{place}: {error}") from error
