"""What all tests share: limits that do not depend on the machine, and what is said of skips."""

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, settings

from gradscope.names import ActivationName

os.environ.setdefault("KERAS_BACKEND", "torch")  # The one backend that the tests bring.

# No example fails for being slow: a machine may be busy. Examples of one test share its folder, and
# overwrite its one file.
settings.register_profile(
    "gradscope",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("gradscope")

FRAMEWORKS = ("torch", "keras", "jax")
FRAMEWORK_WORDS = ("torch", "keras", "jax", "tensorflow")

REQUIRED = tuple(os.environ.get("GRADSCOPE_REQUIRE", "").split())
"""What must be there, so that no test skips for want of it: set in CI."""


def pytest_configure() -> None:
    """Refuse to run where something required is missing: its tests would only skip."""
    for name in REQUIRED:
        if name == "chromium":
            if shutil.which(name) is None:
                raise pytest.UsageError(f"{name} is required here (GRADSCOPE_REQUIRE)")
        else:
            importlib.import_module(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how much was skipped, and what runs it."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons = [
        str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        for report in skipped
    ]
    waiting = sum(any(word in reason.lower() for word in FRAMEWORK_WORDS) for reason in reasons)
    absent = [name for name in FRAMEWORKS if importlib.util.find_spec(name) is None]
    remedy = "`make test-frameworks` runs them"
    line = f"skipped: {len(skipped)}"
    if absent and waiting:
        line += f", of which {waiting} want {', '.join(absent)} ({remedy})"
    terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def oracle() -> Mapping[ActivationName, Callable[[Any], Any]]:
    """Return each φ as its textbook formula, for autograd to differentiate."""
    return {
        ActivationName.TANH: anp.tanh,
        ActivationName.SIGMOID: lambda a: 1.0 / (1.0 + anp.exp(-a)),
        ActivationName.RELU: lambda a: anp.maximum(a, 0.0),
        ActivationName.IDENTITY: lambda a: a,
        ActivationName.HARD_TANH: lambda a: anp.clip(a, -1.0, 1.0),
        ActivationName.SOFTPLUS: lambda a: anp.log(1.0 + anp.exp(a)),
    }
