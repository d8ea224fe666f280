"""``-P NAME=RANGE`` becomes the values that were meant, or one line that names the slip."""

import pytest

from gradscope.errors import SettingError
from gradscope.names import ActivationName
from gradscope.sweep.axes import axes_from_table, parse_axes


def refusal(*texts: str) -> str:
    with pytest.raises(SettingError) as caught:
        parse_axes(texts)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_numbers_are_ranges_with_both_ends_and_words_are_lists() -> None:
    axes = parse_axes(["gain=0.5:3:26", "activation=tanh,sigmoid", "steps=log:10:1000:7"])

    assert list(axes) == ["gain", "activation", "steps"]
    assert len(axes["gain"]) == 26
    assert (axes["gain"][0], axes["gain"][-1]) == (0.5, 3.0)
    assert axes["activation"] == (ActivationName.TANH, ActivationName.SIGMOID)
    assert axes["steps"] == (10, 22, 46, 100, 215, 464, 1000)


def test_a_range_holds_the_numbers_that_people_will_ask_for() -> None:
    # 0.5 + 2.5 * 7 / 25 is 1.2000000000000002 in floating point: `WHERE gain = 1.2` would miss it.
    assert 1.2 in parse_axes(["gain=0.5:3:26"])["gain"]
    assert parse_axes(["learning-rate=log:0.001:1:4"])["learning_rate"] == (0.001, 0.01, 0.1, 1.0)


def test_switches_and_absent_limits_can_be_swept() -> None:
    axes = parse_axes(["center-bias=true,false", "truncate=none,5,10", "clip_norm=1,none"])

    assert axes == {
        "center_bias": (True, False),
        "truncate": (None, 5, 10),
        "clip_norm": (1.0, None),
    }


def test_what_is_said_twice_is_swept_once() -> None:
    assert parse_axes(["gain=1,2,1.0"]) == {"gain": (1.0, 2.0)}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("gain", "as in -P gain=0.5:3:26"),
        ("gain=", "as in -P gain=0.5:3:26"),
        ("gian=1,2", "did you mean 'gain'?"),
        ("gain=1,x", "'x' is not a number"),
        ("gain=1:2", "start:stop:count"),
        ("gain=nan", "not finite"),
        ("activation=tanh,cosine", "there is no 'cosine'"),
        ("steps=1.5,2", "not a whole number"),
        ("center-bias=yes", "choose from true, false"),
        ("gain=1,,2", "an empty part"),
    ],
)
def test_a_slip_is_answered_with_the_remedy(text: str, part: str) -> None:
    assert part in refusal(text)


def test_a_setting_named_twice_is_refused() -> None:
    assert "gain is given twice" in refusal("gain=1", "gain=2")


def test_a_toml_table_gives_ranges_lists_and_single_values() -> None:
    axes = axes_from_table({"gain": "1:2:3", "max-lag": ["none", 5], "steps": 20}, "[sweep]")

    assert axes == {"gain": (1.0, 1.5, 2.0), "max_lag": (None, 5), "steps": (20,)}


def test_an_unknown_name_in_a_toml_table_is_refused() -> None:
    with pytest.raises(SettingError, match="did you mean 'gain'"):
        axes_from_table({"gains": [1]}, "[sweep]")
