"""Keras and HDF5 files that are forged, damaged or of another cell are refused in one line."""

import json
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.errors import WeightsError
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file

h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line


def written(path: Path, fill: Callable[[Any], None]) -> Path:
    with h5py.File(path, "w") as file:
        fill(file)
    return path


def cell(file: Any, place: str, columns: int) -> None:
    file[f"{place}/kernel:0"] = np.zeros((3, columns))
    file[f"{place}/recurrent_kernel:0"] = np.zeros((2, columns))


@pytest.mark.parametrize(
    ("class_name", "columns"), [("PeepholeLSTM", 8), ("LayerNormGRU", 6), ("MyLSTM", 8)]
)
def test_a_cell_of_other_equations_is_refused(
    tmp_path: Path, class_name: str, columns: int
) -> None:
    node = {"class_name": class_name, "config": {"name": "own"}}

    def fill(file: Any) -> None:
        cell(file, "model_weights/own/own", columns)
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"layers": [node]}}
        )

    line = refusal(written(tmp_path / "net.h5", fill))

    assert f"its class is '{class_name}'" in line


def test_a_layer_of_an_unknown_class_is_passed_over_where_another_is_known(tmp_path: Path) -> None:
    nodes = [
        {"class_name": "MyLSTM", "config": {"name": "own"}},
        {"class_name": "LSTM", "config": {"name": "plain"}},
    ]

    def fill(file: Any) -> None:
        cell(file, "model_weights/own/own", 8)
        cell(file, "model_weights/plain/plain", 8)
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"layers": nodes}}
        )

    layers = load_weights(written(tmp_path / "net.h5", fill)).layers

    assert [each.name for each in layers] == ["plain"]


def test_a_bias_of_another_shape_is_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        cell(file, "model_weights/own", 8)
        file["model_weights/own/bias:0"] = np.zeros((3, 8))

    assert "has shape (3, 8)" in refusal(written(tmp_path / "net.h5", fill))


def test_a_link_to_another_file_is_refused_and_not_followed(tmp_path: Path) -> None:
    written(tmp_path / "secret.h5", lambda file: cell(file, "rnn", 2))

    def fill(file: Any) -> None:
        file["rnn"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/rnn")

    assert "'rnn' is a link to elsewhere" in refusal(written(tmp_path / "net.h5", fill))


def test_a_link_within_the_file_is_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["again"] = h5py.SoftLink("/")

    assert "'again' is a link to elsewhere" in refusal(written(tmp_path / "net.h5", fill))


def test_numbers_kept_in_another_file_are_refused_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(32)))

    def fill(file: Any) -> None:
        file.create_dataset("W", (2, 2), "f8", external=[(str(tmp_path / "secret"), 0, 32)])

    assert "'W' keeps its numbers in another file" in refusal(written(tmp_path / "net.h5", fill))


def test_a_virtual_data_set_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "secret.h5", lambda file: file.create_dataset("x", data=np.eye(2)))

    def fill(file: Any) -> None:
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", shape=(2, 2))
        file.create_virtual_dataset("W", layout)

    assert "'W' keeps its numbers in another file" in refusal(written(tmp_path / "net.h5", fill))


def test_a_group_that_holds_itself_is_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["a/b"] = np.eye(2)
        file["a/self"] = file["a"]

    assert "is a link to elsewhere" in refusal(written(tmp_path / "net.h5", fill))


def test_a_data_set_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("W", (2**20, 2**20), "f8", chunks=(64, 64), compression="gzip")

    assert "'W' would unfold to 8.8e+12 bytes" in refusal(written(tmp_path / "net.h5", fill))


def test_a_chunk_that_unfolds_beyond_its_size_is_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        data = file.create_dataset("W", (16,), "f8", chunks=(16,), compression="gzip")
        data.id.write_direct_chunk((0,), zlib.compress(bytes(2**20)))

    assert "do not unfold to 128 bytes" in refusal(written(tmp_path / "net.h5", fill))


def test_what_chunks_hold_beyond_their_data_set_is_counted(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        more: dict[str, Any] = {"maxshape": (None,), "chunks": (3 * 2**22,), "compression": "gzip"}
        for name in ("U", "W"):
            data = file.create_dataset(name, (1,), "f4", **more)
            data[:] = 1.0

    assert "'W' would unfold to 50331648 bytes" in refusal(written(tmp_path / "net.h5", fill))


def test_texts_over_which_hdf5_would_loop_for_ever_are_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        cell(file, "rnn", 2)
        file["rnn"].attrs["name"] = "text of a length of its own"

    path = written(tmp_path / "net.h5", fill)
    raw = bytearray(path.read_bytes())
    free = raw.index(b"text of a length") + 32  # Behind the one text, padded to 8 bytes
    assert int.from_bytes(raw[free + 8 : free + 16], "little") > 0xF00
    for size in (0, 8, 0xF00, 2**40):
        raw[free : free + 16] = bytes(8) + size.to_bytes(8, "little")
        path.write_bytes(raw)
        assert "a collection of texts in it is damaged" in refusal(path)


def test_text_in_a_file_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "net.h5", lambda file: file.create_dataset("note", data="text"))

    assert read_file(path).skipped == {"note": "object"}


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (b"{", b""),
        (b"[" * 200_000, b""),
        (b"{}", b""),
        (b"{}", b"\x89HDF\r\n\x1a\n"),
        (b"{}", b"no HDF5"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, config: bytes, weights: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)

    assert "cannot be read as a Keras model" in refusal(tmp_path / "net.keras")


def test_an_archive_without_weights_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", "{}")

    assert "has no member 'model.weights.h5'" in refusal(tmp_path / "net.keras")


@pytest.mark.parametrize(
    "config",
    [
        "null",
        "[]",
        '{"class_name": 3}',
        '{"class_name": "RNN", "config": {"cell": {"class_name": "X", "config": {"cells": [1]}}}}',
        '{"class_name": "Bidirectional", "config": {"layer": null}}',
        '{"class_name": "Sequential", "config": [null, {"class_name": "A", "config": 1}]}',
    ],
)
def test_a_configuration_of_another_shape_does_no_harm(tmp_path: Path, config: str) -> None:
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file["encoder/cell/vars/0"] = np.zeros((3, 2))
        file["encoder/cell/vars/1"] = np.zeros((2, 2))
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", buffer.getvalue())

    assert [each.name for each in load_weights(tmp_path / "net.keras").layers] == ["encoder"]
