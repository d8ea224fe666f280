"""The paths between blocks of a state: exact sums, closed forms, and what is said of steps."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.diagnose import NetworkMeasures, diagnose
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.paths import paths, step_reasons
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.jacobians.chain import DenseChain
from gradscope.jacobians.lag_norms import lag_norms

TWO = {"h": slice(0, 2), "c": slice(2, 5)}


def random_chain(n_steps: int = 30, n_sequences: int = 3) -> DenseChain:
    rng = np.random.default_rng(5)
    return DenseChain(rng.standard_normal((n_steps, n_sequences, 5, 5)) / 3.0)


def test_the_paths_add_up_to_the_norm_at_every_lag() -> None:
    chain, lags = random_chain(), np.array([1, 7, 30])

    found = paths(chain, TWO, lags)

    exact = lag_norms(chain, tolerance=1e-12).log_norms[lags - 1]
    assert set(found.terms) == {"h → h", "h → c", "c → h", "c → c"}
    np.testing.assert_allclose(sum(found.terms.values()), exact, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.by_step.sum(axis=0), exact[-1], rtol=0, atol=1e-9)
    rates = found.rates
    assert sum(filter(None, rates.terms.values())) == pytest.approx(rates.total, abs=1e-10)


def test_blocks_that_do_not_meet_have_the_path_of_the_slower_one_alone() -> None:
    factors = np.zeros((20, 1, 5, 5)) + np.diag([0.5, 0.5, 0.9, 0.9, 0.9])

    rates = paths(DenseChain(factors), TWO).rates

    assert rates.total == pytest.approx(np.log(0.9), abs=1e-12)
    assert rates.terms["c → c"] == pytest.approx(np.log(0.9), abs=1e-12)
    assert rates.terms["h → h"] == rates.terms["h → c"] == rates.terms["c → h"] == 0.0


def test_a_gradient_that_changes_blocks_at_every_step_takes_the_paths_between_them() -> None:
    # a to b by 0.5, b to a by 0.8: by turns, so that the leading direction has one path a step.
    factors = np.zeros((20, 1, 2, 2)) + np.array([[0.0, 0.8], [0.5, 0.0]])

    rates = paths(DenseChain(factors), {"a": slice(1), "b": slice(1, 2)}, np.array([20])).rates

    assert rates.terms["a → b"] == pytest.approx(np.log(0.5) / 2.0, abs=1e-12)
    assert rates.terms["b → a"] == pytest.approx(np.log(0.8) / 2.0, abs=1e-12)
    assert rates.terms["a → a"] == rates.terms["b → b"] == 0.0


def test_a_product_of_zero_has_no_rates() -> None:
    factors = np.zeros((20, 1, 5, 5)) + np.eye(5)
    factors[10] = 0.0

    rates = paths(DenseChain(factors), TWO).rates

    assert terms_of(rates) == dict.fromkeys(found_names())
    assert rates.total is None


def found_names() -> list[str]:
    return [f"{b} → {a}" for b in TWO for a in TWO]


def diagonal(gains: FloatArray) -> DenseChain:
    return DenseChain(gains[:, None, None, None] * np.eye(5))


def test_few_steps_that_lose_half_are_named_and_many_are_not() -> None:
    gains = np.ones(50)
    gains[[3, 20, 41]] = 0.01
    silent = np.zeros((50, 1, 1))

    (said,) = step_reasons(paths(diagonal(gains), TWO), silent)

    assert (said.code, said.numbers) == (ReasonCode.FEW_STEPS, {"steps": 2, "of": 50, "grows": 0})
    for same in (0.9, 1.0):
        assert not tuple(step_reasons(paths(diagonal(np.full(50, same)), TWO), silent))


def test_the_input_that_a_step_goes_with_is_named_and_chance_is_not() -> None:
    inputs = np.random.default_rng(1).standard_normal((60, 1, 4))
    gated = np.exp(-np.exp(0.3 * inputs[:, 0, 2]))

    (said,) = step_reasons(paths(diagonal(gated), TWO), inputs)

    assert (said.code, said.numbers["column"]) == (ReasonCode.GROWTH_FOLLOWS_INPUT, 3)
    correlation = np.corrcoef(np.log(gated), inputs[:, 0, 2])[0, 1]
    assert said.numbers["correlation"] == pytest.approx(correlation, abs=1e-12)
    # Of a thousand inputs of 20 steps one comes near by chance.
    many = np.random.default_rng(2).standard_normal((20, 1, 1000))
    assert not tuple(step_reasons(paths(diagonal(gated[:20]), TWO), many))


def test_any_chain_has_a_diagnosis() -> None:
    chain = random_chain()

    bare = diagnose(chain)
    split = diagnose(chain, network=NetworkMeasures(blocks=TWO, inputs=np.zeros((30, 3, 1))))
    one = diagnose(chain, network=NetworkMeasures(blocks={"s": slice(0, 5)}))

    assert np.isnan(bare.log_bound).all()
    assert not terms_of(bare.causes)
    assert not terms_of(one.causes)
    assert bare.causes.total == bare.growth.rate
    assert split.causes.total == pytest.approx(bare.growth.rate, abs=1e-6)
    assert split.verdict.regime is bare.verdict.regime
    main = split.verdict.reason(ReasonCode.MAIN_CAUSE)
    assert main is not None
    assert main.numbers["cause"] in found_names()
    assert bare.verdict.reason(ReasonCode.MAIN_CAUSE) is None
