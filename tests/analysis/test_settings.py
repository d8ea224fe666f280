"""Settings: any value gives valid settings or one clear error, and they survive every medium."""

import json
import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.analysis.setting_values import ANY_NUMBER, Group
from gradscope.analysis.settings import (
    SETTINGS,
    Settings,
    check_names,
    flag,
)
from gradscope.errors import SettingError
from gradscope.names import ActivationName, InitializerName, OptimizerName, TaskName
from gradscope.report.provenance.records import settings_to_toml

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**400),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.one_of(st.text(), st.integers(), st.floats()), max_size=3),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)

# TOML holds every text but lone surrogates, which no file can hold as UTF-8 either.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def valid_settings(draw: st.DrawFn) -> Settings:
    """Draw settings that do not contradict each other."""

    def real(name: str, *, at_most: float = 1e12) -> st.SearchStrategy[float]:
        low, high, _ = SETTINGS[name].limits
        return st.floats(
            low, min(high, at_most), exclude_min=True, exclude_max=True, allow_subnormal=False
        )

    activation = draw(st.sampled_from(ActivationName))
    steps = draw(st.integers(1, 10_000_000))
    data = draw(st.none() | TEXT)
    return Settings(
        activation=activation,
        hidden=draw(st.integers(1, 100_000)),
        init=draw(st.sampled_from(InitializerName)),
        gain=draw(st.floats(0.0, 1e100)),
        input_scale=draw(st.floats(0.0, 1e100)),
        center_bias=activation is ActivationName.SIGMOID and draw(st.booleans()),
        steps=steps,
        task=draw(st.sampled_from(TaskName)),
        delay=draw(st.none() | st.integers(0, 100)) if data is None else None,
        data=data,
        column=() if data is None else tuple(draw(st.lists(TEXT, max_size=3))),
        validation=draw(real("validation")),
        updates=draw(st.integers(0, 10_000_000)),
        optimizer=draw(st.sampled_from(OptimizerName)),
        learning_rate=draw(st.none() | real("learning_rate")),
        clip_norm=draw(st.none() | real("clip_norm")),
        max_lag=draw(st.none() | st.integers(1, steps)),
        vanishing=draw(real("vanishing")),
        exploding=draw(real("exploding")),
        agreement=draw(real("agreement")),
        seed=draw(st.integers(0, 2**63 - 1)),
        load=draw(st.none() | TEXT),
    )


@given(name=st.sampled_from(list(SETTINGS)), value=ANYTHING)
def test_any_value_gives_valid_settings_or_a_setting_error_of_one_line(
    name: str, value: Any
) -> None:
    settings, complaint = tried(name, value)

    if settings is None:
        assert complaint.startswith("--")
        assert len(complaint) < 1000
        return
    kept = getattr(settings, name)
    if SETTINGS[name].limits != ANY_NUMBER and kept is not None:
        low, high, _ = SETTINGS[name].limits
        assert low <= kept <= high
        assert math.isfinite(kept)


def tried(name: str, value: Any) -> tuple[Settings | None, str]:
    """Return the settings with this value, or what is said against it."""
    try:
        return Settings(**{name: value}), ""
    except SettingError as error:
        return None, str(error)


@given(settings=valid_settings())
def test_settings_survive_json_and_toml(settings: Settings) -> None:
    plain = settings.as_dict()

    through_json = Settings.from_dict(json.loads(json.dumps(plain, allow_nan=False)))
    through_toml = Settings.from_dict(tomllib.loads(settings_to_toml(plain)))

    assert through_json.as_dict() == plain
    assert through_toml.as_dict() == plain


def test_plain_values_are_the_types_that_json_knows() -> None:
    plain = Settings(column=("a",), data="x.csv").as_dict()

    assert list(plain) == list(SETTINGS)
    for value in plain.values():
        assert type(value) in (int, float, str, bool, list, type(None))


@pytest.mark.parametrize(
    ("name", "given_value", "kept"),
    [
        ("hidden", 8.0, 8),
        ("gain", 2, 2.0),
        ("column", "a", ("a",)),
        ("column", ["a", 2], ("a", "2")),
        ("activation", "relu", ActivationName.RELU),
        ("agreement", 1, 1.0),
        ("gain", 0, 0.0),
    ],
)
def test_values_are_taken_as_the_type_of_their_field(
    name: str, given_value: Any, kept: Any
) -> None:
    settings = Settings(**{name: given_value, "data": "x.csv"})

    assert getattr(settings, name) == kept
    assert type(getattr(settings, name)) is type(kept)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip_norm": 1.0, "clip_value": 1.0}, "choose one"),
        ({"steps": 5, "max_lag": 6}, "--max-lag 1 to 5"),
        ({"center_bias": True}, "choose --activation sigmoid"),
        ({"column": ("a",)}, "name the file with --data"),
        ({"data": "x.csv", "delay": 3}, "leave --delay out"),
        ({"hidden": True}, "give a whole number"),
        ({"steps": 2.5}, "give a whole number"),
        ({"gain": math.nan}, "give a finite number"),
        ({"gain": "1"}, "give a number"),
        ({"center_bias": 1}, "choose true or false"),
        ({"data": 3}, "give a text"),
        ({"init": "zeros"}, "choose one of orthogonal, gaussian"),
    ],
)
def test_what_is_wrong_or_contradicts_is_said_with_the_remedy(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        Settings(**changes)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(
        SettingError, match=r"run\.toml: there is no setting 'hiden'; did you mean 'hidden'"
    ):
        check_names({"hiden": 3}, "run.toml")
    with pytest.raises(SettingError, match="see gradscope analyze --help"):
        check_names({"zzz": 3}, "run.toml")


def test_changing_one_setting_validates_them_all() -> None:
    settings = Settings(steps=10, max_lag=10)

    assert settings.with_changes({"hidden": 5}).max_lag == 10
    with pytest.raises(SettingError):
        settings.with_changes({"steps": 9})


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_declares_what_it_decides_and_its_numbers_have_limits(name: str) -> None:
    each = SETTINGS[name]
    decided = [group for group in Group if group in each.group]

    assert len([group for group in decided if group not in Group.IMPORTED | Group.DRAWN]) == 1
    assert not (Group.IMPORTED in each.group and Group.DRAWN in each.group)
    assert (each.limits != ANY_NUMBER) == (each.kind in {int, float})
    assert each.help.endswith(".")
    assert flag(name) == each.flag


def test_no_two_settings_share_a_flag() -> None:
    assert len({each.flag for each in SETTINGS.values()}) == len(SETTINGS)
    assert (flag("max_lag"), flag("map")) == ("--max-lag", "--lag-map")
