"""The lessons say what is true: by hand, against BPTT, against automatic differentiation."""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import grad
from hypothesis import given
from hypothesis import strategies as st

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.data.batch import Targets
from gradscope.diagnosis.growth import terms_of
from gradscope.errors import ArchiveError, SettingError
from gradscope.explain.backprop import (
    backprop_lesson,
)
from gradscope.explain.bptt import LESSON_WEIGHTS, bptt_lesson, draw_bptt_lesson
from gradscope.explain.vanishing import product_lessons
from gradscope.explain.verdict import verdict_lesson
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.formats import to_json

NUMBERS = st.floats(-10, 10)


def test_a1_the_article_graph_gives_three_minus_three_three_and_descends() -> None:
    lesson = backprop_lesson(4.0, 1.0, 3.0, 0.1)

    assert lesson.values == {"x": 4.0, "y": 1.0, "z": 3.0, "p": 3.0, "f": 9.0}
    assert [lesson.adjoints[name] for name in "xyzpf"] == [3.0, -3.0, 3.0, 3.0, 1.0]
    assert lesson.x_moved["x"] == pytest.approx(3.7, abs=1e-12)
    assert lesson.x_moved["f"] == pytest.approx(8.1, abs=1e-12)
    assert lesson.all_moved["f"] == pytest.approx((3.7 - 1.3) * 2.7, abs=1e-12)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_the_chain_rule_gives_what_autograd_gives(x: float, y: float, z: float) -> None:
    lesson = backprop_lesson(x, y, z)

    slopes = grad(lambda leaves: (leaves[0] - leaves[1]) * leaves[2])(np.array([x, y, z]))

    np.testing.assert_allclose([lesson.adjoints[name] for name in "xyz"], slopes, atol=1e-12)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_every_edge_has_the_share_that_its_factors_make(x: float, y: float, z: float) -> None:
    lesson = backprop_lesson(x, y, z)

    assert [edge.later + edge.earlier for edge in lesson.edges] == ["fp", "fz", "px", "py"]
    for edge in lesson.edges:
        assert edge.share == edge.adjoint * edge.slope == lesson.adjoints[edge.earlier]
        assert edge.adjoint == lesson.adjoints[edge.later]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_leaves_that_leave_float64_are_refused(bad: float) -> None:
    with pytest.raises(SettingError, match=r"--y is .*; choose a number from"):
        backprop_lesson(y=bad)


ORACLE = {ActivationName.TANH: anp.tanh, ActivationName.SIGMOID: lambda a: 1 / (1 + anp.exp(-a))}


@pytest.mark.parametrize(
    ("activation", "steps", "hidden"), list(product(ORACLE, range(1, 9), (1, 2, 4)))
)
def test_the_terms_sum_to_bptt_and_to_autograd(
    activation: ActivationName, steps: int, hidden: int
) -> None:
    lesson = draw_bptt_lesson(steps, hidden, activation, seed=steps)

    gradients = backpropagate(lesson.params, lesson.trajectory, lesson.targets).weights
    slopes = grad(_loss(lesson.params, lesson.trajectory, lesson.targets, None))(
        {name: getattr(lesson.params, long) for name, long in LESSON_WEIGHTS.items()}
    )
    assert lesson.deviation <= 1e-12
    for name, long in LESSON_WEIGHTS.items():
        largest = np.max(np.abs(gradients[long])) or 1.0
        np.testing.assert_allclose(lesson.summed[name], gradients[long], atol=1e-12 * largest)
        np.testing.assert_allclose(lesson.summed[name], slopes[name], atol=1e-12 * largest)


def _loss(params: Any, trajectory: Any, targets: Targets, only: int | None) -> Any:
    """Return E, or E_t of one step, of one sequence as a function of U, W and V."""
    phi = ORACLE[params.activation.name]

    def loss(weights: Mapping[str, Any]) -> Any:
        hidden, total = trajectory.hidden[0, 0], 0.0
        for t in range(1, trajectory.n_steps + 1):
            inputs = anp.dot(weights["U"], trajectory.inputs[t - 1, 0])
            hidden = phi(inputs + anp.dot(weights["W"], hidden) + params.hidden_bias)
            output = anp.dot(weights["V"], hidden) + params.output_bias
            if only in (None, t):
                total = total + anp.mean((targets.values[t - 1, 0] - output) ** 2)
        return total

    return loss


@pytest.mark.parametrize("activation", list(ORACLE))
def test_every_step_with_a_state_to_start_from_agrees_with_autograd(
    activation: ActivationName,
) -> None:
    # h_0 ≠ 0, biases, two inputs and three outputs: no term is zero by accident.
    rng = np.random.default_rng(5)
    params = initialize(rng, (2, 3, 3), activation=activation, gain=1.7)
    params = params.with_weights(
        {**dict(params.weights()), "hidden_bias": rng.normal(size=3), "output_bias": np.ones(3)}
    )
    trajectory = unroll(params, rng.normal(size=(5, 1, 2)), rng.normal(size=(1, 3)))
    targets = Targets(rng.normal(size=(5, 1, 3)), np.ones(5, dtype=np.bool_))

    lesson = bptt_lesson(params, trajectory, targets)

    weights = {name: getattr(params, long) for name, long in LESSON_WEIGHTS.items()}
    assert [step.step for step in lesson.steps] == [1, 2, 3, 4, 5]
    for step in lesson.steps:
        slopes = grad(_loss(params, trajectory, targets, step.step))(weights)
        assert [term.earlier for term in step.terms] == list(range(step.step, 0, -1))
        for name, slope in slopes.items():
            np.testing.assert_allclose(step.gradients[name], slope, rtol=1e-10, atol=1e-13)
        for term in step.terms:
            assert np.abs(term.share["W"]).max() > 0.0


def test_the_terms_of_one_lag_are_that_lags_share_of_the_gradient() -> None:
    lesson = draw_bptt_lesson(6, 3, ActivationName.TANH, seed=2)

    shares = gradient_shares(lesson.params, lesson.trajectory, lesson.targets)

    for lag in range(6):
        terms = [
            term.share["W"]
            for step in lesson.steps
            for term in step.terms
            if term.later - term.earlier == lag
        ]
        norm = np.linalg.norm(np.sum(terms, axis=0))
        assert norm == pytest.approx(shares.norms["recurrent_weights"][lag], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("activation", "steps"), list(product(ORACLE, (1, 3, 8))))
def test_the_weights_of_the_paths_are_parts_of_the_derivative(
    activation: ActivationName, steps: int
) -> None:
    for step in draw_bptt_lesson(steps, 3, activation, seed=steps).steps:
        whole = np.concatenate([step.gradients[name].ravel() for name in "WU"])
        for term, weight in zip(step.terms, step.weights, strict=True):
            along = np.concatenate([term.share[name].ravel() for name in "WU"]) @ whole
            assert weight == pytest.approx(along / (whole @ whole), abs=1e-12)
        assert step.weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_paths_of_a_net_that_is_dead_weigh_nothing() -> None:
    # One unit that is at or below 0 from the second step on: nothing is to be divided.
    lesson = draw_bptt_lesson(3, 1, ActivationName.RELU, seed=0)

    for step in lesson.steps:
        total = sum(float(np.abs(step.gradients[name]).sum()) for name in "WU")
        assert step.weights.sum() == pytest.approx(float(total > 0.0))
    assert any(not step.weights.any() for step in lesson.steps)


@pytest.mark.parametrize(("steps", "hidden"), [(0, 2), (9, 2), (3, 0), (3, 5)])
def test_a_lesson_that_does_not_fit_a_page_is_refused(steps: int, hidden: int) -> None:
    with pytest.raises(SettingError, match=r"choose 1 to [84]"):
        draw_bptt_lesson(steps, hidden)


def test_sigmoid_loses_at_least_log_four_a_step_and_tanh_less() -> None:
    tanh, sigmoid = product_lessons(steps=600)

    assert (tanh.activation, sigmoid.activation) == (ActivationName.TANH, ActivationName.SIGMOID)
    np.testing.assert_allclose(sigmoid.log_bound, -sigmoid.lags * math.log(4.0), rtol=1e-12)
    np.testing.assert_allclose(tanh.log_bound, 0.0, atol=1e-9)
    assert sigmoid.rate < -math.log(4.0) < tanh.rate < 0.0
    # A bound below 1/1000 first at lag 5: 4⁻⁵ < 10⁻³ < 4⁻⁴.
    assert sigmoid.horizon == 5


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_norm_of_the_product_product_of_the_norms_and_bound_stand_in_this_order(
    gain: float,
) -> None:
    for lesson in product_lessons(steps=80, gain=gain):
        slack = 1e-9 * lesson.lags
        assert (lesson.log_norms <= lesson.log_factor_products + slack).all()
        assert (lesson.log_factor_products <= lesson.log_bound + slack).all()
        assert lesson.log_weight_norm == pytest.approx(math.log(gain), abs=1e-12)


def test_the_lag_of_underflow_is_where_the_logarithm_passes_the_smallest_float() -> None:
    sigmoid = product_lessons(steps=600)[1]

    assert sigmoid.zero_lag is not None
    before = sigmoid.log_norms[sigmoid.zero_lag - 2]
    smallest = math.log(5e-324)
    assert before > smallest - 3.0
    assert sigmoid.log_norms[sigmoid.zero_lag - 1] < smallest + 3.0
    assert np.isfinite(sigmoid.log_norms).all()


def test_the_factors_are_told_from_the_last_step_back() -> None:
    # One factor alone is the whole product at lag 1.
    for lesson in product_lessons(steps=7):
        assert lesson.log_factors[0] == pytest.approx(lesson.log_norms[0], abs=1e-9)
        assert lesson.log_factors.size == 7


SMALL = {"hidden": 5, "steps": 14, "sequences": 4, "batch": 4}


def analysis_of(**settings: object) -> Analysis:
    return analyze(Settings.from_dict({**SMALL, "updates": 3, **settings}))


def saved(analysis: Analysis, folder: Path) -> Path:
    """Return the analysis as a saved run."""
    run = folder / "run.npz"
    run.write_bytes(archive_bytes(analysis))
    return run


CASES: Mapping[str, dict[str, object]] = {
    "tanh": {},
    "sigmoid": {"activation": "sigmoid"},
    "exploding": {"activation": "identity", "gain": 3.0, "updates": 0},
    "one step": {"steps": 1, "task": "sine", "updates": 0},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "leak": {"leak": 0.3, "state": "pre"},
    "exact zeros": {"activation": "relu", "gain": 0.0, "updates": 0},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_number_of_a_verdict_is_reached_again_from_the_file(
    case: dict[str, object], tmp_path: Path
) -> None:
    analysis = analysis_of(**case)
    verdict = analysis.last.verdict

    lesson = verdict_lesson(saved(analysis, tmp_path))

    causes = lesson.stage.causes
    assert lesson.stage.verdict.rate == pytest.approx(verdict.rate, rel=1e-9)
    assert lesson.stage.verdict.horizon == verdict.horizon
    assert lesson.stage.verdict.regime is verdict.regime
    assert lesson.stage.verdict.required_lag == verdict.required_lag
    assert lesson.bound_rate == pytest.approx(float(analysis.last.profile.log_bound[0]))
    if causes.total is not None:
        assert causes.total == pytest.approx(lesson.stage.verdict.rate, abs=1e-9)
        terms = [term or 0.0 for term in terms_of(causes).values()]
        assert sum(terms) == pytest.approx(lesson.stage.verdict.rate, abs=1e-9)


def test_the_rate_is_the_slope_between_the_two_points_of_the_mean_profile(tmp_path: Path) -> None:
    analysis = analysis_of()
    log_norms = lag_norms(cell_chain(analysis.params, analysis.trajectory)).log_norms.mean(axis=1)

    tail = verdict_lesson(saved(analysis, tmp_path)).stage.growth.tail

    assert tail is not None
    assert (tail.lags, tail.sequences, tail.of) == ((7, 14), 4, 4)
    np.testing.assert_allclose(tail.log_norms, [log_norms[6], log_norms[13]], rtol=1e-9)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[1, 2]", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["run.npz", "run.txt"])
def test_what_is_no_run_is_refused_in_one_line(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ArchiveError) as refused:
        verdict_lesson(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert "--save" in str(refused.value)
    with pytest.raises(ArchiveError, match="does not exist"):
        verdict_lesson(tmp_path / "missing.npz")


def test_of_a_document_the_saved_run_is_asked_for(tmp_path: Path) -> None:
    document = tmp_path / "run.json"
    document.write_text(to_json(analysis_document(analysis_of(updates=0))), encoding="utf-8")

    with pytest.raises(ArchiveError, match=r"gradscope rerun .*run.json --save run.npz"):
        verdict_lesson(document)
