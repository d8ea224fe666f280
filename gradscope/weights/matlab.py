"""A MATLAB file (``.mat``): its numeric matrices, by name.

Up to version 7 it is MATLAB's own format, read by SciPy; version 7.3 is HDF5 with the dimensions in
reverse, read by h5py. Structs and objects are left out. Source: MathWorks, "MAT-File Level 5 File
Format"; for 7.3, files as MATLAB writes them (attribute ``MATLAB_class``).
"""

import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gradscope.weights.contents import (
    Budget,
    FileFormat,
    Gathering,
    WeightFile,
    library,
    naming,
    reading,
)
from gradscope.weights.hdf5 import data_sets

REMEDY = "save it again in MATLAB: save('weights.mat', 'W', 'U', 'b', '-v7')"
NUMERIC = frozenset(
    {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
)
SIGNATURE_73 = b"MATLAB 7.3 MAT-file"
SIGNATURE_5 = b"MATLAB 5.0 MAT-file"
HEADER_5 = 128
TAG = 8
COMPRESSED = 15
"""The type ``miCOMPRESSED`` of an element: zlib around another."""

CHUNK = 2**20


def read_matlab(path: Path) -> WeightFile:
    """Read every matrix of real numbers in a MATLAB file.

    Returns
    -------
    WeightFile
        Matrices are 2-D, as MATLAB has them: a vector is (n,1) or (1,n).

    Raises
    ------
    WeightsError
        If it is damaged, or SciPy or h5py is needed and not installed.
    """
    gathering = Gathering.of(path)
    with reading(path, "a MATLAB file", REMEDY), path.open("rb") as file:
        start = file.read(HEADER_5)
        if start.startswith(SIGNATURE_73):
            _read_hdf5(path, gathering)
        else:
            if start.startswith(SIGNATURE_5):
                _check_unfolding(file, start, Budget(path))
            _read_classic(path, gathering)
    return gathering.finish(FileFormat.MATLAB, {})


def _read_classic(path: Path, gathering: Gathering) -> None:
    """Gather the matrices of a file up to version 7, one by one, each counted by its header."""
    scipy_io = library("scipy.io", "matlab", path)
    for name, shape, matlab_class in scipy_io.whosmat(str(path), appendmat=False):
        if matlab_class not in NUMERIC:
            gathering.skip(name, matlab_class)
            continue
        gathering.budget.spend(8 * math.prod(int(n) for n in shape), name)
        matrix = np.asarray(
            scipy_io.loadmat(str(path), variable_names=[name], appendmat=False)[name]
        )
        if matrix.dtype.kind not in "biuf":
            gathering.skip(name, "complex numbers" if matrix.dtype.kind == "c" else matlab_class)
        else:
            gathering.keep(name, matrix)


def _check_unfolding(file: BinaryIO, header: bytes, budget: Budget) -> None:
    """Count what the compressed elements of a version 5 file unfold to, without keeping it."""
    byte_order: Any = "little" if header[126:128] == b"IM" else "big"
    while len(tag := file.read(TAG)) == TAG:
        kind, n_bytes = (int.from_bytes(tag[at : at + 4], byte_order) for at in (0, 4))
        if kind != COMPRESSED:
            file.seek(n_bytes, 1)
            continue
        unfolder = zlib.decompressobj()
        waiting = file.read(n_bytes)
        while waiting and not unfolder.eof:
            unfolded = unfolder.decompress(waiting, CHUNK)
            budget.spend(len(unfolded), "a compressed variable")
            waiting = unfolder.unconsumed_tail


def _read_hdf5(path: Path, gathering: Gathering) -> None:
    """Gather the matrices of a version 7.3 file, their dimensions put back in MATLAB's order."""
    h5py = library("h5py", "matlab", path)
    with h5py.File(path, "r") as file, naming(str(path)):
        for name, data_set in data_sets(h5py, file):
            if name.startswith("#"):
                continue  # MATLAB's own store of what cells and structs refer to
            matlab_class = data_set.attrs.get("MATLAB_class", b"")
            matlab_class = matlab_class.decode() if isinstance(matlab_class, bytes) else "unknown"
            if matlab_class not in NUMERIC or data_set.dtype.kind not in "biuf":
                gathering.skip(name, matlab_class or "unknown")
            elif "MATLAB_empty" not in data_set.attrs:
                gathering.budget.spend(data_set.nbytes, name)
                gathering.keep(name.replace("/", "."), np.asarray(data_set).T)
