"""The one way in for what others wrote: each file with a budget, spent before anything is made.

Only regular files are opened. What a file unfolds to and how much it describes are counted against
its size; nesting is limited. Sources: Fifield (2019), "A better zip bomb"; ``numpy.lib.format``;
PKWARE's APPNOTE 6.3.10; TOML 1.0.
"""

import itertools
import json
import math
import re
import stat
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.errors import GradscopeError

ALWAYS_ALLOWED, MAX_EXPANSION = 64 * 2**20, 16
"""Bytes that any file may unfold to, or for each of its own: half precision takes 4, as float64."""

MAX_ITEMS, BYTES_OF_ITEM = 500_000, 8
"""Values, opcodes or links that any file may hold, or one for so many bytes."""

DEEPEST = 128
"""Lists within lists; a Keras model of models has a few dozen."""

LONGEST_TOML, LONGEST_TEXT, MAX_KEY_PARTS = 2**20, 2**23, 16
TOML_TEXTS = re.compile(
    r"\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*", re.DOTALL
)
TOML_LONG_KEY = re.compile(rf"(?<![\w\" \t-])(?:[\w\" \t-]*\.){{{MAX_KEY_PARTS}}}")

ENCRYPTED, METHODS = 0x1, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
AnyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]


def opened(path: Path, error: type[GradscopeError], flag: str = "") -> BufferedReader:
    """Open a regular file, named by the option ``flag``; raises ``error`` where it is none."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.open("rb")
        fault = "is a folder or a device, not a file; name a file"
    except FileNotFoundError:
        fault = "does not exist; check the name"
    except (OSError, ValueError) as why:  # ValueError: a name that no file can have
        remedy = "its permissions" if isinstance(why, PermissionError) else "the name"
        fault = f"cannot be read: {getattr(why, 'strerror', why)}; check {remedy}"
    raise error(f"{path} {fault}" + f" ({flag})" * bool(flag))


def content(path: Path, error: type[GradscopeError], flag: str = "") -> bytes:
    """Return all bytes of a file, opened as above."""
    with opened(path, error, flag) as file:
        return file.read()


def unfold(data: bytes | memoryview, at_most: int, *, whole: bool = True) -> bytes:
    """Return what deflated data unfold to, or begin with; ValueError if the ``whole`` is more, or
    cut short, zlib.error if they are damaged.
    """
    unfolder = zlib.decompressobj()
    unfolded = unfolder.decompress(data, at_most + whole)
    if whole and (len(unfolded) > at_most or not unfolder.eof):
        raise ValueError(f"data that do not unfold to {at_most} bytes or fewer")
    return unfolded


class Intake:
    """One file while it is read: ``left`` bytes of its ``allowance`` may still be unfolded and
    ``items`` be looked at; faults are raised as ``error``.
    """

    def __init__(self, path: Path, error: type[GradscopeError]) -> None:
        self.path, self.error, self.size = path, error, path.stat().st_size
        self.left = self.allowance = max(ALWAYS_ALLOWED, MAX_EXPANSION * self.size)
        self.count_anew(1)

    def count_anew(self, cost: int) -> None:
        """Allow as many items as if none was looked at, each as dear as so many others."""
        self.items = max(MAX_ITEMS // cost, self.size // BYTES_OF_ITEM)

    def require(self, n_bytes: int, name: str) -> None:
        """Raise ``error`` if so many bytes, before they are allocated, are more than are left."""
        if n_bytes > self.left:
            fault = f"would unfold to {n_bytes} bytes, but only {self.left} more are allowed"
            raise self.error(f"{quoted(name)} {fault}; save what is needed alone, uncompressed")

    def spend(self, n_bytes: int, name: str) -> None:
        """Count bytes that are kept."""
        self.require(n_bytes, name)
        self.left -= n_bytes

    def visit(self, count: int = 1) -> None:
        """Count items before they are looked at; raises ``error`` if too many."""
        self.items -= count
        if self.items < 0:
            fault = f"it holds more items than a file of {self.size} bytes should"
            raise self.error(f"{fault}; save what is needed alone")

    @contextmanager
    def reading(self, kind: str, remedy: str) -> Iterator[None]:
        """Name the file in every error, and raise ``error`` for any other; no library warns."""
        try:
            with warnings.catch_warnings(action="ignore"):
                yield
        except GradscopeError as error:
            raise self.error(f"{self.path}: {error}") from error
        except Exception as error:
            reason = quoted(str(error).partition("\n")[0] or type(error).__name__)
            fault = f"it is damaged, cut short or not one ({reason})"
            raise self.error(f"{self.path} cannot be read as {kind}: {fault}; {remedy}") from error

    def parsed_json(self, raw: bytes | AnyArray, **options: Any) -> Any:
        """Return the value of a JSON text, or of one in an array; ValueError if it is none, or has
        too many items or too deep lists.
        """
        if isinstance(raw, np.ndarray):
            if raw.dtype.kind != "U":
                raise ValueError("no text")
            # By hand: NumPy's own way to a text fails without a name on what is no letter.
            text = raw.astype("<U").tobytes().decode("utf-32-le", "surrogatepass").rstrip("\0")
        else:
            text = raw.decode(json.detect_encoding(raw))
        count = text.count(",") + text.count("[") + text.count("{")
        if len(text) > LONGEST_TEXT + self.size or count > self.items:
            raise ValueError(f"{count} items in {len(text)} characters of JSON")
        value = json.loads(text, **options)
        level = [value]
        for _ in range(DEEPEST):
            lists = [each for each in level if isinstance(each, dict | list)]
            values = (each.values() if isinstance(each, dict) else each for each in lists)
            level = list(itertools.chain.from_iterable(values))
            if not level:
                return value
        raise ValueError(f"lists more than {DEEPEST} deep")

    def array(self, raw: bytes, name: str) -> AnyArray:
        """Return the array in the bytes of a ``.npy``, an empty one of objects where it can only be
        unpickled; raises ``error`` if it is declared of another size.
        """
        file, form = BytesIO(raw), np.lib.format
        first = form.read_magic(file) == (1, 0)
        # Version 3.0 differs from 2.0 in names of fields that are not Latin-1; numbers have none.
        read = form.read_array_header_1_0 if first else form.read_array_header_2_0
        shape, columns_first, dtype = read(file)
        if dtype.hasobject:
            return np.empty(0, dtype=np.object_)
        wanted, left = math.prod(shape) * dtype.itemsize, len(raw) - file.tell()
        if any(n < 0 for n in shape) or wanted != left:
            raise self.error(
                f"{quoted(name)} of shape {quoted(str(shape))} takes {wanted:.6g} bytes, but "
                f"{left} are there; save it again with numpy.savez"
            )
        flat = np.frombuffer(raw, dtype=dtype, offset=file.tell())
        return flat.reshape(shape, order="F" if columns_first else "C")


class ZipMembers:
    """The members of a zip, each read at most as far as it says it goes; nothing is written."""

    def __init__(self, file: BinaryIO, intake: Intake) -> None:
        self._intake, self._archive = intake, zipfile.ZipFile(file)
        entries = [each for each in self._archive.infolist() if not each.is_dir()]
        intake.visit(len(entries))
        # A slash in front, which some programs write, says the same as none.
        self._entries = {entry.filename.lstrip("/"): entry for entry in entries}
        for name, entry in self._entries.items():
            if ":" in name or ".." in PurePosixPath(name.replace("\\", "/")).parts:
                fault = "points out of the archive; do not trust this file"
                raise intake.error(f"the member {quoted(name)} {fault}")
            if entry.flag_bits & ENCRYPTED or entry.compress_type not in METHODS:
                fault = f"is encrypted or packed by method {entry.compress_type}"
                raise intake.error(f"{quoted(name)} {fault}; save it stored or deflated")
        if len(self._entries) < len(entries):
            raise intake.error("it holds a member twice; save it again")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members but folders, in the order of the archive."""
        return tuple(self._entries)

    def size(self, name: str) -> int:
        """Return the bytes of a member; raises the intake's ``error`` if there is none."""
        if name not in self._entries:
            fault = f"it has no member {quoted(name)}; the file is damaged: save it again"
            raise self._intake.error(fault)
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """Return a member's bytes, as many as it says it has, which must still fit."""
        self._intake.require(self.size(name), name)
        with self._archive.open(self._entries[name]) as member:
            return member.read(self.size(name))

    def kept(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of every member, each counted."""
        for name in self._entries:
            yield name, self.read(name)
            self._intake.spend(self.size(name), name)


def parsed_toml(text: str) -> dict[str, Any]:
    """Return the values of a TOML text; ValueError if it is none, or would take long to read: as
    long as the square of the parts of a key.
    """
    if len(text) > LONGEST_TOML or TOML_LONG_KEY.search(TOML_TEXTS.sub('""', text)):
        raise ValueError(f"longer than {LONGEST_TOML} characters, or a key of many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("lists in it nest too deep") from None
