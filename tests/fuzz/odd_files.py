"""Small files that ask for much work: many rows, cells, chunks, names or variables, or that much
unfolds to nothing of use. Each with its maker, and the command that reads it.
"""

import gzip
import importlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tests.weights.forging import checkpoint, tensor, text

Maker = Callable[[Path], Path]

NETWORK = "analyze net.npz --activation tanh --leak 1 --data"
ROWS, PART = 30 * 2**20, 60 * 2**20


def written(name: str, make: Callable[[], bytes]) -> Maker:
    def maker(folder: Path) -> Path:
        (folder / name).write_bytes(make())
        return folder / name

    return maker


def workbook(change: Callable[[bytes], bytes]) -> bytes:
    """Return a workbook of three cells, the XML of its sheet changed."""
    whole, changed = BytesIO(), BytesIO()
    book = importlib.import_module("openpyxl").Workbook()
    for cell in ("x", 1.5, 2.5):
        book.active.append([cell])
    book.save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith("sheet1.xml") else content)
    return changed.getvalue()


def last_row_far(sheet: bytes) -> bytes:
    far = b"2000000000"
    return sheet.replace(b'r="3"', b'r="%b"' % far).replace(b'r="A3"', b'r="A%b"' % far)


def many_rows(sheet: bytes) -> bytes:
    return sheet.replace(
        b"</sheetData>", b"<row><c><v>1</v></c></row>" * 2_000_000 + b"</sheetData>"
    )


def hdf5(fill: Callable[[Any], None]) -> bytes:
    buffer = BytesIO()
    with importlib.import_module("h5py").File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def many_chunks(file: Any) -> None:
    chunked = file.create_dataset("x", (20_000,), "f4", chunks=(1,), compression="gzip")
    for place in range(20_000):
        chunked.id.write_direct_chunk((place,), zlib.compress(bytes(4)))


def large_chunks(file: Any) -> None:
    chunk = zlib.compress(bytes(PART))
    for number in range(20):
        one = file.create_dataset(f"x{number}", (1,), "f4", maxshape=(None,),
                                  chunks=(PART // 4,), compression="gzip")  # fmt: skip
        one.id.write_direct_chunk((0,), chunk)


def archived(arrays: Mapping[str, Any]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def long_texts() -> bytes:
    """Return an archive of 20 arrays of empty texts, each of 60 MiB."""
    one = BytesIO()
    np.save(one, np.zeros(PART // 4, "<U1"))
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"m{number}.npy", one.getvalue())
    return buffer.getvalue()


def packed(name: bytes, content: bytes) -> bytes:
    """Return an element of MATLAB's that holds a cell of a name, and zeros."""
    parts = ((6, struct.pack("<2I", 1, 0)), (5, struct.pack("<2i", 1, 1)), (1, name.ljust(8)))
    head = b"".join(struct.pack("<2I", kind, 8) + data for kind, data in parts)
    folder = zlib.compressobj()
    start = folder.compress(struct.pack("<2I", 14, 2**16) + head) + folder.flush(zlib.Z_FULL_FLUSH)
    return struct.pack("<2I", 15, len(start + content)) + start + content


def many_variables() -> bytes:
    zeros = zlib.compress(bytes(2**16))[2:]
    variables = (packed(b"n%d" % number, zeros) for number in range(50_000))
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(variables)


def long_keys(folder: Path) -> Path:
    first = b"}" + text("k" * 10**6) + b"q\1K\1s"
    raw = b"\x80\2](" + first + b"}h\1K\1s" * 100_000 + b"e."
    return checkpoint(folder / "a.pt", raw=raw)


def empty_tensors(folder: Path) -> Path:
    """Write tensors of no numbers, each of a storage of 60 MiB."""
    count, names = PART // 4, [str(number) for number in range(20)]
    state = {f"w{key}": tensor(count=count, size=(0, 2), key=key) for key in names}
    whole = checkpoint(folder / "whole.pt", state)
    with (
        zipfile.ZipFile(whole) as old,
        zipfile.ZipFile(folder / "a.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        new.writestr("archive/data.pkl", old.read("archive/data.pkl"))
        for key in names[:3]:  # No more are reached
            new.writestr(f"archive/data/{key}", bytes(PART))
    return folder / "a.pt"


def many_cells() -> dict[str, Any]:
    names = [f"c{number}.weight_{part}" for number in range(1220) for part in ("ih", "hh")]
    return dict.fromkeys(names, np.ones((1, 1)))


FILES: Mapping[str, tuple[Maker, str]] = MappingProxyType(
    {
        "a last row far below": (
            written("a.xlsx", lambda: workbook(last_row_far)),
            "analyze --data",
        ),
        "many rows in a workbook": (
            written("a.xlsx", lambda: workbook(many_rows)),
            "analyze --data",
        ),
        "many rows in packed text": (
            written("a.csv.gz", lambda: gzip.compress(b"x\n" + b"1\n" * ROWS)),
            "analyze --data",
        ),
        "some rows in packed text": (
            written("a.csv.gz", lambda: gzip.compress(b"x\n" + b"1\n" * (ROWS // 10))),
            "analyze --data",
        ),
        "words without a key": (
            written("a.toml", lambda: b"a" * 200_000),
            "analyze --config",
        ),
        "many small chunks": (written("a.h5", lambda: hdf5(many_chunks)), "analyze"),
        "one number in each of many large chunks": (
            written("a.h5", lambda: hdf5(large_chunks)),
            "analyze",
        ),
        "a long key of many dicts": (long_keys, "analyze"),
        "empty tensors of large storages": (empty_tensors, "analyze"),
        "arrays of text": (written("a.npz", long_texts), "analyze"),
        "many variables of MATLAB": (written("a.mat", many_variables), "analyze"),
        "bytes that are eight as numbers": (
            written("a.npz", lambda: archived({"W": np.zeros((PART, 1, 1), np.uint8)})),
            NETWORK,
        ),
        "many cells": (written("a.npz", lambda: archived(many_cells())), "analyze"),
        "wide rows": (
            written("a.csv", lambda: (b"1," * 89_999 + b"1\n") * 50),
            "analyze --data",
        ),
        "wide rows with a text": (
            written("a.csv", lambda: (b"1," * 89_999 + b"1\n") * 50 + b"1," * 89_999 + b"x"),
            "analyze --data",
        ),
        "blank lines at the end": (
            written("a.csv", lambda: b"x\n1" + b"\n" * 9_000_000),
            "analyze --data",
        ),
        "a long key in a document": (
            written(
                "a.json",
                lambda: (
                    b'{"schema": "gradscope.settings", "version": 1, "gradscope": "0", '
                    b'"settings": {"%b": 1}, "environment": {}}' % (b"abcdefghij" * 800_000)
                ),
            ),
            "show-config",
        ),
    }
)
