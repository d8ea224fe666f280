"""From a file that PyTorch wrote to an analysis: profile and products are PyTorch's own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.check import check
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.imported.stack import ImportedStack
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.jacobians.cell_chain import cell_chain
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch writes the files and is the oracle")
pytestmark = pytest.mark.torch

D, H, T, B = 3, 5, 12, 2
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "tanh": ("RNN", {"nonlinearity": "tanh"}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "gru": ("GRU", {}),
    "lstm": ("LSTM", {}),
}


class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
    """A recurrent layer and a linear readout, as people write them."""

    def __init__(self, rnn: Any, outputs: int = 2) -> None:
        super().__init__()
        self.rnn = rnn
        width = rnn.hidden_size * (2 if rnn.bidirectional else 1)
        self.fc = torch.nn.Linear(width, outputs, dtype=torch.float64)

    def forward(self, inputs: Any) -> Any:
        return self.fc(self.rnn(inputs)[0])


def made(kind: str, n_layers: int = 1, n_directions: int = 1) -> Any:
    name, options = KINDS[kind]
    torch.manual_seed(4)
    return getattr(torch.nn, name)(
        D, H, n_layers, bidirectional=n_directions == 2, dtype=torch.float64, **options
    )


def saved(folder: Path, module: Any, inputs: FloatArray) -> dict[str, Any]:
    """Return settings that name the saved module and its inputs."""
    torch.save(module.state_dict(), folder / "net.pt")
    np.save(folder / "x.npy", inputs)
    return {"weights": str(folder / "net.pt"), "data": str(folder / "x.npy")}


def drawn_inputs(sequences: int = B, steps: int = T) -> FloatArray:
    return np.random.default_rng(2).normal(size=(steps, sequences, D))


def studied(folder: Path, module: Any, inputs: FloatArray, **values: Any) -> Analysis:
    return analyze(settings_of_weights({**saved(folder, module, inputs), **values}))


def said(kind: str) -> dict[str, Any]:
    """Return what only a person can say of this kind."""
    return {"activation": kind} if kind in ("tanh", "relu") else {}


def seen_by(rnn: Any, inputs: Any, layer: int) -> Any:
    """Return what a layer of a module sees: what a module of the layers below puts out."""
    if layer == 0:
        return inputs
    below = getattr(torch.nn, type(rnn).__name__)(
        D, H, layer, bidirectional=rnn.bidirectional, dtype=torch.float64,
        **({"nonlinearity": rnn.nonlinearity} if hasattr(rnn, "nonlinearity") else {}),
    )  # fmt: skip
    arrays = rnn.state_dict()
    below.load_state_dict({name: arrays[name] for name in below.state_dict()})
    return below(inputs)[0]


def transports(rnn: Any, inputs: FloatArray, layer: int, backward: bool) -> list[FloatArray]:
    """Return ∂s_T/∂s_{T−ℓ} for ℓ = 1 … T of one sequence, by jacrev of the cell's own steps."""
    seen = seen_by(rnn, torch.tensor(inputs), layer).detach()[:, 0]
    seen = seen.flip(0) if backward else seen
    name = type(rnn).__name__
    cell = getattr(torch.nn, f"{name}Cell")(
        seen.shape[1], H, dtype=torch.float64,
        **({"nonlinearity": rnn.nonlinearity} if name == "RNN" else {}),
    )  # fmt: skip
    ending = f"l{layer}{'_reverse' if backward else ''}"
    arrays = rnn.state_dict()
    cell.load_state_dict({each: arrays[f"{each}_{ending}"] for each in cell.state_dict()})

    def step(x: Any, state: Any) -> Any:
        whole = name == "LSTM"
        return torch.cat(cell(x, (state[:H], state[H:]))) if whole else cell(x, state)

    def run(state: Any, start: int) -> Any:
        for x in seen[start:]:
            state = step(x, state)
        return state

    states = [torch.zeros(2 * H if name == "LSTM" else H, dtype=torch.float64)]
    for x in seen[:-1]:
        states.append(step(x, states[-1]).detach())
    return [
        torch.func.jacrev(lambda s, k=k: run(s, k))(states[k]).detach().numpy()
        for k in range(len(seen) - 1, -1, -1)
    ]


@pytest.mark.parametrize(("n_layers", "n_directions"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_products_and_profile_are_those_of_jacrev(
    kind: str, n_layers: int, n_directions: int, tmp_path: Path
) -> None:
    rnn, inputs = made(kind, n_layers, n_directions), drawn_inputs(sequences=1)
    for layer in range(n_layers):
        for backward in (False, True)[:n_directions]:
            asked = f"{layer}{':reverse' if backward else ''}"
            analysis = studied(tmp_path, Net(rnn), inputs, layer=asked, **said(kind))
            wanted = transports(rnn, inputs, layer, backward)

            chain = cell_chain(analysis.params, analysis.trajectory)
            rows = np.eye(chain.state_size)[None]
            for step, product in zip(range(T, 0, -1), wanted, strict=True):
                rows = chain.vjp(rows, step)
                size = float(np.linalg.norm(product, 2))
                np.testing.assert_allclose(rows[0], product, rtol=0, atol=1e-10 * size)
            norms = [np.log(np.linalg.norm(product, 2)) for product in wanted]
            np.testing.assert_allclose(
                analysis.last.profile.log_norms[:, 0], norms, rtol=0, atol=1e-9
            )


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_a_stack_is_judged_beside_the_last(kind: str, tmp_path: Path) -> None:
    analysis = studied(tmp_path, made(kind, 2), drawn_inputs(), **said(kind))
    lower = studied(tmp_path, made(kind, 2), drawn_inputs(), layer="0", **said(kind))

    assert analysis.network is not None
    assert analysis.network.studied.endswith("[1]")
    first, last = analysis.network.layers
    assert first.verdict is not None
    assert first.verdict.rate == pytest.approx(lower.last.verdict.rate, abs=1e-12)
    assert last.verdict is None  # The analysis itself speaks of it


def test_a_net_trained_by_pytorch_has_the_profile_of_its_autograd(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net(torch.nn.RNN(1, 8, dtype=torch.float64), outputs=1)
    inputs = torch.randn(20, 16, 1, dtype=torch.float64)
    wanted = torch.cat([torch.zeros(3, 16, 1, dtype=torch.float64), inputs[:-3]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = ((net(inputs) - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    np.save(tmp_path / "y.npy", wanted.numpy())
    named = {"readout": "fc", "targets": str(tmp_path / "y.npy"), "shares": True}
    named["tolerance"] = 1e-12

    analysis = studied(tmp_path, net, inputs.numpy(), activation="tanh", **named)

    states = [torch.zeros(16, 8, dtype=torch.float64, requires_grad=True)]
    cell = torch.nn.RNNCell(1, 8, dtype=torch.float64)
    ours = {name.removesuffix("_l0"): each for name, each in net.rnn.state_dict().items()}
    cell.load_state_dict(ours)
    for x in inputs:
        states.append(cell(x, states[-1]))
    for lag in range(1, 21):
        jacobian = torch.stack(
            [
                torch.autograd.grad(states[20][:, unit].sum(), states[20 - lag], retain_graph=True)[
                    0
                ]
                for unit in range(8)
            ],
            dim=1,
        )
        norms = torch.linalg.matrix_norm(jacobian, 2).log().numpy()
        np.testing.assert_allclose(analysis.last.profile.log_norms[lag - 1], norms, atol=1e-9)
    error = float(((net(inputs) - wanted) ** 2).mean().detach())
    assert analysis.last.error == pytest.approx(error, rel=1e-12)
    losses_by_step = [
        ((net.fc(state) - want) ** 2).mean() for state, want in zip(states[1:], wanted, strict=True)
    ]
    adjoints = torch.autograd.grad(sum(losses_by_step), states)
    assert analysis.last.gradient is not None
    np.testing.assert_allclose(
        analysis.last.gradient.log_by_step,
        [float(each.norm().log()) for each in adjoints],
        atol=1e-9,
    )
    assert analysis.details.shares is not None


def test_with_forget_bias_3_the_whole_state_of_an_lstm_carries_a_thousandth_over_50_steps(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    lstm = torch.nn.LSTM(D, 16, dtype=torch.float64)
    with torch.no_grad():
        for name, each in lstm.named_parameters():
            each.mul_(0.1)
            if "bias" in name:
                each.zero_()
        lstm.bias_ih_l0[16:32] = 3.0

    analysis = studied(tmp_path, lstm, drawn_inputs(steps=50))

    # log σ(3) = −0.0486 a step: 0.0878 over 50; h alone loses about a factor 8 a step.
    at_50 = np.exp(analysis.last.profile.log_norms[49])
    assert np.all(at_50 > 1e-3)
    assert np.all(at_50 < 1.0)
    h_alone = np.linalg.norm(_product_of_h_alone(analysis), 2)
    assert h_alone < 1e-40


def _product_of_h_alone(analysis: Analysis) -> FloatArray:
    """Return the product of ∂h_t/∂h_{t−1}, c left out, of the first sequence."""
    chain = cell_chain(analysis.params, analysis.trajectory)
    found: FloatArray = np.eye(16)
    for step in range(1, 51):
        found = chain.jacobian(step)[0, :16, :16] @ found
    return found


@pytest.mark.parametrize("n_directions", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_parity_with_pytorch_holds_and_a_changed_weight_is_found(
    kind: str, n_directions: int, tmp_path: Path
) -> None:
    from gradscope.frameworks.torch import can_compute, parity_rows

    values = saved(tmp_path, made(kind, 2, n_directions), drawn_inputs())
    settings = settings_of_weights({**values, **said(kind)})
    stack = present(prepare(settings, keep_stack=True).stack)

    assert can_compute(stack.spec)
    assert all(row.deviation < 1e-13 for row in parity_rows(stack))
    assert all(row.passed for row in check(settings))
    assert not any(row.passed for row in parity_rows(with_other_weights(stack)))


@pytest.mark.parametrize("n_directions", [1, 2])
def test_a_chaotic_network_is_compared_over_the_steps_in_which_rounding_stays_small(
    n_directions: int, tmp_path: Path
) -> None:
    from gradscope.frameworks.torch import parity_rows

    torch.manual_seed(0)
    module = torch.nn.RNN(D, 32, 2, bidirectional=n_directions == 2, dtype=torch.float64)
    for name, weights in module.named_parameters():
        torch.nn.init.normal_(weights, std=2.0 / 32**0.5 if "weight_hh" in name else 0.2)
    values = saved(tmp_path, module, drawn_inputs(steps=400))
    stack = present(prepare(settings_of_weights({**values, **said("tanh")}), keep_stack=True).stack)

    _, _, outputs = rows = parity_rows(stack)
    assert all(row.passed for row in rows)
    compared = int(outputs.quantity.split()[0])
    assert 10 <= compared < stack.recording.inputs.shape[0]
    assert not any(row.passed for row in parity_rows(with_other_weights(stack)))


def with_other_weights(stack: ImportedStack) -> ImportedStack:
    """Return the same trajectories with another W in the layers that PyTorch is given."""
    changed = {
        layer.title: replace(layer, recurrent_weights=1.001 * layer.recurrent_weights)
        for depth in stack.layers
        for layer, _ in depth
    }
    layers = tuple(
        tuple((changed[each.title], cell) for each, cell in depth) for depth in stack.layers
    )
    return replace(stack, studied=changed[stack.studied.title], layers=layers)


def test_what_pytorch_has_no_layer_for_is_told(tmp_path: Path) -> None:
    from gradscope.frameworks.torch import can_compute

    values = saved(tmp_path, made("tanh"), drawn_inputs())

    assert not can_compute(
        present(
            prepare(settings_of_weights({**values, "activation": "sigmoid"}), keep_stack=True).stack
        ).spec
    )
