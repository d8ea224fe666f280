"""What a REPL shows of a result: one line that tells the answer, and no array."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.results import Analysis
from gradscope.names import ActivationName
from gradscope.weights.load import look_into
from tests.present import present

LONGEST = 200
"""Characters that are still read as one line."""

SMALL = gradscope.Settings(hidden=4, steps=6, updates=2, sequences=3, batch=4)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    looks = ("map", "shares", "spectrum", "memory", "verify")
    settings = SMALL.with_changes(dict.fromkeys(looks, True))
    found: Analysis = gradscope.analyze(settings)
    return found


def everything_in(value: Any) -> Iterator[Any]:
    """Yield each dataclass of ours that is reached from a value, itself first."""
    if isinstance(value, tuple):
        for each in value:
            yield from everything_in(each)
    elif dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from everything_in(getattr(value, field.name))


def results(analysis: Analysis, folder: Path) -> Iterator[Any]:
    """Yield one result of every kind that the public functions return or take."""
    yield from (analysis, gradscope.compare(SMALL, (ActivationName.TANH,), (3, 5)))
    chain = gradscope.cell_chain(analysis.params, analysis.trajectory)
    dense = np.stack([chain.jacobian(t) for t in range(1, chain.n_steps + 1)])
    vanilla = gradscope.elman_chain(analysis.params, analysis.trajectory)
    yield from (chain, gradscope.DenseChain(dense), vanilla, gradscope.diagnose(chain))
    yield from (gradscope.lag_norms(chain), gradscope.lag_map(chain), gradscope.causes(vanilla))
    yield gradscope.backpropagate(analysis.params, analysis.trajectory, analysis.examined.targets)
    for cell in ("gru", "lstm"):
        gated = gradscope.analyze(SMALL.with_changes({"cell": cell, "updates": 0}))
        yield from (gated, gradscope.Layer(gated.params, gated.params))
        yield gradscope.cell_causes(gradscope.cell_chain(gated.params, gated.trajectory))
        yield gradscope.unroll_stack((gradscope.Layer(gated.params),), gated.examined.inputs)
    (folder / "run.npz").write_bytes(archive_bytes(analysis))
    yield from (gradscope.load_run(folder / "run.npz"), look_into(folder / "run.npz", None))


def test_every_result_is_one_line_without_an_array(analysis: Analysis, tmp_path: Path) -> None:
    with np.printoptions(threshold=10**6):
        for each in everything_in(tuple(results(analysis, tmp_path))):
            if isinstance(each, gradscope.Settings):
                continue
            shown = repr(each)
            assert shown.startswith(f"{type(each).__name__}("), shown
            assert "\n" not in shown, shown
            assert "array([" not in shown, shown
            assert len(shown) <= LONGEST, shown


def test_an_analysis_tells_network_verdict_rate_and_horizon(analysis: Analysis) -> None:
    verdict = analysis.last.verdict

    assert repr(analysis) == (
        f"Analysis(cell=elman, activation=tanh, hidden=4, steps=6, updates=2, "
        f"regime={verdict.regime}, rate={verdict.rate:.4g}, horizon={verdict.horizon}, "
        f"required_lag=3, max_lag=6, reasons=<{len(verdict.reasons)} items>, "
        f"marginal={verdict.marginal}, white_noise=False)"
    )
    assert repr(verdict) == "Verdict(" + repr(analysis).partition("updates=2, ")[2]
    assert repr(analysis.last).startswith(f"Stage(name=trained, regime={verdict.regime}, ")


def test_a_comparison_counts_its_regimes() -> None:
    comparison = gradscope.compare(
        SMALL.with_changes({"updates": 0}), (ActivationName.IDENTITY,), (3, 5)
    )

    assert repr(comparison) == "Comparison(analyses=2, stable=2, interrupted=False)"


def test_measurements_of_a_chain_tell_their_sizes_and_how_far_it_went() -> None:
    halving = gradscope.ElmanChain(np.ones((8, 2, 3)), 0.5 * np.eye(3))
    end = f"{8 * math.log(0.5):.4g}"

    assert repr(halving).startswith("ElmanChain(slopes=array(8, 2, 3), recurrent_weights=array(3")
    assert repr(gradscope.lag_norms(halving)).startswith(
        f"LagNorms(lags=8, sequences=2, last_log_norm={end}, certificate="
    )
    assert repr(gradscope.lag_map(halving)).startswith(
        f"LagMap(times=9, sequences=2, smallest_log_norm={end}, certificate="
    )
    assert repr(gradscope.singular_values(halving, (4, 8), count=2)) == (
        "SingularValues(lags=2, sequences=2, count=2, largest_log_condition=0)"
    )
    assert repr(gradscope.lyapunov_exponents(halving)) == (
        "LyapunovSpectrum(sequences=2, count=3, largest=-0.6931, trusted=6, n_steps=8)"
    )
    assert repr(gradscope.causes(halving)).startswith(
        "Causes(lags=8, sequences=2, weights=-0.6931, slope_ceiling=0, misalignment="
    )
    assert repr(gradscope.diagnose(halving)).startswith(
        "Diagnosis(sequences=2, regime=stable, rate=-0.6931, horizon=None, "
    )


def test_a_product_of_exact_zeros_and_a_training_that_never_began_are_told_too() -> None:
    dead = gradscope.ElmanChain(np.zeros((4, 1, 2)), np.eye(2))

    assert "last_log_norm=-inf" in repr(gradscope.lag_norms(dead))
    assert "smallest_log_norm=-inf" in repr(gradscope.lag_map(dead))
    assert "largest=-inf" in repr(gradscope.lyapunov_exponents(dead))
    overflowing = gradscope.analyze(
        SMALL.with_changes({"activation": "identity", "gain": 1e100, "steps": 12})
    )
    assert "updates=0" in repr(present(overflowing.training))


def test_shares_tell_how_far_back_truncation_must_reach(analysis: Analysis) -> None:
    shares = present(analysis.details.shares)

    assert repr(shares) == f"GradientShares(lags=6, truncation_length={shares.truncation_length()})"
