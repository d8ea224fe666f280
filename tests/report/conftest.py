"""Analyses of every kind, small, for everything that shows them."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.data.batch import Baseline
from gradscope.diagnosis.growth import CauseRates
from gradscope.learning.history import History, NonFinite, Stop
from gradscope.names import ActivationName, InitializerName, TaskName
from tests.present import present

SMALL = Settings(hidden=4, steps=12, updates=3, sequences=3, batch=4)

CHANGES: Mapping[str, Mapping[str, object]] = {
    "trained": {},
    "untrained": {"updates": 0},
    "exactly zero": {"activation": ActivationName.HARD_TANH, "gain": 100.0, "updates": 0},
    "zero weights": {"gain": 0.0, "updates": 0},
    "exploding": {"activation": ActivationName.IDENTITY, "gain": 1e40},
    "isometric": {
        "activation": ActivationName.IDENTITY,
        "init": InitializerName.IDENTITY,
        "updates": 0,
    },
    "vanishing": {"activation": ActivationName.SIGMOID},
    "one lag": {"steps": 1, "updates": 0},
    "copy": {"task": TaskName.COPY, "steps": 21},
    "one sequence": {"sequences": 1, "hidden": 1},
    "clipped": {"clip_norm": 0.1},
}


@pytest.fixture(scope="session")
def analyses() -> dict[str, Analysis]:
    """Return finished analyses by what is special about them."""
    found = {name: analyze(SMALL.with_changes(change)) for name, change in CHANGES.items()}
    found["odd names"] = with_odd_names(found["trained"])
    found["overflow in training"] = with_overflow(found["trained"])
    return found


def with_odd_names(analysis: Analysis) -> Analysis:
    task_info = dataclasses.replace(
        analysis.task_info,
        description="predict the next value of [bold]x[/bold]\nand\x1b[31m y | z (a  b.csv)",
        required_lag=None,
        baseline=Baseline(0.5, "a very long baseline " * 6),
    )
    return dataclasses.replace(analysis, task_info=task_info)


def with_overflow(analysis: Analysis) -> Analysis:
    """Return an analysis whose training stopped, and whose error and gradient are no numbers."""
    history = History(
        np.array([1.0]),
        np.array([2.0]),
        np.array([True]),
        1,
        Stop.NOT_FINITE,
        NonFinite(2, 7, "output"),
    )
    last = dataclasses.replace(
        analysis.last,
        error=math.inf,
        causes=CauseRates(None, None, None, None, None),
        gradient=dataclasses.replace(present(analysis.last.gradient), norm=math.inf),
    )
    return dataclasses.replace(analysis, training=history, stages=(analysis.stages[0], last))


@pytest.fixture(params=[*CHANGES, "odd names", "overflow in training"])
def analysis(request: pytest.FixtureRequest, analyses: dict[str, Analysis]) -> Analysis:
    """Return each kind of analysis in turn."""
    return analyses[request.param]
