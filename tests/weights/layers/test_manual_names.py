"""Hand-written cells: letters become parameters, shapes are checked, candidates suggested."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.layers.manual_names import parse_mapping
from gradscope.weights.layers.recurrent_layer import Unknown
from gradscope.weights.load import load_weights, look_into

RNG = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "embed.weight": RNG.normal(size=(9, 9)),
    "i2h.weight": RNG.normal(size=(4, 2)),
    "rnn.h2h.weight": RNG.normal(size=(4, 4)),
    "rnn.h2h.bias": RNG.normal(size=(1, 4)),
    "rows": RNG.normal(size=(2, 4)),
    "out.weight": RNG.normal(size=(3, 4)),
    "out.bias": RNG.normal(size=3),
}
NAMED = ["W=rnn.h2h.weight", "U=i2h.weight"]


def saved(path: Path, **more: Any) -> Path:
    np.savez(path, **ARRAYS, **more)
    return path


def test_a_hand_written_cell_is_named_by_letters(tmp_path: Path) -> None:
    pairs = [*NAMED, "b=rnn.h2h.bias", "V=out.weight", "c=out.bias"]

    found = load_weights(saved(tmp_path / "net.npz"), pairs)

    (layer,), (readout,) = found.layers, found.readouts
    assert layer.cell is CellName.ELMAN
    assert layer.unknown == (Unknown.ACTIVATION, Unknown.LEAK, Unknown.STATE)
    np.testing.assert_array_equal(layer.recurrent_weights, ARRAYS["rnn.h2h.weight"])
    np.testing.assert_array_equal(layer.input_weights, ARRAYS["i2h.weight"])
    assert layer.input_bias is not None
    np.testing.assert_array_equal(layer.input_bias, ARRAYS["rnn.h2h.bias"][0])
    np.testing.assert_array_equal(readout.output_weights, ARRAYS["out.weight"])


def test_t_after_a_name_turns_the_array(tmp_path: Path) -> None:
    (layer,) = load_weights(saved(tmp_path / "net.npz"), ["W=rnn.h2h.weight.T", "U=rows.T"]).layers

    np.testing.assert_array_equal(layer.recurrent_weights, ARRAYS["rnn.h2h.weight"].T)
    np.testing.assert_array_equal(layer.input_weights, ARRAYS["rows"].T)


def test_a_name_that_ends_so_by_itself_is_not_turned(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.npz", **{"rnn.h2h.weight.T": np.diag([1.0, 2.0, 3.0, 4.0])})

    (layer,) = load_weights(path, ["W=rnn.h2h.weight.T", "U=i2h.weight"]).layers

    np.testing.assert_array_equal(layer.recurrent_weights, np.diag([1.0, 2.0, 3.0, 4.0]))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["W"], "--weight-map is 'W'; write LETTER=NAME"),
        (["=a"], "write LETTER=NAME"),
        (["W="], "write LETTER=NAME"),
        (["Q=a"], "each letter of W, U, b, h0, V, c once"),
        (["W=a", "W=b"], "--weight-map is 'W=b'; write LETTER=NAME, each letter"),
        (["W=rnn.h2h.weight"], "the mapping has no U"),
        (["W=rnn.h2h.weight / 0", NAMED[1]], "is not finite"),
        (["W=1e999 * rnn.h2h.weight", NAMED[1]], "is not finite"),
        (["b=rnn.h2h.bias"], "the mapping has no W; name both"),
        (["W=rnn.h2hh.weight", NAMED[1]], "did you mean 'rnn.h2h.weight'?"),
        (["W=out.weight", NAMED[1]], "has shape (3, 4), but (H, H) is needed"),
        (["W=out.bias", NAMED[1]], "has shape (3,), but (H, H) is needed"),
        ([NAMED[0], "U=rows"], "transposed it fits: write 'U=(rows).T'"),
        ([NAMED[0], "U=i2h.weight.T"], "transposed it fits: write 'U=(i2h.weight.T).T'"),
        (
            [NAMED[0], "U=embed.weight"],
            "has shape (9, 9), but (4, D) is needed; gradscope inspect FILE",
        ),
        ([*NAMED, "b=out.bias"], "has shape (3,), but (4,) is needed"),
        ([*NAMED, "V=rows.T"], "has shape (4, 2), but (O, 4) is needed"),
        ([*NAMED, "V=out.weight", "c=rnn.h2h.bias"], "has shape (4,), but (3,) is needed"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_what_would(
    tmp_path: Path, pairs: list[str], words: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        load_weights(saved(tmp_path / "net.npz"), pairs)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_of_letters_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="--weight-map is 'Z=c'"):
        load_weights(saved(tmp_path / "net.npz"), {"W": "a", "U": "b", "Z": "c"})


def test_candidates_are_square_for_w_and_share_a_side_for_u(tmp_path: Path) -> None:
    found = look_into(saved(tmp_path / "net.npz"))

    assert found.candidates.recurrent == ("rnn.h2h.weight", "embed.weight")
    assert found.candidates.input == ("i2h.weight", "rows", "out.weight")


def test_a_file_without_known_names_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"--weight-map W=rnn\.h2h\.weight --weight-map U=i2h\.weight"
    ):
        load_weights(saved(tmp_path / "net.npz"))


PAIRS = st.builds("{}={}".format, st.sampled_from(["W", "U", "b", "Q", ""]), st.text(max_size=5))


@given(st.lists(PAIRS | st.text(max_size=12), max_size=4))
def test_any_text_for_a_mapping_is_read_or_refused(pairs: list[str]) -> None:
    letters = [pair.partition("=")[0] for pair in pairs]
    well_formed = all(pair.partition("=")[2] for pair in pairs) and {"W", "U"} <= set(letters)
    if well_formed and set(letters) <= set("WUbVc") and len(set(letters)) == len(letters):
        assert parse_mapping(pairs) == {pair[0]: pair[2:] for pair in pairs}
    else:
        with pytest.raises(WeightsError, match=r"\A[^\n]*\Z"):
            parse_mapping(pairs)
