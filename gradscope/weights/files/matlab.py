"""A MATLAB file (``.mat``): its numeric matrices, by name.

Up to version 7 it is MATLAB's own format, read by ``matlab_classic``; version 7.3 is HDF5 with the
dimensions in reverse, read by h5py. Structs, cells and objects are left out: MATLAB saves the
fields of a struct as variables with ``save('weights.mat', '-struct', 'net')``. Source for 7.3:
files as MATLAB writes them (attribute ``MATLAB_class``).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from gradscope.weights.files.contents import (
    FileFormat,
    Gathering,
    WeightFile,
    needing,
    reading,
)
from gradscope.weights.files.hdf5 import data_sets, open_hdf5
from gradscope.weights.files.matlab_v5 import HEADER_5, NUMERIC, Matrix, matrices_4, matrices_5

REMEDY = "save it again in MATLAB: save('weights.mat', 'W', 'U', 'b', '-v7')"
NUMERIC_73 = frozenset({*NUMERIC.values(), "logical"})
SIGNATURE_73 = b"MATLAB 7.3 MAT-file"
SIGNATURE_5 = b"MATLAB 5.0 MAT-file"


def read_matlab(path: Path, file: BinaryIO) -> WeightFile:
    """Read every matrix of real numbers in a MATLAB file.

    Returns
    -------
    WeightFile
        Matrices are 2-D, as MATLAB has them: a vector is (n,1) or (1,n).

    Raises
    ------
    WeightsError
        If it is damaged, or h5py is needed and not installed.
    """
    gathering = Gathering.of(path)
    with reading(path, "a MATLAB file", REMEDY):
        start = file.read(HEADER_5)
        file.seek(0)
        if start.startswith(SIGNATURE_73):
            _read_hdf5(file, gathering)
        elif start.startswith(SIGNATURE_5):
            _keep(matrices_5(file.read(), gathering.budget), gathering)
        else:
            _keep(matrices_4(file.read()), gathering)
    return gathering.finish(FileFormat.MATLAB, {})


def _keep(matrices: Iterable[Matrix], gathering: Gathering) -> None:
    for matrix in matrices:
        if not matrix.name:
            continue  # MATLAB's own note on objects
        if matrix.numbers is None:
            gathering.skip(matrix.name, matrix.matlab_class)
        else:
            gathering.keep(matrix.name, matrix.numbers)


def _read_hdf5(source: BinaryIO, gathering: Gathering) -> None:
    """Gather the matrices of a version 7.3 file, their dimensions put back in MATLAB's order."""
    with needing("h5py", "matlab"):
        import h5py  # type: ignore[import-untyped]
    with open_hdf5(h5py, source) as file:
        for name, data_set in data_sets(h5py, file):
            if name.startswith("#"):
                continue  # MATLAB's own store of what cells and structs refer to
            matlab_class = data_set.attrs.get("MATLAB_class", b"")
            matlab_class = matlab_class.decode() if isinstance(matlab_class, bytes) else "unknown"
            if matlab_class not in NUMERIC_73 or data_set.dtype.kind not in "biuf":
                gathering.skip(name, matlab_class or "unknown")
            elif "MATLAB_empty" not in data_set.attrs:
                gathering.budget.spend(data_set.nbytes, name)
                gathering.keep(name.replace("/", "."), data_set[()].T)
