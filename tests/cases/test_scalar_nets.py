"""Cases A3 and A8: nets of one unit, where the rate is a number that can be written down."""

import numpy as np
import pytest

from gradscope.diagnosis.diagnose import diagnose
from gradscope.jacobians.chain import elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.activations import SIGMOID, TANH, Activation
from gradscope.model.cells import ElmanParameters
from gradscope.model.trajectory import Trajectory, unroll


def scalar_net(
    activation: Activation, w: float, b: float, start: float, steps: int
) -> tuple[ElmanParameters, Trajectory]:
    """h_t = φ(w h_{t−1} + b), left to itself."""
    params = ElmanParameters(
        input_weights=np.zeros((1, 1)),
        recurrent_weights=np.array([[w]]),
        hidden_bias=np.array([b]),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
        activation=activation,
    )
    return params, unroll(params, np.zeros((steps, 1, 1)), np.array([[start]]))


@pytest.mark.parametrize(
    ("w", "fixed_point", "multiplier"),
    [(2.0, 0.957504024077269, 0.166372087751674), (1.5, 0.85855963664011, 0.394313025498602)],
)
def test_a3_a_scalar_tanh_net_comes_to_rest_and_forgets_by_its_multiplier(
    w: float, fixed_point: float, multiplier: float
) -> None:
    params, trajectory = scalar_net(TANH, w, 0.0, 0.5, 400)
    chain = elman_chain(params, trajectory)

    assert trajectory.hidden[-1, 0, 0] == pytest.approx(fixed_point, abs=1e-12)
    assert chain.jacobian(400)[0, 0, 0] == pytest.approx(multiplier, abs=1e-12)
    # The last 200 of the 400 steps are at the fixed point.
    assert diagnose(chain, 200).verdict.rate == pytest.approx(np.log(multiplier), abs=1e-12)


def test_a3_raising_w_above_one_makes_the_gradient_vanish_faster() -> None:
    rates = [
        diagnose(elman_chain(*scalar_net(TANH, w, 0.0, 0.5, 400)), 200).verdict.rate
        for w in (1.2, 1.5, 2.0, 3.0)
    ]

    assert max(rates) < 0.0
    assert (np.diff(rates) < 0.0).all()


def test_a8_a_thousand_lags_of_a_scalar_sigmoid_do_not_underflow() -> None:
    # At h = ½ the slope is ¼, so σ_max = 4^−ℓ: below the smallest float from ℓ = 538 on.
    chain = elman_chain(*scalar_net(SIGMOID, 1.0, -0.5, 0.5, 1000))

    log10_norms = lag_norms(chain).log_norms[:, 0] / np.log(10.0)

    assert log10_norms[-1] == pytest.approx(-602.0599913280, abs=1e-9)
    np.testing.assert_allclose(log10_norms, -np.arange(1, 1001) * np.log10(4.0), rtol=1e-12)


def test_a8_nor_do_ten_thousand() -> None:
    chain = elman_chain(*scalar_net(SIGMOID, 1.0, -0.5, 0.5, 10_000))

    log_norms = lag_norms(chain).log_norms[:, 0]

    np.testing.assert_allclose(log_norms, -np.arange(1, 10_001) * np.log(4.0), rtol=1e-12)
