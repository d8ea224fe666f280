"""Deliberate mistakes in the numerics, each of which a test must notice.

Every mutant changes one line of a copy of the package and runs the tests that are named to kill it
there. A mutant that lives is a hole in the tests; one whose old text is gone has to be written anew
for the code that took its place.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAILED = 1
"""pytest's exit code where tests ran and failed; 2 and above mean that they did not run."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` becomes ``new`` in one file of the package, and the ``killer`` must fail."""

    name: str
    file: str
    old: str
    new: str
    killer: str


MUTANTS = (
    Mutant(
        "σ_min for σ_max",
        "jacobians/lag_norms.py",
        "compute_uv=False)[:, 0]",
        "compute_uv=False)[:, -1]",
        "cases/test_non_normal.py::test_a_shear_tells_sigma_max_from_sigma_min_and_spectral_radius",
    ),
    Mutant(
        "forward for backward order",
        "jacobians/lag_norms.py",
        "self._chain.n_steps - self.lag)",
        "self.lag + 1)",
        "jacobians/test_lag_norms.py::test_every_lag_is_the_norm_of_the_explicit_product",
    ),
    Mutant(
        "the exponent of the product dropped",
        "jacobians/lag_norms.py",
        "np.log(norms) + self.exponents * LOG_2",
        "np.log(norms)",
        "cases/test_scalar_nets.py::test_a8_a_thousand_lags_of_a_scalar_sigmoid_do_not_underflow",
    ),
    Mutant(
        "Wᵀ for W in pull_back",
        "jacobians/chain.py",
        "scaled.reshape(-1, self.state_size) @ self.recurrent_weights",
        "scaled.reshape(-1, self.state_size) @ self.recurrent_weights.T",
        "jacobians/test_chain.py::test_pulling_back_multiplies_rows_from_the_left_"
        "and_pushing_forward_vectors_from_the_right",
    ),
    Mutant(
        "slopes before W in push_forward",
        "jacobians/chain.py",
        "flat = vectors.reshape(-1, self.state_size) @ self.recurrent_weights.T",
        "flat = vectors.reshape(-1, self.state_size) @ self.recurrent_weights",
        "jacobians/test_chain.py::test_pulling_back_multiplies_rows_from_the_left_"
        "and_pushing_forward_vectors_from_the_right",
    ),
    Mutant(
        "the scale of younger errors ignored in the log adjoints",
        "jacobians/adjoints.py",
        "np.maximum(exponents, 0), exponents)",
        "exponents, exponents)",
        "jacobians/test_adjoints.py::test_errors_of_very_different_age_add_up",
    ),
    Mutant(
        "Wᵀ for W in the backward sweep",
        "learning/bptt.py",
        "adjoints[step - 1] += local[step - 1] @ params.recurrent_weights",
        "adjoints[step - 1] += local[step - 1] @ params.recurrent_weights.T",
        "learning/test_bptt_autograd.py::test_gradient_and_adjoints_are_what_autograd_finds",
    ),
    Mutant(
        "errors enter one step early",
        "learning/bptt.py",
        "adjoints[1:] = entering_errors(params, output_slopes)",
        "adjoints[:-1] = entering_errors(params, output_slopes)",
        "learning/test_bptt.py::test_the_adjoint_of_h_t_is_the_error_times_w_to_the_distance",
    ),
    Mutant(
        "∂E/∂W with the state after the step",
        "learning/bptt.py",
        "trajectory.hidden[:n_steps].reshape",
        "trajectory.hidden[1 : n_steps + 1].reshape",
        "learning/test_bptt.py::test_each_lag_brings_an_equal_part_of_the_slope_of_a_power",
    ),
    Mutant(
        "truncation one lag short",
        "learning/bptt.py",
        "in adjoints_by_lag(params, slopes, output_slopes, truncation):",
        "in adjoints_by_lag(params, slopes, output_slopes, truncation - 1):",
        "learning/test_bptt.py::test_each_lag_brings_an_equal_part_of_the_slope_of_a_power",
    ),
    Mutant(
        "the factor 2 of the squared error forgotten",
        "learning/losses.py",
        "gap * (2.0 / gap[0].size)",
        "gap * (1.0 / gap[0].size)",
        "learning/test_losses.py::test_squared_error_is_the_mean_over_batch_and_outputs",
    ),
    Mutant(
        "Adam without its corrections",
        "learning/optimizers.py",
        "corrections = [1.0 - decay**count for decay in decays]",
        "corrections = [1.0 for decay in decays]",
        "learning/test_optimizers.py::"
        "test_adam_steps_by_the_learning_rate_while_the_slope_stays_the_same",
    ),
    Mutant(
        "the clipped norm recorded",
        "learning/training.py",
        "course.norm.append(norm)",
        "course.norm.append(Gradients(0.0, gradients.step_errors, gradient, norm).norm)",
        "learning/test_training.py::test_the_recorded_norm_is_the_unclipped_one",
    ),
    Mutant(
        "1 − h² for the slope of tanh",
        "model/activations.py",
        "slope: FloatArray = 4.0 * e / np.square(1.0 + e)",
        "slope: FloatArray = 1.0 - np.square(np.tanh(a)) + 0.0 * e",
        "model/test_activations.py::"
        "test_slopes_keep_full_relative_accuracy_where_one_minus_h_squared_is_zero",
    ),
    Mutant(
        "variance 1/H² for 1/H",
        "model/initializers.py",
        "rng.standard_normal((size, size)) / np.sqrt(size)",
        "rng.standard_normal((size, size)) / size",
        "model/test_initializers.py::test_gaussian_entries_are_normal_with_variance_one_over_h",
    ),
    Mutant(
        "targets before the delay is over",
        "data/tasks.py",
        "at_step = np.arange(1, steps + 1) > delay",
        "at_step = np.arange(1, steps + 1) >= delay",
        "data/test_tasks.py::test_recall_wants_what_came_d_steps_ago",
    ),
    Mutant(
        "saturation with the wrong sign",
        "diagnosis/causes.py",
        "saturation=slope_logs,",
        "saturation=-slope_logs,",
        "diagnosis/test_causes.py::test_the_four_terms_add_up_to_the_measured_norm_at_every_lag",
    ),
    Mutant(
        "the path walked from one step too early",
        "diagnosis/causes.py",
        "starting = chain.n_steps - lags + 1 == step",
        "starting = chain.n_steps - lags == step",
        "diagnosis/test_causes.py::test_the_four_terms_add_up_to_the_measured_norm_at_every_lag",
    ),
    Mutant(
        "the horizon one lag short",
        "diagnosis/horizon.py",
        "return int(np.argmax(below)) + 1 if below.any() else None",
        "return int(np.argmax(below)) if below.any() else None",
        "diagnosis/test_horizon.py::test_a_line_crosses_where_it_says",
    ),
    Mutant(
        "the transient counted into the growth rate",
        "diagnosis/growth.py",
        "return np.array([max_lag // 2, max_lag])",
        "return np.array([0, max_lag])",
        "diagnosis/test_growth.py::test_the_transient_in_the_first_half_does_not_count",
    ),
    Mutant(
        "one dissenter decides the vote",
        "diagnosis/verdict.py",
        "wanted = agreement * len(regimes)",
        "wanted = len(regimes)",
        "diagnosis/test_verdict.py::test_the_sequences_vote",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package, its tests and the settings of pytest."""
    folder = tmp_path_factory.mktemp("mutants")
    for name in ("gradscope", "tests"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "benchmarks")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_tests(folder: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Run some tests of a copy on that copy."""
    # Bytecode is told from its source by size and second: a mutant may differ in neither.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", "."]
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{node}" for node in nodes)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_every_mutant_changes_exactly_one_place(mutant: Mutant) -> None:
    source = (ROOT / "gradscope" / mutant.file).read_text("utf-8")

    assert source.count(mutant.old) == 1
    assert mutant.new not in source or mutant.new in mutant.old


@pytest.mark.slow
def test_the_killers_pass_on_the_code_as_it_is(copy: Path) -> None:
    done = run_tests(copy, *dict.fromkeys(each.killer for each in MUTANTS))

    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_every_mutant_is_killed(mutant: Mutant, copy: Path) -> None:
    path = copy / "gradscope" / mutant.file
    source = path.read_text("utf-8")
    path.write_text(source.replace(mutant.old, mutant.new), "utf-8")
    try:
        done = run_tests(copy, mutant.killer)
    finally:
        path.write_text(source, "utf-8")

    assert done.returncode == FAILED, f"{mutant.name} lives\n{done.stdout}"
