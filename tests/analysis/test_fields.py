"""An analysis flattened: every name once, every null with its reason, every store column filled."""

import numpy as np
import pytest

import gradscope
from gradscope.analysis.fields import (
    LOG10,
    ZERO_PRODUCT,
    Field,
    fields,
    nested,
    stage_fields,
)
from gradscope.analysis.results import Analysis
from gradscope.arrays import plain
from gradscope.sweep.cell import COLUMNS, CURVES, flatten

SMALL = gradscope.Settings(hidden=4, steps=8, sequences=3, batch=4, updates=2)
ABSENT_BY_CHOICE = {"baseline", "required_lag", "non_finite", "step", "training", "rate_between"}
EXPLAINED_ONCE = {"weights", "slope_ceiling", "misalignment", "saturation"}
"""Causes, whose total has the reason for all of them."""


@pytest.fixture(scope="module", params=[{}, {"gain": 0.0}, {"steps": 1, "updates": 0}])
def analysis(request: pytest.FixtureRequest) -> Analysis:
    found: Analysis = gradscope.analyze(SMALL.with_changes(request.param))
    return found


def test_every_name_stands_once(analysis: Analysis) -> None:
    names = [field.name for field in fields(analysis)]

    assert len(names) == len(set(names))


def test_every_value_that_is_null_has_a_reason(analysis: Analysis) -> None:
    for field in fields(analysis):
        last = field.name.rpartition(".")[2]
        if last not in ABSENT_BY_CHOICE | EXPLAINED_ONCE:
            value = plain(field.value)
            missing = value is None or (isinstance(value, list) and None in value)
            assert not missing or field.why_null, field.name


def test_every_column_of_a_store_has_a_field() -> None:
    changes = (
        {"gain": 0.01, "spectrum": True},
        {"cell": "gru"},
        {"dt": 0.1, "tau": 0.2},
    )  # one has a horizon and exponents, one a gated cell's causes, one other units of time
    analyses = [gradscope.analyze(SMALL.with_changes(each)) for each in changes]

    filled = {name for each in analyses for name, v in flatten(each).items() if v is not None}
    assert filled == {*COLUMNS, *CURVES}


def test_a_norm_is_given_as_log10_and_keeps_its_infinity() -> None:
    analysis = gradscope.analyze(SMALL.with_changes({"gain": 0.0, "updates": 0}))

    found = {field.name: field for field in stage_fields(analysis.last)}
    median = found["profile.log10_norm.median"]
    assert (median.unit, median.why_null, median.last) == (LOG10, ZERO_PRODUCT, None)
    assert np.isneginf(median.value).all()


def test_nested_objects_put_a_reason_behind_the_last_field_that_shares_it() -> None:
    curves = [
        Field("size", 2),
        Field("norm.low", np.array([0.0, -np.inf]), LOG10, "zero"),
        Field("norm.high", np.array([0.0, 1.0]), LOG10, "zero"),
        Field("end", np.array([]), LOG10, "empty"),
    ]
    names = {"norm.low": "norm_null_because", "norm.high": "norm_null_because"}

    assert list(nested(curves, names).items()) == [
        ("size", 2),
        ("norm", {"low": [0.0, None], "high": [0.0, 1.0]}),
        ("norm_null_because", "zero"),
        ("end", []),
    ]
    assert curves[3].last is None
    assert (curves[1].last, curves[2].last) == (None, 1.0)
