"""The names that scripts and notebooks rest on are importable from ``gradscope`` itself."""

import inspect

import numpy as np
import pytest

import gradscope

PROMISED = {
    "ElmanChain": ("slopes", "recurrent_weights", "leak"),
    "DenseChain": ("jacobians",),
    "lag_norms": ("chain", "max_lag", "tolerance"),
    "lag_map": ("chain", "tolerance"),
    "singular_values": ("chain", "lags", "count"),
    "lyapunov_exponents": ("chain", "count"),
    "gradient_shares": ("params", "trajectory", "targets"),
    "causes": ("chain",),
    "diagnose": (),
    "load_weights": ("path",),
    "settings_of_weights": ("values",),
    "analyze": ("settings",),
    "compare": ("settings",),
    "run_sweep": (),
    "readout_score": ("states", "targets"),
    "try_remedies": ("settings", "seeds", "store", "workers"),
    "forecast": ("settings", "lags", "budgets"),
}
"""Each promised name, with the parameters that are promised of it."""


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_name_is_there_with_its_parameters(name: str) -> None:
    parameters = inspect.signature(getattr(gradscope, name)).parameters

    assert set(PROMISED[name]) <= set(parameters)
    assert name in gradscope.__all__


@pytest.mark.parametrize("name", gradscope.__all__)
def test_every_listed_name_loads(name: str) -> None:
    assert getattr(gradscope, name) is not None


def test_the_map_of_all_pairs_ends_in_the_lag_profile() -> None:
    rng = np.random.default_rng(2)
    chain = gradscope.ElmanChain(rng.uniform(0.5, 1.0, (6, 2, 3)), rng.normal(size=(3, 3)))

    found = gradscope.lag_map(chain)

    assert found.log_norms.shape == (7, 7, 2)
    profile = gradscope.lag_norms(chain).log_norms
    np.testing.assert_allclose(found.log_norms[6, 5::-1], profile, rtol=1e-9)
