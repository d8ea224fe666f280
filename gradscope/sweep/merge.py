"""Joining stores, as the shards of one sweep leave them.

Where the same cell is done in two, the results must agree: to the last bit where one type of
machine computed both, within the tolerance that the cell's own growth justifies
(``diagnosis.rounding``) where two did. A done cell wins over a failed one.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradscope.arrays import LN_10
from gradscope.diagnosis.long_run import burn_in_steps
from gradscope.diagnosis.rounding import amplified_rounding, largest_rise, relative_tolerance
from gradscope.errors import ArchiveError, OutputError
from gradscope.machine import same_machine_type
from gradscope.sweep.cell import CURVES, SCALARS, Status, columns, curve_from_blob
from gradscope.sweep.query import read_environments, read_rows, salvaged_rows
from gradscope.sweep.store import INSERT, open_store

Row = Mapping[str, Any]

RESULTS = (*SCALARS, *CURVES)
PROFILES = tuple(name for name in CURVES if "log10_norm" in name)
RATES = ("first_rate_nats_per_step", "rate_nats_per_step")
EXACT = ("stage", "required_lag", "lags", "first_stage", "training_stop", "training_updates")
"""Results that are no numbers of a trajectory: they are the same however much rounding grows."""

THRESHOLDED = ("regime", "horizon", "first_regime", "first_horizon", "null_because")
"""Results that a threshold decides, so that last bits can turn them where a curve lies on it."""


@dataclass(frozen=True, eq=False, slots=True)
class Merged:
    """Stores joined, cells that came of it, how many of them failed, duplicate rows, lost rows."""

    stores: int
    cells: int
    failed: int
    duplicates: int
    lost: int | None = 0


class Found(NamedTuple):
    """A row of a store, the store, and what computed the row as JSON ("" where it is unknown)."""

    row: Row
    path: Path
    environment: str

    @property
    def done(self) -> bool:
        """Whether the cell has results."""
        return bool(self.row["status"] == Status.DONE)


def merge_stores(sources: Sequence[Path], target: Path, *, salvage: bool = False) -> Merged:
    """Write the union of stores, in whatever order, into a new one, which replaces what was there
    as a whole or not at all; to ``salvage`` takes what is whole in damaged ones. ArchiveError if a
    source is no store of this version or damaged, or two hold different results for one cell;
    OutputError if the target cannot be written.
    """
    joined: dict[str, Found] = {}
    read, losses = 0, []
    for path in sources:
        rows, lost = salvaged_rows(path) if salvage else (read_rows(path), 0)
        losses.append(lost)
        environments = {}
        with contextlib.suppress(*((ArchiveError,) if salvage else ())):
            environments = read_environments(path)
        read += len(rows.values)
        for values in rows.values:
            row = dict(zip(rows.columns, values, strict=True))
            found = Found(row, path, environments.get(row["key"], ""))
            before = joined.get(row["key"])
            if before is None or (found.done and not before.done):
                joined[row["key"]] = found
            elif found.done:
                joined[row["key"]] = _agreed(before, found)
    if salvage and not joined:
        raise ArchiveError(f"{sources[0]} holds no row that is whole; compute its cells again")
    environments = {key: each.environment for key, each in joined.items() if each.environment}
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open_store(beside) as store:
            written = [[each.row[name] for name in columns()] for each in joined.values()]
            store.insert(written, environments, INSERT)
        beside.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        for leftover in (beside, beside.with_name(f"{beside.name}-journal")):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
    failed = sum(not found.done for found in joined.values())
    lost = None if None in losses else sum(filter(None, losses))
    return Merged(len(sources), len(joined), failed, read - len(joined), lost)


def _agreed(before: Found, found: Found) -> Found:
    """Return one of two results for a cell, the same one in either order; refuse a conflict."""
    differing = [name for name in RESULTS if before.row[name] != found.row[name]]
    environments = (json.loads(each.environment or "{}") for each in (before, found))
    same = same_machine_type(*environments)
    wrong = differing if same else list(disagreements(before.row, found.row, differing))
    if wrong:
        tolerance = tolerance_of(before.row, wrong[0]) or 0.0
        limit = f"two machines may differ by a relative {tolerance:.0e} at most"
        if same:
            limit = "one type of machine computed both, so that they should be the same bit for bit"
        rows = (before.row, found.row)
        pairs = {name: " and ".join(_shown(row[name]) for row in rows) for name in wrong}
        shown = ", ".join(f"{name} ({pair})" for name, pair in pairs.items())
        fault = f"disagree about cell {found.row['key'][:12]} in {shown}; {limit}"
        raise ArchiveError(f"{before.path} and {found.path} {fault}; leave out the wrong one")
    if not differing:
        return before
    return min(before, found, key=lambda each: (each.environment, repr(each.row)))


def disagreements(first: Row, second: Row, names: Iterable[str]) -> Iterator[str]:
    """Yield those of the results in which two rows differ by more than their tolerance."""
    for name in names:
        tolerance = tolerance_of(first, name)
        if name in EXACT:
            yield name
        elif tolerance is None:
            continue
        elif name in THRESHOLDED:
            if not _near_threshold(first, tolerance):
                yield name
        elif not _close(first[name], second[name], tolerance):
            yield name


def tolerance_of(row: Row, name: str) -> float | None:
    """Return the relative tolerance of a result (training amplifies nothing of what was before it);
    None where rounding is amplified beyond comparison.
    """
    if name == "baseline_error":
        return float(row["tolerance"])
    first = name.startswith("first_")
    rates = (row[each] for each in (RATES[:1] if first else RATES) if row[each] is not None)
    updates = 0 if first else row["training_updates"] or 0
    gradient, profile = row["log10_gradient_by_step"], row["first_log10_norm_median"]
    curves = [curve_from_blob(each or b"").tolist() for each in (gradient, profile)]
    # The growth rate and its causes are taken over steps that follow.
    long = "rate_" in name or name.startswith("cause_")
    further = burn_in_steps(row["burn_in"], row["leak"]) if long else 0
    # Lags count back in time, so that the profile reversed is a curve over the steps.
    rise = max(largest_rise(curves[0]), largest_rise(curves[1][::-1])) * LN_10
    sizes = {"steps": row["steps"] + further, "width": row["hidden"], "updates": updates}
    rounding = amplified_rounding(rates, **sizes, rise=rise)
    return relative_tolerance(rounding, row["tolerance"])


def _close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two numbers or curves agree, to a relative tolerance, below 1 an absolute one."""
    # A rate or a logarithm near 0 is the difference of larger numbers.
    if one is None or other is None:
        return False
    a, b = (curve_from_blob(x) if isinstance(x, bytes) else np.array([x]) for x in (one, other))
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def _near_threshold(row: Row, tolerance: float) -> bool:
    """Whether some value of the lag profiles lies on a threshold of the verdict, or a rate on 0."""
    settings = ("vanishing", "exploding", "transient_growth")
    thresholds = [0.0, *(math.log10(row[name]) for name in settings)]
    curves = [curve_from_blob(row[name]) for name in PROFILES if row[name] is not None]
    rates = np.array([row[name] for name in RATES if row[name] is not None], float)
    values = np.concatenate([*curves, rates])
    distance = np.abs(values[:, None] - np.array(thresholds))
    return bool((distance <= tolerance * (1.0 + np.abs(values))[:, None]).any())


def _shown(value: Any) -> str:
    return f"{len(value) // 8} numbers" if isinstance(value, bytes) else repr(value)
