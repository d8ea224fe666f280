"""MATLAB's files, old and new, give the same matrices; what is not numeric is left out."""

import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.data.intake import ALWAYS_ALLOWED
from gradscope.errors import WeightsError
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file

MAP = {"W": "W", "U": "U", "b": "b"}


def written_by_scipy(path: Path, arrays: dict[str, Any], **options: Any) -> Path:
    scipy_io = pytest.importorskip("scipy.io", reason="writes MATLAB files up to version 7")
    scipy_io.savemat(path, arrays, **options)
    return path


def written_as_73(path: Path, arrays: dict[str, Any], matlab_class: str = "double") -> Path:
    """Write what MATLAB's ``save -v7.3`` writes: HDF5 after a block of 512 bytes, columns first."""
    h5py = pytest.importorskip("h5py", reason="writes MATLAB files of version 7.3")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.atleast_2d(array).T
            file[name].attrs["MATLAB_class"] = np.bytes_(matlab_class)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: by hand".ljust(124))
        file.write(b"\x00\x02IM")
    return path


def network() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "W": rng.normal(size=(4, 4)),
        "U": rng.normal(size=(4, 2)),
        "b": rng.normal(size=(4, 1)),
    }


@pytest.mark.parametrize("version", ["5", "5 compressed", "7.3"])
def test_every_version_gives_the_same_layer(tmp_path: Path, version: str) -> None:
    arrays, path = network(), tmp_path / "net.mat"
    if version == "7.3":
        written_as_73(path, arrays)
    else:
        written_by_scipy(path, arrays, format=version[0], do_compression="compressed" in version)

    (layer,) = load_weights(path, MAP).layers

    np.testing.assert_array_equal(layer.recurrent_weights, arrays["W"])
    np.testing.assert_array_equal(layer.input_weights, arrays["U"])
    assert layer.input_bias is not None
    np.testing.assert_array_equal(layer.input_bias, arrays["b"][:, 0])


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_small_matrix_of_either_byte_order_is_read(tmp_path: Path, order: Any) -> None:
    # As MATLAB writes whole numbers: doubles kept as bytes, inside the tags of small elements.
    def word(number: int, size: int = 4) -> bytes:
        return number.to_bytes(size, order)

    def small(kind: int, data: bytes) -> bytes:
        halves = (kind, len(data)) if order == "little" else (len(data), kind)
        return b"".join(word(half, 2) for half in halves) + data.ljust(4, b"\0")

    flags = word(6) + word(8) + word(6) + word(0)
    sizes = word(5) + word(8) + word(1) + word(3)
    body = flags + sizes + small(1, b"W") + small(2, bytes([7, 8, 9]))
    mark = b"\x00\x01IM" if order == "little" else b"\x01\x00MI"
    content = b"MATLAB 5.0 MAT-file".ljust(124) + mark + word(14) + word(len(body)) + body
    (tmp_path / "net.mat").write_bytes(content)

    np.testing.assert_array_equal(read_file(tmp_path / "net.mat").arrays["W"], [[7, 8, 9]])


@pytest.mark.parametrize("code", ["<f4", "<i2", "|u1", "|b1"])
def test_every_number_type_is_read(tmp_path: Path, code: str) -> None:
    path = written_by_scipy(tmp_path / "net.mat", {"W": np.eye(3).astype(code)})

    np.testing.assert_array_equal(read_file(path).arrays["W"], np.eye(3))


def test_what_is_not_numeric_is_left_out(tmp_path: Path) -> None:
    arrays = {"s": {"W": np.eye(2)}, "t": "text", "c": np.eye(2) * 1j, "l": np.array([1, "a"], "O")}

    file = read_file(written_by_scipy(tmp_path / "net.mat", arrays))

    assert not file.arrays
    assert file.skipped == {"s": "struct", "t": "char", "c": "complex numbers", "l": "cell"}


def test_text_in_a_new_file_is_left_out(tmp_path: Path) -> None:
    path = written_as_73(tmp_path / "net.mat", {"t": np.array([[72, 105]], "u2")}, "char")

    assert read_file(path).skipped == {"t": "char"}


def test_fields_of_a_struct_in_a_new_file_have_dotted_names(tmp_path: Path) -> None:
    path = written_as_73(tmp_path / "net.mat", {"net/W": np.eye(2)})

    assert set(read_file(path).arrays) == {"net.W"}


@pytest.mark.parametrize("small_header", [False, True])
def test_a_compressed_bomb_is_not_unfolded(tmp_path: Path, small_header: bool) -> None:
    whole = written_by_scipy(tmp_path / "small.mat", {"W": np.eye(2)}).read_bytes()[128:]
    start = whole[:4] + (2**28).to_bytes(4, "little") + whole[8:48] if small_header else b""
    bomb = zlib.compress(start + bytes(2**28), 9)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path = tmp_path / "net.mat"
    tag = (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little")
    path.write_bytes(header + tag + bomb)

    tracemalloc.start()
    file = read_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert not file.arrays
    assert file.skipped.keys() == ({"W"} if small_header else set())
    assert peak < ALWAYS_ALLOWED // 16


def packed(path: Path, *variables: bytes) -> Path:
    """Write a version 5 file of variables, each compressed by itself."""
    whole = [
        zlib.compress(b"\x0e\0\0\0" + len(each).to_bytes(4, "little") + each) for each in variables
    ]
    tagged = [b"\x0f\0\0\0" + len(each).to_bytes(4, "little") + each for each in whole]
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + b"".join(tagged))
    return path


def variable(path: Path, name: str, value: Any) -> bytes:
    """Return what is in an uncompressed variable, without its tag."""
    return written_by_scipy(path, {name: value}).read_bytes()[128 + 8 :]


def test_of_what_is_left_out_the_head_alone_is_unfolded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unfolded, make = tmp_path / "net.mat", list[int](), zlib.decompressobj

    class Counted:
        def __init__(self) -> None:
            self.inner = make()

        def decompress(self, data: Any, at_most: int) -> bytes:
            found = self.inner.decompress(data, at_most)
            unfolded.append(len(found))
            return found

    packed(path, *(variable(path, f"text{i}", "x" * 2**17) for i in range(3)))
    monkeypatch.setattr(zlib, "decompressobj", Counted)

    assert set(read_file(path).skipped.values()) == {"char"}
    assert len(unfolded) == 3
    assert sum(unfolded) < 2**14


def test_what_follows_the_numbers_of_a_variable_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    more = [variable(path, name, np.eye(2)) + bytes(5 * 2**23) for name in ("A", "B")]

    with pytest.raises(WeightsError, match="'B' would unfold to"):
        read_file(packed(path, *more))


def test_a_variable_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = written_by_scipy(tmp_path / "net.mat", {"W": np.eye(3)})
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(WeightsError, match=r"an element of \d+ bytes stands where \d+ are left"):
        read_file(path)


def test_a_matrix_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="writes the file")
    path = written_as_73(tmp_path / "net.mat", {"W": np.eye(2)})
    with h5py.File(path, "r+") as file:
        huge = file.create_dataset("V", shape=(2**20, 2**20), dtype="f8", chunks=(64, 64))
        huge.attrs["MATLAB_class"] = np.bytes_("double")

    assert "8.8e+12 bytes" in read_file(path).skipped["V"]


def test_a_file_of_the_name_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    path.write_bytes(b"no matrix in here at all\0 and no header of MATLAB's either")

    with pytest.raises(WeightsError, match="is not a weight file"):
        read_file(path)


def element(kind: int, data: bytes) -> bytes:
    return (
        kind.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data + bytes(-len(data) % 8)
    )


def opaque(name: bytes, of: bytes) -> bytes:
    """Return a variable that MATLAB's own classes write: no shape, its name, MCOS, its class."""
    flags = element(6, (17).to_bytes(8, "little"))
    texts = b"".join(element(1, each) for each in (name, b"MCOS", of))
    return element(14, flags + texts)


def test_a_new_file_of_objects_alone_is_named_for_what_it_is(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="writes MATLAB files of version 7.3")
    path = written_as_73(tmp_path / "net.mat", {"net": np.ones((1, 6), "u4")}, "dlnetwork")
    with h5py.File(path, "r+") as file:
        file["net"].attrs["MATLAB_object_decode"] = np.int32(3)

    with pytest.raises(WeightsError, match="object of MATLAB's, 'net', and no matrix"):
        read_file(path)


def test_a_file_of_objects_alone_is_named_for_what_it_is(tmp_path: Path) -> None:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    (tmp_path / "net.mat").write_bytes(header + opaque(b"net", b"dlnetwork"))

    with pytest.raises(WeightsError, match="object of MATLAB's, 'net', and no matrix"):
        read_file(tmp_path / "net.mat")


def test_objects_beside_matrices_are_left_out_by_name(tmp_path: Path) -> None:
    written_by_scipy(tmp_path / "net.mat", {"W": np.eye(3)})
    with (tmp_path / "net.mat").open("ab") as end:
        end.write(opaque(b"net", b"dlnetwork"))

    file = read_file(tmp_path / "net.mat")

    assert set(file.arrays) == {"W"}
    assert file.skipped == {"net": "opaque"}
