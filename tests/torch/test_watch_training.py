"""A watched training: alerts, what is not finite, unclipped norms, Cells, nothing left behind."""

import copy
import gc
import io
import logging
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.errors import OutputError, SettingError
from gradscope.names import Regime
from gradscope.watch.journal import Quantity, Refusal
from tests.present import present
from tests.torch.small_model import D, H, small_model

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")
pytestmark = pytest.mark.torch

T, B = 40, 3


def model(kind: str = "RNN", **options: Any) -> Any:
    return small_model(kind, 1, **options)


def batch() -> Any:
    return 0.1 * torch.randn(T, B, D, dtype=torch.float64)


def train_step(net: Any, inputs: Any, clip: float | None = None) -> float:
    """Make one update; return the gradient norm before clipping."""
    net.zero_grad()
    net["out"](net["rnn"](inputs)[0]).square().mean().backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in net.parameters()])
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
    torch.optim.SGD(net.parameters(), lr=1e-3).step()
    return float(norm)


def scale_recurrent(rnn: Any, size: float) -> None:
    """Make W size times a rotation."""
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(size * torch.eye(H, dtype=torch.float64))


def test_a_changed_verdict_is_told_once() -> None:
    from gradscope.torch import watch

    net, lines = model(nonlinearity="relu"), list[str]()
    scale_recurrent(net["rnn"], 0.5)
    with torch.no_grad():
        net["rnn"].bias_ih_l0.fill_(1.0)
    with watch(net, every=2, share=None, log=lines.append) as watching:
        for step in range(1, 8):
            if step == 4:
                scale_recurrent(net["rnn"], 2.0)
            net["rnn"](batch())[0].sum().backward()

    (alert,) = watching.journal.alerts
    assert (alert.step, alert.before, alert.title) == (5, Regime.VANISHING, "rnn")
    assert present(alert.diagnosis).verdict.regime is Regime.EXPLODING
    told = [line for line in lines if "vanishes → explodes" in line.splitlines()[0]]
    assert len(told) == 1
    assert told[0].startswith("gradscope: step 5, rnn: vanishes → explodes. The gradient explodes")
    assert [snapshot.step for snapshot in watching.journal.snapshots] == [1, 3, 5, 7]


def test_the_gradient_norm_is_the_one_before_clipping() -> None:
    from gradscope.torch import watch

    net = model("GRU")
    with watch(net) as watching:
        wanted = [train_step(net, batch(), clip=1e-6) for _ in range(4)]

    steps, norms = watching.journal.gradient_norms
    np.testing.assert_array_equal(steps, [1, 2, 3, 4])
    np.testing.assert_allclose(norms, wanted, rtol=1e-12)
    assert "half of 4 steps below" in watching.report()


def test_the_gradient_norm_of_a_scaled_loss_is_that_of_the_loss() -> None:
    from gradscope.torch import watch

    net = model("GRU")
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with watch(net, scaler=scaler) as watching:
        loss = net["out"](net["rnn"](batch())[0]).square().mean()
        scaler.scale(loss).backward()

    scaled = torch.nn.utils.get_total_norm([each.grad for each in net.parameters()])
    np.testing.assert_allclose(watching.journal.gradient_norms[1], float(scaled) / 1024, rtol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_nan_is_told_with_its_training_step_and_time_step(batch_first: bool) -> None:
    from gradscope.torch import watch

    net, lines = model(batch_first=batch_first), list[str]()
    with watch(net, every=100, log=lines.append) as watching:
        for step in range(1, 6):
            inputs = batch()
            if step >= 3:
                inputs[16] = torch.nan  # time step 17
            train_step(net, inputs.transpose(0, 1) if batch_first else inputs)

    found = watching.journal.trouble[("rnn", Quantity.INPUT)]
    assert (found.step, found.time_step, found.sequence) == (3, 17, 1)
    assert ("rnn", Quantity.OUTPUT) not in watching.journal.trouble
    bad = [each for each in watching.journal.trouble.values() if each.quantity is Quantity.GRADIENT]
    assert [each.step for each in bad] == [3, 4, 5][: len(bad)]
    assert lines[1] == (
        "gradscope: step 3, rnn: the input is not finite at time step 17 of sequence 1."
    )
    assert "of sequence 1, the first of 3 times" in " ".join(watching.report().split())
    assert np.isnan(watching.journal.gradient_norms[1][2:]).all()


@pytest.mark.parametrize("lengths", [[T, 20, 9], [9, 20, T]])
def test_nan_in_a_packed_batch_has_its_time_step_and_sequence(lengths: list[int]) -> None:
    from gradscope.torch import watch

    net, inputs = model(), batch()
    inputs[4, 2] = torch.nan
    packed = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    with watch(net) as watching:
        net["rnn"](packed)

    found = watching.journal.trouble[("rnn", Quantity.INPUT)]
    assert (found.time_step, found.sequence) == (5, 3)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("shape", [(T, D), (T, B, D), (B, T, D)])
def test_inputs_that_are_not_finite_are_found_whatever_the_outputs_are(
    shape: tuple[int, ...], bad: float
) -> None:
    from gradscope.torch import watch

    net = model(batch_first=shape[0] == B)
    inputs = torch.zeros(shape, dtype=torch.float64)
    place = {2: (7, 0), 3: (1, 7, 0) if shape[0] == B else (7, 1, 0)}[len(shape)]
    inputs[place] = bad
    with watch(net, share=None) as watching:
        net["rnn"](inputs)

    (found,) = watching.journal.trouble.values()
    assert (found.quantity, found.time_step) == (Quantity.INPUT, 8)
    assert found.sequence == (1 if len(shape) == 2 else 2)
    assert watching.journal.snapshots == [], "such a call says nothing about the network"


def test_an_initial_state_that_is_not_finite_is_blamed_before_the_output() -> None:
    from gradscope.torch import watch

    net, state = model("LSTM"), torch.zeros(2, 1, B, H, dtype=torch.float64)
    state[0, 0, 2, 1] = torch.nan
    with watch(net, sequences=1) as watching:
        net["rnn"](batch(), tuple(state))

    (found,) = watching.journal.trouble.values()
    assert (found.quantity, found.sequence) == (Quantity.INITIAL_STATE, 3)


def test_a_snapshot_of_a_state_that_is_not_finite_judges_the_steps_before() -> None:
    from gradscope.torch import watch

    net = model("RNN", nonlinearity="relu", bidirectional=True)
    with torch.no_grad():
        for weights in net["rnn"].parameters():
            weights.fill_(1e30)
    with watch(net, share=None) as watching:
        net["rnn"](torch.ones(T, B, D, dtype=torch.float64))

    ahead, back = watching.journal.snapshots
    steps = present(ahead.bad_step)
    assert back.bad_step == T + 1 - steps
    assert watching.journal.trouble[("rnn", Quantity.OUTPUT)].time_step is not None
    assert [present(each.diagnosis).norms.lags.size for each in (ahead, back)] == [steps - 1] * 2


def test_weights_that_are_nan_leave_no_verdict_but_a_report() -> None:
    from gradscope.torch import watch

    net = model()
    with torch.no_grad():
        net["rnn"].weight_hh_l0[0, 0] = torch.nan
    with watch(net, share=None) as watching:
        train_step(net, batch())

    assert watching.journal.snapshots[0].diagnosis is None
    assert watching.journal.trouble[("rnn", Quantity.STATE)].time_step == 1
    assert "not finite" in watching.report()


# --- Cells ---------------------------------------------------------------------------------------

CELLS = {"RNN": "RNNCell", "GRU": "GRUCell", "LSTM": "LSTMCell"}


def cell_and_layer(kind: str) -> tuple[Any, Any]:
    """Return a Cell and a layer with the same weights."""
    torch.manual_seed(5)
    cell = getattr(torch.nn, CELLS[kind])(D, H, dtype=torch.float64)
    whole = getattr(torch.nn, kind)(D, H, dtype=torch.float64)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(whole, f"{name}_l0").copy_(getattr(cell, name))
    return cell, whole


def run_cell(cell: Any, inputs: Any, state: Any = None) -> Any:
    for x in inputs:
        state = cell(x, state)
    return state


@pytest.mark.parametrize("unbatched", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_in_a_loop_is_the_layer(kind: str, unbatched: bool) -> None:
    from gradscope.torch import watch

    cell, whole = cell_and_layer(kind)
    inputs = batch()[:, 0] if unbatched else batch()
    with watch(whole, share=None) as of_layer:
        whole(inputs)
    with watch(cell, share=None) as of_cell:
        run_cell(cell, inputs)

    (by_layer,), (by_cell,) = of_layer.journal.snapshots, of_cell.journal.snapshots
    assert of_cell.journal.failures == []
    assert present(by_cell.deviation) < 1e-12
    np.testing.assert_allclose(
        present(by_cell.diagnosis).norms.log_norms,
        present(by_layer.diagnosis).norms.log_norms,
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_has_a_training_step_for_each_backward_pass(kind: str) -> None:
    from gradscope.torch import watch

    cell, _ = cell_and_layer(kind)
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.01)
    with watch(cell, every=2, share=None, max_lag=25) as watching:
        state = None
        for _ in range(5):
            # Truncated backpropagation: the state goes on, its graph does not.
            state = run_cell(cell, batch(), state)
            shown = state[0] if kind == "LSTM" else state
            shown.sum().backward()
            optimizer.step()
            state = tuple(s.detach() for s in state) if kind == "LSTM" else state.detach()

    journal = watching.journal
    assert journal.steps == 5
    assert [snapshot.step for snapshot in journal.snapshots] == [1, 3, 5]
    assert all(present(snapshot.diagnosis).norms.lags.size == 25 for snapshot in journal.snapshots)
    assert all(present(snapshot.deviation) < 1e-12 for snapshot in journal.snapshots)


def test_a_state_masked_for_other_sequences_goes_on() -> None:
    from gradscope.torch import watch

    cell, _ = cell_and_layer("GRU")
    with watch(cell, share=None, sequences=2) as watching:
        state = torch.zeros(B, H, dtype=torch.float64)
        for t, x in enumerate(batch()):
            ended = torch.tensor([[False], [False], [t > 5]])
            state = torch.where(ended, state, cell(x, state))

    assert [
        present(snapshot.diagnosis).norms.lags.size for snapshot in watching.journal.snapshots
    ] == [T]


def test_two_sequences_of_one_step_are_two() -> None:
    from gradscope.torch import watch

    cell, _ = cell_and_layer("GRU")
    with watch(cell, share=None, sequences=2) as watching:
        run_cell(cell, batch()[:12])
        run_cell(cell, batch()).sum().backward()

    assert [
        present(snapshot.diagnosis).norms.lags.size for snapshot in watching.journal.snapshots
    ] == [12]


def test_a_cell_whose_state_is_changed_in_between_is_refused_with_the_reason() -> None:
    from gradscope.torch import watch

    cell, _ = cell_and_layer("GRU")
    norm, lines = torch.nn.LayerNorm(H, dtype=torch.float64), list[str]()
    with watch(cell, share=None, log=lines.append) as watching:
        state = torch.zeros(B, H, dtype=torch.float64)
        for x in batch():
            state = norm(cell(x, state))

    assert [each.refusal for each in watching.journal.refused] == [Refusal.STATE_REPLACED]
    assert watching.journal.snapshots == []
    assert "not the one it returned" in lines[0]


def test_nan_in_a_cell_has_its_time_step() -> None:
    from gradscope.torch import watch

    cell, _ = cell_and_layer("GRU")
    inputs = batch()
    inputs[7] = torch.nan
    with watch(cell) as watching:
        run_cell(cell, inputs)

    (found,) = watching.journal.trouble.values()
    assert (found.quantity, found.time_step, found.sequence) == (Quantity.INPUT, 8, 1)


# --- Nothing left behind, nothing disturbed ------------------------------------------------------


def test_after_close_nothing_is_left_behind() -> None:
    from gradscope.torch import watch

    net = model("LSTM", num_layers=2)
    watching = watch(net, share=None)
    train_step(net, batch())
    assert net["rnn"]._forward_hooks
    watching.close()

    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_with_kwargs
    assert not any(each._post_accumulate_grad_hooks for each in net.parameters())
    seen = len(watching.journal.snapshots)
    train_step(net, batch())
    assert (watching.journal.steps, len(watching.journal.snapshots)) == (1, seen)

    gone, watch_gone = weakref.ref(net["rnn"]), weakref.ref(watching)
    del net, module
    gc.collect()
    assert gone() is None, "a closed watch holds no module"
    del watching
    gc.collect()
    assert watch_gone() is None


@pytest.mark.parametrize("kind", CELLS)
def test_no_graph_is_kept(kind: str) -> None:
    from gradscope.torch import watch

    cell, whole = cell_and_layer(kind)
    net = torch.nn.ModuleList([cell, whole])
    with watch(net, share=None):
        inputs = batch().requires_grad_()
        run_cell(cell, inputs * 1.0)
        whole(inputs * 1.0)
        alive = weakref.ref(inputs)
        del inputs
        gc.collect()
        assert alive() is None, "the graph would hold its leaf"


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_watched_training_is_the_same_to_the_last_bit(kind: str) -> None:
    from gradscope.torch import watch

    def trained(watched: bool) -> Any:
        net = model(kind, num_layers=2, dropout=0.3)
        watching = watch(net, every=1, share=None) if watched else None
        for _ in range(4):
            train_step(net, batch(), clip=0.1)
        if watching is not None:
            watching.close()
        return net.state_dict()

    plain, seen = trained(watched=False), trained(watched=True)
    assert all(torch.equal(plain[name], seen[name]) for name in plain)


def test_a_copy_and_a_saved_model_are_not_watched() -> None:
    from gradscope.torch import watch

    net = model("GRU")
    with watch(net, share=None) as watching:
        train_step(copy.deepcopy(net), batch())
        train_step(pickle.loads(pickle.dumps(net)), batch())  # noqa: S301
        buffer = io.BytesIO()
        torch.save(net, buffer)
        assert watching.journal.steps == 0
        train_step(net, batch())

    assert watching.journal.steps == 1


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_does_not_count_twice(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

    from gradscope.torch import watch

    net = model("GRU")
    with watch(net, every=1, share=None) as watching, set_checkpoint_early_stop(False):
        for _ in range(3):
            inputs = batch().requires_grad_()
            states = checkpoint(lambda x: net["rnn"](x)[0], inputs, use_reentrant=reentrant)
            net["out"](states).sum().backward()

    assert watching.journal.steps == 3
    assert len(watching.journal.snapshots) == 3


# --- What goes wrong in the watch itself ---------------------------------------------------------


def test_an_error_in_the_watch_is_told_once_and_the_training_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gradscope.torch import watch
    from gradscope.watch import schedule as watch_steps

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(watch_steps, "take_snapshots", broken)
    net, lines = model("GRU"), list[str]()
    with watch(net, every=1, share=None, log=lines.append) as watching:
        norms = [train_step(net, batch()) for _ in range(3)]

    assert len(norms) == 3
    told = [line for line in lines[:-1] if "ZeroDivisionError: on purpose" in line]
    assert len(told) == 1
    assert "will not be retried" in told[0]
    assert "ZeroDivisionError: on purpose" in watching.report()
    assert watching.journal.gradient_norms[1].size == 3


def test_a_log_that_fails_does_not_stop_the_training_and_is_in_the_report() -> None:
    from gradscope.torch import watch

    def broken(_: str) -> None:
        raise RuntimeError("no space")

    net = model("GRU")
    with watch(net, share=None, log=broken) as watching:
        train_step(net, batch())

    assert len(watching.journal.snapshots) == 1
    assert "RuntimeError: no space" in watching.report()


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projection_is_watched_and_its_dropout_said() -> None:
    from gradscope.torch import watch

    lstm = torch.nn.LSTM(D, H, proj_size=2, num_layers=2, dropout=0.5)
    net = torch.nn.ModuleDict({"a": lstm, "b": torch.nn.GRU(2, H)})
    with watch(net, share=None) as watching:
        net["b"](net["a"](torch.randn(T, B, D))[0])[0].sum().backward()

    found = [(each.title, each.left_out) for each in watching.journal.snapshots]
    assert found == [("a[0]", True), ("a[1]", True), ("b", False)]
    assert "a[0], a[1]: measured without" in " ".join(watching.report().split())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_refused_with_their_reason() -> None:
    from gradscope.torch import watch

    net = torch.nn.ModuleDict({"s": torch.jit.script(torch.nn.GRU(D, H))})
    with watch(net) as watching:
        pass

    assert [each.refusal for each in watching.journal.refused] == [Refusal.SCRIPTED]


def test_of_a_model_without_recurrence_the_report_says_that_nothing_was_seen() -> None:
    from gradscope.torch import watch

    net = torch.nn.Linear(2, 2)
    with watch(net) as watching:
        net(torch.ones(2)).sum().backward()

    assert watching.journal.snapshots == []
    assert "no layer, cell or step seen" in " ".join(watching.report().split())


@pytest.mark.parametrize(
    "options",
    [
        *({"every": bad} for bad in (0, 1.5, True, "5")),
        *({"share": bad} for bad in (1.5, 0.0, "all", np.nan)),
        {"max_lag": 0},
        {"max_lag": 2.0},
        {"sequences": 0},
    ],
)
def test_numbers_outside_their_limits_are_refused(options: dict[str, Any]) -> None:
    from gradscope.torch import watch

    with pytest.raises(SettingError, match="choose"):
        watch(model(), **options)


@pytest.mark.parametrize("given", [{"module": 5}, {"module": None}, {"scaler": 2.0}])
def test_what_is_no_module_and_no_scaler_is_named(given: dict[str, Any]) -> None:
    from gradscope.torch import watch

    with pytest.raises(TypeError, match="was given where watch needs"):
        watch(**{"module": model(), **given})


def test_lines_go_to_a_logger_or_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from gradscope.torch import watch

    logger, path = logging.getLogger("of a test"), tmp_path / "watch.log"
    net = model("GRU")
    with caplog.at_level(logging.INFO, "of a test"), watch(net, share=None, log=logger):
        train_step(net, batch())
    with watch(net, share=None, log=path):
        train_step(net, batch())

    first, last = (caplog.records[i].getMessage() for i in (0, -1))
    assert first.startswith("gradscope: step 1, rnn: The gradient")
    assert last.startswith("Watched 1 training step, seen at step 1; snapshots")
    assert path.read_text("utf-8").startswith("gradscope: step 1, rnn: The gradient")
    with pytest.raises(OutputError, match="cannot be written"):
        watch(net, log=tmp_path / "missing" / "watch.log")


def test_without_pytorch_the_import_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['torch'] = None; import gradscope.torch"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ImportError: gradscope.torch needs PyTorch" in done.stderr
    assert "pip install '.[torch]'" in done.stderr


@pytest.mark.parametrize("told", [True, False])
def test_the_picture_has_the_loss_or_else_the_norm_over_the_reach(
    tmp_path: Path, told: bool
) -> None:
    from gradscope.torch import watch

    net = model("GRU", num_layers=2)
    with watch(net, every=2, share=None) as watching:
        for step in range(5):
            train_step(net, batch())
            if told:
                watching.loss(torch.tensor(2.0 - 0.1 * step, requires_grad=True))

    watching.picture(tmp_path / "watch.svg")

    content = (tmp_path / "watch.svg").read_text("utf-8")
    assert (">error<" in content, ">gradient norm<" in content) == (told, not told)
    assert ">reach<" in content
    assert len(watching.journal.losses) == 5 * told
    with pytest.raises(SettingError):
        watching.picture(tmp_path / "watch.jpg")


def test_a_watch_that_saw_nothing_has_a_picture_too(tmp_path: Path) -> None:
    from gradscope.torch import watch

    with watch(model()) as watching:
        pass

    watching.picture(tmp_path / "nothing.png")

    assert (tmp_path / "nothing.png").stat().st_size > 1000
