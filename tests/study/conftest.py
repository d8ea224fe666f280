"""One small finished analysis, shared by the tests that only look at it."""

import pytest

from gradscope.study.config import Settings
from gradscope.study.results import Analysis
from gradscope.study.study import analyze

SMALL = Settings(hidden=4, steps=6, updates=3, sequences=2, batch=4)


@pytest.fixture(scope="session")
def small() -> Settings:
    return SMALL


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    return analyze(SMALL)
