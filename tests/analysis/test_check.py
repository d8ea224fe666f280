"""``check`` passes where the numerics are right, and fails where any one of them is broken."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import gradscope.analysis.check as module
from gradscope.analysis.check import CheckRow, check
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import Causes, cell_causes
from gradscope.jacobians import shares
from gradscope.jacobians.chain import ElmanChain
from gradscope.learning import bptt
from gradscope.learning.bptt import Gradients
from gradscope.names import ActivationName, StateName, TaskName

TINY = Settings(hidden=3, steps=5, sequences=2, updates=0)


@pytest.mark.parametrize("activation", ActivationName)
def test_every_activation_passes(activation: ActivationName) -> None:
    rows = check(TINY.with_changes({"activation": activation}))

    assert [row for row in rows if not row.passed] == []
    assert len(rows) == 10


@pytest.mark.parametrize("activation", ActivationName)
def test_every_activation_passes_where_the_state_is_the_pre_activation(
    activation: ActivationName,
) -> None:
    # The state starts at 0, where ReLU has its kink.
    rows = check(TINY.with_changes({"activation": activation, "state": StateName.PRE}))

    assert [row for row in rows if not row.passed] == []


@pytest.mark.parametrize("task", [TaskName.COPY, TaskName.TEMPORAL_ORDER])
def test_cross_entropy_passes(task: TaskName) -> None:
    rows = check(TINY.with_changes({"task": task, "steps": 21}))

    assert all(row.passed for row in rows)


def test_a_deviation_that_is_no_number_fails() -> None:
    assert not CheckRow("a", "b", float("nan"), 1.0).passed
    assert CheckRow("a", "b", 1.0, 1.0).passed
    assert not CheckRow("a", "b", 1.1, 1.0).passed


def failed(settings: Settings = TINY) -> set[tuple[str, str]]:
    return {(row.quantity, row.against) for row in check(settings) if not row.passed}


@pytest.mark.parametrize("name", ["recurrent_weights", "hidden_bias", "output_weights"])
def test_a_wrong_gradient_fails_its_own_rows(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    right = bptt.backpropagate

    def wrong(*arguments: Any) -> Gradients:
        gradients = right(*arguments)
        bent = {**gradients.weights, name: gradients.weights[name] * 1.0001}
        return dataclasses.replace(gradients, weights=bent)

    monkeypatch.setattr(module, "backpropagate", wrong)

    title = f"gradient of {name.replace('_', ' ')}"
    assert (title, "central differences") in failed()
    assert {quantity for quantity, _ in failed()} == {title}


def test_slopes_of_the_wrong_step_fail_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    def early(self: ElmanChain, rows: FloatArray, step: int) -> FloatArray:
        return rows @ self.jacobian(max(step - 1, 1))

    monkeypatch.setattr(ElmanChain, "vjp", early)

    assert any(quantity.startswith("product of") for quantity, _ in failed())


def test_a_transposed_recurrent_matrix_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def transposed(self: ElmanChain, rows: FloatArray, step: int) -> FloatArray:
        carried: FloatArray = rows * self.slopes[step - 1][:, None, :] @ self.recurrent_weights.T
        return carried

    monkeypatch.setattr(ElmanChain, "vjp", transposed)

    assert failed()


def test_a_lost_cause_fails_the_sum_of_causes(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_saturation(*arguments: Any) -> Any:
        found = cell_causes(*arguments)
        assert isinstance(found, Causes)
        return dataclasses.replace(found, saturation=np.zeros_like(found.saturation))

    monkeypatch.setattr(module, "cell_causes", without_saturation)

    assert failed() == {("σ_max at every lag", "its four causes")}


def test_a_lost_share_fails_the_sum_of_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    right = shares.gradient_shares

    def half(*arguments: Any) -> Any:
        found = right(*arguments)
        return dataclasses.replace(found, total={k: 0.5 * v for k, v in found.total.items()})

    monkeypatch.setattr(module, "gradient_shares", half)

    assert {against for _, against in failed()} == {"sum of shares by lag"}
