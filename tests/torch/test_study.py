"""The analysis of a step of somebody's own, against autograd and against that of a known cell."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gradscope.torch as gt  # noqa: E402
from gradscope.analysis.results import Analysis  # noqa: E402
from gradscope.diagnosis.growth import terms_of  # noqa: E402
from gradscope.diagnosis.reasons import ReasonCode  # noqa: E402
from gradscope.errors import GradscopeError, SettingError, ShapeError  # noqa: E402
from gradscope.jacobians.lag_norms import lag_norms  # noqa: E402
from gradscope.model.steps import NO_DROPOUT, PROMOTED  # noqa: E402
from gradscope.names import Regime  # noqa: E402
from gradscope.report.documents.analysis import analysis_document  # noqa: E402
from gradscope.report.figures.analysis import analysis_picture  # noqa: E402
from gradscope.report.figures.panels import View  # noqa: E402
from gradscope.report.html import analysis_html  # noqa: E402

STEPS, SEQUENCES, INPUTS, HIDDEN, OUTPUTS = 12, 3, 2, 5, 2


def lstm(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return torch.nn.LSTMCell(INPUTS, HIDDEN).double()


def given(seed: int = 1) -> tuple[Any, Any, Any]:
    """Inputs (T,B,D), a linear readout, and targets (T,B,O) of which some are missing."""
    torch.manual_seed(seed)
    targets = torch.randn(STEPS, SEQUENCES, OUTPUTS).double()
    targets[::3] = float("nan")
    readout = torch.nn.Linear(HIDDEN, OUTPUTS).double()
    return torch.randn(STEPS, SEQUENCES, INPUTS).double(), readout, targets


class Wrapped(torch.nn.Module):  # type: ignore[misc,name-defined]
    """A cell of somebody's own, of which nothing is known."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any, state: Any = None) -> Any:
        return self.cell(x, state)


def studied(cell: Any, **more: Any) -> Analysis:
    inputs, readout, targets = given()
    zero = torch.zeros(SEQUENCES, HIDDEN).double()
    return gt.study(
        cell, (zero, zero), inputs, readout=lambda s: readout(s[0]), targets=targets, **more
    )


def loss_and_states(cell: Any) -> tuple[Any, list[Any]]:
    """The error as a person would write it, and every h_t."""
    inputs, readout, targets = given()
    h = c = torch.zeros(SEQUENCES, HIDDEN).double()
    loss, states = torch.zeros(()).double(), []
    for x, wanted in zip(inputs, targets, strict=True):
        h, c = cell(x, (h, c))
        h.retain_grad()
        states.append(h)
        held = ~wanted.isnan()
        loss = loss + torch.where(held, readout(h) - wanted.nan_to_num(), 0.0).square().mean()
    return loss, states


def test_error_gradient_and_shares_are_those_of_autograd() -> None:
    cell = lstm()
    loss, _ = loss_and_states(cell)
    loss.backward()
    exact = {name: each.grad.numpy() for name, each in cell.named_parameters()}

    found = studied(cell, shares=True)

    with_target = STEPS - len(range(0, STEPS, 3))
    assert found.last.error == pytest.approx(loss.item() / with_target, rel=1e-12)
    shares, gradient = found.details.shares, found.last.gradient
    assert shares is not None
    assert gradient is not None
    assert set(shares.total) == set(exact)
    for name, each in exact.items():
        np.testing.assert_allclose(shares.total[name], each, rtol=0, atol=1e-13)
    whole = np.sqrt(sum(np.square(each).sum() for each in exact.values()))
    assert gradient.norm == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_it_is_the_same_where_gradients_are_off(around: Any) -> None:
    cell, (inputs, readout, targets) = lstm(), given()
    zero = torch.zeros(SEQUENCES, HIDDEN).double()

    with around():
        found = gt.study(
            cell, (zero, zero), inputs, readout=lambda s: readout(s[0]), targets=targets
        ).last

    wanted = studied(cell).last
    assert found.gradient is not None
    assert wanted.gradient is not None
    assert found.gradient.norm == pytest.approx(wanted.gradient.norm, rel=1e-12)
    np.testing.assert_allclose(found.profile.log_norms, wanted.profile.log_norms)


def test_float32_parameters_are_promoted_before_the_gradient_is_taken() -> None:
    wide, narrow = lstm().float().double(), lstm().float()

    exact, found = (studied(each, shares=True).details.shares for each in (wide, narrow))

    assert exact is not None
    assert found is not None
    for name, each in exact.total.items():
        np.testing.assert_allclose(found.total[name], each, rtol=0, atol=1e-14)


def test_adjoints_by_step_are_those_of_autograd() -> None:
    cell = torch.nn.RNNCell(INPUTS, HIDDEN).double()
    inputs, readout, targets = given()
    h = torch.zeros(SEQUENCES, HIDDEN).double()
    loss, states = torch.zeros(()).double(), []
    for x, wanted in zip(inputs, targets, strict=True):
        h = cell(x, h)
        h.retain_grad()
        states.append(h)
        gap = torch.where(wanted.isnan(), 0.0, readout(h) - wanted.nan_to_num())
        loss = loss + gap.square().mean()
    loss.backward()

    zero = torch.zeros(SEQUENCES, HIDDEN).double()
    gradient = gt.study(cell, zero, inputs, readout=readout, targets=targets).last.gradient

    assert gradient is not None
    exact = [float(each.grad.norm()) for each in states]
    np.testing.assert_allclose(np.exp(gradient.log_by_step[1:]), exact, rtol=1e-10)


def test_profile_map_and_exponents_are_those_of_the_chain() -> None:
    cell = lstm()
    inputs, *_ = given()
    zero = torch.zeros(SEQUENCES, HIDDEN).double()
    chain = gt.chain(lambda s, x: cell(x, s), (zero, zero), inputs)

    found = studied(cell, map=True, spectrum=True, verify=True, tolerance=1e-10)

    profile, exact = found.last.profile, lag_norms(chain, tolerance=1e-10)
    np.testing.assert_allclose(profile.log_norms, exact.log_norms, rtol=0, atol=1e-8)
    details = found.details
    assert details.map is not None
    np.testing.assert_allclose(
        details.map.log_norms[-1, :-1][::-1], exact.log_norms, rtol=0, atol=1e-8
    )
    assert details.spectrum is not None
    singular = details.spectrum.singular
    np.testing.assert_allclose(
        singular.log_values[..., 0], exact.log_norms[singular.lags - 1], rtol=0, atol=1e-8
    )
    assert details.verification is not None
    assert details.verification.worst < 1e-8


@pytest.mark.parametrize("dense", [True, False])
def test_rows_carried_through_the_step_find_the_same(dense: bool) -> None:
    found, usual = studied(lstm(), dense=dense, shares=True), studied(lstm(), shares=True)

    np.testing.assert_allclose(
        found.last.profile.log_norms, usual.last.profile.log_norms, rtol=0, atol=1e-9
    )
    for name, each in terms_of(usual.last.causes).items():
        assert terms_of(found.last.causes)[name] == pytest.approx(each, abs=1e-7)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cell_of_torch_has_the_causes_of_ours_and_the_norms_of_its_step(kind: str) -> None:
    inputs, *_ = given()
    torch.manual_seed(0)
    cell = getattr(torch.nn, kind)(INPUTS, HIDDEN)

    known, stepped = gt.study(cell, inputs), gt.study(Wrapped(cell), inputs)

    np.testing.assert_allclose(
        known.last.profile.log_norms, stepped.last.profile.log_norms, rtol=0, atol=1e-9
    )
    terms = terms_of(known.last.causes)
    assert set(terms) == {each.name for each in fields(type(known.last.causes))} - {"total"}
    assert sum(rate or 0.0 for rate in terms.values()) == pytest.approx(
        stepped.last.growth.rate, abs=1e-7
    )
    assert np.isfinite(known.last.profile.log_bound).all()
    assert np.isnan(stepped.last.profile.log_bound).all()


def test_a_stack_with_residuals_and_norms_is_one_step_across_its_layers() -> None:
    torch.manual_seed(3)
    cells = [torch.nn.GRUCell(4, 4).double() for _ in range(3)]
    norms = [torch.nn.LayerNorm(4).double() for _ in cells]

    def step(states: Any, x: Any) -> Any:
        after = []
        for cell, norm, state in zip(cells, norms, states, strict=True):
            after.append(cell(norm(x), state))
            x = x + after[-1]
        return tuple(after)

    inputs = torch.randn(STEPS, 1, 4).double()
    zero = tuple(torch.zeros(1, 4).double() for _ in cells)

    def last(*first: Any) -> Any:
        states = tuple(each[None] for each in first)
        for x in inputs:
            states = step(states, x)
        return torch.cat(states, dim=1)[0]

    blocks = torch.func.jacrev(last, argnums=(0, 1, 2))(*(each[0] for each in zero))
    exact = np.linalg.norm(torch.cat(blocks, dim=1).detach().numpy(), 2)
    for dense in (True, False):
        found = gt.study(step, zero, inputs, dense=dense)
        assert found.last.profile.log_norms[-1, 0] == pytest.approx(np.log(exact), abs=1e-10)
        paths = terms_of(found.last.causes)
        assert len(paths) == 9
        # Nothing goes up in one step: a layer does not see those above it.
        assert {paths[f"s[{a}] → s[{b}]"] for a in range(3) for b in range(a)} == {0.0}


def test_of_one_part_without_targets_every_view_can_be_drawn_too() -> None:
    inputs, *_ = given()
    found = gt.study(lambda h, x: 0.9 * h + x[:, :1], torch.zeros(SEQUENCES, 4), inputs)

    assert not terms_of(found.last.causes)
    for view in (View(), View(sheet=True), View(card=True)):
        assert analysis_picture(found, ".png", view=view)
    assert "0.9" in analysis_html(found)
    assert analysis_document(found)["stages"][0]["verdict"]["regime"] == "stable"
    with pytest.raises(SettingError, match="slopes"):
        View(panels=("slopes",)).require(found)


def test_ids_are_no_amounts_that_a_step_could_go_with() -> None:
    ids = torch.arange(60).remainder(7)[:, None]
    rates = torch.linspace(0.1, 0.9, 7).double()
    amounts = ids[..., None].double()

    said = [
        gt.study(step, torch.ones(1, 2), given).last.verdict.reason(ReasonCode.GROWTH_FOLLOWS_INPUT)
        for step, given in (
            (lambda s, x: s * rates[x][:, None], ids),
            (lambda s, x: s * rates[x[:, 0].long()][:, None], amounts),
        )
    ]

    assert said[0] is None
    assert said[1] is not None


@pytest.mark.parametrize("wide", [True, False])
def test_what_is_done_to_a_step_is_said(wide: bool) -> None:
    inputs, *_ = given()
    cell = torch.nn.GRUCell(INPUTS, HIDDEN).to(torch.float64 if wide else torch.float32)
    dropping = torch.nn.Dropout(0.5)

    plain = gt.study(cell, inputs).task_info.description
    said = gt.study(lambda h, x: cell(dropping(x), h), torch.zeros(SEQUENCES, HIDDEN), inputs)

    assert (PROMOTED in plain) is not wide
    assert NO_DROPOUT in said.task_info.description
    assert NO_DROPOUT not in plain


def test_a_cell_alone_starts_from_zeros_and_names_the_parts_of_its_state() -> None:
    inputs, *_ = given()
    cell = lstm()

    alone = gt.study(Wrapped(cell), inputs)

    bare = gt.study(Wrapped(cell), (torch.zeros(SEQUENCES, HIDDEN),) * 2, inputs)
    np.testing.assert_array_equal(alone.last.profile.log_norms, bare.last.profile.log_norms)
    assert set(terms_of(alone.last.causes)) == {f"s[{a}] → s[{b}]" for a in (0, 1) for b in (0, 1)}
    total = sum(rate or 0.0 for rate in terms_of(alone.last.causes).values())
    assert total == pytest.approx(alone.last.causes.total, abs=1e-9)


def test_a_state_by_name_keeps_integers_apart() -> None:
    weights = 0.9 * torch.eye(3).double()

    def counting(state: Any, x: Any) -> Any:
        fast = state["fast"] @ weights
        return {"fast": fast, "slow": 0.99 * state["slow"] + 0.0 * x[:, :1], "n": state["n"] + 1}

    zero = {"fast": torch.zeros(2, 3), "slow": torch.ones(2, 1), "n": torch.zeros(2).long()}
    found = gt.study(counting, zero, torch.ones(40, 2, 1), required_lag=30)

    assert found.params.sizes == (1, 4, 0)
    assert found.last.causes.total == pytest.approx(np.log(0.99), abs=1e-9)
    assert terms_of(found.last.causes)["slow → slow"] == pytest.approx(np.log(0.99), abs=1e-9)
    assert found.last.verdict.regime is Regime.STABLE


def test_every_view_of_it_can_be_drawn_and_says_nothing_of_slopes() -> None:
    found = studied(Wrapped(lstm()), required_lag=10, map=True, spectrum=True, shares=True)

    document = analysis_document(found)
    page = analysis_html(found)
    analysis_picture(found, ".svg")
    (stage,) = document["stages"]
    assert stage["write_level"] is None
    assert stage["slopes"]["ceiling"] is None
    assert "gradscope.torch.study(Wrapped)" in page
    assert "--cell" not in page
    assert "tanh" not in repr(found)
    assert found._repr_html_()
    codes = {each.code for each in found.last.verdict.reasons}
    assert not codes & {ReasonCode.BOUND_ALLOWS_EXPLODING, ReasonCode.BOUND_FORCES_VANISHING}


def test_classes_have_the_cross_entropy_of_torch() -> None:
    inputs, readout, _ = given()
    cell = torch.nn.GRUCell(INPUTS, HIDDEN).double()
    wanted = torch.randint(0, OUTPUTS, (STEPS, SEQUENCES))
    wanted[:4] = -100
    h, loss = torch.zeros(SEQUENCES, HIDDEN).double(), torch.zeros(()).double()
    for x, each in zip(inputs, wanted, strict=True):
        h = cell(x, h)
        if each[0] >= 0:
            loss = loss + torch.nn.functional.cross_entropy(readout(h), each)

    found = gt.study(cell, inputs, readout=readout, targets=wanted)

    assert found.last.error == pytest.approx(loss.item() / (STEPS - 4), rel=1e-10)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"memory": True}, SettingError, "memory"),
        ({"readout": None}, SettingError, "readout="),
        ({"shares": True, "parameters": {}}, SettingError, "parameters="),
        ({"targets": np.zeros((3, 3, 2))}, ShapeError, r"\(3, 3, 2\)"),
        ({"targets": np.full((STEPS, SEQUENCES), 7)}, ShapeError, "up to 7"),
        ({"cells": 3}, SettingError, "cells"),
        ({"gain": 2.0, "updates": 3}, SettingError, "gain"),
        ({"steps": 7}, SettingError, "steps"),
        ({"targets": np.full((STEPS, SEQUENCES, OUTPUTS), np.nan)}, ShapeError, "NaN"),
    ],
)
def test_what_does_not_fit_is_one_line(
    more: dict[str, Any], error: type[GradscopeError], said: str
) -> None:
    inputs, readout, targets = given()
    zero = torch.zeros(SEQUENCES, HIDDEN).double()
    asked = {"readout": lambda s: readout(s[0]), "targets": targets, **more}

    with pytest.raises(error, match=said) as found:
        gt.study(lstm(), (zero, zero), inputs, **asked)
    assert "\n" not in str(found.value)
