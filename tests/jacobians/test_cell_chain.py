"""The chain of every cell: its two directions agree, its limits are known, and an LSTM's memory is
in its cell state.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.jacobians.cell_chain import CellChain, cell_chain
from gradscope.jacobians.chain import Chain, ElmanChain, elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.reference import difference_transport, product_transport, verify_lag_norms
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.model.cells import MANY_ROWS, Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, StateName
from tests.drawn_cells import HIDDEN, INPUTS, KINDS, UNEQUAL_LEAKS, drawn, elman


def chain_of(cell: Cell, trajectory: Trajectory) -> CellChain:
    return CellChain(cell.linearize(trajectory.cell_trajectory))


def unrolled(kind: str, seed: int = 0) -> tuple[Cell, Trajectory, Targets]:
    cell, inputs, first, targets = drawn(kind, seed=seed)
    return cell, unroll(cell, inputs, first), targets


def transport(chain: Chain, later: int, earlier: int) -> FloatArray:
    """Return ∂s_later/∂s_earlier (B,S,S) as a plain product of dense Jacobians."""
    product = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
    for step in range(later, earlier, -1):
        product = product @ chain.jacobian(step)
    return product


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_are_carried_as_each_alone(kind: str) -> None:
    cell, trajectory, _ = unrolled(kind)
    chain = chain_of(cell, trajectory)
    rows = np.random.default_rng(1).normal(size=(4, MANY_ROWS, chain.state_size))
    few = slice(MANY_ROWS - 1)
    steps, sequences = np.array([[7, 5, 2, 6], [6, 4, 1, 5]]), np.array([1, 3, 0, 1])
    carried = np.empty((2, *rows.shape))

    pulled, pushed = chain.vjp(rows, 3), chain.jvp(rows, 3)
    exponents = chain.accumulate_vjp(rows, steps, sequences, carried)

    np.testing.assert_allclose(pulled[:, few], chain.vjp(rows[:, few], 3), atol=1e-14)
    np.testing.assert_allclose(pushed[:, few], chain.jvp(rows[:, few], 3), atol=1e-14)
    for product, (late, early) in enumerate(steps.T):
        alone = rows[[product] * 4][:, few]
        wanted = chain.vjp(chain.vjp(alone, late), early)[sequences[product]]
        found = carried[1, product, few] * np.exp2(exponents[:, product].sum())
        np.testing.assert_allclose(found, wanted, atol=1e-13)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(list(KINDS)),
    seed=st.integers(0, 2**32 - 1),
    step=st.integers(1, 7),
    count=st.integers(1, 3),
)
def test_pulling_back_is_the_adjoint_of_pushing_forward(
    kind: str, seed: int, step: int, count: int
) -> None:
    cell, trajectory, _ = unrolled(kind, seed)
    chain = chain_of(cell, trajectory)
    rng = np.random.default_rng(seed)
    rows, vectors = rng.normal(size=(2, chain.n_sequences, count, chain.state_size))

    left = np.einsum("brs,brs->br", chain.vjp(rows, step), vectors)
    right = np.einsum("brs,brs->br", rows, chain.jvp(vectors, step))

    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_vectors_go_through_the_dense_jacobian(kind: str) -> None:
    cell, trajectory, _ = unrolled(kind)
    chain = chain_of(cell, trajectory)
    rows = np.random.default_rng(1).normal(size=(chain.n_sequences, 3, chain.state_size))

    for step in (1, chain.n_steps):
        dense = chain.jacobian(step)
        np.testing.assert_allclose(chain.vjp(rows, step), rows @ dense, atol=1e-13)
        np.testing.assert_allclose(chain.jvp(rows, step), rows @ dense.swapaxes(1, 2), atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_product_is_what_moving_the_first_state_does(kind: str) -> None:
    cell, inputs, _, _ = drawn(kind)

    np.testing.assert_allclose(
        product_transport(cell, inputs), difference_transport(cell, inputs), atol=1e-8
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_shares_of_every_weight_sum_to_its_gradient(kind: str) -> None:
    cell, trajectory, targets = unrolled(kind)
    gradient = backpropagate(cell, trajectory, targets).weights

    shares = gradient_shares(cell, trajectory, targets).total

    assert set(gradient) == {*shares, "output_weights", "output_bias"}
    for name, total in shares.items():
        np.testing.assert_allclose(total, gradient[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_logarithm_of_each_adjoint_is_that_of_the_sweep(kind: str) -> None:
    cell, trajectory, targets = unrolled(kind)
    adjoints = backpropagate(cell, trajectory, targets).hidden_adjoints

    found = log_adjoint_norms(cell, trajectory, targets)

    np.testing.assert_allclose(found, np.log(np.linalg.norm(adjoints, axis=(1, 2))), atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_of_the_trajectory_exceeds_the_bound(kind: str) -> None:
    for seed in range(5):
        cell, trajectory, _ = unrolled(kind, seed)
        linearization = cell.linearize(trajectory.cell_trajectory)
        chain = CellChain(linearization)
        largest = max(np.linalg.norm(chain.jacobian(t), 2, axis=(1, 2)).max() for t in range(1, 8))

        assert np.log(largest) <= linearization.log_bound() + 1e-12


@pytest.mark.parametrize("state", StateName)
def test_a_leak_of_one_is_the_vanilla_rnn(state: StateName) -> None:
    leaky = elman(np.random.default_rng(3), np.ones(HIDDEN), state)
    vanilla = elman(np.random.default_rng(3), 1.0, state)
    inputs = np.random.default_rng(4).normal(size=(6, 2, INPUTS))

    found, wanted = unroll(leaky, inputs), unroll(vanilla, inputs)

    np.testing.assert_array_equal(found.outputs, wanted.outputs)
    np.testing.assert_array_equal(
        chain_of(leaky, found).jacobian(5), chain_of(vanilla, wanted).jacobian(5)
    )


def test_a_leak_near_zero_leaves_the_state_where_it_is() -> None:
    cell = elman(np.random.default_rng(3), 1e-9)
    inputs = np.random.default_rng(4).normal(size=(6, 2, INPUTS))

    chain = cell_chain(cell, unroll(cell, inputs))

    np.testing.assert_allclose(transport(chain, 6, 0), [np.eye(HIDDEN)] * 2, atol=1e-7)


def test_without_a_leak_both_states_have_one_trajectory_and_conjugate_products() -> None:
    # h_t = φ(v_t): diag(φ′(v_t)) ∂v_t/∂v_k = ∂h_t/∂h_k diag(φ′(v_k)).
    pre = elman(np.random.default_rng(5), 1.0, StateName.PRE)
    post = elman(np.random.default_rng(5))
    inputs = np.random.default_rng(6).normal(size=(8, 3, INPUTS))
    start = np.random.default_rng(7).normal(size=(3, HIDDEN))
    v, h = unroll(pre, inputs, start), unroll(post, inputs, np.tanh(start))
    slopes = pre.activation.slope(v.states)

    np.testing.assert_allclose(v.outputs, h.outputs, rtol=1e-12)
    for later, earlier in ((8, 0), (5, 2), (4, 3)):
        left = slopes[later][:, :, None] * transport(cell_chain(pre, v), later, earlier)
        right = transport(cell_chain(post, h), later, earlier) * slopes[earlier][:, None, :]
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_with_a_leak_and_steady_input_w_takes_one_state_to_the_other(leak: float) -> None:
    # v = W h + U x + b turns the post form into the pre form (Miller & Fumarola 2012), so
    # ∂v_t/∂v_k W = W ∂h_t/∂h_k.
    pre = elman(np.random.default_rng(5), leak, StateName.PRE)
    post = elman(np.random.default_rng(5), leak)
    inputs = np.repeat(np.random.default_rng(6).normal(size=(1, 2, INPUTS)), 8, axis=0)
    start = np.random.default_rng(7).normal(size=(2, HIDDEN))
    weights = post.recurrent_weights
    driven = inputs[0] @ post.input_weights.T + post.hidden_bias
    h = unroll(post, inputs, start)
    v = unroll(pre, inputs, start @ weights.T + driven)

    np.testing.assert_allclose(v.states, h.states @ weights.T + driven, atol=1e-12)
    np.testing.assert_allclose(
        transport(cell_chain(pre, v), 8, 0) @ weights,
        weights @ transport(cell_chain(post, h), 8, 0),
        atol=1e-12,
    )


def test_each_unit_leaks_at_its_own_rate() -> None:
    weights = {
        "input_weights": np.zeros((5, 1)),
        "recurrent_weights": np.zeros((5, 5)),
        "hidden_bias": np.zeros(5),
        "output_weights": np.zeros((1, 5)),
        "output_bias": np.zeros(1),
    }
    for state in StateName:
        cell = elman(np.random.default_rng(0), UNEQUAL_LEAKS, state).with_weights(weights)

        states = unroll(cell, np.zeros((4, 1, 1)), np.ones((1, 5))).states

        np.testing.assert_allclose(states[4, 0], (1.0 - UNEQUAL_LEAKS) ** 4, rtol=1e-14)


@pytest.mark.parametrize("leak", [0.0, -0.5, 1.5, np.nan])
def test_a_leak_outside_its_range_is_refused(leak: float) -> None:
    with pytest.raises(SettingError, match=r"choose a number in \(0, 1\]"):
        elman(np.random.default_rng(0), leak)


def test_leaks_for_another_number_of_units_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"the leak has shape \(2,\)"):
        elman(np.random.default_rng(0), np.array([0.1, 0.2]))


def test_the_elman_chain_is_taken_where_there_is_one() -> None:
    for kind in KINDS:
        cell, trajectory, _ = unrolled(kind)
        plain = isinstance(cell, ElmanParameters) and cell.state is StateName.POST

        chain = cell_chain(cell, trajectory)

        assert isinstance(chain, ElmanChain if plain else CellChain)
        for step in (1, 7):
            np.testing.assert_allclose(
                chain.jacobian(step), chain_of(cell, trajectory).jacobian(step), atol=1e-15
            )


@pytest.mark.parametrize("kind", ["pre", "lstm"])
def test_an_elman_chain_of_a_net_it_cannot_hold_is_refused(kind: str) -> None:
    cell, trajectory, _ = unrolled(kind)

    with pytest.raises(SettingError, match="take cell_chain"):
        elman_chain(cell, trajectory)


def test_a_trajectory_that_is_not_finite_is_refused_with_its_place() -> None:
    cell = elman(np.random.default_rng(0), 1.0, StateName.PRE, ActivationName.RELU)
    inputs = np.zeros((4, 2, INPUTS))
    inputs[2, 1] = np.inf

    with pytest.raises(ShapeError, match=r"pre-activations hold .* at \[2, 1, "):
        cell_chain(cell, unroll(cell, inputs))


def forgetful(hidden: int, forget_bias: float, weight_scale: float, seed: int) -> LstmParameters:
    """Return an LSTM drawn as PyTorch draws it, its forget bias set."""
    rng = np.random.default_rng(seed)
    limit = weight_scale / np.sqrt(hidden)
    bias = rng.uniform(-limit, limit, (2, 4 * hidden)).sum(axis=0)
    bias[hidden : 2 * hidden] = forget_bias
    return LstmParameters(
        input_weights=rng.uniform(-limit, limit, (4 * hidden, 2)),
        recurrent_weights=rng.uniform(-limit, limit, (4 * hidden, hidden)),
        hidden_bias=bias,
        output_weights=np.zeros((1, hidden)),
        output_bias=np.zeros(1),
    )


def test_the_memory_of_an_lstm_is_in_its_cell_state() -> None:
    # From h_0 to h_50 at forget bias 3: of order 1e-3 through (h,c), 1e-45 with c left out.
    whole, without_c = [], []
    for seed in range(6):
        cell = forgetful(4, 3.0, 1.0, seed)
        inputs = np.random.default_rng(seed + 9).normal(size=(50, 1, 2))
        chain = cell_chain(cell, unroll(cell, inputs))
        hidden_alone = np.eye(4)
        for step in range(50, 0, -1):
            hidden_alone = hidden_alone @ chain.jacobian(step)[0, :4, :4]
        whole.append(np.log10(np.linalg.norm(transport(chain, 50, 0)[0, :4, :4], 2)))
        without_c.append(np.log10(np.linalg.norm(hidden_alone, 2)))

    assert -3.0 < np.mean(whole) < -2.0
    assert -46.0 < np.mean(without_c) < -44.0


def test_an_lstm_without_weights_remembers_at_the_rate_of_its_forget_gate() -> None:
    cell = forgetful(1, 3.0, 0.0, seed=0)
    chain = cell_chain(cell, unroll(cell, np.zeros((50, 1, 2))))

    profile = lag_norms(chain).log_norms[:, 0]

    # The last step shows c in h as well, with o φ′(c) = ½, so that (½, 1) f^ℓ is its length.
    rate = -np.log1p(np.exp(-3.0))
    wanted = rate * np.arange(1, 51) + 0.5 * np.log(1.25)
    np.testing.assert_allclose(profile, wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_accumulate_vjp_over_many_steps_is_a_vjp_over_each(kind: str) -> None:
    cell, trajectory, _ = unrolled(kind)
    chain = chain_of(cell, trajectory)
    steps = np.array([[7, 4], [6, 3], [5, 2]])
    sequences = np.array([1, 3])
    given = np.random.default_rng(2).normal(size=(2, 3, chain.state_size))
    out = np.empty((3, *given.shape))

    exponents = np.cumsum(chain.accumulate_vjp(given, steps, sequences, out), axis=0)

    for which, sequence in enumerate(sequences):
        rows: FloatArray = np.zeros((chain.n_sequences, 3, chain.state_size))
        rows[sequence] = given[which]
        for index, step in enumerate(steps[:, which]):
            rows = chain.vjp(rows, step)
            found = np.ldexp(out[index, which], exponents[index, which])
            np.testing.assert_allclose(found, rows[sequence], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lag_profile_is_that_of_the_whole_product(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=60)
    chain = chain_of(cell, unroll(cell, inputs, first))

    exact = lag_norms(chain, tolerance=1e-12)

    assert verify_lag_norms(chain, exact).worst < 1e-11
    np.testing.assert_allclose(lag_norms(chain).log_norms, exact.log_norms, rtol=0.0, atol=9e-7)


@pytest.mark.parametrize("kind", ["gru", "gru, reset before", "lstm", "leaky pre"])
def test_the_determinant_of_the_product_is_the_sum_of_its_exponents(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=60)
    chain = chain_of(cell, unroll(cell, inputs, first))

    found = lyapunov_exponents(chain, warm_up=0).exponents.sum(axis=1)

    logs = [np.linalg.slogdet(chain.jacobian(step))[1] for step in range(1, 61)]
    np.testing.assert_allclose(found, np.mean(logs, axis=0), rtol=1e-9)
