"""Forecasts and trials as documents and as rows: each lag, each change."""

from collections.abc import Sequence
from typing import Any

from gradscope.analysis.settings import Settings
from gradscope.arrays import plain
from gradscope.remedy.candidates import Candidate
from gradscope.remedy.forecast import Expectation
from gradscope.remedy.trial import Trial
from gradscope.report.documents.rows import Rows
from gradscope.report.formats import Document, head, named
from gradscope.report.provenance.recipe import command_line

KNOWN = ("lag", "steps", "horizon")
OF_ANSWER = ("updates", "answer", "ground")


def forecast_document(found: Sequence[Expectation], settings: Settings) -> Document:
    """Return each lag with what is known of it and its answers."""
    lags = [
        {
            **named(each, *KNOWN),
            "horizon_null_because": "beyond all steps measured",
            "readout_score": each.readout.score,
            "readout_null_because": each.readout.why_null,
            "squared_signal_to_noise_upper": plain(each.squared_signal),
            "signal_null_because": "beyond the memory horizon, without noise, or an overflow",
            "answers": [
                {
                    **dict(zip(OF_ANSWER, (n, *map(str, each.answer(n))), strict=True)),
                    "promised_relative_error": each.promised_error(n),
                    "promised_null_because": "R² promises nothing here",
                }
                for n in each.updates
            ],
        }
        for each in found
    ]
    made_by = forecast_made_by(found)
    return {**head("forecast", settings.as_dict()), "made_by": made_by, "lags": lags}


def forecast_made_by(found: Sequence[Expectation]) -> dict[str, str]:
    """Return what ``made_by`` says of a forecast."""
    asked = {"lags": [each.lag for each in found], "budgets": found[0].updates}
    return {"command": "forecast", **{name: ",".join(map(str, asked[name])) for name in asked}}


def forecast_rows(found: Sequence[Expectation], settings: Settings) -> Rows:
    """Return one row for each lag and number of updates."""
    columns = (*KNOWN, "readout_score", "squared_signal_to_noise_upper", *OF_ANSWER)
    lags = forecast_document(found, settings)["lags"]
    return columns, [[{**lag, **n}[of] for of in columns] for lag in lags for n in lag["answers"]]


MEASURED = (
    *("horizon_before", "horizon_after"),
    *("rate_before_nats_per_step", "rate_after_nats_per_step"),
)


def trial_command(settings: Settings, candidate: Candidate) -> str:
    """Return the command that trains a candidate with the first seed."""
    return command_line(settings.with_changes(candidate.changes))


def winner_command(trial: Trial) -> str | None:
    """Return the command that makes the network that learned best; None where nothing helps."""
    winner = trial.winner
    return None if winner is None else trial_command(trial.plan.settings, winner.candidate)


def trial_made_by(trial: Trial) -> dict[str, Any]:
    """Return what ``made_by`` says of a trial."""
    return {"command": "try", "seeds": trial.plan.seeds}


def trial_document(trial: Trial) -> Document:
    """Return the ranked candidates, how they were chosen, and the command of the best."""
    return {
        **head("trial", trial.plan.settings.as_dict()),
        "made_by": trial_made_by(trial),
        "chosen_by_readout": trial.plan.told,
        "interrupted": trial.progress.interrupted,
        "candidates": [
            {
                "change": each.candidate.name,
                **named(each.candidate, "changes", "source"),
                "outcome": str(each.outcome),
                "why": each.candidate.why or None,
                "readout_score": each.candidate.readout.score,
                "readout_null_because": each.candidate.readout.why_null,
                "relative_errors": plain(each.errors),
                "relative_errors_null_because": "training failed",
                **dict(zip(MEASURED, plain((*each.reach, *each.rate)), strict=True)),
                "horizon_null_because": "beyond all lags, not trained, or its training failed",
                "rate_null_because": "an exact zero, not trained, or its training failed",
                "command": trial_command(trial.plan.settings, each.candidate),
            }
            for each in trial.tried
        ],
        "winner": winner_command(trial),
        "winner_null_because": "nothing that was tried helps",
    }


def trial_rows(trial: Trial) -> Rows:
    """Return one row for each candidate and seed; one without an error where it was not trained."""
    columns = ("change", "outcome", "readout_score", "relative_error", *MEASURED)
    tried = trial_document(trial)["candidates"]
    rows = [
        {**each, "relative_error": e} for each in tried for e in each["relative_errors"] or [None]
    ]
    return columns, [[row[name] for name in columns] for row in rows]
