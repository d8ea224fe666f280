"""Files made by hand, for what no honest program writes."""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Call:
    """Something that unpickling would call: a name and its arguments."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        self.arguments = arguments


class Storage:
    """A persistent id as torch.save writes it."""

    def __init__(self, *identity: Any) -> None:
        self.identity = identity


def text(value: str) -> bytes:
    """Return a string as pickle opcodes."""
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def opcodes(value: Any) -> bytes:
    """Return a value as pickle opcodes; names are written, whether they exist or not."""
    if isinstance(value, Call):
        module, _, attribute = value.name.rpartition(".")
        return f"c{module}\n{attribute}\n".encode() + opcodes(value.arguments) + b"R"
    if isinstance(value, Storage):
        return opcodes(value.identity) + b"Q"
    if isinstance(value, Name):
        module, _, attribute = value.rpartition(".")
        return f"c{module}\n{attribute}\n".encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(opcodes(each) for each in value) + b"t"
    if isinstance(value, dict):
        items = b"".join(opcodes(k) + opcodes(v) for k, v in value.items())
        return b"}(" + items + b"u"
    return pickle.dumps(value, protocol=2)[2:-1]


class Name(str):
    """A global that is mentioned and not called."""

    __slots__ = ()


def tensor(
    *,
    count: Any = 4,
    offset: Any = 0,
    size: Any = (2, 2),
    stride: Any = (2, 1),
    kind: str = "torch.FloatStorage",
    key: Any = "0",
) -> Call:
    """Return a tensor as torch.save writes it, with anything about it changed."""
    storage = Storage("storage", Name(kind), key, "cpu", count)
    hooks = Call("collections.OrderedDict")
    return Call("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def checkpoint(
    path: Path,
    content: Any = None,
    *,
    raw: bytes | None = None,
    members: Mapping[str, bytes] | None = None,
    storage: bytes = np.arange(4, dtype="<f4").tobytes(),
) -> Path:
    """Write a zip as torch.save does, around a value or around raw pickle opcodes."""
    data = raw if raw is not None else b"\x80\x02" + opcodes(content) + b"."
    parts = {"archive/data.pkl": data, "archive/data/0": storage, **(members or {})}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


def safetensors_bytes(header: Any, data: bytes = b"") -> bytes:
    """Return a safetensors file with any header, JSON or bytes."""
    text_of_header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text_of_header).to_bytes(8, "little") + text_of_header + data
