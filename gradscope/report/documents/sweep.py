"""Sweeps as documents and tables: JSON of a sweep, and the rows of a store as CSV, JSON Lines,
Markdown or ``.npz``. Curves are left to JSON Lines and ``.npz``.
"""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.settings import setting_kinds
from gradscope.arrays import plain
from gradscope.report.documents.rows import Rows as Table
from gradscope.report.formats import Document, head, named
from gradscope.report.provenance.records import provenance_text
from gradscope.report.terminal.sweep import FIRST_CELLS, REGIME_COLUMNS
from gradscope.sweep.cell import CURVES, curve_from_blob
from gradscope.sweep.grid import Cell, shared_and_swept
from gradscope.sweep.merge import Merged
from gradscope.sweep.preview import Preview
from gradscope.sweep.query import Rows
from gradscope.sweep.run import Progress
from gradscope.sweep.summary import Summary, shared_settings

GROUP_COLUMNS = (
    *("group", "cells", "failed", *REGIME_COLUMNS, "rate_nats_per_step", "horizon"),
    "lyapunov_exponent",
)
ENDLESS = "the median cell stays above the threshold"


def plan_document(preview: Preview) -> Document:
    """Return what a sweep would do."""
    shared, swept = shared_and_swept(preview.cells)
    return {
        **head("sweep-plan", shared),
        "swept": swept,
        "store": str(preview.store),
        "cells": len(preview.cells),
        "missing": len(preview.missing),
        **named(preview, "failed", "left_out", "workers", estimated_seconds="seconds"),
        "first": [
            {name: cell.settings.as_dict()[name] for name in swept}
            for cell in preview.cells[:FIRST_CELLS]
        ],
        "timed": named(preview.estimate, "sizes", "timed"),
    }


def plan_rows(preview: Preview) -> Table:
    """Return every cell of a plan: its key and its settings as JSON."""
    return ("key", "settings"), [
        [cell.key, json.dumps(cell.settings.as_dict())] for cell in preview.cells
    ]


def sweep_document(
    cells: Sequence[Cell], summary: Summary, progress: Progress, store: Path, seconds: float
) -> Document:
    """Return what a sweep over these cells did."""
    shared, swept = shared_and_swept(cells)
    return {
        **head("sweep", shared),
        "swept": swept,
        "store": str(store),
        **named(progress, "kept", "done", "missing", "interrupted", "restarts"),
        "cells": progress.total,
        "failed": progress.all_failed,
        "seconds": seconds,
        **_groups(summary),
    }


def store_document(summary: Summary, store: Path, rows: Rows) -> Document:
    """Return what a store holds."""
    return {
        **head("sweep-report", shared_settings(rows)),
        "store": str(store),
        "cells": sum(group.cells for group in summary.groups),
        "failed": sum(group.failed for group in summary.groups),
        **_groups(summary),
    }


def merge_document(merged: Merged, target: Path) -> Document:
    """Return what was joined."""
    return {**head("merge", {}), "store": str(target), **asdict(merged)}


def _groups(summary: Summary) -> Document:
    return {
        "groups": [
            {
                **dict(zip(summary.names, group.values, strict=True)),
                **dict(zip(GROUP_COLUMNS[1:], row[1:], strict=True)),
                "horizon_null_because": _why_null(group.horizon, ENDLESS),
                "rate_null_because": _why_null(group.rate, ZERO_PRODUCT),
                "lyapunov_null_because": _why_null(
                    group.exponent, "a direction is dead", "no cell has a spectrum"
                ),
            }
            for group, row in zip(summary.groups, group_rows(summary)[1], strict=True)
        ],
        "errors": [{"error": text, "cells": many} for text, many in summary.errors.items()],
    }


def _why_null(value: float | None, infinite: str, missing: str = "no cell is done") -> str | None:
    if value is None:
        return missing
    return infinite if math.isinf(value) else None


def group_rows(summary: Summary, *_: object) -> Table:
    """Return one row per group, in the order of ``GROUP_COLUMNS``."""
    return GROUP_COLUMNS, [
        [
            ", ".join(group.values),
            group.cells,
            group.failed,
            *(group.regimes.get(regime, 0) for regime in REGIME_COLUMNS),
            plain(group.rate),
            plain(group.horizon),
            plain(group.exponent),
        ]
        for group in summary.groups
    ]


def row_documents(rows: Rows) -> Iterator[Document]:
    """Yield each row as a flat document; null in a curve is an exact zero's −∞."""
    kinds = setting_kinds()
    for row in rows.values:
        document = dict(zip(rows.columns, row, strict=True))
        for name, value in document.items():
            if value is None:
                continue
            if name in CURVES:
                document[name] = plain(curve_from_blob(value))
            elif kinds.get(name) is bool:
                document[name] = bool(value)
            elif kinds.get(name) == tuple[str, ...]:
                document[name] = json.loads(value)
        yield document


def rows_archive(rows: Rows) -> bytes:
    """Return rows as the bytes of an ``.npz``: an array for each column, a row each.

    Texts are unicode arrays (empty where there is none), numbers float64 (NaN where there is none),
    curves (rows, longest) padded with NaN. ``settings`` is a JSON string of what all rows share.
    """
    arrays: dict[str, Any] = {}
    for name in rows.columns:
        values = rows.column(name)
        if name in CURVES:
            curves = [curve_from_blob(each or b"") for each in values]
            longest = max((curve.size for curve in curves), default=0)
            arrays[name] = np.full((len(curves), longest), np.nan)
            for row, curve in zip(arrays[name], curves, strict=True):
                row[: curve.size] = curve
        elif any(isinstance(each, str) for each in values) or name in ("error", "traceback"):
            arrays[name] = np.array(["" if each is None else str(each) for each in values], str)
        else:
            found = [np.nan if each is None else each for each in values]
            arrays[name] = np.array(found, np.float64)
    arrays["settings"] = provenance_text(shared_settings(rows))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
