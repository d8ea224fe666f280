"""A forecast as a document and as rows: what is known of each lag, and the answers by updates."""

from collections.abc import Sequence

from gradscope.analysis.settings import Settings
from gradscope.arrays import plain
from gradscope.remedy.forecast import Expectation
from gradscope.report.documents.details import named
from gradscope.report.documents.rows import Rows
from gradscope.report.formats import Document, head

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
    return {**head("forecast", settings.as_dict()), "lags": lags}


def forecast_rows(found: Sequence[Expectation], _settings: Settings) -> Rows:
    """Return one row for each lag and number of updates."""
    columns = (*KNOWN, "readout_score", "squared_signal_to_noise_upper", *OF_ANSWER)
    return columns, [
        [
            *(getattr(each, name) for name in KNOWN),
            *(each.readout.score, each.squared_signal, n, *map(str, each.answer(n))),
        ]
        for each in found
        for n in each.updates
    ]
