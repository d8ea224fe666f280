"""Trainings that fail as those of public reports do: the watch names the cause."""

from collections.abc import Callable
from typing import Any

import pytest

from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import RemedyCode
from gradscope.watch.advice import remedies_by_layer, shut_by_training
from gradscope.watch.journal import Finding, Quantity
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is what is watched")
pytestmark = pytest.mark.torch

STEPS = 22


def watched(model: Any, loss_of: Callable[[int], Any], rate: float = 1e-3, **options: Any) -> Any:
    """Return the journal of some steps of Adam, with a snapshot of every tenth."""
    from gradscope.torch import watch

    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with watch(model, every=10, share=None, **options) as watching:
        for step in range(1, STEPS + 1):
            optimizer.zero_grad()
            loss_of(step).backward()
            optimizer.step()
    assert watching.journal.failures == []
    return watching.journal


def codes(journal: Any, layer: str) -> set[RemedyCode]:
    return {each.code for each in remedies_by_layer(journal)[layer]}


def test_raw_prices_into_an_lstm() -> None:
    torch.manual_seed(0)
    prices = 50_000.0 + 100.0 * torch.randn(60, 8, 1).cumsum(0)
    lstm = torch.nn.LSTM(1, 16)

    journal = watched(lstm, lambda _: (lstm(prices)[0].mean(2) - prices[..., 0]).square().mean())

    verdict = journal.diagnoses["lstm"].verdict
    assert verdict.shut
    assert verdict.reason(ReasonCode.INPUTS_UNSCALED)
    assert RemedyCode.STANDARDISE in codes(journal, "lstm")


def test_a_relu_lstm_that_overflows() -> None:
    class Cell(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.x, self.h = torch.nn.Linear(2, 64), torch.nn.Linear(16, 64)
            torch.nn.init.orthogonal_(self.h.weight, 2.0)

        def forward(self, x: Any, state: Any) -> Any:
            h, c = state
            i, f, g, o = (self.x(x) + self.h(h)).relu().chunk(4, -1)
            c = f * c + i * g
            return o * c, (o * c, c)

    torch.manual_seed(0)
    cell, inputs = Cell(), 2.0 * torch.randn(60, 8, 2)

    def loss(_: int) -> Any:
        h = c = torch.zeros(8, 16)
        for x in inputs:
            _, (h, c) = cell(x, (h, c))
        return h.square().mean()

    journal = watched(torch.nn.ModuleList([cell]), loss, cells=[Cell])

    assert {quantity for _, quantity in journal.trouble} >= {Quantity.STATE, Quantity.GRADIENT}
    assert 1 < present(journal.trouble["0", Quantity.STATE].time_step) < 60


def test_a_forget_bias_of_0_and_a_lag_of_100() -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(1, 16)

    def loss(_: int) -> Any:
        x = torch.randn(150, 8, 1)
        return (lstm(x)[0][100:].mean(2) - x[:-100, :, 0]).square().mean()

    journal = watched(lstm, loss, required_lag=100)

    assert present(journal.diagnoses["lstm"].verdict.horizon) < 100
    (keep,) = [
        each for each in remedies_by_layer(journal)["lstm"] if each.code is RemedyCode.KEEP_LONGER
    ]
    assert keep.numbers["lag"] == 100


def test_a_learning_rate_that_is_too_high() -> None:
    torch.manual_seed(0)
    rnn = torch.nn.RNN(1, 16)

    def loss(_: int) -> Any:
        x = torch.randn(60, 8, 1)
        return (rnn(x)[0][10:].mean(2) - x[:-10, :, 0]).square().mean()

    journal = watched(rnn, loss, rate=10.0)

    assert shut_by_training(journal) == {"rnn": (1, STEPS)}
    # Its inputs and its first weights were as they should be.
    assert "rnn" not in remedies_by_layer(journal)


def test_a_backpropagation_that_is_cut_shorter_than_the_lag() -> None:
    torch.manual_seed(0)
    rnn, states = torch.nn.RNN(1, 16), [torch.zeros(1, 8, 16)]
    torch.nn.init.orthogonal_(rnn.weight_hh_l0)

    def loss(_: int) -> Any:
        said, states[0] = rnn(0.1 * torch.randn(20, 8, 1), states[0].detach())
        return said.square().mean()

    journal = watched(rnn, loss, required_lag=50)

    unknown = present(journal.diagnoses["rnn"].verdict.reason(ReasonCode.HORIZON_UNKNOWN))
    assert (unknown.numbers["required_lag"], unknown.numbers["max_lag"]) == (50, 20)
    assert journal.findings == {}


def test_a_packed_batch_whose_empty_sequences_were_lengthened() -> None:
    from torch.nn.utils.rnn import pack_padded_sequence

    torch.manual_seed(0)
    gru, lengths = torch.nn.GRU(2, 8), torch.tensor([40, 30, 20, 0, 0, 0, 0, 0]).clamp(min=1)

    def loss(_: int) -> Any:
        packed = pack_padded_sequence(torch.randn(40, 8, 2), lengths, enforce_sorted=False)
        return gru(packed)[0].data.square().mean()

    journal = watched(gru, loss)

    found = journal.findings["gru", Finding.ONE_STEP]
    assert (found.step, found.of_them, found.sequences) == (1, 5, 8)


def test_an_overflow_of_half_precision() -> None:
    torch.manual_seed(0)
    rnn = torch.nn.RNN(1, 16)

    def loss(step: int) -> Any:
        said = (1.0 + rnn(torch.randn(30, 8, 1))[0]).half()
        return (said * (1e5 if step == 13 else 1.0)).float().sum()

    journal = watched(rnn, loss)

    first = journal.trouble["weight_ih_l0", Quantity.GRADIENT]
    assert first.step == 13


def test_a_state_that_is_carried_with_its_graph() -> None:
    torch.manual_seed(0)
    lstm, states = torch.nn.LSTM(1, 8), list[Any]()
    told: list[str] = []

    def loss(_: int) -> Any:
        said, state = lstm(torch.randn(20, 4, 1), *states[-1:])
        states.append(state)
        return said.square().mean()

    with pytest.raises(RuntimeError, match="second time"):
        watched(lstm, loss, log=told.append)

    assert sum("detach" in line and "step 2" in line for line in told[:-1]) == 1


def test_a_state_from_an_encoder_is_not_one_that_is_carried() -> None:
    torch.manual_seed(0)
    encoder, decoder = torch.nn.GRU(1, 8), torch.nn.GRU(1, 8)

    def loss(_: int) -> Any:
        state = encoder(torch.randn(20, 4, 1))[1]
        return decoder(torch.randn(10, 4, 1), state)[0].square().mean()

    journal = watched(torch.nn.ModuleList([encoder, decoder]), loss)

    assert journal.findings == {}
