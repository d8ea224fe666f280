"""Seeded changes that a library writes: odd objects in HDF5, odd values in SQLite."""

import contextlib
import importlib
import io
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tests.fuzz.mutators import MUTATORS, Mutator, flipped

Generator = np.random.Generator


def _one(choices: Any, rng: Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def hdf5_changed(raw: bytes, rng: Generator) -> bytes:
    """Put an odd dataset in the place of one of an HDF5 file, or an odd thing beside it."""
    h5py = importlib.import_module("h5py")
    buffer = io.BytesIO(raw)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = _one([each for each in names if isinstance(file[each], h5py.Dataset)], rng)
        if rng.random() < 0.6:
            del file[name]
            _one(REPLACED, rng)(file, name, h5py)
        else:
            _one(ADDED, rng)(file, file[name].parent, name)
    return buffer.getvalue()


def _compressed(file: Any, name: str, _: Any) -> None:
    shape, chunks = (10**6, 10**4), (1000, 100)
    file.create_dataset(name, shape, "f4", chunks=chunks, compression="gzip")


def _one_vast_chunk(file: Any, name: str, _: Any) -> None:
    vast = file.create_dataset(name, (3, 1), "f8", maxshape=(None, 1), chunks=(2**26, 1),
                               compression="gzip")  # fmt: skip
    assert vast.chunks


def _dataset(kind: Any) -> Callable[[Any, str, Any], None]:
    return lambda file, name, _: file.create_dataset(name, (3, 3), kind)


def _value(value: Any) -> Callable[[Any, str, Any], None]:
    return lambda file, name, _: file.__setitem__(name, value)


REPLACED: tuple[Callable[[Any, str, Any], None], ...] = (
    *(_compressed, _one_vast_chunk, _value("text"), _value(b"bytes"), _value(3.5), _value(True)),
    *(_value(np.zeros((0, 3))), _value(np.full((3, 3), np.nan)), _value(np.zeros((3, 3), complex))),
    *(_dataset(np.dtype([("a", "f8"), ("b", "i4")])), _dataset("S5"), _dataset("u8")),
    lambda file, name, h5py: file.create_dataset(name, (2, 2), h5py.string_dtype()),
    lambda file, name, h5py: file.create_dataset(name, (3, 3), h5py.ref_dtype),
    lambda file, name, h5py: file.create_dataset(name, (3,), h5py.vlen_dtype("f8")),
    lambda file, name, h5py: file.__setitem__(name, h5py.Empty("f8")),
    lambda file, name, h5py: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
    lambda file, name, h5py: file.__setitem__(name, h5py.ExternalLink("/dev/zero", "/")),
)


def _attribute(value: Any) -> Callable[[Any, Any, str], None]:
    return lambda _file, group, _name: group.attrs.__setitem__("name", value)


ADDED: tuple[Callable[[Any, Any, str], None], ...] = (
    *(_attribute(3), _attribute("a\nb\x1b"), _attribute(np.zeros(3)), _attribute("x" * 60_000)),
    lambda file, group, _: group.__setitem__("again", file["/"]),
    lambda file, _, __: file.__setitem__(f"a\x1b[2J{'x' * 300}\u202e", np.eye(3)),
    lambda file, _, __: file.__setitem__("deep/" + "/".join("d" * 400), np.eye(3)),
    lambda _, group, name: group.move(name.rpartition("/")[2], "weight\x9b"),
    lambda file, _, __: file.create_dataset("v", (2**40,), "f8", chunks=(2**20,), fillvalue=1.0),
)


STATEMENTS = (
    *("DROP TABLE cells", "DROP TABLE meta", "DELETE FROM meta", "DELETE FROM cells"),
    *("UPDATE meta SET value = CAST(x'ff1b' AS TEXT)", "DROP TABLE environments"),
    *("UPDATE meta SET value = 99 WHERE name = 'schema_version'", "PRAGMA application_id = 3"),
    *(
        "UPDATE environments SET environment = '[['",
        "CREATE TABLE more (a)",
        "PRAGMA user_version=9",
    ),
    "CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM cells; END",
    "UPDATE meta SET value = NULL",
    "CREATE VIEW v AS SELECT * FROM cells",
    "UPDATE cells SET status = 'odd'",
)
ODD_VALUES = (
    *("NULL", "x''", "x'ff1b5b324a'", "CAST(x'ff1b' AS TEXT)", "'\x1b[2J'", "1e999", "-9e999"),
    *("'[' || hex(zeroblob(30000))", "zeroblob(2000000)", "9223372036854775807", "'=1+1'", "''"),
    *("'nan'", "2.5", "-1", "'{}'", "'[1, 2]'", "'a' || char(10) || 'b'", "char(0x202e)"),
)


def store_changed(raw: bytes, rng: Generator) -> bytes:
    """Put odd values into the columns of a store, or change its tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        path.write_bytes(raw)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            if rng.random() < 0.2:
                connection.execute(_one(STATEMENTS, rng))
            else:
                columns = [row[1] for row in connection.execute("PRAGMA table_info(cells)")]
                for _ in range(int(rng.integers(1, 3))):
                    name, value = _one(columns, rng), _one(ODD_VALUES, rng)
                    some = "" if rng.random() < 0.5 else " WHERE rowid = 2"
                    with contextlib.suppress(sqlite3.IntegrityError):
                        connection.execute(f'UPDATE cells SET "{name}" = {value}{some}')  # noqa: S608
            connection.commit()
        return path.read_bytes()


ALL: Mapping[str, Mutator] = MappingProxyType(
    {**MUTATORS, "hdf5": hdf5_changed, "store": store_changed}
)


def mutant(whole: bytes, mutators: tuple[str, ...], seed: int, number: int) -> bytes:
    """Return one mutant of a file, always the same for a seed and a number."""
    rng = np.random.default_rng([seed, number])
    name = _one(mutators, rng)
    return ALL[name](whole, rng) or flipped(whole, rng)
