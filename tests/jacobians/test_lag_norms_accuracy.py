"""Eight kinds of network against products in extended precision."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from tests.benchmarks.families import Family, family_chain

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
@pytest.mark.parametrize("family", Family)
def test_every_family_is_right_to_its_tolerance(family: Family) -> None:
    chain = family_chain(family, HIDDEN, STEPS)
    exact = extended_log_norms(chain)
    at = slice(LOOK_EVERY - 1, None, LOOK_EVERY)

    for tolerance, limit in ((1e-6, 1e-6), (1e-12, 1e-11)):
        profile = lag_norms(chain, tolerance=tolerance)
        errors = np.abs(np.expm1(profile.log_norms[at, 0] - exact))
        assert errors.max() <= limit
        # The logarithm itself is a double.
        rounding = np.spacing(np.abs(profile.log_norms[at, 0]))
        assert (errors <= profile.certificate[at, 0] + rounding).all()
