"""Case A1: the graph f = (x − y) z, its three slopes, and one step down."""

import numpy as np
import pytest

from gradscope.data.batch import Targets
from gradscope.learning.bptt import backpropagate
from gradscope.learning.optimizers import sgd
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import Trajectory, unroll

X, Y, Z = 4.0, 1.0, 3.0


def graph(x: float) -> tuple[ElmanParameters, Trajectory]:
    """F as a net of one step: p = x·1 + b with b = −y is its state, z·p its output."""
    params = ElmanParameters(
        input_weights=np.array([[x]]),
        recurrent_weights=np.zeros((1, 1)),
        hidden_bias=np.array([-Y]),
        output_weights=np.array([[Z]]),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )
    return params, unroll(params, np.ones((1, 1, 1)))


def test_a1_the_graph_has_the_slopes_three_minus_three_three_and_descends() -> None:
    params, forward = graph(X)
    f = forward.outputs[0, 0, 0]
    assert f == pytest.approx(9.0, abs=1e-12)

    # With f − ½ as the target, ∂E/∂f = 2 (f − (f − ½)) = 1: the gradient of E is that of f.
    targets = Targets(forward.outputs - 0.5, np.array([True]))
    slopes = backpropagate(params, forward, targets).weights

    assert slopes["input_weights"][0, 0] == pytest.approx(3.0, abs=1e-12)
    assert -slopes["hidden_bias"][0] == pytest.approx(-3.0, abs=1e-12)
    assert slopes["output_weights"][0, 0] == pytest.approx(3.0, abs=1e-12)

    name = "input_weights"
    stepped = sgd(0.1)({name: params.input_weights}, {name: slopes[name]})
    x = float(stepped[name][0, 0])
    assert x == pytest.approx(3.7, abs=1e-12)
    assert graph(x)[1].outputs[0, 0, 0] == pytest.approx(8.1, abs=1e-12)
