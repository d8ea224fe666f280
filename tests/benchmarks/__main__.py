"""Print the table of speed ratios and write it as JSON: ``python -m tests.benchmarks``.

One BLAS thread, set before NumPy is loaded, unless the caller has set it.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np  # noqa: E402 (after the threads are set)

from tests.benchmarks import (  # noqa: E402
    engine,
    everyday,
    gated,
    recurrences,
    start_up,
    sweep_overhead,
    threads,
    training,
    watching,
)
from tests.benchmarks.measure import Row  # noqa: E402

SUITES = {
    "engine": engine.rows,
    "recurrences": recurrences.rows,
    "gated": gated.rows,
    "training": training.rows,
    "watching": watching.rows,
    "start-up": start_up.rows,
    "sweep": sweep_overhead.rows,
    "threads": threads.rows,
    "everyday": everyday.rows,
}
"""Every file of rows, in the order of the table."""

HEADER = f"{'ratio':>7}  {'lowest – highest':>17}  {'floor':>5}  {'ours':>8}  {'reference':>9}"


def main() -> int:
    """Run the rows, print each as it is done; exit code 1 where one misses its floor."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--only", choices=SUITES, action="append", help="run these rows alone")
    options = parser.parse_args()
    sys.stdout.write(f"{HEADER}\n")
    rows = []
    for name in options.only or SUITES:
        for row in SUITES[name]():
            rows.append(row)
            sys.stdout.write(f"{line(row)}\n")
            sys.stdout.flush()
    if options.json is not None:
        text = json.dumps(document(rows), indent=2, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if all(row.met for row in rows) else 1


def line(row: Row) -> str:
    """Return a row as one line of the table."""
    spread = f"{row.lowest:.1f} – {row.highest:.1f}"
    mark = "" if row.met else "  BELOW ITS FLOOR"
    note = f"  ({row.note})" if row.note else ""
    return (
        f"{row.ratio:7.1f}  {spread:>17}  {row.floor:5.1f}  {row.ours_seconds:7.3f}s"
        f"  {row.reference_seconds:8.2f}s  {row.name}{note}{mark}"
    )


def document(rows: list[Row]) -> dict[str, Any]:
    """Return the table as a document, with what is needed to read it later."""
    return {
        "schema": "gradscope.benchmarks",
        "version": 1,
        "environment": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
            "threads": os.environ["OPENBLAS_NUM_THREADS"],
        },
        "rows": [asdict(row) | {"met": row.met} for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
