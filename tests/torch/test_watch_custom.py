"""A watch sees whatever has a state and a step: cells of others, loops, compiled and projected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.watch.journal import ADVANCE, Quantity, Refusal
from tests.present import present
from tests.torch.small_model import D, H
from tests.torch.step_jacobians import jacobians_by_jacrev

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

T, B = 10, 3


def batch(n_steps: int = T) -> Any:
    return torch.randn(n_steps, B, D, dtype=torch.float64)


def zeros() -> Any:
    return torch.zeros(B, H, dtype=torch.float64)


def linear(n: int, m: int) -> Any:
    return torch.nn.Linear(n, m, dtype=torch.float64)


class Elman(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A cell of one's own, with what ``between`` makes of its state."""

    def __init__(self, between: Callable[[Any], Any] = lambda h: h) -> None:
        super().__init__()
        self.u, self.w, self.between = linear(D, H), linear(H, H), between

    def forward(self, x: Any, h: Any) -> Any:
        return torch.tanh(self.u(x) + self.w(self.between(h)))


class NormedLSTM(torch.nn.Module):  # type: ignore[misc, name-defined]
    """An LSTM's cell, and a LayerNorm on what it returns; it returns an output too."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.LSTMCell(D, H, dtype=torch.float64)
        self.norm = torch.nn.LayerNorm(H, dtype=torch.float64)

    def forward(self, x: Any, state: Any) -> Any:
        h, c = self.cell(x, state)
        return 2.0 * h, (self.norm(h), c)


class Loop(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A model that calls a cell in a loop, the state first where it is a step."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.out = cell, linear(H, 1)

    def forward(self, xs: Any) -> Any:
        pair = isinstance(self.cell, NormedLSTM | torch.nn.LSTMCell)
        state: Any = (zeros(), zeros()) if pair else zeros()
        for x in xs:
            found = self.cell(x, state)
            state = found[1] if isinstance(self.cell, NormedLSTM) else found
        return self.out(state[0] if pair else state)


def train(net: Any, call: Any = None, steps: int = 1, **options: Any) -> Any:
    """Return the journal of a watched training."""
    from gradscope.torch import watch

    call = net if call is None else call
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(call, share=None, **options) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            call(batch()).square().sum().backward()
            optimizer.step()
    assert watching.report()
    return watching.journal


def profile(jacobians: FloatArray) -> FloatArray:
    """Return log σ_max of the products of Jacobians (T,B,S,S) by lag, (T,B)."""
    product, found = np.eye(jacobians.shape[-1])[None], []
    for factor in jacobians[::-1]:
        product = product @ factor
        found.append(np.log(np.linalg.norm(product, 2, axis=(1, 2))))
    return np.array(found)


def norms(snapshot: Any) -> FloatArray:
    return np.asarray(present(snapshot.diagnosis).norms.log_norms)


@pytest.mark.parametrize("make", [Elman, NormedLSTM])
def test_a_cell_of_ones_own_is_found_by_its_call_and_measured_as_by_jacrev(make: Any) -> None:
    torch.manual_seed(1)
    net = Loop(make())
    seen = list[Any]()
    net.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    before = {name: each.clone() for name, each in net.state_dict().items()}

    journal = train(net, sequences=2)

    # Looked at before the optimizer's step, though it was told at the end.
    net.load_state_dict(before)
    state = (zeros()[:2], zeros()[:2]) if make is NormedLSTM else zeros()[:2]
    wanted = jacobians_by_jacrev(lambda s, x: net.cell(x, s), state, seen[0][:, :2])
    (snapshot,) = journal.snapshots
    assert (snapshot.title, snapshot.n_sequences, journal.failures) == ("cell", 2, [])
    assert present(snapshot.deviation) < 1e-12
    np.testing.assert_allclose(norms(snapshot), profile(wanted), rtol=0, atol=1e-10)


def test_a_normed_cell_within_a_module_is_refused_and_the_module_is_watched() -> None:
    torch.manual_seed(2)
    lines = list[str]()
    journal = train(Loop(NormedLSTM()), log=lines.append)

    assert [(each.title, each.refusal) for each in journal.refused] == [
        ("cell.cell", Refusal.STATE_REPLACED)
    ]
    assert {each.title for each in journal.snapshots} == {"cell"}
    assert "watch a module or a step() around both" in lines[0]


def test_of_modules_within_one_another_the_innermost_is_watched() -> None:
    class Outer(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.GRUCell(D, H, dtype=torch.float64)

        def forward(self, x: Any, h: Any) -> Any:
            return self.inner(x, h)

    net = Loop(Outer())
    assert {each.title for each in train(net, steps=3, every=1).snapshots} == {"cell.inner"}
    assert {each.title for each in train(net, cells=[Outer]).snapshots} == {"cell", "cell.inner"}


def test_a_hand_written_loop_is_watched_by_its_step() -> None:
    from gradscope.torch import watch

    torch.manual_seed(3)
    u, w, out = linear(D, H), linear(H, H), linear(H, 1)
    net = torch.nn.ModuleList([u, w, out])
    with watch(net, share=None) as watching:

        @watching.step("elman")
        def step(h: Any, x: Any) -> Any:
            return torch.tanh(u(x) + w(h))

        xs, h = batch(), zeros()
        for x in xs:
            h = step(h, x)
        out(h).sum().backward()

    wanted = jacobians_by_jacrev(lambda s, x: torch.tanh(u(x) + w(s)), zeros(), xs)
    (snapshot,) = watching.journal.snapshots
    assert (snapshot.title, watching.journal.refused) == ("elman", [])
    np.testing.assert_allclose(norms(snapshot), profile(wanted), rtol=0, atol=1e-10)
    # After the watch the step is the function it was.
    torch.testing.assert_close(step(zeros(), xs[0]), torch.tanh(u(xs[0]) + w(zeros())))
    assert len(watching.journal.snapshots) == 1


def test_what_is_called_within_a_measured_step_is_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gradscope.torch import watch

    torch.manual_seed(10)
    cell = torch.nn.GRUCell(D, H, dtype=torch.float64)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.1)
    followed = list[str]()
    with watch(cell, share=None, every=1) as watching:
        follow = watching._sequences.follow

        def noted(name: str, call: Any) -> int | None:
            followed.append(name)
            return follow(name, call)

        monkeypatch.setattr(watching._sequences, "follow", noted)
        step = watching.step("loop", lambda h, x: cell(x, h))
        for _ in range(3):
            # Two sequences, of which the first is measured while the second begins.
            for h in (zeros(), zeros()):
                for x in batch():
                    h = step(h, x)  # noqa: PLW2901
            h.sum().backward()
            optimizer.step()

    journal = watching.journal
    assert (journal.steps, journal.failures, journal.refused) == (3, [], [])
    assert sorted((each.step, each.title) for each in journal.snapshots) == [
        (step, title) for step in (1, 2, 3) for title in ("grucell", "loop")
    ]
    assert {present(each.diagnosis).norms.lags.size for each in journal.snapshots} == {T}
    assert followed == ["grucell", "loop"] * (3 * 2 * T)


def test_a_snapshot_of_few_lags_is_of_the_last_steps() -> None:
    from gradscope.torch import watch

    torch.manual_seed(11)
    cell, xs = Elman(), batch(60)
    with watch(cell, sequences=1, max_lag=60, share=1e-9) as watching:
        watching.journal.budget.clock = lambda: 0.0
        watching.journal.budget.spent = 0.6 * ADVANCE
        h = zeros()
        for x in xs:
            h = cell(x, h)
        h.sum().backward()

    snapshot = watching.journal.snapshots[0]
    found = norms(snapshot)
    assert 1 <= len(found) < 60
    wanted = jacobians_by_jacrev(lambda s, x: cell(x, s), zeros()[:1], xs[:, :1])
    np.testing.assert_allclose(found, profile(wanted)[: len(found)], rtol=0, atol=1e-10)


def test_a_method_is_watched_in_its_place_and_cells_by_their_class_or_by_themselves() -> None:
    from gradscope.torch import watch

    class Opaque(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = Elman()

        def forward(self, *given: Any) -> Any:
            return self.cell.forward(*given)

    net = Loop(Opaque())
    assert train(net).snapshots == [], "a call of no known arguments is not guessed"
    for named in (Opaque, net.cell):
        assert [each.title for each in train(net, cells=[named]).snapshots] == ["cell"]

    own = Elman()
    with watch(own, share=None) as watching:
        own.step = watching.step("layer", lambda h, x: own.forward(x, h))
        h = zeros()
        for x in batch():
            h = own.step(h, x)
        h.sum().backward()
    assert [each.title for each in watching.journal.snapshots] == ["layer"]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": True}])
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}])
def test_a_projected_lstm_is_measured_as_by_jacrev(
    options: dict[str, Any], shape: dict[str, Any]
) -> None:
    from gradscope.torch import watch

    torch.manual_seed(4)
    rnn = torch.nn.LSTM(D, H, proj_size=2, dtype=torch.float64, **options, **shape)
    xs = batch()
    with watch(rnn, share=None, sequences=2, max_lag=7) as watching:
        rnn(xs.transpose(0, 1) if rnn.batch_first else xs)

    def step(layer: int, ending: str) -> Callable[[Any, Any], Any]:
        names = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh")
        w_ih, w_hh, w_hr, *bias = (
            getattr(rnn, f"{each}_l{layer}{ending}") for each in names[: 5 if rnn.bias else 3]
        )

        def call(state: Any, x: Any) -> Any:
            h, c = state
            i, f, g, o = (x @ w_ih.T + h @ w_hh.T + sum(bias)).chunk(4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return (o.sigmoid() * c.tanh()) @ w_hr.T, c

        return call

    given, found = xs[:, :2], iter(watching.journal.snapshots)
    for layer in range(rnn.num_layers):
        outputs = []
        for ending in ("", "_reverse")[: 1 + rnn.bidirectional]:
            run, inputs = step(layer, ending), given.flip(0) if ending else given
            state: Any = (torch.zeros(2, 2).double(), zeros()[:2])
            wanted = jacobians_by_jacrev(run, state, inputs)
            np.testing.assert_allclose(norms(next(found)), profile(wanted)[:7], rtol=0, atol=1e-10)
            states = [state := run(state, x) for x in inputs]
            h = torch.stack([each[0] for each in states])
            outputs.append(h.flip(0) if ending else h)
        given = torch.cat(outputs, dim=2).detach()
    assert next(found, None) is None


# --- torch.compile -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("make", [Elman, lambda: torch.nn.GRUCell(D, H, dtype=torch.float64)])
def test_a_compiled_model_is_seen_when_it_is_called_again(make: Any, fullgraph: bool) -> None:
    torch._dynamo.reset()
    torch.manual_seed(5)
    net = Loop(make())
    call = torch.compile(net, backend="eager", fullgraph=fullgraph)
    journal = train(net, call, steps=5, every=2)

    assert (journal.steps, journal.failures, journal.refused) == (5, [], [])
    assert [(each.step, each.title) for each in journal.snapshots] == [
        (1, "cell"),
        (3, "cell"),
        (5, "cell"),
    ]
    assert all(present(each.diagnosis).norms.lags.size == T for each in journal.snapshots)
    assert all(present(each.deviation) < 1e-12 for each in journal.snapshots)
    traced = " ".join(torch._dynamo.utils.counters["graph_break"])
    assert "gradscope" not in traced


@pytest.mark.slow
@pytest.mark.parametrize("make", [Elman, lambda: torch.nn.GRUCell(D, H, dtype=torch.float64)])
def test_a_compiled_cell_is_measured_by_the_module_it_was(make: Any) -> None:
    torch._dynamo.reset()
    torch.manual_seed(6)
    net = Loop(make())
    net.cell = torch.compile(net.cell, backend="aot_eager")
    journal = train(net)

    assert (journal.failures, journal.refused) == ([], [])
    (snapshot,) = journal.snapshots
    assert snapshot.title == "cell"
    assert present(snapshot.deviation) < 1e-12


# --- nothing disturbed ---------------------------------------------------------------------------


class Noted(Elman):
    """A cell with dropout, a buffer that it counts in, and a note of its last state."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Dropout(0.3))
        self.register_buffer("count", torch.zeros(1))
        self.seen = torch.zeros(1)

    def forward(self, x: Any, h: Any) -> Any:
        self.count += 1.0
        self.seen = super().forward(x, h)
        return self.seen


class Noisy(Elman):
    """A cell that draws random numbers."""

    def __init__(self) -> None:
        super().__init__(lambda h: h + 0.1 * torch.randn_like(h))


@pytest.mark.parametrize("make", [Noted, NormedLSTM, Noisy])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_watched_training_is_the_same_to_the_last_bit(make: Any, compiled: bool) -> None:
    def trained(watched: bool) -> Any:
        from gradscope.torch import watch

        torch._dynamo.reset()
        torch.manual_seed(7)
        net = Loop(make())
        call = torch.compile(net, backend="eager") if compiled else net
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        watching = watch(call, every=1, share=None) if watched else None
        for _ in range(4):
            optimizer.zero_grad()
            call(batch()).square().sum().backward()
            optimizer.step()
        drawn = torch.rand(3)
        if watching is not None:
            watching.close()
            found = len(watching.journal.snapshots), len(watching.journal.failures)
            assert found == ((0, 1) if make is Noisy else (4, 0))
        noted = getattr(net.cell, "seen", drawn)
        return {**net.state_dict(), "drawn": drawn, "noted": noted}

    plain, seen = trained(watched=False), trained(watched=True)
    assert all(torch.equal(plain[name], seen[name]) for name in plain)


@pytest.mark.parametrize("loops", [1, 2])
def test_an_evaluation_in_between_is_no_step(loops: int) -> None:
    from gradscope.torch import watch

    torch.manual_seed(12)
    net = Loop(Elman())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net, every=1, share=None) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack([net(batch()).sum() for _ in range(loops)]).sum().backward()
            optimizer.step()
            with torch.no_grad():
                net(batch())

    assert watching.journal.steps == 3
    lags = [present(each.diagnosis).norms.lags.size for each in watching.journal.snapshots]
    assert lags == [T] * 3
    assert all(present(each.deviation) < 1e-12 for each in watching.journal.snapshots)


def test_dropout_within_a_step_is_left_out_and_said() -> None:
    from gradscope.torch import watch

    torch.manual_seed(8)
    net = Loop(Noted())
    with watch(net, share=None) as watching:
        net(batch()).sum().backward()

    (snapshot,) = watching.journal.snapshots
    assert (snapshot.left_out, snapshot.deviation) == (True, None)
    assert "cell: measured without the dropout within the step" in " ".join(
        watching.report().split()
    )


def test_no_graph_and_no_model_is_kept() -> None:
    import gc
    import weakref

    from gradscope.torch import watch

    net = Loop(Elman())
    watching = watch(net, share=None)
    inputs = batch().requires_grad_()
    net(inputs * 1.0)
    alive = weakref.ref(inputs)
    del inputs
    gc.collect()
    assert alive() is None, "the graph would hold its leaf"
    watching.close()
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


# --- what cannot be measured ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("between", "wanted"),
    [
        (lambda h: h + torch.randn_like(h), "draws random numbers"),
        (lambda h: h + 0.1 * len(h), "mixes the sequences"),
    ],
)
def test_a_step_that_has_no_jacobian_is_one_line_and_training_goes_on(
    between: Any, wanted: str
) -> None:
    torch.manual_seed(9)
    lines = list[str]()
    net = Loop(Elman(between))
    net.rnn = torch.nn.RNN(D, D, dtype=torch.float64)
    net.register_forward_pre_hook(lambda _, given: (net.rnn(given[0])[0],))
    journal = train(net, steps=3, every=1, log=lines.append)

    (failure,) = journal.failures
    assert failure.title == "cell"
    others = [(each.step, each.title) for each in journal.snapshots]
    assert others == [(1, "rnn"), (2, "rnn"), (3, "rnn")]
    assert wanted in failure.error
    assert sum(wanted in line for line in lines[:-1]) == 1
    assert (journal.steps, journal.gradient_norms[1].size) == (3, 3)


def test_a_step_that_detaches_its_state_has_no_gradient_at_all() -> None:
    journal = train(Loop(Elman(torch.detach)))

    (snapshot,) = journal.snapshots
    assert np.isneginf(norms(snapshot)).all()
    assert present(snapshot.diagnosis).verdict.horizon is not None


def test_a_named_cell_that_is_called_in_another_way_is_told() -> None:
    from gradscope.torch import watch

    class Timed(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.own = Elman()

        def forward(self, x: Any, h: Any, t: float) -> Any:
            return t * self.own.forward(x, h)

    net = torch.nn.ModuleList([Timed(), Elman()])
    with watch(net, share=None, cells=[*net]) as watching:
        h, single = zeros(), zeros()[0]
        for x in batch():
            h, single = net[0](x, h, 0.5), net[1](x[0], single)
        (h.sum() + single.sum()).backward()
        torch.optim.SGD(net.parameters(), lr=0.1).step()

    found = [(each.title, each.refusal) for each in watching.journal.refused]
    assert found == [("0", Refusal.UNSEEN), ("1", Refusal.UNSEEN)]
    assert (watching.journal.snapshots, watching.journal.failures) == ([], [])


def test_a_complex_recurrence_is_measured_by_its_closed_form() -> None:
    from gradscope.torch import watch

    class Rotation(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Parameter(
                torch.polar(torch.full((2,), 0.9), torch.tensor([0.3, 1.0]))
            )

        def forward(self, x: Any, h: Any) -> Any:
            return self.a * h + x

    cell = Rotation()
    with watch(cell, share=None) as watching:
        h = torch.zeros(B, 2, dtype=torch.cfloat)
        for x in torch.randn(T, B, 2):
            h = cell(x, h)
        h.abs().sum().backward()

    (snapshot,) = watching.journal.snapshots
    wanted = np.arange(1, T + 1) * np.log(np.abs(cell.a.detach().to(torch.cfloat).numpy()).max())
    np.testing.assert_allclose(norms(snapshot)[:, 0], wanted, rtol=1e-6)
    norm = np.linalg.norm(cell.a.grad.numpy())
    np.testing.assert_allclose(watching.journal.gradient_norms[1], norm, rtol=1e-6)


def test_a_state_that_is_detached_between_steps_has_no_products() -> None:
    from gradscope.torch import watch

    cell = Elman()
    with watch(cell, share=None, cells=[cell]) as watching:
        h = zeros()
        for x in batch():
            h = cell(x, h.detach())
        h.sum().backward()

    assert [each.refusal for each in watching.journal.refused] == [Refusal.STATE_REPLACED]
    assert watching.journal.snapshots == []


def test_modules_of_two_arguments_that_are_no_recurrence_are_left_alone() -> None:
    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.mix = torch.nn.Bilinear(D, D, D, dtype=torch.float64)
            self.attend = torch.nn.MultiheadAttention(D, 1, dtype=torch.float64)
            self.rnn = torch.nn.GRU(D, H, dtype=torch.float64)

        def forward(self, xs: Any) -> Any:
            mixed = self.mix(xs, xs) + self.mix(xs, 2.0 * xs)
            return self.rnn(self.attend(mixed, mixed, mixed)[0])[0]

    journal = train(Net(), steps=3, every=1)
    assert {each.title for each in journal.snapshots} == {"rnn"}
    assert (journal.steps, journal.failures, journal.refused) == (3, [], [])


def test_a_state_that_overflows_is_measured_up_to_there() -> None:
    class Grows(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.full((H,), 1e100, dtype=torch.float64))

        def forward(self, x: Any, h: Any) -> Any:
            return self.w * h + x[:, :1]

    from gradscope.torch import watch

    cell = Grows()
    with watch(cell, share=None) as watching:
        h = torch.ones(B, H, dtype=torch.float64)
        for x in batch():
            h = cell(x, h)
        h.sum().backward()

    (snapshot,) = watching.journal.snapshots
    assert snapshot.bad_step == 4
    np.testing.assert_allclose(norms(snapshot)[:, 0], np.log(1e100) * np.arange(1, 4), rtol=1e-12)
    assert watching.journal.trouble["grows", Quantity.STATE].time_step == 4
