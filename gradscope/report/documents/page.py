"""The numbers of an HTML page, once, for its script: the rows of every table as columns.

A column is little-endian numbers in base64 (whole ones in one or two bytes, others as float32 where
they fit, else float64), NaN where there is none; words are places in a list of them.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.analysis.details import SPECTRUM_LAGS, first_sequences
from gradscope.analysis.results import Analysis, Stage
from gradscope.arrays import LN_10
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.singular_values import singular_values
from gradscope.model.elman import ElmanParameters
from gradscope.names import Regime, StateName
from gradscope.report.documents.rows import Rows, table_rows
from gradscope.report.figures.panels import PANELS
from gradscope.report.words.cells import CAUSE_LABELS
from gradscope.report.words.headline import stage_title
from gradscope.report.words.numbers import steps

MAX_UNITS, MAX_ENTRIES = 256, 2**14
"""Units of a network whose W a page holds, and slopes of each stage: the last steps of those."""

MAX_WORK = 2**23
"""Lags times (S,S) entries up to which a page takes singular values itself."""

MAX_ROWS = 800
"""Rows of each stage above which a page holds every n-th row of the tables in ``THINNED``."""

THINNED = (
    *("parameters", "gradient", "slopes", "saturation", "training"),
    *("shares", "memory", "sensitivity"),
)


def packed(values: Sequence[Any]) -> Any:
    """Return a column as the page's script reads it."""
    if any(isinstance(each, str | bool) for each in values):
        words = ["" if each is None else str(each) for each in values]
        known = list(dict.fromkeys(words))
        return {"words": known, "at": packed([known.index(each) for each in words])}
    array = np.array(values, dtype=np.float64)
    sizes = np.abs(array[np.isfinite(array) & (array != 0.0)])
    kind = "f4" if sizes.max(initial=1.0) < 1e37 and sizes.min(initial=1.0) > 1e-37 else "f8"
    if (array == np.clip(np.rint(array), 0, 2**16 - 1)).all():
        kind = "u1" if array.max(initial=0.0) < 2**8 else "u2"
    return {kind: base64.b64encode(array.astype(f"<{kind}").tobytes()).decode("ascii")}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return rows by column."""
    return {name: packed([row[at] for row in rows]) for at, name in enumerate(columns)}


def analysis_numbers(analysis: Analysis, more: Mapping[str, Rows]) -> dict[str, Any]:
    """Return all panels of an analysis, its stages in words, and what makes ∂h_T/∂h_{T−ℓ}."""
    shown = {name: each.rows(analysis) for name, each in PANELS.items() if each.shown(analysis)}
    if "singular" not in shown:
        shown |= _singular_values(analysis)
    apart = -(-analysis.trajectory.n_steps // MAX_ROWS)
    every = dict.fromkeys(THINNED, apart) if apart > 1 else {}
    tables = {**shown, **more}
    return {
        "steps": analysis.trajectory.n_steps,
        "threshold": float(np.log10(analysis.settings.vanishing)),
        "labels": {n: n for n in terms_of(analysis.last.causes)} | dict(CAUSE_LABELS),
        "stages": [_stage(analysis, each) for each in analysis.stages],
        "matrices": [_matrix(analysis, stage) for stage in analysis.stages],
        "every": every,
        "tables": {
            name: table(columns, rows[:: every.get(name, 1)])
            for name, (columns, rows) in tables.items()
        },
    }


def _stage(analysis: Analysis, stage: Stage) -> dict[str, Any]:
    """Return a stage in words: its title, and what its profile marks."""
    verdict, mark, gap = stage.verdict, None, ""
    above, main = map(verdict.reason, (ReasonCode.ABOVE_THRESHOLD, ReasonCode.MAIN_CAUSE))
    needed = verdict.required_lag
    if above is not None and (verdict.horizon is None or verdict.regime is Regime.EXPLODING):
        lag: Any = above.numbers["lag"]
        mark = [lag, f"too large after {steps(lag)}"]
    elif verdict.horizon is not None:
        mark = [verdict.horizon, f"gone after {steps(verdict.horizon)}"]
        if needed is not None and needed > verdict.horizon:
            gap = f"{steps(needed - verdict.horizon)} out of reach"
    return {
        "name": str(stage.name),
        "title": stage_title(stage.name, analysis.training),
        "regime": str(verdict.regime),
        "mark": mark,
        "needed": needed,
        "gap": gap,
        "main": main and main.numbers["cause"],
    }


def _matrix(analysis: Analysis, stage: Stage) -> dict[str, Any] | None:
    """Return W and the slopes of one sequence, the last step first; None for gates or many units.

    With rows r at h_t, r J_t is (r ∘ g_t) W, and where the state is before φ (α ∘ r W) ∘ g_t, each
    + (1−α) r; g_t is (α) φ′.
    """
    params = stage.params
    if not isinstance(params, ElmanParameters) or params.state_size > MAX_UNITS:
        return None
    some = first_sequences(params, analysis.trajectory, analysis.examined.whole(1))
    slopes = params.linearize(some.cell_trajectory).openings[:, 0]
    kept = max(MAX_ENTRIES // params.state_size, 1)
    return {
        "units": params.state_size,
        "before": params.state is StateName.PRE,
        "leak": np.broadcast_to(params.leak, params.state_size).tolist(),
        "weights": packed(params.recurrent_weights.ravel().tolist()),
        "slopes": packed(slopes[::-1][:kept].ravel().tolist()),
    }


def _singular_values(analysis: Analysis) -> dict[str, Rows]:
    """Return the singular values of one sequence at lags that take little time."""
    some = first_sequences(analysis.params, analysis.trajectory, analysis.examined.whole(1))
    chain = cell_chain(analysis.params, some)
    lags = np.unique(np.geomspace(1, chain.n_steps, SPECTRUM_LAGS).round().astype(int))
    lags = lags[np.cumsum(lags) * chain.state_size**2 <= MAX_WORK]
    if not lags.size:
        return {}
    values = singular_values(chain, lags).log_values[:, 0] / LN_10
    at = np.indices(values.shape)
    return {"values": table_rows(lag=lags[at[0]], rank=at[1] + 1, log10_singular_value=values)}
