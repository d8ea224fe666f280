"""Deliberate mistakes in the numerics, each of which a test must notice.

Every mutant changes one line of a copy of the package and runs the tests that are named to kill it
there. A mutant that lives is a hole in the tests; one whose old text is gone has to be written anew
for the code that took its place.
"""

import compileall
import os
import py_compile
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
        "advice is offered that makes the growth rate worse",
        "diagnosis/remedies.py",
        "-(1.0 - WORTHWHILE) * abs(measure()) < rate <= limit",
        "rate <= limit",
        "diagnosis/test_remedies.py::test_nothing_is_offered_that_is_measured_not_to_help",
    ),
    Mutant(
        "what an orthogonal W leaves is predicted without saturation",
        "diagnosis/remedies.py",
        'left("weights", "misalignment")',
        'left("weights", "misalignment", "saturation")',
        "diagnosis/test_remedies.py::"
        "test_of_a_network_from_a_file_the_other_terms_are_carried_over",
    ),
    Mutant(
        "a decimal comma read as a mark between thousands",
        "data/cells.py",
        "word.translate(SWAPPED) if decimal_comma else word)",
        "word)",
        "data/test_cells.py::test_any_float_is_read_back_exactly",
    ),
    Mutant(
        "a mark for a missing value is used as a number",
        "data/table.py",
        'if found and "keep" not in missing:',
        'if found and "keep" in missing:',
        "data/test_marks.py::test_the_command_that_is_suggested_names_all_marks_and_runs",
    ),
    Mutant(
        "the initial state of a mapping is left out",
        "weights/layers/manual_names.py",
        'initial_state=found.get("h0")',
        "initial_state=None",
        "analysis/test_leaky_files.py::test_a_mapped_network_starts_where_its_author_says",
    ),
    Mutant(
        "where a leaky state stands is guessed",
        "weights/layers/to_cell.py",
        'said["state"] = None',
        "pass",
        "analysis/test_leaky_files.py::test_whether_a_leaky_state_is_before_phi_is_asked",
    ),
    Mutant(
        "of one matrix on [x, h] the first columns are W",
        "weights/layers/manual_names.py",
        'f"W={wide[0]}[:, {width - hidden}:]"',
        'f"W={wide[0]}[:, :{hidden}]"',
        "weights/layers/test_suggestions.py::test_a_suggestion_is_the_network_that_its_author_has",
    ),
    Mutant(
        "the second bias of two Linears forgotten",
        "weights/layers/manual_names.py",
        '" + ".join(beside or',
        '" + ".join(beside[:1] or',
        "weights/layers/test_suggestions.py::test_a_suggestion_is_the_network_that_its_author_has",
    ),
    Mutant(
        "what names alone say goes before what a person says",
        "weights/layers/to_cell.py",
        "return chosen",
        "return chosen if stored is None else stored",
        "analysis/test_imported.py::test_what_names_alone_say_is_overridden_by_an_option",
    ),
    Mutant(
        "the next row predicts itself",
        "data/series.py",
        "np.arange(1, longest + 1)]",
        "np.arange(longest)]",
        "data/test_lag_regression.py::test_an_autoregression_rewards_its_order",
    ),
    Mutant(
        "a linear predictor without a constant",
        "data/series.py",
        "np.hstack([np.ones((rows.size, 1)), before",
        "np.hstack([np.zeros((rows.size, 1)), before",
        "data/test_lag_regression.py::test_every_error_is_that_of_a_fit_of_its_own",
    ),
    Mutant(
        "the growth rate counts padded steps",
        "diagnosis/long_run.py",
        "inside = (times >= begins) & (times < ends)",
        "inside = times >= begins",
        "analysis/test_padded_batches.py::test_profiles_rates_causes_and_writing_are_those_of_each_sequence_alone[RNN]",
    ),
    Mutant(
        "padded steps have a target",
        "learning/losses.py",
        "np.where(targets.held[..., None], a, 0.0)",
        "np.where(True, a, 0.0)",
        "analysis/test_padded_batches.py::test_error_gradient_and_shares_are_the_means_over_the_sequences[RNN]",
    ),
    Mutant(
        "a backward layer starts one step early",
        "model/stack.py",
        "lengths - 1 - steps",
        "(lengths - 2 - steps) % lengths",
        "analysis/test_padded_batches.py::test_a_stack_in_both_directions_is_pytorchs_packed_one[LSTM]",
    ),
    Mutant(
        "what explodes arrives",
        "diagnosis/verdict.py",
        "if passed or self.regime is Regime.EXPLODING:",
        "if passed:",
        "diagnosis/test_verdict.py::test_what_explodes_does_not_arrive",
    ),
    Mutant(
        "quantiles weigh the nearer value less",
        "arrays.py",
        "between = (1.0 - share) * low + share * high",
        "between = share * low + (1.0 - share) * high",
        "test_arrays.py::test_quantiles_are_those_of_numpy[16]",
    ),
    Mutant(
        "the interval of a change of networks that saw the same sequences is that of two means",
        "sweep/changes.py",
        "half_width(each) for each in ([sample - both[0]] if same else both)",
        "half_width(each) for each in both",
        "sweep/test_compare.py::test_the_interval_of_an_error_is_that_of_differences_by_sequence",
    ),
    Mutant(
        "training that lengthened the reach is said to have shortened it",
        "analysis/analyze.py",
        "verdict.horizon > SHORTER * reach",
        "verdict.horizon < SHORTER * reach",
        "analysis/test_training_effect.py::test_it_is_said_where_a_fifth_of_the_reach_is_lost",
    ),
    Mutant(
        "the saturated step's own power of two forgotten",
        "jacobians/chain.py",
        "exponents + self.shifts[steps - 1, sequences]",
        "exponents",
        "jacobians/test_underflowing_slopes.py::test_one_step_of_a_saturated_scalar_net_has_its_logarithm",
    ),
    Mutant(
        "κ once for three times in the term of finite width",
        "diagnosis/mean_field.py",
        "(3.0 * self.kurtosis - 1.0)",
        "(self.kurtosis - 1.0)",
        "diagnosis/test_wide_networks.py::test_a_net_of_a_hundred_units_grows_as_its_width_allows",
    ),
    Mutant(
        "a for 1/a in the exponents of a wide network",
        "diagnosis/mean_field.py",
        "0.5 * (np.log(ranks) - low)",
        "0.5 * (np.log(ranks) + low)",
        "diagnosis/test_wide_networks.py::test_slopes_of_one_give_newmans_spectrum_of_infinite_width_and_dead_units_none",
    ),
    Mutant(
        "a state that grows as its perturbations do called chaos",
        "diagnosis/motion.py",
        "unstable and _growth(states) >= 0.5 * exponent",
        "unstable and _growth(states) >= 5.0 * exponent",
        "diagnosis/test_motion.py::test_a_net_left_to_itself_does_what_is_known_of_it",
    ),
    Mutant(
        "σ_min for σ_max",
        "jacobians/kernels/lanczos.py",
        "np.linalg.eigvalsh(squares)[:, -1]",
        "np.linalg.eigvalsh(squares)[:, 0]",
        "cases/test_non_normal.py::test_a_shear_tells_sigma_max_from_sigma_min_and_spectral_radius",
    ),
    Mutant(
        "the smallest Ritz value for the largest",
        "jacobians/kernels/tridiagonal.py",
        "np.linalg.eigvalsh(tridiagonal)[:, -1]",
        "np.linalg.eigvalsh(tridiagonal)[:, 0]",
        "jacobians/kernels/test_tridiagonal.py::"
        "test_value_and_last_entry_are_those_that_lapack_finds[even-17-1]",
    ),
    Mutant(
        "a Ritz value that is enclosed too loosely",
        "jacobians/kernels/tridiagonal.py",
        "ENCLOSED = 12, 1e-13",
        "ENCLOSED = 12, 1e-6",
        "jacobians/kernels/test_tridiagonal.py::"
        "test_value_and_last_entry_are_those_that_lapack_finds[crowded-17-64]",
    ),
    Mutant(
        "close singular values that are taken to be far apart",
        "jacobians/kernels/lanczos.py",
        "CROWDED, MOST_CROWDED = 1e-4, 100.0",
        "CROWDED, MOST_CROWDED = 1e-4, 1.0",
        "jacobians/test_lag_norms_accuracy.py::"
        "test_thousands_of_matrices_whose_values_are_close_are_within_the_tolerance",
    ),
    Mutant(
        "squares of few rows that are trusted too soon",
        "jacobians/kernels/lanczos.py",
        "error[left] = 0.25 * np.maximum(high - low, 0.0)",
        "error[left] = 1e-4 * np.maximum(high - low, 0.0)",
        "jacobians/test_lag_norms_accuracy.py::test_the_error_is_within_the_tolerance_and_nearly_"
        "always_within_its_certificate[tanh, gain 1-16]",
    ),
    Mutant(
        "threads that are not given back",
        "machine.py",
        "openblas[2](_HOLD.before)",
        "openblas[2](1)",
        "test_threads.py::test_nested_calls_and_those_that_fail_give_them_back",
    ),
    Mutant(
        "no direction hides from Lanczos",
        "jacobians/kernels/lanczos.py",
        "HIDDEN = 10.0",
        "HIDDEN = 1e-4",
        "jacobians/test_lag_norms_accuracy.py::test_the_error_is_within_the_tolerance_and_nearly_"
        "always_within_its_certificate[orthogonal, slopes 0.9 to 1-40]",
    ),
    Mutant(
        "forward for backward order",
        "jacobians/kernels/rank_adaptive.py",
        "steps = np.maximum(self._ends - lags[:, None], 1)",
        "steps = lags[:, None] + np.ones_like(self._ends)",
        "jacobians/test_lag_norms.py::test_every_lag_is_the_norm_of_the_explicit_product",
    ),
    Mutant(
        "the exponent of the product dropped",
        "jacobians/lag_norms.py",
        "np.log(sigma) + stretch.exponents * LOG_2",
        "np.log(sigma)",
        "jacobians/test_leading_directions.py::"
        "test_sequences_that_die_explode_and_live_share_a_batch",
    ),
    Mutant(
        "a watch whose share is all of the time",
        "watch/journal.py",
        "else self.share * self.elapsed + ADVANCE",
        "else self.elapsed + ADVANCE",
        "watch/test_journal.py::test_a_snapshot_has_as_many_sequences_as_the_budget_allows",
    ),
    Mutant(
        "dropped rows that nobody watches",
        "jacobians/kernels/rank_adaptive.py",
        "probes = mixture @ graded[:, left:] +",
        "probes = 0.0 * (mixture @ graded[:, left:]) +",
        "jacobians/test_lag_norms_certificate.py::test_a_direction_that_returns_is_measured_right_in_the_end",
    ),
    Mutant(
        "a certificate without what was dropped",
        "jacobians/lag_norms.py",
        "dropped + leading.error.reshape(shape)",
        "leading.error.reshape(shape)",
        "jacobians/test_lag_norms_certificate.py::test_a_direction_that_returns_is_measured_right_in_the_end",
    ),
    Mutant(
        "rows dropped by their size and not its square",
        "jacobians/kernels/rank_adaptive.py",
        "limit[None] ** 2, self._rng",
        "limit[None], self._rng",
        "jacobians/kernels/test_rank_adaptive.py::test_gram_matrix_of_kept_rows_is_that_of_the_product_up_to_what_was_dropped",
    ),
    Mutant(
        "gradient that does not go down to the layer below",
        "jacobians/stack_chain.py",
        "arrived[layer] = added(rows[layer], (of.enter(below[0], at), below[1]))",
        "arrived[layer] = rows[layer]",
        "jacobians/test_stack_chain.py::test_the_transport_through_layers_that_add_up_grows_binomially",
    ),
    Mutant(
        "a stack whose dropped directions are not looked for again",
        "jacobians/stack_chain.py",
        "if found.certificate > tolerance:",
        "if found.certificate > 1e300:",
        "jacobians/test_stack_chain.py::test_a_direction_that_comes_back_is_not_lost",
    ),
    Mutant(
        "a map of the lags for a map of the times",
        "jacobians/lag_map.py",
        "log_norms[row, :row, sequence] = profiles[lags - 1, index]",
        "log_norms[row, :row, sequence] = profiles[lags[::-1] - 1, index]",
        "jacobians/test_lag_map.py::test_every_pair_is_the_norm_of_its_own_product",
    ),
    Mutant(
        "Wᵀ for W in vjp",
        "jacobians/chain.py",
        "with_kept(product(scaled, self.recurrent_weights), rows",
        "with_kept(product(scaled, self.recurrent_weights.T), rows",
        "jacobians/test_chain.py::test_vjp_multiplies_rows_from_the_left_and_jvp_vectors_from_the_right",
    ),
    Mutant(
        "slopes before W in jvp",
        "jacobians/chain.py",
        "carried = product(vectors, self.recurrent_weights.T)",
        "carried = product(vectors, self.recurrent_weights)",
        "jacobians/test_chain.py::test_vjp_multiplies_rows_from_the_left_and_jvp_vectors_from_the_right",
    ),
    Mutant(
        "the spectrum of the first steps",
        "jacobians/singular_values.py",
        "range(chain.n_steps - lag + 1, chain.n_steps + 1)",
        "range(1, lag + 1)",
        "jacobians/test_singular_values.py::test_the_lag_reaches_back_from_the_last_step_in_every_sequence",
    ),
    Mutant(
        "the second sweep forward too",
        "jacobians/singular_values.py",
        "for factor in reversed(factors if rank else []):",
        "for factor in factors if rank else []:",
        "jacobians/test_singular_values.py::test_the_lag_reaches_back_from_the_last_step_in_every_sequence",
    ),
    Mutant(
        "a Jacobi rotation without the ratio of the lengths",
        "jacobians/kernels/jacobi_svd.py",
        "upper = units[upper_at] + (tau * ratio)[:, None] * units[lower_at]",
        "upper = units[upper_at] + tau[:, None] * units[lower_at]",
        "jacobians/test_singular_values.py::test_the_lag_reaches_back_from_the_last_step_in_every_sequence",
    ),
    Mutant(
        "rows left unsorted before QR",
        "jacobians/kernels/sorted_qr.py",
        'order = np.argsort(-row_sizes, kind="stable")',
        "order = np.arange(row_sizes.size)",
        "jacobians/test_lyapunov.py::test_a_unit_that_is_almost_shut_keeps_its_exponent_to_full_accuracy",
    ),
    Mutant(
        "columns of any size in one factor",
        "jacobians/kernels/sorted_qr.py",
        "WIDEST_COLUMNS = 8\n",
        "WIDEST_COLUMNS = 8000\n",
        "jacobians/test_lyapunov.py::test_a_unit_whose_column_is_almost_shut_keeps_its_exponent_too[1]",
    ),
    Mutant(
        "exponents per block and not per step",
        "jacobians/lyapunov.py",
        "logs.sum(axis=0) / n_steps",
        "logs.mean(axis=0)",
        "jacobians/test_lyapunov.py::test_a_diagonal_chain_has_its_logarithms_in_descending_order",
    ),
    Mutant(
        "the warm-up counted into the exponents",
        "jacobians/lyapunov.py",
        "blocks = list(frame.travel(discarded, chain.n_steps, most))",
        "blocks = list(frame.travel(0, chain.n_steps, most))",
        "jacobians/test_lyapunov.py::test_the_warm_up_does_not_count",
    ),
    Mutant(
        "every exponent trusted",
        "jacobians/lyapunov.py",
        "frame.doubt <= MAX_DOUBT * n_steps",
        "frame.doubt < np.inf",
        "jacobians/test_lyapunov.py::test_an_exponent_below_the_floor_of_double_precision_is_not_trusted",
    ),
    Mutant(
        "the spread of the batches for the error of their mean",
        "jacobians/lyapunov.py",
        "means.std(axis=0, ddof=1) / np.sqrt(starts.size)",
        "means.std(axis=0, ddof=1)",
        "jacobians/test_lyapunov.py::test_fresh_gaussian_factors_have_newmans_exponents[2-1.0]",
    ),
    Mutant(
        "the adjoint rows at one scale",
        "jacobians/kernels/adjoint_rows.py",
        "return local * weights[:, :, None], common",
        "return local * (weights[:, :, None] > 0.0), common",
        "jacobians/test_shares.py::test_rows_of_very_different_size_are_not_lost_where_the_smaller_one_wins_in_the_end",
    ),
    Mutant(
        "the scale of a share forgotten",
        "jacobians/shares.py",
        "[_log_norm(share[name], exponent) for",
        "[_log_norm(share[name], 0) for",
        "jacobians/test_shares.py::test_a_share_keeps_its_norm_where_floats_end[1e-30]",
    ),
    Mutant(
        "a truncation length one lag short",
        "jacobians/shares.py",
        "k = int(too_large[-1]) + 1",
        "k = int(too_large[-1])",
        "jacobians/test_shares.py::test_truncation_at_the_length_keeps_the_error_and_one_less_does_not",
    ),
    Mutant(
        "the scale of younger errors ignored in the log adjoints",
        "jacobians/kernels/powers_of_two.py",
        "common = np.maximum(*shifts)",
        "common = shifts[0]",
        "jacobians/test_adjoints.py::test_errors_of_very_different_age_add_up",
    ),
    Mutant(
        "Wᵀ for W in the backward sweep",
        "model/elman.py",
        "with_kept(cells.product(local, self.cell.recurrent_weights), rows",
        "with_kept(cells.product(local, self.cell.recurrent_weights.T), rows",
        "learning/test_bptt_autograd.py::test_gradient_and_adjoints_are_what_autograd_finds",
    ),
    Mutant(
        "the slope forgotten where the state is the pre-activation",
        "model/elman.py",
        "carried *= self.slopes[at]",
        "carried *= 1.0",
        "jacobians/test_cell_chain.py::test_rows_and_vectors_go_through_the_dense_jacobian[pre]",
    ),
    Mutant(
        "errors enter one step early",
        "learning/bptt.py",
        "adjoints[1:] = entering",
        "adjoints[:-1] = entering",
        "learning/test_bptt.py::test_the_adjoint_of_h_t_is_the_error_times_w_to_the_distance",
    ),
    Mutant(
        "∂E/∂W with the state after the step",
        "model/cells.py",
        "cell_trajectory.hidden[:-1][steps]",
        "cell_trajectory.hidden[1:][steps]",
        "learning/test_bptt.py::test_each_lag_brings_an_equal_part_of_the_slope_of_a_power",
    ),
    Mutant(
        "truncation one lag short",
        "learning/bptt.py",
        "for lag in range(1, truncation + 1):",
        "for lag in range(1, truncation):",
        "learning/test_bptt.py::test_each_lag_brings_an_equal_part_of_the_slope_of_a_power",
    ),
    Mutant(
        "the state after the step in a GRU's update gate",
        "model/gru.py",
        "update_gains=(before - candidate)",
        "update_gains=(cell_trajectory.states[1:] - candidate)",
        "jacobians/test_cell_chain.py::test_the_product_is_what_moving_the_first_state_does[gru]",
    ),
    Mutant(
        "a GRU's candidate without its slope",
        "model/gru.py",
        "candidate_gains=(1.0 - update) * slopes,",
        "candidate_gains=(1.0 - update),",
        "jacobians/test_cell_chain.py::test_the_product_is_what_moving_the_first_state_does[gru]",
    ),
    Mutant(
        "the cell after the step in an LSTM's forget gate",
        "model/lstm.py",
        "memory[:-1] * gate_slope(blocks[1])",
        "memory[1:] * gate_slope(blocks[1])",
        "jacobians/test_cell_chain.py::test_the_product_is_what_moving_the_first_state_does[lstm]",
    ),
    Mutant(
        "an LSTM's output without its slope",
        "model/lstm.py",
        "output * slope(memory[1:]))",
        "output)",
        "jacobians/test_cell_chain.py::test_the_product_is_what_moving_the_first_state_does[lstm]",
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
        "learning/test_optimizers.py::test_adam_steps_by_the_learning_rate_while_the_slope_stays_the_same",
    ),
    Mutant(
        "the clipped norm recorded",
        "learning/training.py",
        "(gradients.loss, norm, clipped, gradients.omega)",
        "(0.0, Gradients(0.0, gradients.step_errors, gradient, norm).norm, clipped, None)",
        "learning/test_training.py::test_the_recorded_norm_is_the_unclipped_one",
    ),
    Mutant(
        "1 − h² for the slope of tanh",
        "model/activations.py",
        "found = _over_square(np.square(e, out=e))",
        "found = np.asarray(0.25 * (1.0 - np.square(np.tanh(a))))",
        "model/test_activations.py::test_slopes_keep_full_relative_accuracy_where_one_minus_h_squared_is_zero",
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
        "a cell's path walked from one step too early",
        "diagnosis/causes.py",
        "starting = chain.n_steps - lags + 1 == step",
        "starting = chain.n_steps - lags == step",
        "diagnosis/test_gated_causes.py::test_every_term_of_one_lstm_unit_by_hand",
    ),
    Mutant(
        "the horizon one lag short",
        "diagnosis/growth.py",
        "return int(np.argmax(below)) + 1 if below.any() else None",
        "return int(np.argmax(below)) if below.any() else None",
        "diagnosis/test_horizon.py::test_a_line_crosses_where_it_says",
    ),
    Mutant(
        "the transient counted into the growth rate",
        "diagnosis/growth.py",
        "return np.array([max_lag // 2, max_lag])",
        "return np.array([0, max_lag])",
        "diagnosis/test_growth.py::test_the_rate_is_the_slope_of_the_tail_whatever_came_before",
    ),
    Mutant(
        "the burn-in counted into the growth rate",
        "diagnosis/long_run.py",
        "begins = np.minimum(burn_in,",
        "begins = np.minimum(0,",
        "diagnosis/test_long_run.py::test_rate_and_causes_are_those_of_one_vector_multiplied_by_the_jacobians[elman]",
    ),
    Mutant(
        "the vector starts again with every piece",
        "diagnosis/long_run.py",
        "vectors = linear.jvp(before[step], step)",
        "vectors = linear.jvp(before[step], step) if step + 1 < n_steps else before[0]",
        "diagnosis/test_long_run.py::test_rate_and_causes_are_those_of_one_vector_multiplied_by_the_jacobians[gru]",
    ),
    Mutant(
        "one dissenter decides the vote",
        "diagnosis/verdict.py",
        "wanted = agreement * len(regimes)",
        "wanted = len(regimes)",
        "diagnosis/test_verdict.py::test_the_sequences_vote",
    ),
    Mutant(
        "a write level against the largest values, not the slopes' ceilings",
        "model/activations.py",
        "np.full_like(a, self.slope_ceiling) if ceiling",
        "np.ones_like(a) if ceiling",
        "diagnosis/test_write_level.py::test_of_one_unit_it_is_the_slope_over_its_ceiling",
    ),
    Mutant(
        "the output of an LSTM left out of what is written",
        "model/lstm.py",
        "both = np.hypot(1.0, self.shown)",
        "both = np.ones_like(self.shown)",
        "diagnosis/test_write_level.py::test_of_an_lstm_it_is_the_closed_form",
    ),
    Mutant(
        "the parameters of the step before",
        "jacobians/parameter_profile.py",
        "np.broadcast_arrays(chain.n_steps - lags[:, None] - 1, sequences)",
        "np.broadcast_arrays(np.maximum(chain.n_steps - lags[:, None] - 2, 0), sequences)",
        "jacobians/test_parameter_profile.py::test_dropped_rows_change_nothing[0.7]",
    ),
    Mutant(
        "what was dropped believed where it is all there is",
        "jacobians/parameter_profile.py",
        "if dropped > tolerance:",
        "if dropped > 2.0:",
        "jacobians/test_parameter_profile.py::test_what_the_leading_direction_does_not_take_up_is_still_seen",
    ),
    Mutant(
        "parameters at different steps added up as if they were independent",
        "jacobians/parameter_profile.py",
        "pairs.cumsum(axis=0).cumsum(axis=1).diagonal()",
        "pairs.diagonal().cumsum()",
        "jacobians/test_sensitivity.py::"
        "test_over_all_steps_it_is_what_finite_differences_find[vanilla]",
    ),
    Mutant(
        "recurrent noise scaled as if it stood on the state",
        "analysis/network.py",
        "np.sqrt(2.0 / network.leak)",
        "np.sqrt(2.0 * network.leak)",
        "analysis/test_continuous_time.py::"
        "test_a_leaky_unit_alone_with_noise_has_its_stationary_variance",
    ),
    Mutant(
        "the exponential discretization taken for Euler's",
        "analysis/settings.py",
        "-math.expm1(-each)",
        "each",
        "analysis/test_continuous_time.py::"
        "test_the_exponential_discretization_is_exact_for_a_linear_decay",
    ),
    Mutant(
        "unequal leaks of the units in reverse",
        "jacobians/chain.py",
        "factors = self.leak * self.slopes[steps - 1, sequences]",
        "factors = np.flip(self.leak) * self.slopes[steps - 1, sequences]",
        "analysis/test_continuous_time.py::test_an_elman_chain_of_unequal_leaks_is_its_dense_twin",
    ),
    Mutant(
        "kernels of cuDNN's layers in the layout of Keras's",
        "weights/layers/keras_names.py",
        "k.reshape(k.shape[::-1]).T for k in blocks",
        "k for k in blocks",
        "weights/files/test_keras_2.py::test_cudnn_layers_have_the_jacobians_of_their_own_equations",
    ),
    Mutant(
        "the hard sigmoid of Keras 2 is that of Keras 3",
        "weights/layers/keras_names.py",
        '"2": "hard-sigmoid-0.2"',
        '"2": "hard-sigmoid"',
        "weights/files/test_keras_2.py::"
        "test_a_hard_sigmoid_is_that_of_the_version_that_wrote_the_file",
    ),
    Mutant(
        "hard gates with the slope of a sigmoid",
        "model/lstm.py",
        "gate_slope = partial(gate.slope_at",
        "gate_slope = partial(SIGMOID.slope_at",
        "model/test_gated_cells.py::test_the_jacobians_with_hard_gates_are_those_of_autograd",
    ),
    Mutant(
        "the slope of SiLU is that of a sigmoid alone",
        "model/activations.py",
        "lambda a: _sigmoid(a) * (1.0 + np.clip(a, -LARGE, LARGE) * _sigmoid(-a)),",
        "lambda a: _sigmoid(a) * (1.0 - np.clip(a, -LARGE, LARGE) * _sigmoid(-a)),",
        "model/test_activations.py::test_the_slope_is_the_derivative_of_the_value",
    ),
    Mutant(
        "a cell with further arrays is taken for a plain one",
        "weights/layers/torch_names.py",
        "                others.append(name)",
        "                pass",
        "weights/layers/test_torch_names.py::"
        "test_a_cell_that_holds_more_than_a_plain_one_is_refused_by_name",
    ),
    Mutant(
        "learned states in the order of the cells reversed",
        "weights/layers/torch_names.py",
        "array.reshape(len(cells), size)",
        "array.reshape(len(cells), size)[::-1]",
        "weights/layers/test_torch_names.py::test_each_cell_of_a_module_starts_from_its_own_state",
    ),
    Mutant(
        "ONNX's forget gate taken for the output gate",
        "weights/files/onnx.py",
        '"LSTM": (0, 2, 3, 1)',
        '"LSTM": (0, 1, 3, 2)',
        "weights/files/test_onnx.py::test_replayed_layers_give_what_onnx_evaluates",
    ),
    Mutant(
        "a member of a zip is unfolded as far as it goes",
        "data/intake.py",
        "return member.read(self.size(name))",
        "return member.read()",
        "data/test_intake.py::test_a_member_is_read_as_far_as_it_says_it_goes",
    ),
    Mutant(
        "a chunk of HDF5 is not looked at before it is read",
        "weights/files/hdf5.py",
        "    if DEFLATE in filters:",
        "    if DEFLATE in ():",
        "weights/files/test_keras_refused.py::test_a_chunk_that_unfolds_beyond_its_size_is_refused",
    ),
    Mutant(
        "rounding below the diagonal goes back through every QR",
        "learning/penalties.py",
        "lower = np.tril(",
        "lower = unit * (",
        "learning/test_flossing.py::test_long_sequences_neither_underflow_nor_overflow[sigmoid-1.0]",
    ),
    Mutant(
        "the slopes of a flossed network do not depend on its weights",
        "learning/penalties.py",
        "    through_states += fed[1:]\n",
        "",
        "learning/test_flossing.py::test_the_gradient_is_what_differences_of_the_penalty_say[leaky]",
    ),
    Mutant(
        "Ω takes the adjoint before the step for that after it",
        "learning/penalties.py",
        "found.hidden_adjoints[1:]",
        "found.hidden_adjoints[:-1]",
        "learning/test_omega.py::test_the_gradient_is_that_of_the_function_with_the_trajectory_held[leaky]",
    ),
    Mutant(
        "a readout fitted to the rows that it is measured on",
        "learning/readout.py",
        "states = inside[:hidden, :hidden]",
        "inside = outside; states = inside[:hidden, :hidden]",
        "learning/test_readout.py::test_it_is_least_squares_on_one_half_measured_on_the_other",
    ),
    Mutant(
        "the noise of a batch taken for signal",
        "learning/readout.py",
        "    np.fill_diagonal(products, 0.0)\n",
        "",
        "learning/test_signal.py::test_targets_that_have_nothing_to_do_with_the_inputs_have_no_signal",
    ),
    Mutant(
        "a change helps that did worse with one seed",
        "remedy/trial.py",
        "bool((gained > 0.0).all())",
        "bool((gained > 0.0).any())",
        "remedy/test_trial.py::test_a_change_helps_only_where_it_surely_does",
    ),
    Mutant(
        "what R² promises overrules the horizon",
        "remedy/forecast.py",
        "self.lag > self.horizon",
        "self.lag > 2 * self.horizon",
        "remedy/test_forecast.py::test_each_answer_has_its_ground",
    ),
    Mutant(
        "a chrono LSTM writes as freely as it keeps",
        "model/initializers.py",
        '= -weights["hidden_bias"][sizes[1] : 2 * sizes[1]]',
        '= weights["hidden_bias"][sizes[1] : 2 * sizes[1]]',
        "model/test_gated_initializers.py::test_chrono_biases_are_logarithms_of_times_up_to_the_lag[lstm-glorot]",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package, its tests and the settings of pytest."""
    folder = tmp_path_factory.mktemp("mutants")
    for name in ("gradscope", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    # Bytecode with the hash of its source: what a mutant leaves alone is compiled once.
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    assert compileall.compile_dir(folder / "gradscope", quiet=1, invalidation_mode=mode)
    return folder


def run_tests(folder: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    """Run some tests of a copy on that copy."""
    # What a mutant is compiled to would stay, told from its source by size and second alone.
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
