"""What a forecast answers, on what ground, and that the answers are those of its rule."""

from typing import Any

import pytest

from gradscope.analysis.settings import Settings
from gradscope.errors import SettingError
from gradscope.learning.readout import Readout
from gradscope.names import ActivationName, ErrorName, TaskName
from gradscope.remedy.forecast import (
    FEW_UPDATES,
    SLACK,
    Answer,
    Expectation,
    Ground,
    forecast,
    settings_for,
)

SMALL = Settings(hidden=8, sequences=4, batch=8)

UNREAD = {"readout": Readout(0.19)}


def expected(**changes: Any) -> Expectation:
    usual: dict[str, Any] = {
        "lag": 10,
        "steps": 20,
        "horizon": None,
        "readout": Readout(0.6),
        "squared_signal": 1.0,
        "up_to": False,
        "error": ErrorName.SQUARED,
        "updates": (100, 1000),
    }
    return Expectation(**(usual | changes))


@pytest.mark.parametrize(
    ("changes", "updates", "answer"),
    [
        ({}, 1000, (Answer.YES, Ground.READOUT)),
        ({}, 100, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"readout": Readout(0.19)}, 1000, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"readout": Readout(None, "few rows")}, 1000, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"horizon": 9}, 1000, (Answer.NO, Ground.HORIZON)),
        ({"horizon": 10}, 1000, (Answer.YES, Ground.READOUT)),
        ({"squared_signal": 2.9e-3}, 1000, (Answer.YES, Ground.READOUT)),
        ({"squared_signal": 2.9e-2}, 100, (Answer.UNDECIDED, Ground.NOTHING)),
        (UNREAD | {"squared_signal": 2.9e-3}, 1000, (Answer.NO, Ground.SIGNAL)),
        (UNREAD | {"squared_signal": 3.1e-3}, 1000, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"up_to": True}, 1000, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"up_to": True, "horizon": 9}, FEW_UPDATES, (Answer.NO, Ground.HORIZON)),
        ({"up_to": True, "horizon": 9}, FEW_UPDATES + 1, (Answer.UNDECIDED, Ground.NOTHING)),
        ({"error": ErrorName.CROSS_ENTROPY}, 1000, (Answer.UNDECIDED, Ground.NOTHING)),
    ],
)
def test_each_answer_has_its_ground(
    changes: dict[str, Any], updates: int, answer: tuple[Answer, Ground]
) -> None:
    assert expected(**changes).answer(updates) == answer


def test_what_is_promised_is_what_the_readout_leaves() -> None:
    assert expected().promised_error(1000) == pytest.approx(0.4 + SLACK)
    assert expected().promised_error(100) is None
    assert expected(horizon=3).promised_error(1000) is None


@pytest.mark.parametrize("task", [TaskName.RECALL, TaskName.ADDING, TaskName.TEMPORAL_ORDER])
def test_the_task_is_set_up_to_need_the_lag(task: TaskName) -> None:
    found = forecast(SMALL.with_changes({"task": task}), [6, 12], [50])
    assert [each.lag for each in found] == [6, 12]
    for each in found:
        settings = settings_for(SMALL.with_changes({"task": task}), each.lag)
        assert each.steps == settings.steps > each.lag
        assert each.up_to is (task is not TaskName.RECALL)


def test_a_series_keeps_its_data() -> None:
    series = SMALL.with_changes(
        {"data": "sample_runs/data/sunspots.csv", "column": ("SUNACTIVITY",)}
    )
    (found,) = forecast(series.with_changes({"steps": 20}), [11], [50])
    assert (found.steps, found.up_to) == (20, True)


def test_a_sigmoid_net_does_not_reach_far() -> None:
    sigmoid = Settings(activation=ActivationName.SIGMOID, hidden=16, sequences=4)
    near, far = forecast(sigmoid, [2, 30], [300])
    assert near.horizon is None or near.horizon >= 2
    assert far.answer(300) == (Answer.NO, Ground.HORIZON)


@pytest.mark.parametrize(
    ("changes", "lags", "budgets"),
    [
        ({}, [0], [10]),
        ({}, [5], [0]),
        ({"task": "sine"}, [5], [10]),
        ({"load": "run.npz"}, [5], [10]),
    ],
)
def test_what_cannot_be_asked_is_refused(
    changes: dict[str, Any], lags: list[int], budgets: list[int]
) -> None:
    with pytest.raises(SettingError):
        forecast(SMALL.with_changes(changes), lags, budgets)
