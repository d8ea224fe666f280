"""A forecast as a document and as rows: what is known of each lag, and the answers by updates."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradscope.analysis.settings import Settings
from gradscope.arrays import plain
from gradscope.remedy.forecast import Expectation
from gradscope.report.documents.details import named
from gradscope.report.documents.rows import Rows
from gradscope.report.formats import Document, head

COLUMNS = ("lag", "steps", "horizon", "readout_score", "squared_signal_to_noise_upper")
ANSWER_COLUMNS = ("updates", "answer", "ground")


def forecast_document(found: Sequence[Expectation], settings: Settings) -> Document:
    """Return each lag with what is known of it and its answers."""
    return {**head("forecast", settings.as_dict()), "lags": [_lag(each) for each in found]}


def _lag(each: Expectation) -> Mapping[str, Any]:
    return {
        **named(each, "lag", "steps", "horizon"),
        "horizon_null_because": "beyond all steps measured",
        "readout_score": each.readout.score,
        "readout_null_because": each.readout.why_null,
        "squared_signal_to_noise_upper": plain(each.squared_signal),
        "signal_null_because": "the lag lies beyond the memory horizon",
        "answers": [_answer(each, updates) for updates in each.updates],
    }


def _answer(each: Expectation, updates: int) -> Mapping[str, Any]:
    return {
        **dict(zip(ANSWER_COLUMNS, (updates, *map(str, each.answer(updates))), strict=True)),
        "promised_relative_error": each.promised_error(updates),
        "promised_null_because": "R² promises nothing here",
    }


def forecast_rows(found: Sequence[Expectation]) -> Rows:
    """Return one row for each lag and number of updates."""
    return (*COLUMNS, *ANSWER_COLUMNS), [
        [
            *(each.lag, each.steps, each.horizon, each.readout.score, each.squared_signal),
            *(updates, *map(str, each.answer(updates))),
        ]
        for each in found
        for updates in each.updates
    ]
