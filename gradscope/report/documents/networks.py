"""The numbers of a page of many networks: of each its row, and its profile at some lags."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradscope.analysis.results import Comparison
from gradscope.arrays import LN_10, FloatArray
from gradscope.report.documents.page import table
from gradscope.report.documents.rows import comparison_rows, transposed
from gradscope.report.words.cells import short_name
from gradscope.report.words.numbers import number, steps
from gradscope.sweep.cell import curve_from_blob
from gradscope.sweep.query import Rows as StoreRows
from gradscope.sweep.summary import GridOfValues, done_by_network

PROFILE_POINTS = 32
"""Lags of each profile at most."""


def comparison_numbers(comparison: Comparison) -> dict[str, Any]:
    """Return the rows of a comparison for each last stage, and its profile at some lags."""
    last = tuple(replace(each, stages=each.stages[-1:]) for each in comparison.analyses)
    columns, rows = comparison_rows(replace(comparison, analyses=last))
    cells = []
    for analysis, row in zip(last, rows, strict=True):
        name, settings = short_name(analysis.settings), analysis.settings
        title = f"{name}, {steps(settings.steps)}, seed {settings.seed}"
        cells.append((title, [*row, name], analysis.last.profile.median / LN_10))
    return _many((*columns, "network"), cells)


def store_numbers(rows: StoreRows, grid: GridOfValues) -> dict[str, Any]:
    """Return the median in each place of a grid, and of the first cell there its profile."""
    cells: list[tuple[str, list[Any], FloatArray]] = []
    axes = {
        name: {
            "label": axis.name.replace("_", " "),
            "words": [number(v) if isinstance(v, float) else str(v) for v in axis.values],
        }
        for name, axis in (("x", grid.x), ("y", grid.y))
    }
    curves, across, up = map(rows.column, ("log10_norm_median", grid.x.name, grid.y.name))
    for network, places in done_by_network(rows, {grid.x.name, grid.y.name}):
        first = {(grid.x.place(across[at]), grid.y.place(up[at])): at for at in reversed(places)}
        for place, at in first.items():
            named = zip(axes.values(), place, strict=True)
            title = ", ".join([network, *(f"{of['label']} {of['words'][k]}" for of, k in named)])
            row = [network, *place, len(cells), float(grid.panels[network][place[::-1]])]
            cells.append((title, row, curve_from_blob(curves[at])))
    return {"axes": axes, **_many(("network", "x", "y", "cell", grid.measure), cells)}


def _many(
    columns: Sequence[str], cells: Sequence[tuple[str, list[Any], FloatArray]]
) -> dict[str, Any]:
    """Return networks, each with its title, its row, and its profile at some lags."""
    profiles = []
    for cell, (_, _, log10) in enumerate(cells):
        at = np.unique(np.linspace(0, log10.size - 1, PROFILE_POINTS).round().astype(int))
        profiles += [[cell, *row] for row in transposed((at + 1, log10[at]))]
    tables = {
        "cells": table(columns, [row for _, row, _ in cells]),
        "profiles": table(("cell", "lag", "log10_median"), profiles),
    }
    return {"cells": [title for title, _, _ in cells], "tables": tables}
