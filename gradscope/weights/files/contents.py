"""What a weight file holds: named float64 arrays, skipped entries, and the file's metadata.

Every format gathers its arrays here, counted before they are allocated, so that a small file cannot
fill the memory. ``weights.layers`` turns named arrays into layers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.columns import quoted
from gradscope.errors import GradscopeError, WeightsError
from gradscope.notebook_repr import CompactRepr

MAX_BYTES = 4 * 2**30
"""Bytes of one file's arrays as float64; the largest recurrent language models have a tenth."""

ALWAYS_ALLOWED = 64 * 2**20
"""A file of any size may unfold to this."""

MAX_EXPANSION = 100
"""Beyond that, bytes of float64 for each of the file: half-precision weights take 4."""

MAX_ARRAYS = 100_000
LONGEST_NAME = 1000

TIME_SCALES = {"dt": "dt", "tau": "tau", "taus": "tau"}
TIME_SCALES |= dict.fromkeys(("alpha", "alphas", "leak", "leaking_rate"), "leak")
"""Last words of the names of arrays that say how fast units are."""


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

    def time_scales(self, units: int) -> dict[str, Any]:
        """Return dt, tau and leak by the last words of names: one number, or a tuple of one for
        each of so many units; leak None where there is none.
        """
        found: dict[str, Any] = {"leak": None}
        for array_name, array in self.arrays.items():
            name = TIME_SCALES.get(array_name.rpartition(".")[2].lower())
            if name is not None and array.size in (1, units):
                numbers = array.ravel().tolist()
                found[name] = (
                    numbers[0] if name == "dt" or len(set(numbers)) == 1 else tuple(numbers)
                )
        return found


class Gathering:
    """The arrays of one file while it is read; ``left`` bytes of float64 may still be unfolded."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size
        self.left = min(MAX_BYTES, max(ALWAYS_ALLOWED, MAX_EXPANSION * self.size))
        self.arrays: dict[str, FloatArray] = {}
        self.stored_as: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def spend(self, n_bytes: int, name: str) -> None:
        """Count bytes before they are allocated; raises WeightsError if too few are left."""
        if n_bytes > self.left:
            raise WeightsError(
                f"{quoted(name)} would unfold to {n_bytes:.3g} bytes, but of this "
                f"file's allowance only {self.left:.3g} are left; save the recurrent weights alone"
            )
        self.left -= n_bytes

    def keep(self, name: str, array: np.ndarray[Any, Any], stored_as: str | None = None) -> None:
        """Keep an array of real numbers as float64, counted first."""
        self._admit(name)
        self.spend(8 * array.size, name)
        self.arrays[name] = as_float64(array, order="C")
        self.stored_as[name] = stored_as or array.dtype.name

    def skip(self, name: str, holds: str) -> None:
        """Note an entry that is no array of real numbers."""
        self._admit(name)
        self.skipped[name] = holds

    def _admit(self, name: str) -> None:
        if len(name) > LONGEST_NAME:
            raise WeightsError(
                f"a name has {len(name)} characters, but {LONGEST_NAME} is the most; "
                "save the weights under shorter names"
            )
        if name in self.arrays or name in self.skipped:
            remedy = "save each array under a name of its own"
            raise WeightsError(f"it holds {quoted(name)} twice; {remedy}")
        if len(self.arrays) + len(self.skipped) >= MAX_ARRAYS:
            remedy = "save the recurrent weights alone"
            raise WeightsError(f"it holds more than {MAX_ARRAYS} arrays; {remedy}")


@contextmanager
def reading(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """Name the file in every error, and raise WeightsError in place of any other exception."""
    try:
        with naming(str(path)):
            yield
    except GradscopeError:
        raise
    except Exception as error:
        reason = quoted(str(error).partition("\n")[0] or type(error).__name__)
        raise WeightsError(
            f"{path} cannot be read as {kind}: it is damaged, cut short or not one ({reason}); "
            f"{remedy}"
        ) from error


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Prefix errors with a place, a file or an array in it."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{place}: {error}") from error
