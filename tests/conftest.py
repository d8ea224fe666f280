"""What all tests share: limits that do not depend on the machine, and what is said of skips."""

import importlib
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, settings

from gradscope.names import ActivationName
from tests.skips import absent_frameworks, skip_line

os.environ.setdefault("KERAS_BACKEND", "torch")  # The one backend that the tests bring.

# No example fails for being slow: a machine may be busy. Examples of one test share its folder, and
# overwrite its one file.
settings.register_profile(
    "gradscope",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("gradscope")


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
    """Say in one line what was skipped, how much, and what runs it."""
    skips = terminalreporter.stats.get("skipped", [])
    if skips:
        reasons = [str(each.longrepr[2]) for each in skips]
        terminalreporter.write_line(skip_line(reasons, absent_frameworks()))


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
        ActivationName.ELU: lambda a: anp.where(a > 0.0, a, anp.exp(a) - 1.0),
        ActivationName.SELU: lambda a: (
            1.0507009873554805 * anp.where(a > 0.0, a, 1.6732632423543772 * (anp.exp(a) - 1.0))
        ),
        ActivationName.SILU: lambda a: a / (1.0 + anp.exp(-a)),
        ActivationName.SOFTSIGN: lambda a: a / (1.0 + anp.abs(a)),
        ActivationName.HARD_SIGMOID: lambda a: anp.clip(a + 3.0, 0.0, 6.0) / 6.0,
        ActivationName.HARD_SIGMOID_02: lambda a: anp.clip(0.2 * a + 0.5, 0.0, 1.0),
    }
