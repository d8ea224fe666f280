"""The loop: what it records, what it keeps, and what it names when a number stops being finite."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.data.tasks import make_task
from gradscope.learning.bptt import backpropagate
from gradscope.learning.history import NonFinite, Stop
from gradscope.learning.optimizers import adam, momentum, sgd
from gradscope.learning.training import Limits, train
from gradscope.model.activations import IDENTITY, TANH
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import TaskName

STEPS = 5


def scalar(
    u: float = 1.0, w: float = 0.5, v: float = 1.0, c: float = 0.0, b: float = 0.0
) -> ElmanParameters:
    """A linear net of one unit."""
    return ElmanParameters(
        input_weights=np.array([[u]]),
        recurrent_weights=np.array([[w]]),
        hidden_bias=np.array([b]),
        output_weights=np.array([[v]]),
        output_bias=np.array([c]),
        activation=IDENTITY,
    )


def batch(inputs: Iterable[float], wanted: float = 0.0) -> Batch:
    """One sequence, one value wanted at every step."""
    values = np.array(list(inputs)).reshape(-1, 1, 1)
    at_step = np.ones(values.shape[0], dtype=np.bool_)
    return Batch(values, Targets(np.full_like(values, wanted), at_step))


def drawing(batches: Iterable[Batch]) -> Callable[[], Batch]:
    supply = iter(batches)
    return lambda: next(supply)


def same(one: Cell, other: Cell) -> bool:
    pairs = zip(one.weights(), other.weights(), strict=True)
    return all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


GOOD = batch([1.0, -1.0, 0.5, 0.0, 2.0], wanted=1.0)


# --- What is recorded --------------------------------------------------------------------------


def test_training_is_unroll_backpropagate_update_over_and_over() -> None:
    expected, losses, norms = scalar(), [], []
    update = momentum(0.01)
    for _ in range(4):
        gradients = backpropagate(expected, unroll(expected, GOOD.inputs), GOOD.targets)
        losses.append(gradients.loss)
        norms.append(gradients.norm)
        expected = expected.with_weights(update(dict(expected.weights()), gradients.weights))

    found = train(scalar(), lambda: GOOD, momentum(0.01), 4)

    assert same(found.params, expected)
    assert found.history.loss.tolist() == losses
    assert found.history.gradient_norm.tolist() == norms
    assert found.history.stop is Stop.DONE
    assert found.history.updates == 4
    np.testing.assert_allclose(found.history.error_per_step, np.array(losses) / STEPS, rtol=1e-15)


@pytest.mark.parametrize(("wanted_steps", "divisor"), [(5, 5.0), (2, 2.0), (1, 1.0), (0, 1.0)])
def test_the_error_per_step_counts_only_steps_that_have_a_target(
    wanted_steps: int, divisor: float
) -> None:
    some = Targets(GOOD.targets.values, np.arange(STEPS) >= STEPS - wanted_steps)

    history = train(scalar(), lambda: Batch(GOOD.inputs, some), sgd(0.01), 2).history

    np.testing.assert_array_equal(history.error_per_step, history.loss / divisor)


def test_the_network_given_is_not_changed() -> None:
    params = scalar()

    trained = train(params, lambda: GOOD, adam(0.1), 3).params

    assert same(params, scalar())
    assert not same(trained, params)


def test_no_updates_leave_the_network_and_an_empty_history() -> None:
    found = train(scalar(), lambda: GOOD, sgd(0.1), 0)

    assert same(found.params, scalar())
    assert (found.history.updates, found.history.clipped_fraction) == (0, 0.0)
    assert found.history.stop is Stop.DONE


def test_a_task_of_one_step_back_is_learned() -> None:
    task = make_task(TaskName.RECALL, 8, delay=1)
    rng = np.random.default_rng(1)
    params = initialize(rng, (1, 16, 1))

    history = train(params, lambda: task.draw(rng, 32), adam(0.01), 150).history

    assert history.error_per_step[:5].mean() > 0.5
    assert history.error_per_step[-5:].mean() < 0.05


@pytest.mark.parametrize("truncation", [0, 2])
def test_truncation_reaches_the_gradient(truncation: int) -> None:
    params = scalar()
    gradient = backpropagate(
        params, unroll(params, GOOD.inputs), GOOD.targets, truncation=truncation
    )

    found = train(params, lambda: GOOD, sgd(0.01), 1, limits=Limits(truncation=truncation))

    stepped = {name: array - 0.01 * gradient.weights[name] for name, array in params.weights()}
    assert same(found.params, params.with_weights(stepped))
    assert found.history.gradient_norm.tolist() == [gradient.norm]


# --- Clipping ----------------------------------------------------------------------------------


def test_the_recorded_norm_is_the_unclipped_one() -> None:
    free = train(scalar(), lambda: GOOD, sgd(0.01), 1).history.gradient_norm[0]

    for limits in (Limits(clip_norm=1e-3), Limits(clip_value=1e-3)):
        history = train(scalar(), lambda: GOOD, sgd(0.01), 1, limits=limits).history
        assert history.gradient_norm[0] == free
        assert history.clipped.tolist() == [True]


def test_clipping_by_norm_limits_how_far_an_update_goes() -> None:
    moved = train(scalar(), lambda: GOOD, sgd(1.0), 1, limits=Limits(clip_norm=0.125)).params

    steps = [
        after - before
        for (_, after), (_, before) in zip(moved.weights(), scalar().weights(), strict=True)
    ]
    assert np.linalg.norm(np.concatenate([step.ravel() for step in steps])) == pytest.approx(0.125)


def test_clipping_by_value_limits_how_far_each_weight_goes() -> None:
    moved = train(scalar(), lambda: GOOD, sgd(1.0), 1, limits=Limits(clip_value=0.125)).params

    for (name, after), (_, before) in zip(moved.weights(), scalar().weights(), strict=True):
        assert np.abs(after - before).max() == pytest.approx(0.125), name


def test_the_clipped_fraction_counts_the_updates_that_were_clipped() -> None:
    # Without inputs the gradient is that of the output bias alone, ∂E/∂c = 2·5·(c − A) = −10 A.
    silent = scalar(v=0.0)
    wanted = [1.0, 0.01, 0.01, 1.0, 0.01, 0.01, 1.0, 0.01]
    draw = drawing(batch([0.0] * STEPS, wanted=each) for each in wanted)

    history = train(silent, draw, sgd(1e-9), 8, limits=Limits(clip_norm=1.0)).history

    np.testing.assert_allclose(history.gradient_norm, 10.0 * np.array(wanted), rtol=1e-5)
    assert history.clipped.tolist() == [each == 1.0 for each in wanted]
    assert history.clipped_fraction == 3 / 8


# --- What stops being finite -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "bad", "step", "factor"),
    [
        # 1 enters at step 2 and grows 1e150-fold a step: 1e300 at step 4.
        (scalar(w=1e150, v=0.0), batch([0.0, 1.0, 0.0, 0.0, 0.0]), 5, "pre-activation"),
        (scalar(), batch([0.0, np.nan, 0.0, np.inf, 0.0]), 2, "pre-activation"),
        (scalar(v=1e200), batch([0.0, 0.0, 0.0, 1e200, 0.0]), 4, "output"),
        (scalar(), batch([0.0, 0.0, 1e200, 0.0, 0.0]), 3, "step error"),
    ],
    ids=["overflowing product", "bad input", "output", "step error"],
)
def test_the_first_number_that_is_not_finite_is_named_with_its_update_and_step(
    params: ElmanParameters, bad: Batch, step: int, factor: str
) -> None:
    found = train(params, lambda: bad, sgd(0.1), 3)

    assert found.history.stop is Stop.NOT_FINITE
    assert found.history.updates == 0
    assert found.history.non_finite is not None
    named = found.history.non_finite
    assert (named.update, named.step, named.factor) == (1, step, factor)


def test_a_state_that_leaves_the_numbers_by_its_own_activation_is_named_so() -> None:
    def hole(a: FloatArray) -> FloatArray:
        return np.where(a > 1.5, np.nan, np.tanh(a))

    params = replace(scalar(), activation=replace(TANH, value=hole))

    named = train(params, lambda: batch([0.0, 2.0, 0.0]), sgd(0.1), 1).history.non_finite

    assert named is not None
    assert (named.step, named.factor) == (2, "hidden state")


def test_an_adjoint_that_overflows_is_named_where_it_first_does_on_its_way_back() -> None:
    # Nothing goes forward; backward the error 2·(0 − 1) enters at step 5 only and grows 1e200-fold
    # a step: finite at h_5 and h_4, infinite at h_3.
    last = Targets(np.ones((STEPS, 1, 1)), np.arange(1, STEPS + 1) == STEPS)
    params = scalar(u=0.0, w=1e200)

    named = train(params, lambda: Batch(np.zeros((STEPS, 1, 1)), last), sgd(0.1), 1).history

    assert named.non_finite is not None
    assert (named.non_finite.step, named.non_finite.factor) == (3, "hidden adjoint ∂E/∂h_t")


def test_a_sum_over_steps_that_overflows_is_named_without_a_step() -> None:
    bad = batch([1e200] * STEPS, wanted=1.0)

    named = train(scalar(u=0.0, w=0.0, v=1e150), lambda: bad, sgd(0.1), 1).history.non_finite

    assert named is not None
    assert (named.step, named.factor) == (None, "gradient of the input weights")


def test_a_weight_that_overflows_in_the_update_is_named() -> None:
    bad = batch([0.0] * STEPS, wanted=1e10)

    found = train(scalar(v=0.0), lambda: bad, sgd(1e300), 1)

    assert found.history.non_finite is not None
    assert found.history.non_finite.factor == "output bias after the update"
    assert same(found.params, scalar(v=0.0))


def test_an_update_that_makes_a_network_out_of_range_is_not_kept() -> None:
    def fits(params: Cell) -> bool:
        return bool(np.abs(params.output_weights) > 0.8)

    found = train(scalar(), lambda: GOOD, sgd(0.01), 9, fits=fits)

    named = found.history.non_finite
    assert isinstance(named, NonFinite)
    assert (found.history.stop, named.step) == (Stop.NOT_FINITE, 1)
    assert named.factor == "square of a pre-activation or state after the update"
    assert found.history.updates == named.update - 1 > 0
    assert same(found.params, train(scalar(), lambda: GOOD, sgd(0.01), named.update - 1).params)
    assert not fits(train(scalar(), lambda: GOOD, sgd(0.01), named.update).params)


def test_what_was_learned_before_the_break_is_kept() -> None:
    bad = batch([0.0, np.nan, 0.0, 0.0, 0.0])
    before = train(scalar(), lambda: GOOD, sgd(0.01), 2)

    found = train(scalar(), drawing([GOOD, GOOD, bad]), sgd(0.01), 9)

    named = found.history.non_finite
    assert isinstance(named, NonFinite)
    assert (named.update, named.step) == (3, 2)
    assert same(found.params, before.params)
    assert found.history.loss.tolist() == before.history.loss.tolist()


def test_a_net_that_explodes_under_its_learning_rate_stops_instead_of_raising() -> None:
    found = train(scalar(), lambda: GOOD, sgd(10.0), 1000)

    assert found.history.stop is Stop.NOT_FINITE
    assert found.history.non_finite is not None
    assert found.history.updates == found.history.non_finite.update - 1
    assert all(np.isfinite(array).all() for _, array in found.params.weights())
    assert np.isfinite(found.history.loss).all()


# --- Ctrl-C and onlookers ----------------------------------------------------------------------


def test_ctrl_c_while_a_batch_is_drawn_keeps_what_was_learned() -> None:
    def interrupted() -> Iterable[Batch]:
        yield from (GOOD, GOOD)
        raise KeyboardInterrupt

    found = train(scalar(), drawing(interrupted()), sgd(0.01), 9)

    assert found.history.stop is Stop.INTERRUPTED
    assert found.history.updates == 2
    assert same(found.params, train(scalar(), lambda: GOOD, sgd(0.01), 2).params)


def test_ctrl_c_while_somebody_watches_keeps_the_update_just_made() -> None:
    def watch(update: int, *_: object) -> None:
        if update == 3:
            raise KeyboardInterrupt

    found = train(scalar(), lambda: GOOD, sgd(0.01), 9, watch=watch)

    assert (found.history.stop, found.history.updates) == (Stop.INTERRUPTED, 3)
    assert same(found.params, train(scalar(), lambda: GOOD, sgd(0.01), 3).params)


def test_an_onlooker_sees_every_update_with_its_loss_norm_and_network() -> None:
    seen: list[tuple[int, float, float, ElmanParameters]] = []

    found = train(scalar(), lambda: GOOD, sgd(0.01), 3, watch=lambda *each: seen.append(each))

    assert [each[0] for each in seen] == [1, 2, 3]
    assert [each[1] for each in seen] == found.history.loss.tolist()
    assert [each[2] for each in seen] == found.history.gradient_norm.tolist()
    assert seen[-1][3] is found.params
