"""Training steps are the optimizer's: accumulation, scalers, closures, graphs, the last look."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradscope.watch.journal import ADVANCE, Refusal
from tests.present import present
from tests.torch.small_model import D, H, small_model

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")
pytestmark = pytest.mark.torch

T, B = 12, 8


def model(kind: str = "LSTM", **options: Any) -> Any:
    return small_model(kind, 2, **options)


def loss(net: Any, inputs: Any) -> Any:
    return net["out"](net["rnn"](inputs)[0]).square().mean()


def batch(count: int = B) -> Any:
    return torch.randn(T, count, D, dtype=torch.float64)


def gradient_norm(net: Any) -> float:
    return float(torch.nn.utils.get_total_norm([each.grad for each in net.parameters()]))


@pytest.mark.parametrize("clip", [None, 1e-6])
@pytest.mark.parametrize("parts", [1, 4])
def test_accumulated_gradients_are_one_step_with_the_norm_of_their_sum(
    parts: int, clip: float | None
) -> None:
    from gradscope.torch import watch

    net, wanted = model(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net, every=1, share=None) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            for part in batch().chunk(parts, dim=1):
                (loss(net, part) / parts).backward()
            wanted.append(gradient_norm(net))
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()

    steps, norms = watching.journal.gradient_norms
    np.testing.assert_array_equal(steps, [1, 2, 3])
    np.testing.assert_allclose(norms, wanted, rtol=1e-12)
    assert watching.journal.steps == 3
    assert {each.step for each in watching.journal.snapshots} == {1, 2, 3}
    assert watching.report().startswith("Watched 3 training steps, seen at 3 steps from 1 to 3;")


@pytest.mark.parametrize("unscale", [False, True])
def test_a_scaler_that_steps_needs_not_be_given(unscale: bool) -> None:
    from gradscope.torch import watch

    net, scaler = model("GRU"), torch.amp.GradScaler("cpu", init_scale=65536.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net) as watching:
        scaler.scale(loss(net, batch())).backward()
        wanted = gradient_norm(net) / 65536.0
        if unscale:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1e-6)
        scaler.step(optimizer)
        scaler.update()

    np.testing.assert_allclose(watching.journal.gradient_norms[1], wanted, rtol=1e-12)


def test_a_step_that_the_scaler_skips_is_none() -> None:
    from gradscope.torch import watch

    net, scaler = model("GRU"), torch.amp.GradScaler("cpu", init_scale=2.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net) as watching:
        for factor in (1.0, np.inf, 1.0):
            optimizer.zero_grad()
            scaler.scale(factor * loss(net, batch())).backward()
            scaler.step(optimizer)
            scaler.update()

    assert watching.journal.steps == 2
    assert watching.journal.trouble == {}


def test_several_optimizers_after_one_backward_pass_make_one_step() -> None:
    from gradscope.torch import watch

    net, wanted = model(), []
    optimizers = [torch.optim.Adam(each.parameters()) for each in net.values()]
    stranger = torch.nn.Linear(1, 1)
    other = torch.optim.SGD(stranger.parameters(), lr=0.1)
    with watch(net) as watching:
        for _ in range(3):
            net.zero_grad()
            loss(net, batch()).backward()
            stranger(torch.ones(1)).sum().backward()
            wanted.append(gradient_norm(net))
            for optimizer in (other, *optimizers):
                optimizer.step()

    assert watching.journal.steps == 3
    np.testing.assert_allclose(watching.journal.gradient_norms[1], wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["LBFGS", "SGD"])
def test_what_a_closure_does_within_a_step_is_part_of_it(name: str) -> None:
    from gradscope.torch import watch

    net, inputs = model("GRU"), batch()
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        error = loss(net, inputs)
        error.backward()
        return error

    with watch(net) as watching:
        for _ in range(3):
            optimizer.step(closure)

    assert watching.journal.steps == 3
    assert watching.journal.gradient_norms[1].size == 3


@pytest.mark.parametrize("evaluating", [False, True])
def test_an_evaluation_in_between_is_no_step(evaluating: bool) -> None:
    from gradscope.torch import watch

    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net, every=1, share=None) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            # The layer is called twice a step.
            (loss(net, batch()) + loss(net, batch(3))).backward()
            optimizer.step()
            net.train(not evaluating)
            with torch.no_grad():
                for _ in range(4):
                    loss(net, batch())
            net.train()

    assert watching.journal.steps == 3
    assert [each.step for each in watching.journal.snapshots] == [1, 2, 3]
    assert all(present(each.deviation) < 1e-12 for each in watching.journal.snapshots)


def test_calls_without_gradients_are_counted_whatever_forbids_them() -> None:
    from gradscope.torch import watch

    net = model("GRU")
    with watch(net, every=2, share=None) as watching:
        for forbid in (torch.no_grad, torch.inference_mode):
            with forbid():
                for _ in range(3):
                    loss(net, batch())

    assert [each.step for each in watching.journal.snapshots] == [1, 3, 5, 6]
    assert watching.journal.failures == []
    assert watching.report().startswith("Watched 6 passes, seen at 4 steps from 1 to 6;")


@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_a_watch_that_ends_takes_a_last_look_with_the_weights_as_they_are(kind: str) -> None:
    from gradscope.torch import watch

    torch.manual_seed(4)
    rnn = torch.nn.RNN(D, H) if kind == "layer" else torch.nn.RNNCell(D, H)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)
    with watch(rnn, every=100) as watching:
        for step in range(1, 8):
            x, states = torch.randn(T, B, D), list[Any]()
            for x_t in x if kind == "cell" else ():
                states.append(rnn(x_t, states[-1] if states else None))
            error = (torch.stack(states) if states else rnn(x)[0]).square().mean()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            if step == 7:
                with torch.no_grad():
                    next(p for name, p in rnn.named_parameters() if "weight_hh" in name).zero_()

    first, last = watching.journal.snapshots
    assert (first.step, last.step) == (1, 7)
    assert np.isneginf(present(last.diagnosis).norms.log_norms).all()
    assert "seen at steps 1 and 7" in watching.report()


def test_a_budget_that_cannot_keep_every_says_so() -> None:
    from gradscope.torch import watch

    net = model("GRU")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net, every=1, share=1e-9) as watching:
        clock = itertools.count()
        watching.journal.budget.clock = lambda: 1e-3 * next(clock)
        watching.journal.budget.spent = 0.75 * ADVANCE
        for _ in range(20):
            optimizer.zero_grad()
            loss(net, batch()).backward()
            optimizer.step()

    assert watching.journal.looks["rnn"][-1] == 20
    assert len(watching.journal.looks["rnn"]) < 20
    text = " ".join(watching.report().split())
    assert "of the 20 steps that every=1 asks for" in text


# --- torch.compile -------------------------------------------------------------------------------


def compiled_layers(net: Any, watch: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
    """Yield a watch and what is called: compiled before and after, whole, in place and in part."""
    torch._dynamo.reset()
    whole = torch.compile(net, backend="aot_eager")
    yield watch(whole, every=1, share=None), whole
    whole = torch.compile(net, backend="eager")
    whole(batch())
    yield watch(net, every=1, share=None), whole
    watching = watch(net, every=1, share=None)
    yield watching, torch.compile(net, backend="eager")


def net_of(rnn: Any) -> Any:
    """Return a model of a layer, or a Cell in a loop, and a readout."""

    def forward(self: Any, inputs: Any) -> Any:
        if isinstance(self.rnn, torch.nn.RNNBase):
            return self.out(self.rnn(inputs)[0])
        state = torch.zeros(inputs.shape[1], H, dtype=torch.float64)
        for x in inputs:
            state = self.rnn(x, state)
        return self.out(state)

    net = type("Net", (torch.nn.Module,), {"forward": forward})()
    net.rnn, net.out = rnn, torch.nn.Linear(H, 1, dtype=torch.float64)
    return net


def train(net: Any, call: Any, count: int = 3) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(count):
        optimizer.zero_grad()
        call(batch()).square().mean().backward()
        optimizer.step()


def test_compiled_layers_are_watched_and_no_hook_is_traced() -> None:
    from gradscope.torch import watch

    torch.manual_seed(0)
    net = net_of(torch.nn.LSTM(D, H, dtype=torch.float64))
    for watching, call in compiled_layers(net, watch):
        with watching:
            train(net, call)
        journal = watching.journal
        assert (journal.steps, journal.failures, journal.refused) == (3, [], [])
        assert [each.step for each in journal.snapshots] == [1, 2, 3]
        assert all(present(each.deviation) < 1e-12 for each in journal.snapshots)
        assert journal.gradient_norms[1].size == 3
        traced = " ".join(torch._dynamo.utils.counters["graph_break"])
        assert "gradscope" not in traced


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_a_cell_that_is_compiled_unseen_is_said_once_not_to_be_watched(
    before: bool, fullgraph: bool
) -> None:
    from gradscope.torch import watch

    torch._dynamo.reset()
    torch.manual_seed(0)
    net, lines = net_of(torch.nn.GRUCell(D, H, dtype=torch.float64)), list[str]()
    call = torch.compile(net, backend="eager", fullgraph=fullgraph)
    with watch(call if before else net, log=lines.append) as watching:
        train(net, call)

    wanted = [] if before else [Refusal.UNSEEN]
    assert [each.refusal for each in watching.journal.refused] == wanted
    assert [each.title for each in watching.journal.snapshots] == (["rnn"] if before else [])
    assert sum("rnn is not watched" in line for line in lines) == len(wanted)
    assert watching.journal.steps == 3, "the optimizer is seen all the same"
    assert watching.journal.gradient_norms[1].size == 3
    assert watching.journal.failures == []
