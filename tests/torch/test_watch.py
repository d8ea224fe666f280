"""The live hook replays what PyTorch computes: every layer, direction, batch and precision."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")
pytestmark = pytest.mark.torch

D, H, T, B = 3, 4, 15, 3
KINDS = {
    "tanh": ("RNN", {"nonlinearity": "tanh"}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
}


def layer(kind: str, **options: Any) -> Any:
    name, own = KINDS[kind]
    torch.manual_seed(3)
    return getattr(torch.nn, name)(D, H, dtype=torch.float64, **own, **options)


def state(kind: str, *shape: int) -> Any:
    """Return a state that is not zero, as the layer takes it."""
    pair = tuple(0.3 * torch.randn(*shape, H, dtype=torch.float64) for _ in range(2))
    return pair if kind == "lstm" else pair[0]


def watched(module: Any, *given: Any, **options: Any) -> Any:
    """Return the watch after one call of a module."""
    from gradscope.torch import watch

    with watch(module, share=None, **options) as watching:
        module(*given)
    assert watching.journal.failures == []
    return watching.journal


def jacrev_profile(
    module: Any, kind: str, inputs: Any, first: Any, which: int, lags: int
) -> FloatArray:
    """Return log σ_max(∂s_T/∂s_{T−ℓ}) of a layer of one cell for one sequence, by jacrev."""
    pieces = first if kind == "lstm" else (first,)
    cell_trajectory = [torch.cat([each[0, which] for each in pieces])]
    for x in inputs[:, which]:
        cell_trajectory.append(_step(module, kind, x, cell_trajectory[-1]))

    def later(start: Any, lag: int) -> Any:
        for x in inputs[T - lag :, which]:
            start = _step(module, kind, x, start)
        return start

    jacobians = [
        torch.func.jacrev(later)(cell_trajectory[T - lag].detach(), lag).detach()
        for lag in range(1, lags + 1)
    ]
    with np.errstate(divide="ignore"):  # a ReLU net may be dead
        logs: FloatArray = np.log([np.linalg.norm(each.numpy(), 2) for each in jacobians])
    return logs


def _step(module: Any, kind: str, x: Any, s: Any) -> Any:
    """One step by PyTorch's own Cell with the layer's weights."""
    names = {"tanh": "RNNCell", "relu": "RNNCell", "gru": "GRUCell", "lstm": "LSTMCell"}
    own = KINDS[kind][1]
    cell = getattr(torch.nn, names[kind])(D, H, dtype=torch.float64, **own)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, torch.nn.Parameter(getattr(module, f"{name}_l0").detach()))
    if kind != "lstm":
        return cell(x[None], s[None])[0]
    return torch.cat(cell(x[None], (s[None, :H], s[None, H:])), dim=1)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_profile_is_that_of_jacrev(kind: str) -> None:
    module = layer(kind)
    inputs, first = torch.randn(T, B, D, dtype=torch.float64), state(kind, 1, B)

    found = present(
        watched(module, inputs, first, sequences=2, max_lag=12).snapshots[0].diagnosis
    ).norms

    assert found.log_norms.shape == (12, 2)
    for which in range(2):
        wanted = jacrev_profile(module, kind, inputs, first, which, 12)
        np.testing.assert_allclose(found.log_norms[:, which], wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "n_layers", "both_ways", "batch_first", "with_state"),
    list(itertools.product(KINDS, (1, 2), (False, True), (False, True), (False, True))),
)
def test_the_replay_is_the_forward_pass(
    kind: str, n_layers: int, both_ways: bool, batch_first: bool, with_state: bool
) -> None:
    module = layer(kind, num_layers=n_layers, bidirectional=both_ways, batch_first=batch_first)
    inputs = torch.randn(*((B, T) if batch_first else (T, B)), D, dtype=torch.float64)
    n_cells = n_layers * (1 + both_ways)
    given = (inputs, state(kind, n_cells, B)) if with_state else (inputs,)

    snapshots = watched(module, *given, sequences=2).snapshots

    assert len(snapshots) == n_cells
    assert all(snapshot.n_sequences == 2 and snapshot.deviation < 1e-12 for snapshot in snapshots)
    assert [present(snapshot.diagnosis).norms.lags.size for snapshot in snapshots] == [T] * n_cells


@pytest.mark.parametrize("n_cells", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sorted_already", [True, False])
def test_packed_sequences_end_where_they_end(kind: str, n_cells: int, sorted_already: bool) -> None:
    more = {"num_layers": 2, "bidirectional": True} if n_cells == 4 else {}
    module = layer(kind, **more)
    lengths = [9, 7, 4] if sorted_already else [4, 9, 7]
    padded = torch.randn(9, B, D, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=sorted_already)

    snapshots = watched(module, packed, state(kind, n_cells, B), sequences=2).snapshots

    # The two longest, 9 and 7 steps: the shorter has no lags 8 and 9.
    assert len(snapshots) == n_cells
    assert all(present(snapshot.deviation) < 1e-12 for snapshot in snapshots)
    for snapshot in snapshots:
        lags = np.isnan(present(snapshot.diagnosis).norms.log_norms)
        assert lags.shape == (9, 2)
        assert np.argwhere(lags).tolist() == [[7, 1], [8, 1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_profile_is_that_of_the_sequence_alone(kind: str) -> None:
    module, first = layer(kind), state(kind, 1, 2)
    padded = torch.randn(9, 2, D, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(padded, [6, 9], enforce_sorted=False)
    pieces = first if kind == "lstm" else (first,)

    together = present(watched(module, packed, first).snapshots[0].diagnosis).norms.log_norms

    # The longest comes first in a packed batch.
    for place, (which, length) in enumerate([(1, 9), (0, 6)]):
        own = tuple(each[:, which : which + 1] for each in pieces)
        given = padded[:length, which : which + 1], own if kind == "lstm" else own[0]
        alone = present(watched(module, *given).snapshots[0].diagnosis).norms.log_norms
        np.testing.assert_allclose(together[:length, place], alone[:, 0], rtol=0, atol=1e-12)
        assert np.isnan(together[length:, place]).all()


def test_a_short_sequence_does_not_hide_what_the_long_ones_show() -> None:
    torch.manual_seed(0)
    module, padded = torch.nn.RNN(4, 16), torch.randn(60, 4, 4)

    def packed(*lengths: int) -> Any:
        given = padded[:, : len(lengths)], lengths
        return torch.nn.utils.rnn.pack_padded_sequence(*given, enforce_sorted=False)

    alone, ragged, one_long = (
        present(watched(module, packed(*lengths)).snapshots[0].diagnosis).verdict
        for lengths in ((60, 60, 60), (60, 60, 60, 1), (3, 60, 2, 1))
    )

    assert (ragged.regime, ragged.horizon) == (alone.regime, alone.horizon)
    assert (one_long.regime, one_long.max_lag) == (alone.regime, 60)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_without_a_batch_is_one_sequence(kind: str) -> None:
    module = layer(kind, num_layers=2, batch_first=True)
    inputs = torch.randn(T, D, dtype=torch.float64)

    snapshots = watched(module, inputs, state(kind, 2)).snapshots

    assert [snapshot.n_sequences for snapshot in snapshots] == [1, 1]
    assert all(present(snapshot.deviation) < 1e-12 for snapshot in snapshots)


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_may_be_named_and_biases_left_out(kind: str) -> None:
    from gradscope.torch import watch

    module = layer(kind, num_layers=2, bias=False)
    with watch(module, share=None) as watching:
        module(input=torch.randn(T, B, D, dtype=torch.float64), hx=state(kind, 2, B))

    assert [present(snapshot.deviation) < 1e-12 for snapshot in watching.journal.snapshots] == [
        True,
        True,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_snapshots_are_taken_all_the_same(kind: str) -> None:
    from gradscope.torch import watch

    module, inputs = layer(kind), torch.randn(T, B, D, dtype=torch.float64)
    with watch(module, every=2, share=None) as watching, torch.no_grad():
        for _ in range(5):
            module(inputs)

    assert watching.journal.steps == 5
    assert [snapshot.step for snapshot in watching.journal.snapshots] == [1, 3, 5]
    assert watching.journal.gradient_norms[1].size == 0


@contextmanager
def onednn_only_where_it_has_bfloat16() -> Iterator[None]:
    """Use PyTorch's own LSTM where oneDNN has none in bfloat16: without AVX-512.

    ``torch.backends.mkldnn.flags`` would set TF32 too, and that warns.
    """
    flags = torch.backends.mkldnn
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    enabled, *_ = flags.set_flags(_fp32_precision=None)
    flags.set_flags(_enabled=enabled and supported, _fp32_precision=None)
    try:
        yield
    finally:
        flags.set_flags(_enabled=enabled, _fp32_precision=None)


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_half_precision_is_replayed_in_double(kind: str) -> None:
    from gradscope.torch import watch

    module = layer(kind).float()
    inputs = torch.randn(T, B, D)
    with (
        onednn_only_where_it_has_bfloat16(),
        watch(module, share=None) as watching,
        torch.autocast("cpu", dtype=torch.bfloat16),
    ):
        module(inputs)[0].float().sum().backward()

    assert watching.journal.failures == []
    snapshot = watching.journal.snapshots[0]
    # Each of the T steps rounds its state, of size 1 at most, to bfloat16.
    assert 0.0 < present(snapshot.deviation) < T * torch.finfo(torch.bfloat16).eps / 2
    exact = present(
        watched(module.double(), inputs.double()).snapshots[0].diagnosis
    ).norms.log_norms
    np.testing.assert_allclose(
        present(snapshot.diagnosis).norms.log_norms, exact, rtol=0, atol=1e-6
    )


def test_a_model_in_evaluation_is_left_alone() -> None:
    module = layer("gru").eval()

    journal = watched(module, torch.randn(T, B, D, dtype=torch.float64))

    assert (journal.steps, journal.snapshots) == (0, [])


def test_dropout_between_layers_is_told_and_forbids_to_compare() -> None:
    from gradscope.torch import watch

    module = layer("gru", num_layers=2, dropout=0.5)
    with watch(module, share=None) as watching:
        module(torch.randn(T, B, D, dtype=torch.float64))

    assert [snapshot.deviation for snapshot in watching.journal.snapshots] == [None, None]
    assert "gru[0], gru[1]: dropout between layers" in " ".join(watching.report().split())


def test_the_weights_of_a_parametrization_are_the_effective_ones() -> None:
    module = torch.nn.utils.parametrizations.orthogonal(
        torch.nn.RNN(D, H, dtype=torch.float64), "weight_hh_l0"
    )

    journal = watched(module, 0.01 * torch.randn(T, B, D, dtype=torch.float64))

    assert present(journal.snapshots[0].deviation) < 1e-12
    # σ_max of an orthogonal W is 1.
    assert abs(journal.snapshots[0].diagnosis.log_bound[-1]) < 1e-9


def test_wrappers_leave_no_trace_in_the_names() -> None:
    module = torch.nn.ModuleDict({"encoder": layer("tanh")})
    wrapped = torch.nn.DataParallel(module)

    from gradscope.torch import watch

    with watch(wrapped, share=None) as watching:
        wrapped.module["encoder"](torch.randn(T, B, D, dtype=torch.float64))

    assert watching.journal.snapshots[0].title == "encoder"
