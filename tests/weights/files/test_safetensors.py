"""A safetensors file is read as its own library reads it; a broken layout is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.errors import WeightsError
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file
from tests.weights.forging import safetensors_bytes

GOOD = {"W": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
DATA = np.arange(4, dtype="<f4").tobytes()


def forged(path: Path, header: Any, data: bytes = DATA) -> Path:
    path.write_bytes(safetensors_bytes(header, data))
    return path


def test_the_library_and_the_reader_agree(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="writes the files")
    rng = np.random.default_rng(0)
    arrays = {
        "rnn.weight_ih_l0": rng.normal(size=(9, 2)),
        "rnn.weight_hh_l0": rng.normal(size=(9, 3)).astype(np.float32),
        "rnn.bias_ih_l0": rng.normal(size=9).astype(np.float16),
        "steps": np.array(7),
        "mask": np.array([True, False]),
        "none": np.zeros((0, 4)),
    }
    library.save_file(arrays, tmp_path / "net.safetensors", metadata={"format": "pt"})

    found = load_weights(tmp_path / "net.safetensors")

    assert found.file.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.file.arrays[name], array)
    assert found.file.about == {"metadata": {"format": "pt"}}
    assert found.layers[0].title == "rnn[0]"


@pytest.mark.torch
def test_bfloat16_of_pytorch_is_read_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    library = pytest.importorskip("safetensors.torch", reason="writes the file")
    tensor = torch.randn(4, 3).to(torch.bfloat16)
    library.save_file({"W": tensor}, tmp_path / "net.safetensors")

    array = read_file(tmp_path / "net.safetensors").arrays["W"]

    np.testing.assert_array_equal(array, tensor.double().numpy())


def test_number_types_that_are_not_read_are_left_out(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}

    file = read_file(forged(tmp_path / "net.safetensors", header))

    assert file.skipped == {"a": "numbers of type 'F8_E4M3'"}


def changed(**values: Any) -> dict[str, Any]:
    return {"W": GOOD["W"] | values}


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (GOOD, DATA[:-1], "the header speaks of 16 bytes, but 15 follow"),
        (GOOD, DATA + b"\0", "the header speaks of 16 bytes, but 17 follow"),
        (changed(data_offsets=[1, 17]), DATA + b"\0", "begins at byte 1"),
        (changed(data_offsets=[0, 12]), DATA, "speaks of 12 bytes, but 16 follow"),
        (changed(data_offsets=[16, 0]), DATA, "begins at byte 16"),
        (changed(data_offsets=[-16, 0]), DATA, "has shape"),
        (changed(shape=[2**40, 2**40]), DATA, "damaged"),
        (changed(shape=[-2, -2]), DATA, "has shape"),
        (changed(shape=[2.0, 2]), DATA, "has shape"),
        (changed(shape=[1] * 99), DATA, "has shape"),
        (changed(dtype=["F32"]), DATA, "damaged"),
        (GOOD | {"V": GOOD["W"]}, DATA, "begins at byte 0, but the one before ends at 16"),
        ({"W": {"dtype": "F32"}}, DATA, "damaged"),
        ({"W": 1}, DATA, "damaged"),
        (b"{", DATA, "damaged"),
        (b'{"W": 1, "W": 1}', DATA, "names a tensor twice"),
        (b'{"a":' * 100_000, DATA, "damaged"),
    ],
)
def test_a_broken_layout_is_refused(tmp_path: Path, header: Any, data: bytes, words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_file(forged(tmp_path / "net.safetensors", header, data))

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes((2**60).to_bytes(8, "little") + b'{"W": 1}')

    with pytest.raises(WeightsError, match="is said to have 1152921504606846976 bytes"):
        read_file(path)
