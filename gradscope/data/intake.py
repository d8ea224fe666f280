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
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.errors import GradscopeError

MAX_BYTES = 4 * 2**30
"""Bytes that one file may unfold to; the largest recurrent language models have a tenth."""

ALWAYS_ALLOWED = 64 * 2**20
"""A file of any size may unfold to this."""

MAX_EXPANSION = 16
"""Beyond that, bytes for each of the file: of half precision 4, of single bytes as float64 8."""

MAX_ITEMS = 500_000
"""Values, opcodes or links of a file of up to 4 MB; beyond that, one for each 8 bytes."""

DEEPEST = 128
"""Lists within lists; a Keras model of models has a few dozen."""

LONGEST_TOML, LONGEST_TEXT = 2**20, 2**23
MAX_KEY_PARTS = 16

TOML_TEXTS = re.compile(
    r"\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*", re.DOTALL
)
TOML_LONG_KEY = re.compile(rf"(?:[\w\" \t-]*\.){{{MAX_KEY_PARTS}}}")

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1

AnyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]


def opened(path: Path, error: type[GradscopeError], flag: str = "") -> BinaryIO:
    """Open a regular file to read its bytes; raises ``error`` with the reason where it is none.
    ``flag`` is the option that named it.
    """
    named = f" ({flag})" if flag else ""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path.open("rb")
        fault = "is a folder or a device, not a file; name a file"
    except FileNotFoundError:
        fault = "does not exist; check the name"
    except (OSError, ValueError) as why:  # ValueError: a name that no file can have
        remedy = "its permissions" if isinstance(why, PermissionError) else "the name"
        fault = f"cannot be read: {getattr(why, 'strerror', why)}; check {remedy}"
    raise error(f"{path} {fault}{named}")


def content(path: Path, error: type[GradscopeError], flag: str = "") -> bytes:
    """Return all bytes of a file, opened as above."""
    with opened(path, error, flag) as file:
        return file.read()


class Intake:
    """One file while it is read: ``left`` bytes may still be unfolded, ``items`` looked at; faults
    are raised as ``error``.
    """

    def __init__(self, path: Path, error: type[GradscopeError]) -> None:
        self.path, self.error, self.size = path, error, path.stat().st_size
        expanded = min(MAX_BYTES, MAX_EXPANSION * self.size)
        self.allowance = max(ALWAYS_ALLOWED, expanded, self.size)
        self.left = self.allowance
        self.items = max(MAX_ITEMS, self.size // 8)

    def require(self, n_bytes: int, name: str) -> None:
        """Raise ``error`` if so many bytes, before they are allocated, are more than are left."""
        if n_bytes > self.left:
            raise self.error(
                f"{quoted(name)} would unfold to {n_bytes} bytes, but only {self.left} more are "
                "allowed to a file of this size; save what is needed alone, uncompressed"
            )

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
        """Name the file in every error, raise ``error`` in place of any other exception, and keep
        warnings of libraries to itself.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except GradscopeError as error:
            raise self.error(f"{self.path}: {error}") from error
        except Exception as error:
            reason = quoted(str(error).partition("\n")[0] or type(error).__name__)
            fault = f"it is damaged, cut short or not one ({reason})"
            raise self.error(f"{self.path} cannot be read as {kind}: {fault}; {remedy}") from error

    def unfold(self, data: bytes | memoryview, at_most: int, wbits: int = zlib.MAX_WBITS) -> bytes:
        """Return what deflated data unfold to; ValueError if it is more than ``at_most`` bytes, or
        cut short.
        """
        unfolder = zlib.decompressobj(wbits)
        unfolded = unfolder.decompress(data, at_most + 1)
        if len(unfolded) > at_most or not unfolder.eof:
            raise ValueError(f"data that do not unfold to {at_most} bytes or fewer")
        return unfolded

    def parsed_json(self, text: bytes | AnyArray, **options: Any) -> Any:
        """Return the value of a JSON text, or of one in an array as NumPy keeps it; ValueError if
        it is none, or has too many items or too deep lists.
        """
        if isinstance(text, np.ndarray):
            if text.dtype.kind != "U":
                raise ValueError("no text")
            # By hand: NumPy's own way to a text fails without a name on what is no letter.
            text = text.astype("<U").tobytes().decode("utf-32-le", "surrogatepass").rstrip("\0")
        else:
            text = text.decode(json.detect_encoding(text))
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
        unpickled; raises ``error`` if it is declared larger or smaller than its bytes.
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
            place = PurePosixPath(name.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts or ":" in name:
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
        size = self.size(name)
        self._intake.require(size, name)
        with self._archive.open(self._entries[name]) as member:
            return member.read(size)


def parsed_toml(text: str) -> dict[str, Any]:
    """Return the values of a TOML text. ValueError if it is long, or none, or a key has so many
    parts that reading it would never end: the time grows with their square.
    """
    if len(text) > LONGEST_TOML:
        raise ValueError(f"it has {len(text)} characters, and {LONGEST_TOML} is the most")
    if TOML_LONG_KEY.search(TOML_TEXTS.sub('""', text)):
        raise ValueError(f"a key has {MAX_KEY_PARTS} parts or more")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("lists in it nest too deep") from None
