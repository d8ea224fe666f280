"""One small finished analysis, shared by the tests that only look at it."""

import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings

SMALL = Settings(hidden=4, steps=6, updates=3, sequences=2, batch=4)


@pytest.fixture(scope="session")
def small() -> Settings:
    return SMALL


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    return analyze(SMALL)
