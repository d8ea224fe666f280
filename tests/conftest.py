"""What several folders of tests hold the code against."""

from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import pytest

from gradscope.names import ActivationName


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
