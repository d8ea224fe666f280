"""Every cell goes the whole way: settings, drawing, training, archive, check, compare, pages."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis import check as check_module
from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes, load_run
from gradscope.analysis.check import check
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.causes import GatedCauses, cell_causes
from gradscope.diagnosis.growth import CauseRates, GatedCauseRates, terms_of
from gradscope.errors import ArchiveError, SettingError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import unroll
from gradscope.names import CellName, InitializerName, StateName
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.formats import to_json
from gradscope.report.words.cells import (
    CAUSE_LABELS,
    CAUSE_TITLES,
    MAIN_CAUSES,
    model_name,
    short_name,
)
from gradscope.sweep.compare import compare
from tests.present import present

SMALL: dict[str, Any] = {
    "hidden": 6,
    "steps": 10,
    "delay": 2,
    "updates": 2,
    "sequences": 3,
    "batch": 4,
}
CHOICES: dict[str, dict[str, Any]] = {
    "leaky": {"leak": 0.3},
    "pre": {"state": StateName.PRE},
    "leaky pre": {"state": StateName.PRE, "leak": 0.3},
    "gru": {"cell": CellName.GRU},
    "gru that keeps": {"cell": CellName.GRU, "forget_bias": 1.0},
    "lstm": {"cell": CellName.LSTM},
    "lstm as torch has it": {"cell": CellName.LSTM, "init": InitializerName.UNIFORM},
}


def settings_of(choice: str, **changes: Any) -> Settings:
    return Settings(**{**SMALL, **CHOICES[choice], **changes})


@cache
def analyzed(choice: str) -> Analysis:
    return analyze(settings_of(choice))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_check_passes_for_every_cell(choice: str) -> None:
    rows = check(settings_of(choice))

    assert [row.quantity for row in rows if not row.passed] == []
    assert len(rows) >= 10


def test_a_lost_cause_fails_the_sum_of_causes(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_gates(*arguments: Any) -> Any:
        found = cell_causes(*arguments)
        assert isinstance(found, GatedCauses)
        return replace(found, closed_gates=np.zeros_like(found.closed_gates))

    monkeypatch.setattr(check_module, "cell_causes", without_gates)

    failed = [row.against for row in check(settings_of("gru")) if not row.passed]

    assert failed == ["its five causes"]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_saved_run_comes_back_as_it_was(choice: str, tmp_path: Path) -> None:
    analysis = analyzed(choice)
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(analysis))

    run = load_run(path)
    again = analyze(run.settings.with_changes({"load": str(path), "updates": 0}))

    assert run.settings.as_dict() == analysis.settings.as_dict()
    for (name, saved), (_, was) in zip(
        run.params.weights(), analysis.params.weights(), strict=True
    ):
        np.testing.assert_array_equal(saved, was, err_msg=name)
    np.testing.assert_array_equal(again.last.profile.log_norms, analysis.last.profile.log_norms)


def test_a_saved_lstm_without_a_weight_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(analyzed("lstm")))
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["hidden_bias"] = arrays["hidden_bias"][:-1]
    np.savez(path, **arrays)

    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(path)


@pytest.mark.parametrize("choice", CHOICES)
def test_the_document_holds_terms_that_add_up(choice: str) -> None:
    document = json.loads(to_json(analysis_document(analyzed(choice))))

    for stage in document["stages"]:
        causes = {k: v for k, v in stage["causes"].items() if k not in ("total", "null_because")}
        np.testing.assert_allclose(sum(causes.values()), stage["causes"]["total"], atol=1e-9)
        np.testing.assert_allclose(
            stage["causes"]["total"], stage["verdict"]["rate_nats_per_step"], atol=1e-9
        )


@pytest.mark.parametrize("cell", CellName)
def test_every_cell_learns_to_recall(cell: CellName) -> None:
    settings = Settings(
        cell=cell, hidden=16, steps=12, delay=2, updates=150, sequences=4, learning_rate=0.02,
        burn_in=0,
    )  # fmt: skip

    before, after = analyze(settings).stages

    assert present(after.error) < 0.3 * present(before.error)


def test_compare_sets_cells_side_by_side() -> None:
    shared = Settings(**{**SMALL, "updates": 0})

    comparison = compare(shared, [shared.activation], [6, 10], kinds=list(CellName))

    found = [(each.settings.cell, each.settings.steps) for each in comparison.analyses]
    assert found == [(cell, steps) for cell in CellName for steps in (6, 10)]
    kinds = [type(each.params) for each in comparison.analyses[::2]]
    assert kinds == [ElmanParameters, GruParameters, LstmParameters]


def test_a_forget_bias_is_where_it_keeps_the_state() -> None:
    for cell in (CellName.GRU, CellName.LSTM):
        shut, open_ = (
            analyze(Settings(**{**SMALL, "updates": 0}, cell=cell, forget_bias=bias))
            for bias in (-3.0, 3.0)
        )
        rates = []
        for analysis in (shut, open_):
            assert isinstance(analysis.last.causes, GatedCauseRates)
            assert analysis.last.causes.direct is not None
            rates.append(analysis.last.causes.direct)
        assert rates[0] < -1.0
        assert rates[1] > -0.3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cell": "gru", "leak": 0.5}, "--leak is for the vanilla RNN, but the cell is gru"),
        ({"cell": "lstm", "state": "pre"}, "--state is for the vanilla RNN"),
        ({"cell": "lstm", "init": "identity"}, "--init identity is for the vanilla RNN"),
        (
            {"cell": "gru", "activation": "sigmoid", "center_bias": True},
            "--center-bias is for the vanilla RNN",
        ),
        ({"forget_bias": 1.0}, "--forget-bias is 1, but the cell elman has no gates"),
        ({"leak": 0.0}, "--leak is 0.0"),
        ({"leak": 1.5}, "--leak is 1.5"),
        ({"cell": "rnn"}, "--cell is 'rnn'; choose one of elman, gru, lstm"),
    ],
)
def test_settings_that_do_not_fit_the_cell_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        Settings(**wrong)


def test_an_exponent_per_time_constant_is_that_of_continuous_time() -> None:
    # τ v̇ = −v + w v has the exponent w − 1 per τ; n steps of α = 1/n come within 1/n of it.
    found = []
    for steps in (10, 100, 1000):
        net = ElmanParameters(
            np.zeros((1, 1)), np.array([[0.4]]), np.zeros(1), np.ones((1, 1)), np.zeros(1),
            IDENTITY, leak=1.0 / steps, state=StateName.PRE,
        )  # fmt: skip
        chain = cell_chain(net, unroll(net, np.zeros((5, 1, 1))))
        rate = float(lag_norms(chain).log_norms[-1, 0]) / 5
        found.append(rate * Settings(leak=1.0 / steps).steps_per["time_constant"])

    np.testing.assert_allclose(found, [-0.6187540, -0.6018072, -0.6001801], atol=1e-6)


def test_a_leaky_net_says_its_rate_per_time_constant_and_others_do_not() -> None:
    leaky, plain = analyzed("leaky").last, analyzed("gru").last

    assert leaky.rate_per_time_constant == leaky.verdict.rate / 0.3
    assert plain.rate_per_time_constant is None


def test_every_cause_has_its_words() -> None:
    names = {
        *terms_of(CauseRates(*[None] * 5)),
        *terms_of(GatedCauseRates(*[None] * 6)),
    }

    for words in (CAUSE_TITLES, CAUSE_LABELS, MAIN_CAUSES):
        assert set(words) == names


@pytest.mark.parametrize(
    ("settings", "name", "short"),
    [
        (Settings(), "tanh RNN", "tanh"),
        (Settings(leak=0.25), "leaky tanh RNN (α = 0.25)", "tanh"),
        (Settings(state="pre"), "tanh RNN (state before φ)", "tanh"),  # type: ignore[arg-type]
        (Settings(cell=CellName.GRU), "GRU", "gru"),
        (
            Settings(cell=CellName.LSTM, activation="relu"),  # type: ignore[arg-type]
            "relu LSTM",
            "lstm relu",
        ),
    ],
)
def test_a_network_is_called_what_it_is(settings: Settings, name: str, short: str) -> None:
    assert model_name(settings) == name
    assert short_name(settings) == short
