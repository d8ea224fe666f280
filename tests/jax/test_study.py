"""The analysis of a step of JAX, against its own gradients and against that of PyTorch."""

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import gradscope.jax as gj  # noqa: E402
from gradscope.analysis.results import Analysis  # noqa: E402
from gradscope.diagnosis.growth import terms_of  # noqa: E402

STEPS, SEQUENCES, HIDDEN = 4, 3, 4


def given() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(3)
    parameters = {
        "w": 0.4 * rng.standard_normal((HIDDEN, HIDDEN)),
        "u": rng.standard_normal((2, HIDDEN)),
    }
    return (
        parameters,
        rng.standard_normal((STEPS, SEQUENCES, 2)),
        rng.standard_normal((STEPS, SEQUENCES, HIDDEN)),
    )


def step(parameters: Any, state: Any, x: Any) -> Any:
    h = jax.numpy.tanh(state["h"] @ parameters["w"] + x @ parameters["u"])
    return {"h": h, "m": 0.9 * state["m"] + 0.1 * h}, h


def zeros() -> Any:
    return {name: np.zeros((SEQUENCES, HIDDEN)) for name in ("h", "m")}


def studied(**asked: Any) -> Analysis:
    parameters, inputs, targets = given()
    shown: dict[str, Any] = {"readout": lambda _, state: state["m"], "targets": targets}
    return gj.study(step, zeros(), inputs, parameters=parameters, **shown, **asked)


def test_error_gradient_and_shares_are_those_of_jax() -> None:
    parameters, inputs, targets = given()

    def loss(values: Any) -> Any:
        state, total = zeros(), 0.0
        for x, wanted in zip(inputs, targets, strict=True):
            state, _ = step(values, state, x)
            total = total + ((state["m"] - wanted) ** 2).mean()
        return total

    with jax.enable_x64(True):
        error, exact = jax.value_and_grad(loss)(parameters)

    found = studied(shares=True)

    assert found.last.error == pytest.approx(float(error) / STEPS, rel=1e-12)
    shares = found.details.shares
    assert shares is not None
    for name in ("w", "u"):
        np.testing.assert_allclose(shares.total[name], np.asarray(exact[name]), rtol=0, atol=1e-13)
    assert set(terms_of(found.last.causes)) == {"h → h", "h → m", "m → h", "m → m"}


def test_without_parameters_a_step_takes_state_and_input() -> None:
    parameters, inputs, _ = given()

    found = gj.study(lambda state, x: step(parameters, state, x), zeros(), inputs)
    same = gj.study(step, zeros(), inputs, parameters=parameters, dense=False)

    np.testing.assert_allclose(
        found.last.profile.log_norms, same.last.profile.log_norms, rtol=0, atol=1e-9
    )
    assert found.settings.weights == "gradscope.jax.study(<lambda>)"


def test_torch_finds_the_same() -> None:
    torch = pytest.importorskip("torch")
    from gradscope.torch import study

    parameters, inputs, targets = given()
    w, u = (torch.from_numpy(parameters[name]) for name in ("w", "u"))

    def in_torch(state: Any, x: Any) -> Any:
        h = torch.tanh(state["h"] @ w + x @ u)
        return {"h": h, "m": 0.9 * state["m"] + 0.1 * h}

    zero = {name: torch.from_numpy(each) for name, each in zeros().items()}
    found = study(
        in_torch,
        zero,
        torch.from_numpy(inputs),
        readout=lambda state: state["m"],
        targets=targets,
        parameters={"w": w, "u": u},
        spectrum=True,
    )
    same = studied(spectrum=True)

    for one, other in (
        (found.last.profile.log_norms, same.last.profile.log_norms),
        (found.last.gradient.log_by_step, same.last.gradient.log_by_step),  # type: ignore[union-attr]
        (found.details.spectrum.lyapunov.exponents, same.details.spectrum.lyapunov.exponents),  # type: ignore[union-attr]
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)
    assert found.last.gradient.norm == pytest.approx(same.last.gradient.norm, rel=1e-10)  # type: ignore[union-attr]
