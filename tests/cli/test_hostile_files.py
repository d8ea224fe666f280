"""Small files that would take the machine: each is one line, exit code 2, little time and memory.

Every command runs in a fork of its own under ``resource`` limits, as in ``tests/fuzz``; the process
that forks is not that of these tests, whose memory theirs would else begin at.
"""

import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.odd_files import FILES
from tests.fuzz.running import ROOT
from tests.weights.forging import (
    Call,
    Storage,
    checkpoint,
    opcodes,
    safetensors_bytes,
    tensor,
    text,
)

MANY = 2**30
"""Bytes that a bomb unfolds to."""

Maker = Callable[[Path], Path]
Judge = Callable[..., list[str]]


@pytest.fixture(scope="module")
def judge(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Return what says what is wrong with how a command line ended, beside its exit code."""
    folder = tmp_path_factory.mktemp("honest")
    np.savez(folder / "net.npz", W_rec=np.eye(3), W_in=np.eye(3), b_rec=np.ones(3))
    paths = {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(ROOT)])}
    words = [sys.executable, "-W", "error", "-m", "tests.fuzz.serving", "inspect", "net.npz"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, cwd=folder, env=environment | paths, **pipes) as server:  # type: ignore[call-overload]

        def judged(place: Path, *command: str) -> list[str]:
            server.stdin.write(json.dumps([str(place), *command]).encode() + b"\n")
            server.stdin.flush()
            found: list[str] = json.loads(server.stdout.readline())
            return found

        yield judged
        server.stdin.close()


# --- Files --------------------------------------------------------------------------------------


def header(shape: str, descr: str = "'<f8'") -> bytes:
    """Return the beginning of a ``.npy`` that claims a shape."""
    start = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    start = start.ljust(-(len(start) + 11) % 64 + len(start)) + b"\n"
    return b"\x93NUMPY\x01\0" + len(start).to_bytes(2, "little") + start


@cache
def deflated(start: bytes = b"", wbits: int = zlib.MAX_WBITS) -> bytes:
    """Return a deflated stream of a start and ``MANY`` zeros: one block of them many times."""
    folder = zlib.compressobj(9, wbits=wbits)
    head = folder.compress(start) + folder.flush(zlib.Z_FULL_FLUSH)
    block = folder.compress(bytes(2**20)) + folder.flush(zlib.Z_FULL_FLUSH)
    stream = head + block * (MANY >> 20) + folder.flush()
    high, low = divmod(zlib.adler32(start), 2**16)
    checksum = ((high + MANY * low) % 65521 << 16 | low).to_bytes(4)
    return stream if wbits < 0 else stream[:-4] + checksum


def archive(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def bomb(path: Path, member: str, start: bytes, said: int | None = None) -> Path:
    """Write a zip of one member of ``MANY`` zeros behind a start, which says another size."""
    packed, name = deflated(start, -15), member.encode()
    size = len(start) + MANY if said is None else said
    fields = (0, 8, 0, 0, zlib.crc32(start), len(packed), size, len(name))
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, *fields[:4], *fields[4:], 0) + name + packed
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, *fields, 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    return path


def keras(path: Path, config: Any, fill: Callable[[Any], None] | None = None) -> Path:
    h5py = pytest.importorskip("h5py", reason="writes the file")
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        if fill is not None:
            fill(file)
    words = config if isinstance(config, str) else json.dumps(config)
    return archive(path, {"config.json": words.encode(), "model.weights.h5": buffer.getvalue()})


def layer(kind: str, name: str, source: str | None = None, **values: Any) -> dict[str, Any]:
    nodes = [] if source is None else [[[source, 0, 0, {}]]]
    return {"class_name": kind, "config": {"name": name, **values}, "inbound_nodes": nodes}


def circle(path: Path, kind: str) -> Path:
    values = {"return_sequences": True}
    layers = [layer(kind, "a", "b", **values), layer(kind, "b", "a", **values)]
    layers.append(layer("GRU", "gru", "a", **values))
    return keras(path / "net.keras", {"class_name": "Functional", "config": {"layers": layers}})


def nested_bidirectional(path: Path) -> Path:
    inner: dict[str, Any] = layer("LSTM", "x")
    for _ in range(24):
        inner = {"class_name": "Bidirectional", "config": {"layer": inner}}
    return keras(path / "net.keras", inner)


def pickled(path: Path, raw: bytes) -> Path:
    checkpoint(path / "whole.pt", raw=b"\x80\x02" + raw + b".")
    with zipfile.ZipFile(path / "whole.pt") as whole:
        return archive(path / "net.pt", {name: whole.read(name) for name in whole.namelist()})


def doubled() -> bytes:
    """Return the opcodes of a tuple of itself twice, 60 levels deep."""
    return b")" + b"".join(b"q\0h\0\x86" for _ in range(60))


def sized_text(path: Path) -> Path:
    size = b"h\1" + b"h\0\x85R"
    return pickled(path, b"](ctorch\nSize\nq\1" + text("x" * 2**22) + b"q\0" + size * 300 + b"e")


def hdf5(path: Path, fill: Callable[[Any], object]) -> Path:
    h5py = pytest.importorskip("h5py", reason="writes the file")
    with h5py.File(path / "net.h5", "w") as file:
        fill(file)
    return path / "net.h5"


def one_number_in_a_large_chunk(file: Any) -> None:
    data = file.create_dataset("W", (1,), "f8", chunks=(2**27,), maxshape=(None,), compression=4)
    data.id.write_direct_chunk((0,), deflated())


def chunk_that_lies(file: Any) -> None:
    data = file.create_dataset("W", (16,), "f8", chunks=(16,), compression="gzip")
    data.id.write_direct_chunk((0,), deflated())


def many_chunks(file: Any) -> None:
    file.create_dataset("W", (2**23,), "f8", chunks=(1,))[0] = 1.0


def group_of_itself(file: Any) -> None:
    group = file.create_group("a")
    for number in range(3000):
        group[f"b{number}"] = group


def png(path: Path, kind: bytes, content: bytes, count: int = 3) -> Path:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data).to_bytes(4)
        return len(data).to_bytes(4) + name + data + checksum

    head = chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    text_of_ours = chunk(kind, b"gradscope\0" + content)
    start = b"\x89PNG\r\n\x1a\n"
    (path / "a.png").write_bytes(start + head + text_of_ours * count + pixels + chunk(b"IEND", b""))
    return path / "a.png"


def written(path: Path, name: str, content: bytes | str) -> Path:
    (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path / name


def link(path: Path, name: str, target: str) -> Path:
    (path / name).symlink_to(target)
    return path / name


def fifo(path: Path, name: str) -> Path:
    os.mkfifo(path / name)
    return path / name


def saved_run(path: Path, **changed: Any) -> Path:
    names = ("input_weights", "recurrent_weights", "output_weights", "hidden_bias", "output_bias")
    more = ("inputs", "initial_state", "targets", "target_steps", "held_out_error")
    arrays: dict[str, Any] = dict.fromkeys((*names, *more), np.zeros((2, 2)))
    np.savez(path / "run.npz", **(arrays | {"settings": "{}", "facts": "{}"} | changed))
    return path / "run.npz"


CASES: Mapping[str, tuple[Maker, str]] = {
    # What the issue names.
    "layers that feed each other": (lambda p: circle(p, "LSTM"), "inspect"),
    "dropouts that feed each other": (lambda p: circle(p, "Dropout"), "inspect"),
    "nested Bidirectional": (nested_bidirectional, "analyze"),
    "a doubled tuple": (
        lambda p: pickled(p, doubled() + b"(" + text("storage") + b"h\0K\1K\1K\1tQ"),
        "inspect",
    ),
    "a list of itself": (
        lambda p: pickled(p, b"]q\0(" + b"h\0" * 2**20 + b"e"),
        "inspect",
    ),
    "a size of a text": (sized_text, "inspect"),
    "a member that lies, .npz": (lambda p: bomb(p / "a.npz", "W.npy", b"", 200), "inspect"),
    "a member that lies, .pt": (lambda p: bomb(p / "a.pt", "a/data.pkl", b"", 99), "inspect"),
    "a member that lies, .keras": (
        lambda p: bomb(p / "a.keras", "config.json", b"", 99),
        "inspect",
    ),
    "one number in a large chunk": (lambda p: hdf5(p, one_number_in_a_large_chunk), "analyze"),
    "a group of itself": (lambda p: hdf5(p, group_of_itself), "inspect"),
    "a bomb as data": (
        lambda p: bomb(p / "a.npz", "x.npy", header("(16384, 8192)")),
        "analyze net.npz --activation tanh --leak 1 --data",
    ),
    "a bomb as run": (
        lambda p: bomb(p / "a.npz", "facts.npy", header(f"({MANY},)")),
        "analyze --load",
    ),
    "a bomb to explain": (lambda p: bomb(p / "a.npz", "facts.npy", b""), "explain verdict"),
    "a bomb with settings": (lambda p: bomb(p / "a.npz", "settings.npy", b""), "show-config"),
    "a bomb to run again": (lambda p: bomb(p / "a.npz", "settings.npy", b""), "rerun"),
    "a picture of packed text": (
        lambda p: png(p, b"iTXt", b"\1\0\0\0" + deflated(b'{"schema": "')),
        "show-config",
    ),
    "a link to zeros": (lambda p: link(p, "a.csv", "/dev/zero"), "analyze --data"),
    "a key of many parts": (
        lambda p: written(p, "a.toml", "a" + ".a" * 20_000 + " = 1\n"),
        "analyze --config",
    ),
    "many opcodes": (lambda p: pickled(p, b"](" + b"N" * 4_000_000 + b"e"), "inspect"),
    # Their siblings.
    "quoted keys of many parts": (
        lambda p: written(p, "a.toml", '"a,\\""' + '."=,\'"' * 20_000 + " = 1\n"),
        "analyze --config",
    ),
    "a table of many parts": (
        lambda p: written(p, "a.toml", "[a" + ".a" * 20_000 + "]\n"),
        "analyze --config",
    ),
    "nested arrays in TOML": (
        lambda p: written(p, "a.toml", "a = " + "[" * 100_000),
        "analyze --config",
    ),
    "a number of many digits in TOML": (
        lambda p: written(p, "a.toml", "steps = " + "9" * 5000),
        "analyze --config",
    ),
    "a number of many digits that TOML reads": (
        lambda p: written(p, "a.toml", "steps = " + "9" * 4000),
        "analyze --config",
    ),
    "a long TOML": (lambda p: written(p, "a.toml", "a=1\n" * 2_000_000), "analyze --config"),
    "many keys in TOML": (
        lambda p: written(p, "a.toml", "".join(f"a{n}.b.c.d.e.f.g=1\n" for n in range(50_000))),
        "analyze --config",
    ),
    "escapes in TOML": (
        lambda p: written(p, "a.toml", 'a = "' + "\\n" * 500_000 + '"'),
        "analyze --config",
    ),
    "a folder as config": (lambda p: p, "analyze --config"),
    "zeros as config": (lambda p: link(p, "a.toml", "/dev/zero"), "analyze --config"),
    "a pipe as config": (lambda p: fifo(p, "a.toml"), "analyze --config"),
    "a pipe as data": (lambda p: fifo(p, "a.npy"), "analyze --data"),
    "a pipe as run": (lambda p: fifo(p, "a.npz"), "analyze --load"),
    "a pipe as weights": (lambda p: fifo(p, "a.pt"), "analyze"),
    "a pipe to show": (lambda p: fifo(p, "a.json"), "show-config"),
    "a pipe to run again": (lambda p: fifo(p, "a.png"), "rerun"),
    "a link to itself as data": (lambda p: link(p, "a.csv", "a.csv"), "analyze --data"),
    "a link to itself as weights": (lambda p: link(p, "a.pt", "a.pt"), "inspect"),
    "a link to itself as config": (lambda p: link(p, "a.toml", "a.toml"), "analyze --config"),
    "a link to itself to show": (lambda p: link(p, "a.json", "a.json"), "show-config"),
    "a claim of 2^80 numbers": (
        lambda p: written(p, "a.npy", header("(1099511627776, 1099511627776)")),
        "analyze --data",
    ),
    "a claim of 2^40 numbers in an archive": (
        lambda p: archive(p / "a.npz", {"x.npy": header("(1099511627776,)")}),
        "analyze net.npz --activation tanh --leak 1 --data",
    ),
    "objects as data": (
        lambda p: written(p, "a.npy", header("(1,)", "'|O'") + b"cos\nsystem\n(S'true'\ntR."),
        "analyze --data",
    ),
    "one number as data": (
        lambda p: written(p, "a.npy", header("()") + bytes(8)),
        "analyze --data",
    ),
    "code that is no header": (
        lambda p: written(p, "a.npy", header("(1if 1else 2,)") + bytes(8)),
        "analyze --data",
    ),
    "brackets in a header": (
        lambda p: written(p, "a.npy", header("(" * 5000)),
        "analyze --data",
    ),
    "members that are no .npy": (
        lambda p: archive(p / "a.npz", {"x": b"text", "y.txt": b"text"}),
        "analyze net.npz --activation tanh --leak 1 --data",
    ),
    "a member out of the archive": (
        lambda p: archive(p / "a.npz", {"../W.npy": header("()") + bytes(8)}),
        "inspect",
    ),
    "weights without dimensions": (
        lambda p: archive(
            p / "a.npz", {f"{n}.npy": header("()") + bytes(8) for n in ("W_rec", "W_in", "b_rec")}
        ),
        "analyze --activation tanh",
    ),
    "a run of settings beyond Unicode": (
        lambda p: saved_run(p, settings=np.array([0x110000], "<u4").view("<U1")),
        "analyze --load",
    ),
    "a run of deep lists": (lambda p: saved_run(p, settings="[" * 100_000), "show-config"),
    "a run of many digits": (
        lambda p: saved_run(p, settings='{"steps": ' + "9" * 5000 + "}"),
        "explain verdict",
    ),
    "a run of nothing": (saved_run, "analyze --load"),
    "deep lists in a document": (
        lambda p: written(p, "a.json", "[" * 900 + "]" * 900),
        "show-config",
    ),
    "many lists in a document": (
        lambda p: written(p, "a.json", "[" + "[],{}," * 1_600_000 + "1]"),
        "show-config",
    ),
    "many digits in a document": (lambda p: written(p, "a.json", "9" * 10**7), "show-config"),
    "a packed text of another program": (
        lambda p: png(p, b"zTXt", b"\0" + deflated(b'{"schema": "')),
        "rerun",
    ),
    "many packed texts": (
        lambda p: png(p, b"iTXt", b"\1\0\0\0" + zlib.compress(b"\xff" * 2**20, 9), 9000),
        "show-config",
    ),
    "a PDF of brackets": (
        lambda p: written(
            p,
            "a.pdf",
            "%PDF-1\n9 0 obj <</Keywords (" + "()" * 4_000_000 + ")\ntrailer /Info 9 0 R",
        ),
        "show-config",
    ),
    "an SVG of references": (
        lambda p: written(
            p, "a.svg", "<svg><dc:description>" + "&amp;" * 2_000_000 + "</dc:description>"
        ),
        "show-config",
    ),
    "a chunk that lies": (lambda p: hdf5(p, chunk_that_lies), "analyze"),
    "many chunks": (lambda p: hdf5(p, many_chunks), "analyze"),
    "overlapping texts in HDF5": (
        lambda p: written(
            p,
            "a.h5",
            b"\x89HDF\r\n\x1a\n" + (b"GCOL\1\0\0\0" + (2**22).to_bytes(8, "little")) * 2**18,
        ),
        "inspect",
    ),
    "deep lists in a configuration": (
        lambda p: keras(p / "a.keras", "[" * 500 + "]" * 500),
        "inspect",
    ),
    "many layers": (
        lambda p: keras(
            p / "a.keras",
            {
                "class_name": "Sequential",
                "config": {"layers": [layer("LSTM", str(n)) for n in range(90_000)]},
            },
        ),
        "analyze",
    ),
    "deep lists in safetensors": (
        lambda p: written(
            p, "a.safetensors", safetensors_bytes(b"{" + b'"a":{' * 900 + b"}" * 901)
        ),
        "inspect",
    ),
    "a long shape in safetensors": (
        lambda p: written(
            p,
            "a.safetensors",
            safetensors_bytes(
                {
                    "W" * 900: {
                        "dtype": "F" * 9999,
                        "shape": [[[9**99] * 999]],
                        "data_offsets": [0, 0],
                    }
                }
            ),
        ),
        "inspect",
    ),
    "a tuple as a key": (lambda p: pickled(p, b"}" + doubled() + b"K\1s"), "inspect"),
    "a size of a doubled tuple": (
        lambda p: checkpoint(
            p / "a.pt", raw=b"\x80\x02" + doubled() + b"0" + opcodes(tensor(size=()))[:-1] + b"."
        ),
        "inspect",
    ),
    "a name of control characters": (
        lambda p: checkpoint(p / "a.pt", {"\U000e0001" * 900: tensor(count=9)}),
        "inspect",
    ),
    "a count of many digits": (
        lambda p: checkpoint(p / "a.pt", {"W": tensor(key="k" * 10_000)}),
        "inspect",
    ),
    "a storage of another kind": (
        lambda p: checkpoint(
            p / "a.pt", {"W": Call("torch.x", Storage("\x1b[31m" * 99, 1, 2, 3, 4))}
        ),
        "inspect",
    ),
    "a compressed variable of MATLAB": (
        lambda p: written(
            p,
            "a.mat",
            b"MATLAB 5.0 MAT-file".ljust(124)
            + b"\0\1IM"
            + struct.pack("<2I", 15, len(deflated()))
            + deflated(),
        ),
        "analyze",
    ),
    "many elements of MATLAB": (
        lambda p: written(
            p, "a.mat", b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(9 * 10**6)
        ),
        "analyze",
    ),
    "many cells in one line": (lambda p: written(p, "a.csv", "x," * 5_000_000), "analyze --data"),
    "a quote that never ends": (
        lambda p: written(p, "a.csv", '1,"' + "1\n" * 3_000_000),
        "analyze --data",
    ),
    "a cell of many digits": (
        lambda p: written(p, "a.csv", "1\n2\n" + "9" * 100_000),
        "analyze --data",
    ),
}


READ = ("a size of a text",)
"""What is read: what lies in it is passed over."""


@pytest.mark.parametrize("name", [*CASES, *FILES])
def test_a_hostile_file_is_one_line_and_takes_little(
    name: str, judge: Judge, tmp_path: Path
) -> None:
    make, command = {**CASES, **FILES}[name]
    eye = np.eye(2)
    np.savez(tmp_path / "net.npz", W_rec=eye, W_in=eye, b_rec=eye[0])
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    assert not path.is_file() or path.stat().st_size <= 10**7 + 100

    code, *faults = judge(tmp_path, *command.split(), str(path.relative_to(tmp_path)))

    assert not faults, faults
    assert code == f"exit code {0 if name in READ else 2}"
