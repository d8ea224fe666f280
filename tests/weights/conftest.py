"""Every file that a test here makes is also asked what it suggests, and that is run."""

from tests.suggestions import every_suggestion_runs

__all__ = ["every_suggestion_runs"]
