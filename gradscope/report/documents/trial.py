"""A trial as a document and as rows: every candidate with what came of it."""

from typing import Any

from gradscope.arrays import plain
from gradscope.remedy.trial import Trial, Tried
from gradscope.report.documents.details import named
from gradscope.report.documents.rows import Rows
from gradscope.report.formats import Document, head
from gradscope.report.provenance.recipe import command_line

COLUMNS = ("change", "outcome", "readout_score", "relative_error")
REACH = ("horizon_before", "horizon_after")
RATES = ("rate_before_nats_per_step", "rate_after_nats_per_step")


def winner_command(trial: Trial) -> str | None:
    """Return the command that makes the network that learned best; None where nothing helps."""
    winner = trial.winner
    return None if winner is None else candidate_command(trial, winner)


def candidate_command(trial: Trial, tried: Tried) -> str:
    """Return the command that trains a candidate with the first seed."""
    own = {**trial.plan.more_held_out, **tried.screened.candidate.changes}
    return command_line(trial.plan.settings.with_changes(own))


def trial_document(trial: Trial) -> Document:
    """Return the ranked candidates, how they were chosen, and the command of the best."""
    return {
        **head("trial", trial.plan.settings.as_dict()),
        "chosen_by_readout": trial.plan.told,
        "interrupted": trial.progress.interrupted,
        "candidates": [_candidate(trial, each) for each in trial.tried],
        "winner": winner_command(trial),
        "winner_null_because": "nothing that was tried helps",
    }


def _candidate(trial: Trial, tried: Tried) -> Document:
    screened, errors = tried.screened, plain(tried.errors)
    return {
        "change": screened.candidate.name,
        **named(screened.candidate, "changes", "source"),
        "outcome": str(tried.outcome),
        "why": screened.why or None,
        "readout_score": screened.readout.score,
        "readout_null_because": screened.readout.why_null,
        "relative_errors": errors,
        "relative_errors_null_because": "training failed",
        **dict(zip(REACH, plain(tried.reach), strict=True)),
        "horizon_null_because": "beyond all lags, or not trained",
        **dict(zip(RATES, plain(tried.rate), strict=True)),
        "rate_null_because": "the product is exactly zero, or not trained",
        "command": candidate_command(trial, tried),
    }


def trial_rows(trial: Trial) -> Rows:
    """Return one row for each candidate and seed; one without an error where it was not trained."""
    rows: list[list[Any]] = []
    for each in trial.tried:
        screened, measured = each.screened, (*each.reach, *each.rate)
        start = [screened.candidate.name, str(each.outcome), screened.readout.score]
        rows += [[*start, error, *measured] for error in each.errors.tolist() or [None]]
    return (*COLUMNS, *REACH, *RATES), rows
