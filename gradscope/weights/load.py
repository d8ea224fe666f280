"""The entry: which reader a file needs is told by its first bytes, and only then by its name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

from gradscope.data.columns import listed
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import FileFormat, WeightFile, naming, reading
from gradscope.weights.files.keras import CONFIG_MEMBER, WEIGHTS_MEMBER, read_keras, read_keras_h5
from gradscope.weights.files.matlab import SIGNATURE_5, SIGNATURE_73, read_matlab
from gradscope.weights.files.npz import ENDING, read_npz
from gradscope.weights.files.pytorch import read_pytorch
from gradscope.weights.files.safetensors import read_safetensors
from gradscope.weights.layers.keras_names import keras_layers, keras_readouts
from gradscope.weights.layers.known_names import named_layers, named_readouts
from gradscope.weights.layers.manual_names import (
    candidates,
    mapped_layer,
    parse_mapping,
    suggested_options,
)
from gradscope.weights.layers.recurrent_layer import FoundNetwork
from gradscope.weights.layers.torch_names import torch_layers, torch_readouts

READABLE = ".npz, .pt, .pth, .safetensors, .keras, .weights.h5, .h5 or .mat"
ZIP, HDF5, NPY = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number that opens what torch.save wrote before PyTorch 1.6, pickled."""

HEAD = 64

Reader = Callable[[Path, BinaryIO], WeightFile]
"""Reads an open file from its start; the path is for messages and the size."""


def load_weights(
    path: str | Path, mapping: Mapping[str, str] | Sequence[str] | None = None
) -> FoundNetwork:
    """Read somebody else's network: its recurrent layers, in one orientation and order of gates.

    Parameters
    ----------
    path : path
        ``.npz``, ``.pt``/``.pth`` (no PyTorch needed, nothing is run), ``.safetensors``,
        ``.keras``, ``.weights.h5``, ``.h5`` or ``.mat``.
    mapping : mapping of str to str, or sequence of str, optional
        For a hand-written cell: ``{"W": "rnn.h2h.weight", "U": "rnn.i2h.weight"}``, or the same as
        ``["W=rnn.h2h.weight", …]``; see ``weights.layers.manual_names``.

    Returns
    -------
    FoundNetwork
        One layer or more; what the file does not say is None, and listed in ``layer.unknown``.

    Raises
    ------
    WeightsError
        If the file cannot be read, is not safe to read, or holds no recurrent layer.
    """
    found = look_into(path, mapping)
    if not found.layers:
        names = listed(tuple(found.file.arrays))
        raise WeightsError(
            f"{path} holds no recurrent layer under a name that is known, only "
            f"{names or 'nothing numeric'}; name the weights: {suggested_options(found.candidates)}"
        )
    return found


def look_into(
    path: str | Path, mapping: Mapping[str, str] | Sequence[str] | None = None
) -> FoundNetwork:
    """Read a file as ``load_weights`` does, but be content with one that holds no layer."""
    file = read_file(Path(path))
    with naming(str(path)):
        return _recognise(file, mapping)


def _recognise(file: WeightFile, mapping: Mapping[str, str] | Sequence[str] | None) -> FoundNetwork:
    close = candidates(file)
    if mapping:
        named = mapping if isinstance(mapping, Mapping) else parse_mapping(mapping)
        layer, readout = mapped_layer(file, named)
        return FoundNetwork(file, (layer,), () if readout is None else (readout,), close)
    if file.format is FileFormat.KERAS:
        layers = tuple(keras_layers(file))
        return FoundNetwork(file, layers, tuple(keras_readouts(file, layers)), close)
    by_torch, by_name = tuple(torch_layers(file)), tuple(named_layers(file))
    readouts = (*torch_readouts(file, by_torch), *named_readouts(file, by_name))
    return FoundNetwork(file, by_torch + by_name, readouts, close)


def read_file(path: Path) -> WeightFile:
    """Read the arrays of a file with the reader that fits its content.

    Raises
    ------
    WeightsError
        If there is no such file, or no reader for it.
    """
    if not path.exists():
        raise WeightsError(f"{path} does not exist; check the name")
    if not path.is_file():
        raise WeightsError(f"{path} is a folder or a device; name a file of weights ({READABLE})")
    try:
        with path.open("rb") as file:
            reader = _reader(path, file)
            file.seek(0)
            return reader(path, file)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}; check its permissions"
        ) from None


def _reader(path: Path, file: BinaryIO) -> Reader:
    """Return the reader for an open file."""
    head = file.read(HEAD)
    if head.startswith(ZIP):
        return _reader_of_zip(path, file)
    if head.startswith(HDF5):
        return read_keras_h5
    if head.startswith((SIGNATURE_5, SIGNATURE_73)):
        return read_matlab
    if head[8:9] == b"{":
        return read_safetensors
    if head.startswith(OLD_TORCH):
        raise WeightsError(
            f"{path} is in PyTorch's format from before 1.6, a bare pickle, which is not read; "
            "convert it where it is trusted: torch.save(torch.load('old.pt'), 'new.pt')"
        )
    if head.startswith(NPY):
        raise WeightsError(
            f"{path} is a single array without a name; save all of them: "
            "numpy.savez('weights.npz', W=W, U=U, b=b)"
        )
    if path.suffix.lower() == ".mat":  # Version 4 has no signature
        return read_matlab
    if head.startswith(b"\x80"):
        raise WeightsError(
            f"{path} is a bare pickle, which could run anything when read; save the arrays: "
            "numpy.savez('weights.npz', W=W, U=U, b=b)"
        )
    raise WeightsError(f"{path} is none of the files that are read; give a {READABLE}")


def _reader_of_zip(path: Path, file: BinaryIO) -> Reader:
    """Return the reader for a zip, told by its members."""
    with reading(path, "a zip of weights", "copy or save it again"), ZipFile(file) as archive:
        names = archive.namelist()
    if WEIGHTS_MEMBER in names or CONFIG_MEMBER in names:
        return read_keras
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return read_pytorch
    if names and all(name.endswith(ENDING) for name in names):
        return read_npz
    raise WeightsError(
        f"{path} is a zip of {listed(tuple(names)) or 'nothing'}, not of weights; give a {READABLE}"
    )
