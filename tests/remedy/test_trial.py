"""Candidates, how those to train are chosen, and when one is said to help."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.errors import SettingError
from gradscope.names import ExecutorName
from gradscope.remedy.candidates import MOST, NOTHING, candidates
from gradscope.remedy.trial import Outcome, judged, plan_trial, run_trial, try_remedies
from gradscope.sweep.executors import Workers

SMALL = Settings(hidden=8, steps=16, delay=8, updates=12, sequences=4, batch=8)
SERIAL = Workers(ExecutorName.SERIAL)
EDGES = [
    ([0.5, 0.5, 0.5], [1.0, 1.0, 1.0], Outcome.HELPS),
    ([0.5, 0.6, 0.4], [1.0, 0.98, 1.02], Outcome.HELPS),
    ([0.5, 0.5, 1.01], [1.0, 1.0, 1.0], Outcome.NO_HELP),
    ([0.5, 0.5, 0.91], [0.9, 0.9, 0.9], Outcome.NO_HELP),
    ([0.85, 0.86, 0.9001], [0.9, 0.9, 0.9], Outcome.NO_HELP),
    ([0.999, 0.999, 0.999], [1.0, 1.0, 1.0], Outcome.NO_HELP),
    ([0.1, 0.9, 0.95], [1.0, 1.0, 1.0], Outcome.NO_HELP),
    ([0.5] * 6 + [1.0], [0.99] * 7, Outcome.NO_HELP),
    ([np.inf, np.inf, np.inf], [1.0, 1.0, 1.0], Outcome.NO_HELP),
    ([0.5, 0.5, 0.5], [np.inf, np.inf, np.inf], Outcome.HELPS),
    ([1.2, 1.2, 1.2], [np.inf, np.inf, np.inf], Outcome.NO_HELP),
    ([0.5, 0.5, np.nan], [1.0, 1.0, 1.0], Outcome.NOT_TRIED),
    ([0.03, 0.03, 0.03], [0.13, 0.32, 0.14], Outcome.HELPS),
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], Outcome.NO_HELP),
    ([0.0, 0.0, 0.0], [0.5, 0.5, 0.5], Outcome.HELPS),
]


@pytest.mark.parametrize(("errors", "nothing", "outcome"), EDGES)
def test_a_change_helps_only_where_it_surely_does(
    errors: list[float], nothing: list[float], outcome: Outcome
) -> None:
    assert judged(np.array(errors), np.array(nothing)) is outcome


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "sigmoid", "center_bias": True},
        {"activation": "relu", "init": "gaussian", "gain": 1.5},
        {"cell": "gru"},
        {"floss": 100, "omega": 0.1},
        {"cell": "lstm", "forget_bias": 2.0},
    ],
)
def test_every_candidate_is_a_network_that_can_be_trained(changes: dict[str, Any]) -> None:
    settings = SMALL.with_changes(changes)
    found = candidates(settings, analyze(settings.with_changes({"updates": 0}), readout=False))
    assert found[0].name == NOTHING
    assert len(found) <= MOST
    made = [settings.with_changes(each.changes).as_dict() for each in found]
    assert all(each not in made[:place] for place, each in enumerate(made))
    assert all(each.source for each in found)


def test_the_best_by_readout_are_trained_where_it_tells() -> None:
    told = plan_trial(SMALL.with_changes({"hidden": 16, "delay": 8}))
    trained = [each for each in told.candidates if not each.why]
    assert told.candidates[0] in trained
    if told.told:
        scores = [each.readout.score or 0.0 for each in told.candidates[1:]]
        assert max(scores) >= 0.2
        assert len(trained) <= 4
    else:
        assert {each.parts for each in trained} <= {0, 1}


def test_it_resumes_and_says_the_same(tmp_path: Path) -> None:
    plan = plan_trial(SMALL, 2)
    first = run_trial(plan, tmp_path / "a.db", workers=SERIAL)
    again = run_trial(plan, tmp_path / "a.db", workers=SERIAL)
    assert first.progress.done == len(plan.cells)
    assert (again.progress.done, again.progress.kept) == (0, len(plan.cells))
    for one, other in zip(first.tried, again.tried, strict=True):
        assert one.candidate.name == other.candidate.name
        np.testing.assert_array_equal(one.errors, other.errors)


def test_nothing_is_as_the_network_is() -> None:
    plan = plan_trial(SMALL, 2)
    found = try_remedies(SMALL, seeds=2, workers=SERIAL)
    for seed, error in enumerate(found.nothing.errors):
        same = plan.settings.with_changes({"seed": seed})
        assert analyze(same).relative_error == pytest.approx(float(error), rel=1e-12)


def test_a_training_that_fails_is_no_help(tmp_path: Path) -> None:
    diverging = SMALL.with_changes({"optimizer": "sgd", "learning_rate": 1e6, "activation": "relu"})
    found = run_trial(plan_trial(diverging, 2), tmp_path / "a.db", workers=SERIAL)
    assert all(
        each.outcome is not Outcome.HELPS for each in found.tried if np.isinf(each.errors).any()
    )


def test_what_is_not_to_be_trained_is_refused() -> None:
    for changes, seeds in (({"updates": 0}, 3), ({}, 1)):
        with pytest.raises(SettingError):
            plan_trial(SMALL.with_changes(changes), seeds)


def test_other_updates_are_other_cells() -> None:
    plan = plan_trial(SMALL, 2)
    longer = replace(plan, settings=plan.settings.with_changes({"updates": 30}))
    assert not {each.key for each in plan.cells} & {each.key for each in longer.cells}


def test_clipping_is_tried_alone_and_for_the_updates_of_all() -> None:
    exploding = SMALL.with_changes({"activation": "relu", "init": "gaussian", "gain": 3.0})
    found = candidates(exploding, analyze(exploding.with_changes({"updates": 0})))

    clipped = [each for each in found if "clip_norm" in each.changes]
    assert [each.parts for each in clipped] == [1]
    assert not any("updates" in each.changes for each in found)


def test_a_baseline_without_an_error_leaves_nothing_to_try() -> None:
    with pytest.raises(SettingError, match="baseline"):
        plan_trial(SMALL.with_changes({"delay": 0}))
