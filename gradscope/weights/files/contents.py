"""What a weight file holds: named float64 arrays, what was left out, and what the file says about
itself.

Every reader gathers its arrays here, counted against one budget before they are made, so that a
small file cannot ask for all the memory there is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.columns import quoted
from gradscope.errors import GradscopeError, WeightsError, install_line
from gradscope.notebook_repr import CompactRepr

MAX_BYTES = 4 * 2**30
"""Arrays of one file take at most this much as float64: half a billion numbers, where the largest
recurrent language models have a tenth of that."""

ALWAYS_ALLOWED = 64 * 2**20
"""A file of any size may unfold to this."""

MAX_EXPANSION = 100
"""Beyond that, bytes of float64 for each byte of the file: half-precision weights take 4, and
trained weights hardly compress."""

MAX_ARRAYS = 100_000
LONGEST_NAME = 1000


class FileFormat(StrEnum):
    """Who wrote the file."""

    NPZ = "npz"
    PYTORCH = "pytorch"
    SAFETENSORS = "safetensors"
    KERAS = "keras"
    MATLAB = "matlab"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class WeightFile(CompactRepr):
    """The arrays of one file, as they are named and laid out in it.

    Parameters
    ----------
    path : Path
    format : FileFormat
    arrays : mapping of str to float64 array
        Every array of real numbers, under its name in the file.
    stored_as : mapping of str to str
        The number type of each array in the file, such as ``bfloat16``.
    skipped : mapping of str to str
        What each entry holds that is not an array of real numbers.
    about : mapping
        What the file says about itself: the Keras configuration, our own settings.
    """

    path: Path
    format: FileFormat
    arrays: Mapping[str, FloatArray]
    stored_as: Mapping[str, str]
    skipped: Mapping[str, str]
    about: Mapping[str, Any]


class Budget:
    """The bytes of float64 that a file may unfold to, and how many are spent."""

    def __init__(self, path: Path) -> None:
        allowed = max(ALWAYS_ALLOWED, MAX_EXPANSION * path.stat().st_size)
        self._left = min(MAX_BYTES, allowed)

    @property
    def left(self) -> int:
        """Bytes that are not spent."""
        return self._left

    def spend(self, n_bytes: int, name: str) -> None:
        """Take bytes out of the budget before they are made.

        Raises
        ------
        WeightsError
            If there are not so many left.
        """
        if n_bytes > self._left:
            raise WeightsError(
                f"{quoted(name)} would unfold to {n_bytes:.3g} bytes, but of this "
                f"file's allowance only {self._left:.3g} are left; save the recurrent weights alone"
            )
        self._left -= n_bytes


@dataclass(frozen=True, eq=False, slots=True)
class Gathering:
    """The arrays of one file while it is being read."""

    path: Path
    budget: Budget
    arrays: dict[str, FloatArray] = field(default_factory=dict)
    stored_as: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Gathering":
        """Start on a file, with the budget its size allows."""
        return cls(path, Budget(path))

    def keep(self, name: str, array: np.ndarray[Any, Any], stored_as: str | None = None) -> None:
        """Keep an array of real numbers as float64, counted first."""
        self._admit(name)
        self.budget.spend(8 * array.size, name)
        self.arrays[name] = as_float64(array, order="C")
        self.stored_as[name] = stored_as or array.dtype.name

    def skip(self, name: str, holds: str) -> None:
        """Note an entry that is no array of real numbers."""
        self._admit(name)
        self.skipped[name] = holds

    def finish(self, file_format: FileFormat, about: Mapping[str, Any]) -> WeightFile:
        """Return what was gathered."""
        return WeightFile(
            self.path, file_format, self.arrays, self.stored_as, self.skipped, dict(about)
        )

    def _admit(self, name: str) -> None:
        if len(name) > LONGEST_NAME:
            raise WeightsError(
                f"a name has {len(name)} characters, but {LONGEST_NAME} is the most; "
                "save the weights under shorter names"
            )
        if name in self.arrays or name in self.skipped:
            raise WeightsError(
                f"it holds {quoted(name)} twice; save each array under a name of its own"
            )
        if len(self.arrays) + len(self.skipped) >= MAX_ARRAYS:
            raise WeightsError(
                f"it holds more than {MAX_ARRAYS} arrays; save the recurrent weights alone"
            )


@contextmanager
def reading(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """Name the file in every error, and turn whatever it does to a parser into one line.

    Raises
    ------
    WeightsError
        In place of any other exception.
    """
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
    """Put the place, a file or an array in it, before what is said of it."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{place}: {error}") from error


@contextmanager
def needing(package: str, extra: str) -> Iterator[None]:
    """Import in the body what only some formats need.

    Raises
    ------
    WeightsError
        If it is not installed, with the line that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise WeightsError(
            f"it needs {package}, which is not installed; {install_line(extra)}"
        ) from error
