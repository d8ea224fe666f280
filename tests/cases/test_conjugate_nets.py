"""Case A4: a sigmoid net is a tanh net in other coordinates, so it explodes only above gain 4."""

import numpy as np
import pytest

from gradscope.diagnosis.diagnose import diagnose
from gradscope.jacobians.chain import elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.activations import SIGMOID, TANH
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import gaussian, initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, Regime

STEPS, SIZE = 30, 12


def conjugate_nets() -> tuple[ElmanParameters, ElmanParameters]:
    """Sigmoid (W, U, b), and tanh (W/4, U/2, b/2 + W·1/4) in m = 2h − 1."""
    rng = np.random.default_rng(1)
    w, b = 3.0 * gaussian(rng, SIZE), rng.normal(size=SIZE)
    u, v = rng.normal(size=(SIZE, 2)), np.ones((1, SIZE))
    sigmoid = ElmanParameters(u, w, b, v, np.zeros(1), SIGMOID)
    bias = b / 2.0 + w.sum(axis=1) / 4.0
    return sigmoid, ElmanParameters(u / 2.0, w / 4.0, bias, v, np.zeros(1), TANH)


def test_a4_a_sigmoid_net_and_its_tanh_conjugate_have_the_same_products() -> None:
    sigmoid, tanh = conjugate_nets()
    inputs = np.random.default_rng(2).normal(size=(STEPS, 1, 2))
    start = np.random.default_rng(3).uniform(size=(1, SIZE))

    of_sigmoid = unroll(sigmoid, inputs, start)
    of_tanh = unroll(tanh, inputs, 2.0 * start - 1.0)

    np.testing.assert_allclose(of_tanh.hidden, 2.0 * of_sigmoid.hidden - 1.0, atol=1e-14)
    profiles = [
        lag_norms(elman_chain(params, trajectory)).log_norms
        for params, trajectory in ((sigmoid, of_sigmoid), (tanh, of_tanh))
    ]
    assert profiles[0].shape == (STEPS, 1)
    # A difference of logarithms is a relative one of σ_max.
    np.testing.assert_allclose(profiles[0], profiles[1], rtol=0.0, atol=1e-13)


def test_a4_whole_products_agree_entry_by_entry() -> None:
    sigmoid, tanh = conjugate_nets()
    inputs = np.random.default_rng(4).normal(size=(STEPS, 1, 2))
    products = []
    for params, start in ((sigmoid, 0.0), (tanh, -1.0)):
        trajectory = unroll(params, inputs, np.full((1, SIZE), start))
        chain = elman_chain(params, trajectory)
        rows = np.eye(SIZE)[None]
        for step in range(STEPS, 0, -1):
            rows = chain.vjp(rows, step)
        products.append(rows[0])

    scale = np.abs(products[0]).max()
    np.testing.assert_allclose(products[0] / scale, products[1] / scale, rtol=0.0, atol=1e-13)


@pytest.mark.parametrize(
    ("gain", "regime"),
    [(3.6, Regime.VANISHING), (4.0, Regime.STABLE), (4.4, Regime.EXPLODING)],
)
def test_a4_a_centred_sigmoid_net_explodes_only_for_a_gain_above_four(
    gain: float, regime: Regime
) -> None:
    params = initialize(
        np.random.default_rng(5),
        (1, SIZE, 1),
        activation=ActivationName.SIGMOID,
        gain=gain,
        center_bias=True,
    )
    trajectory = unroll(params, np.zeros((100, 1, 1)), np.full((1, SIZE), 0.5))

    verdict = diagnose(elman_chain(params, trajectory)).verdict

    assert verdict.regime is regime
    assert verdict.rate == pytest.approx(np.log(gain / 4.0), abs=1e-9)
