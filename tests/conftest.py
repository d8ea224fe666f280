"""What several folders of tests hold the code against."""

import importlib
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import pytest

from gradscope.names import ActivationName

os.environ.setdefault("KERAS_BACKEND", "torch")  # The one backend that the tests bring.

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
