"""Eighteen kinds of network against products in double, eight against extended precision."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from tests.benchmarks.families import COLLAPSING, Family, family_chain
from tests.benchmarks.references import chain_and_norms

HIDDEN, STEPS, LOOK_EVERY = 128, 400, 10

extended = pytest.mark.skipif(
    float(np.finfo(np.longdouble).eps) > 1e-18,
    reason="this machine's long double is no wider than a double",
)


def extended_log_norms(chain: ElmanChain) -> FloatArray:
    """Log σ_max at lags 10, 20, …, from the whole product in long double.

    The leading right singular vector comes from the double nearest to the product; the length of
    what the product makes of it is off by the square of that vector's error.
    """
    product = np.eye(chain.state_size, dtype=np.longdouble)
    weights = chain.recurrent_weights.astype(np.longdouble)
    exponent, found = 0, []
    for lag in range(1, chain.n_steps + 1):
        slopes = chain.slopes[chain.n_steps - lag, 0].astype(np.longdouble)
        product = (product * slopes) @ weights
        shift = int(np.frexp(np.max(np.abs(product)))[1])
        product, exponent = np.ldexp(product, -shift), exponent + shift
        if lag % LOOK_EVERY == 0:
            right = np.linalg.svd(product.astype(np.float64))[2][0].astype(np.longdouble)
            image = product @ right
            squared = (image @ image) / (right @ right)
            found.append(0.5 * np.log(squared) + exponent * np.log(np.longdouble(2.0)))
    return np.array(found, dtype=np.longdouble)


@extended
@pytest.mark.slow
@pytest.mark.parametrize("family", COLLAPSING)
def test_every_family_is_right_to_its_tolerance(family: Family) -> None:
    chain = family_chain(family, HIDDEN, STEPS)
    assert isinstance(chain, ElmanChain)
    exact = extended_log_norms(chain)
    at = slice(LOOK_EVERY - 1, None, LOOK_EVERY)

    for tolerance, limit in ((1e-6, 1e-6), (1e-12, 1e-11)):
        profile = lag_norms(chain, tolerance=tolerance)
        errors = np.abs(np.expm1(profile.log_norms[at, 0] - exact))
        assert errors.max() <= limit
        # The logarithm itself is a double.
        rounding = np.spacing(np.abs(profile.log_norms[at, 0]))
        assert (errors <= profile.certificate[at, 0] + rounding).all()


ROUNDING = 1e-12
"""Relative error of a product of some hundred matrices in double."""


@pytest.mark.parametrize("hidden", [16, 40, pytest.param(72, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", Family)
def test_the_error_is_within_the_tolerance_and_nearly_always_within_its_certificate(
    family: Family, hidden: int
) -> None:
    chain = family_chain(family, hidden, 120, sequences=4)
    exact = chain_and_norms(chain, 120)
    dead = np.isneginf(exact)

    for tolerance in (1e-6, 1e-10):
        found = lag_norms(chain, tolerance=tolerance)

        np.testing.assert_array_equal(np.isneginf(found.log_norms), dead)
        errors = np.abs(np.expm1(np.where(dead, 0.0, found.log_norms) - np.where(dead, 0.0, exact)))
        assert errors.max() <= tolerance + ROUNDING
        assert np.mean(errors > found.certificate + ROUNDING) <= 0.01


def test_thousands_of_matrices_whose_values_are_close_are_within_the_tolerance() -> None:
    # Among so many, starts that all but miss the leading vector are no rarity.
    for seed in range(2):
        chain = family_chain(Family.CROWDED, 40, 60, sequences=60, seed=seed)
        exact = chain_and_norms(chain, 60)

        found = lag_norms(chain, tolerance=1e-6)

        np.testing.assert_allclose(found.log_norms, exact, rtol=0.0, atol=1e-6)
