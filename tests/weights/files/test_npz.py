"""NumPy archives: our own runs, PsychRNN's networks, and anybody's, none of them unpickled."""

import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.inspect import inspect
from gradscope.arrays import FloatArray
from gradscope.errors import WeightsError
from gradscope.names import StateName
from gradscope.weights.layers.recurrent_layer import Unknown
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_saved_run_of_ours_is_a_layer_with_its_activation(tmp_path: Path) -> None:
    settings = gradscope.Settings(activation="sigmoid", hidden=4, steps=5, updates=0)
    analysis = gradscope.analyze(settings)
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(analysis))

    found = load_weights(path)

    (layer,) = found.layers
    assert (layer.activation, layer.leak, layer.unknown) == ("sigmoid", 1.0, ())
    np.testing.assert_array_equal(layer.recurrent_weights, analysis.params.recurrent_weights)
    assert layer.input_bias is not None
    np.testing.assert_array_equal(layer.input_bias, analysis.params.hidden_bias)
    assert found.readouts[0].name == "output_weights"


def test_a_psychrnn_network_carries_its_preactivation_and_asks_for_the_rest(
    tmp_path: Path,
) -> None:
    # Names, shapes and the pickled None are those that PsychRNN's RNN.save writes.
    rng = np.random.default_rng(0)
    arrays = {
        "init_state": np.full((1, 5), 0.1),
        "W_in": rng.normal(size=(5, 2)),
        "W_rec": rng.normal(size=(5, 5)),
        "W_out": rng.normal(size=(3, 5)),
        "b_rec": np.zeros(5),
        "b_out": np.ones(3),
        "Dale_rec": np.eye(5),
        "rec_connectivity": np.ones((5, 5)),
        "dale_ratio": None,
    }

    found = load_weights(saved(tmp_path / "weights.npz", **arrays))

    (layer,) = found.layers
    assert layer.state is StateName.PRE
    assert layer.unknown == (Unknown.ACTIVATION, Unknown.LEAK)
    np.testing.assert_array_equal(layer.recurrent_weights, arrays["W_rec"])
    np.testing.assert_array_equal(layer.input_weights, arrays["W_in"])
    assert layer.initial_state is not None
    np.testing.assert_array_equal(layer.initial_state, np.full(5, 0.1))
    assert found.file.skipped == {"dale_ratio": "objects, which NumPy pickles"}
    (readout,) = found.readouts
    np.testing.assert_array_equal(readout.output_weights, arrays["W_out"])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (np.zeros((3, 5)), "the initial state of 'W_rec[0]' has shape (3, 5)"),
        (np.full((1, 5), np.inf), "the initial state of 'W_rec[0]': inf at [0]"),
    ],
)
def test_a_first_state_that_does_not_fit_is_refused(
    tmp_path: Path, state: FloatArray, words: str
) -> None:
    weights = {"W_in": np.ones((5, 2)), "W_rec": np.eye(5), "b_rec": np.zeros(5)}
    path = saved(tmp_path / "weights.npz", **weights, init_state=state)

    with pytest.raises(WeightsError, match=re.escape(words)):
        load_weights(path)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("code", ["<f8", ">f8", "<f4", "<f2", "<i4", "|u1", "|b1", "<g"])
def test_every_layout_is_read_as_numpy_reads_it(
    tmp_path: Path, compressed: bool, order: Any, code: str
) -> None:
    array = np.arange(6).reshape(2, 3).astype(code, order=order)
    path = tmp_path / "net.npz"
    (np.savez_compressed if compressed else np.savez)(path, array)

    np.testing.assert_array_equal(read_file(path).arrays["arr_0"], array.astype(np.float64))


def test_what_is_no_real_number_is_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.npz", a="text", b=np.array([1j]), c=np.array(["2020"], "M8[D]"))

    file = read_file(path)

    assert not file.arrays
    assert file.skipped == {"a": "text", "b": "complex128", "c": "datetime64[D]"}


def member(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W.npy", content)
    return path


def npy(shape: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("(2,)", bytes(8)), "takes 16 bytes, but 8 are there"),
        (npy("(9999999999999,)"), "but 0 are there"),
        (npy("(-1, -1)", bytes(8)), "but 8 are there"),
        (npy("(1,)", bytes(16)), "takes 8 bytes, but 16 are there"),
        (npy("[1]", bytes(8)), "damaged"),
        (npy("__import__('os')"), "damaged"),
        (npy("(1,)", bytes(8), b"\x09\x00"), "damaged"),
        (b"nothing", "damaged"),
        (b"", "damaged"),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        read_file(member(tmp_path / "net.npz", content))

    assert words in str(caught.value)


def test_an_array_that_unfolds_too_far_is_left_out_and_named_where_it_is_missed(
    tmp_path: Path,
) -> None:
    path = member(tmp_path / "net.npz", npy(f"({2**25},)", bytes(2**28)))

    file = read_file(path)

    assert not file.arrays
    assert "2.68e+08 bytes" in file.skipped["W"]
    with pytest.raises(WeightsError, match=r"'W' would unfold to 2.68e\+08 bytes"):
        load_weights(path)


def test_texts_that_are_left_out_are_counted(tmp_path: Path) -> None:
    path, texts = tmp_path / "net.npz", np.zeros(3 * 2**22, "<U1")
    np.savez_compressed(path, a=texts, b=texts)

    with pytest.raises(WeightsError, match=f"'b' would unfold to {texts.nbytes + 128} bytes"):
        read_file(path)


def test_settings_that_are_somebody_elses_text_do_no_harm(tmp_path: Path) -> None:
    arrays = {"input_weights": np.zeros((2, 1)), "recurrent_weights": np.eye(2)}

    asked = (Unknown.ACTIVATION, Unknown.LEAK)
    for text, unknown in (
        ("not JSON", asked),
        ("[1]", asked),
        ('{"activation": 3}', asked[:1]),
        *(
            (f'{{"leak": {leak}}}', asked)
            for leak in ('"x"', "null", "{}", '[1, "a"]', "[1, 1, 1]")
        ),
        ('{"leak": [0.1, 0.2]}', asked[:1]),
    ):
        (layer,) = load_weights(saved(tmp_path / "net.npz", settings=text, **arrays)).layers
        assert layer.unknown == unknown
        assert inspect(tmp_path / "net.npz").layers[0].log_bound is None


def test_an_array_without_a_name_is_refused_with_the_remedy(tmp_path: Path) -> None:
    buffer = BytesIO()
    np.save(buffer, np.eye(2))
    (tmp_path / "W.npy").write_bytes(buffer.getvalue())

    with pytest.raises(WeightsError, match="single array without a name"):
        read_file(tmp_path / "W.npy")
