"""A run that skips tests says how many, and what runs them."""

from tests.skips import skip_line

REASONS = ["Skipped: PyTorch is the oracle", "Skipped: keras is not there", "Skipped: no POSIX"]


def test_what_waits_for_a_framework_is_counted_apart() -> None:
    line = skip_line(REASONS, ["torch", "keras"])

    assert line.startswith("skipped: 2 tests or files for want of torch, keras (make test-fr")
    assert line.endswith("; 1 for the reasons above")


def test_a_skip_that_names_an_installed_framework_has_another_reason() -> None:
    assert skip_line(REASONS, []) == "skipped: 3 for the reasons above"


def test_each_absent_framework_waits_for_its_own_tests() -> None:
    assert skip_line(REASONS[:1], ["jax", "torch"]).startswith("skipped: 1 tests or files for want")
