"""The rows of the engine: lag norms and the map of all pairs.

One lag of a reference costs as much as any other, so slow ones run for fewer lags and are counted
at the same rate.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.names import CellName
from tests.benchmarks.families import COLLAPSING, Family, family_chain
from tests.benchmarks.measure import Row, Side, compare
from tests.benchmarks.references import bare_products, chain_and_norms

STEPS = 1000


def rows() -> Iterator[Row]:
    """Yield the rows of the engine."""
    yield large_state_against_norms()
    yield large_state_against_products()
    yield middle_state_against_norms()
    for family in COLLAPSING:
        yield family_against_norms(family)
    for row in MEMORY_FLOORS:
        yield memory_against_svd(*row)
    yield memory_against_products(128, 4, 1 / 3.1)
    yield memory_against_products(256, 1, 1 / 2.1)
    for hidden in (16, 32, 64, 128):
        yield worst_family_against_svd(hidden)
    yield map_against_norms()
    yield gated_analysis_against_products()


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


MEMORY_FLOORS = (
    (Family.MEMORY, 64, 1000, 4, 2.0),
    (Family.MEMORY, 64, 1000, 1, 1.6),
    (Family.MEMORY, 64, 100, 4, 1.1),
    (Family.MEMORY, 64, 100, 16, 1.4),
    (Family.MEMORY, 128, 1000, 4, 2.5),
    (Family.MEMORY, 256, 1000, 1, 2.7),
    (Family.MEMORY, 32, 100, 16, 1.05),
    (Family.ORTH_09, 64, 1000, 4, 2.7),
    (Family.ORTH_09, 128, 1000, 4, 3.5),
)
"""Where memory lives: family, H, T, B, and how many times faster at least than chain and SVD."""


def memory_against_svd(
    family: Family, hidden: int, steps: int, sequences: int, floor: float
) -> Row:
    """One size of a family whose products keep all their rows."""
    chain = family_chain(family, hidden, steps, sequences=sequences)
    lags = min(steps, max(20, int(2e8 / (sequences * hidden**3))))
    return compare(
        f"lag norms, {family}, H = {hidden}, T = {steps}, B = {sequences}, vs chain + SVD",
        floor,
        Side(lambda: lag_norms(chain)),
        Side(lambda: chain_and_norms(chain, lags), lags / steps),
        note=f"reference: {lags} of {steps} lags",
        repeats=7,
    )


def memory_against_products(hidden: int, sequences: int, floor: float) -> Row:
    """Slopes of 0.9 to 1: lag norms against the products alone."""
    chain = family_chain(Family.ORTH_09, hidden, STEPS, sequences=sequences)
    return compare(
        f"lag norms, {Family.ORTH_09}, H = {hidden}, B = {sequences}, vs the bare products",
        floor,
        Side(lambda: lag_norms(chain)),
        Side(lambda: bare_products(chain, 200), 200 / STEPS),
        note="reference: 200 of 1000 lags",
        repeats=7,
    )


def worst_family_against_svd(hidden: int) -> Row:
    """The family and length that gain least over chain and SVD."""
    found = []
    # Of a delay line every product has one entry a row, which LAPACK's own deflation is made for.
    for family in set(Family) - {Family.DELAY_LINE}:
        for steps, sequences in ((100, 1), (100, 16), (STEPS, 1)):
            chain = family_chain(family, hidden, steps, sequences=sequences)
            lags = min(steps, max(20, int(2e7 / (sequences * hidden**2))))
            ours, theirs = (
                Side(partial(lag_norms, chain)),
                Side(partial(chain_and_norms, chain, lags), lags / steps),
            )
            title = f"{family}, T = {steps}, B = {sequences}"
            found.append(compare(title, 0.95, ours, theirs))
    worst = min(found, key=lambda row: row.ratio)
    name = f"lag norms, H = {hidden}, the worst of {len(found)}, vs chain + SVD"
    return replace(worst, name=name, note=worst.name)


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


def gated_analysis_against_products() -> Row:
    """An LSTM of 256 units: everything that ``analyze`` does against the products it needs."""
    settings = Settings(cell=CellName.LSTM, hidden=256, sequences=8, updates=0)
    analysis = analyze(settings)
    chain = cell_chain(analysis.params, analysis.trajectory)
    every, size = np.arange(chain.n_sequences), chain.state_size
    steps = np.tile(np.arange(chain.n_steps, 0, -1)[:, None], every.size)

    def products() -> None:
        rows, out = np.tile(np.eye(size), (every.size, 1, 1)), np.empty((1, every.size, size, size))
        for step in steps:
            chain.accumulate_vjp(rows, step[None], every, out)
            rows, out = out[0], rows[None]

    return compare(
        "analyze --cell lstm --hidden 256 --sequences 8 --updates 0, vs its bare products",
        1 / 1.7,
        Side(lambda: analyze(settings)),
        Side(products),
    )
