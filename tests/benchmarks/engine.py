"""The rows of the engine: lag norms and the map of all pairs.

One lag of a reference costs as much as any other, so slow ones run for fewer lags and are counted
at the same rate.
"""

from collections.abc import Iterator

import numpy as np

from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.initializers import orthogonal
from tests.benchmarks.families import Family, family_chain
from tests.benchmarks.measure import Row, Side, compare
from tests.benchmarks.references import bare_products, chain_and_norms

STEPS = 1000


def rows() -> Iterator[Row]:
    """Yield the rows of the engine."""
    yield large_state_against_norms()
    yield large_state_against_products()
    yield middle_state_against_norms()
    for family in Family:
        yield family_against_norms(family)
    yield isometry_against_norms()
    yield map_against_norms()


def large_state_against_norms() -> Row:
    """H = 512: lag norms against chain and norm."""
    chain = family_chain(Family.TANH, 512, STEPS)
    return compare(
        "lag norms, H = 512, T = 1000, vs chain + norm(P, 2)",
        50.0,
        Side(lambda: lag_norms(chain)),
        Side(lambda: chain_and_norms(chain, 40), 40 / STEPS),
        note="reference: 40 of 1000 lags",
    )


def large_state_against_products() -> Row:
    """H = 512: lag norms against the products alone."""
    chain = family_chain(Family.TANH, 512, STEPS)
    return compare(
        "lag norms, H = 512, T = 1000, vs the bare products",
        7.0,
        Side(lambda: lag_norms(chain)),
        Side(lambda: bare_products(chain, 200), 200 / STEPS),
        note="reference: 200 of 1000 lags",
    )


def middle_state_against_norms() -> Row:
    """H = 128: lag norms against chain and norm."""
    chain = family_chain(Family.TANH, 128, STEPS)
    return compare(
        "lag norms, H = 128, T = 1000, vs chain + norm(P, 2)",
        25.0,
        Side(lambda: lag_norms(chain)),
        Side(lambda: chain_and_norms(chain, 400), 400 / STEPS),
        note="reference: 400 of 1000 lags",
        repeats=7,
    )


def family_against_norms(family: Family) -> Row:
    """H = 128: one family, where singular values may spread or not."""
    chain = family_chain(family, 128, STEPS)
    return compare(
        f"lag norms, H = 128, {family}, vs chain + norm(P, 2)",
        1.0,
        Side(lambda: lag_norms(chain)),
        Side(lambda: chain_and_norms(chain, 200), 200 / STEPS),
        note="reference: 200 of 1000 lags",
    )


def isometry_against_norms() -> Row:
    """H = 128: an orthogonal net in its linear range, whose products never lose a row."""
    weights = orthogonal(np.random.default_rng(0), 128)
    chain = ElmanChain(np.ones((STEPS, 1, 128)), weights)
    return compare(
        "lag norms, H = 128, orthogonal in its linear range, vs chain + norm(P, 2)",
        1.0,
        Side(lambda: lag_norms(chain)),
        Side(lambda: chain_and_norms(chain, 200), 200 / STEPS),
        note="reference: 200 of 1000 lags",
    )


def map_against_norms() -> Row:
    """H = 64: all pairs against chain and norm from every state."""
    chain = family_chain(Family.TANH, 64, STEPS)
    pairs = STEPS * (STEPS + 1) // 2
    return compare(
        "map of all pairs, H = 64, T = 1000, vs chain + norm(P, 2)",
        15.0,
        Side(lambda: lag_map(chain)),
        Side(lambda: chain_and_norms(chain, STEPS), STEPS / pairs),
        note="reference: 1000 of 500500 pairs",
    )
