"""A watch as an instrument: its snapshots, and what is made of them."""

import gc
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import LN_10
from gradscope.errors import SettingError
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is what is watched")
pytestmark = pytest.mark.torch

H, T, B, STEPS = 8, 30, 3, 7


def train(module: Any, *, steps: int = STEPS, norms: Any = None, **options: Any) -> Any:
    """Return the closed watch over a training of some steps, each a snapshot of every third."""
    from gradscope.torch import watch

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    given = {"every": 3, "share": None, **options}
    with watch(module, **given) as watching:
        for _ in range(steps):
            loss = module(torch.randn(T, B, 1))[0].square().mean()
            optimizer.zero_grad()
            loss.backward()
            if norms is not None:
                squares = [each.grad.double().square().sum() for each in module.parameters()]
                norms.append(float(sum(squares)) ** 0.5)
            optimizer.step()
            watching.loss(loss)
    assert watching.journal.failures == []
    return watching


def rnn(gain: float = 1.0, **options: Any) -> Any:
    torch.manual_seed(0)
    module = torch.nn.RNN(1, H, **options)
    torch.nn.init.orthogonal_(module.weight_hh_l0, gain)
    return module


def test_a_snapshot_is_what_its_diagnosis_says() -> None:
    norms: list[float] = []
    found = train(rnn(0.5), required_lag=10, norms=norms).snapshots

    assert [each.step for each in found] == [1, 4, 7]
    for each in found:
        diagnosis = present(each.diagnosis)
        assert each.layer == "rnn"
        assert each.reach == diagnosis.verdict.horizon
        assert each.reaches is diagnosis.verdict.reaches is (present(each.reach) > 10)
        assert each.rate == diagnosis.growth.rate
        assert each.interval == (diagnosis.growth.low, diagnosis.growth.high)
        wanted = np.median(diagnosis.norms.log_norms, axis=1) / LN_10
        np.testing.assert_allclose(each.log10_norms, wanted, rtol=1e-12)
        assert each.gradient_norm == pytest.approx(norms[each.step - 1], rel=1e-6)
        assert each.cost > 0.0
    spent = sum(each.cost for each in found)
    assert spent <= train(rnn(0.5)).journal.budget.spent + spent  # Never more than was charged.


def test_slopes_are_those_of_the_states_that_pytorch_has() -> None:
    module = rnn()
    torch.manual_seed(1)
    inputs = torch.randn(T, B, 1)
    from gradscope.torch import watch

    with watch(module, share=None, sequences=B) as watching:
        hidden = module(inputs)[0].detach().numpy().astype(np.float64)

    wanted = np.quantile(1.0 - hidden**2, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(present(watching.snapshots[0].slopes), wanted, rtol=1e-5)


def test_a_function_gets_each_snapshot_when_its_training_step_has_ended() -> None:
    norms: list[float] = []
    told: list[tuple[int, float | None, int]] = []

    watching = train(
        rnn(num_layers=2),
        norms=norms,
        on_snapshot=lambda each: told.append((each.step, each.gradient_norm, len(norms))),
    )

    assert [step for step, _, _ in told] == [1, 1, 4, 4, 7, 7]
    assert [norm for _, norm, _ in told] == pytest.approx(
        [norms[step - 1] for step, _, _ in told], rel=1e-6
    )
    assert [after for _, _, after in told] == [1, 1, 4, 4, 7, 7]
    assert len(watching.snapshots) == 6


def test_what_the_function_raises_ends_the_training_and_no_hook_is_left() -> None:
    class EnoughError(Exception):
        pass

    def stop(snapshot: Any) -> None:
        if snapshot.step >= 4:
            raise EnoughError(snapshot.step)

    module, norms = rnn(), list[float]()
    with pytest.raises(EnoughError, match=r"^4$"):
        train(module, on_snapshot=stop, norms=norms)

    assert len(norms) == 4
    assert not module._forward_hooks


def test_the_document_has_every_snapshot_and_no_number_that_json_has_not() -> None:
    watching = train(rnn(0.5), required_lag=10)

    document = json.loads(watching.to_json(), parse_constant=pytest.fail)

    assert document["schema"] == "gradscope.watch"
    assert document["settings"]["required_lag"] == 10
    assert [each["step"] for each in document["snapshots"]] == [1, 4, 7]
    assert document["snapshots"][0]["reach_steps"] == watching.snapshots[0].reach
    assert document["snapshots"][0]["gradient_norm"] == watching.snapshots[0].gradient_norm
    assert [each["step"] for each in document["losses"]] == list(range(1, STEPS + 1))
    assert set(document["units"]) <= set(document["snapshots"][0])


def test_what_lies_beyond_the_lags_is_null_and_no_number_for_a_logger() -> None:
    from gradscope.watch.numbers import numbers

    module = rnn()
    torch.nn.init.zeros_(module.weight_ih_l0)
    torch.nn.init.zeros_(module.bias_ih_l0)
    torch.nn.init.zeros_(module.bias_hh_l0)
    watching = train(module, steps=1)

    assert watching.snapshots[0].reach is None
    assert json.loads(watching.to_json())["snapshots"][0]["reach_steps"] is None
    found = numbers(watching.snapshots[0])
    assert found["gradscope/rnn/lags_measured"] == T
    assert found["gradscope/rnn/growth_nats_per_step"] == pytest.approx(0.0, abs=1e-6)
    assert not {"gradscope/rnn/reach_steps", "gradscope/rnn/required_lag_reached"} & found.keys()


def test_the_names_of_layers_are_names_that_loggers_take() -> None:
    from gradscope.watch.numbers import numbers

    watching = train(torch.nn.LSTM(1, 4, num_layers=2, bidirectional=True), steps=1)

    names = {name.split("/")[1] for each in watching.snapshots for name in numbers(each)}
    assert len(names) == 4
    assert all(name.replace("_", "").replace(".", "").replace(" ", "").isalnum() for name in names)


def test_lags_go_as_far_as_they_have_to() -> None:
    watching = train(rnn(), steps=1, max_lag=5, required_lag=20)

    assert present(watching.snapshots[0].verdict).max_lag == 20


def test_several_logs_and_one_that_fails() -> None:
    lines: list[str] = []

    class Full:
        def add_scalar(self, *_: Any) -> None:
            raise OSError("no space left")

    watching = train(rnn(), log=[Full(), lines.append])

    assert lines[-1].splitlines()[0] == watching.report().splitlines()[0]
    assert "no space left" in watching.report()
    assert len(watching.snapshots) == 3


@pytest.mark.parametrize("options", [{"required_lag": 0}, {"on_snapshot": 3}])
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        train(rnn(), **options)


def test_figure_and_page_open_with_the_verdict() -> None:
    watching = train(rnn(0.5), required_lag=20)

    figure, page = watching.figure(), watching.html()

    assert len(figure.axes) == 2
    assert "20" in page.partition("</strong>")[0]
    assert "data:image/png;base64," in page
    assert watching._repr_html_().startswith('<div class="gradscope">')


def test_advice_is_for_the_layers_it_is_true_of_and_leaves_out_what_nobody_measured() -> None:
    from gradscope.diagnosis.remedies import RemedyCode
    from gradscope.watch.advice import remedies_by_layer

    torch.manual_seed(0)
    lstm = torch.nn.LSTM(1, H, num_layers=2)
    for name, each in lstm.named_parameters():
        if "bias" in name and "l1" in name:
            each.data[H : 2 * H] = 4.0  # The forget gate of the second layer stays open.
    given = remedies_by_layer(train(lstm, steps=1, required_lag=20).journal)

    assert RemedyCode.KEEP_LONGER in {each.code for each in given["lstm[0]"]}
    assert RemedyCode.KEEP_LONGER not in {each.code for each in given.get("lstm[1]", ())}
    codes = {each.code for each in remedies_by_layer(train(rnn(0.3), steps=1).journal)["rnn"]}
    assert RemedyCode.RAISE_GAIN not in codes


@pytest.mark.slow
def test_thousands_of_steps_leave_their_losses_and_gradient_norms_behind_and_no_more() -> None:
    from gradscope.torch import watch

    module = torch.nn.RNN(1, 4)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    held: list[int] = []
    tracemalloc.start()
    try:
        with watch(module, every=100_000, log=None) as watching:
            for step in range(6_001):
                loss = module(torch.randn(5, 2, 1))[0].square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                watching.loss(loss)
                if step in (2_000, 6_000):
                    gc.collect()
                    held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    # Two pairs of a step and a number for each: 4 × 32 bytes, two tuples of 56, their places.
    assert (held[1] - held[0]) / 4_000 < 320


def test_a_live_view_is_six_lines_with_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    train(torch.nn.LSTM(1, 4, num_layers=5), live=True, required_lag=20)

    *_, last = capsys.readouterr().err.split("Watched")
    lines = last.splitlines()
    assert len(lines) <= 5
    assert sum("of 20 needed" in line for line in lines) >= 3
    assert max(map(len, lines)) <= 80


def test_a_live_view_that_fails_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradscope.watch.live import LiveView

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the terminal is gone")

    monkeypatch.setattr(LiveView, "draw", fail)

    watching = train(rnn(), live=True)

    assert len(watching.snapshots) == 3
    assert "the terminal is gone" in watching.report()
