"""Measure whether the advice is right and write one table: ``python -m tests.benchmarks.advice``.

``--only NAME`` makes the rows of one module alone, on stdout; the file keeps those of all.
"""

import argparse
import os
import sys
import time

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from tests.benchmarks.advice.rows import FOLDER, Row, row_makers  # noqa: E402 (after the threads)

TABLE = FOLDER / "table.md"


def main() -> int:
    """Make the rows, print each as it is done, write the table; exit code 1 where one is missed."""
    makers = row_makers()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.advice", description=__doc__)
    parser.add_argument("--only", choices=makers, action="append", help="make these rows alone")
    parser.add_argument("--quick", action="store_true", help="the part among the slow tests")
    options = parser.parse_args()
    lines, met = ["| what | measured | wanted | |", "| --- | --- | --- | --- |"], True
    for name in options.only or makers:
        start = time.perf_counter()
        for row in makers[name](quick=options.quick):
            lines.append(line(row))
            met &= row.met
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.flush()
        sys.stdout.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
    if not (options.only or options.quick):
        TABLE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return 0 if met else 1


def line(row: Row) -> str:
    """Return a row as one line of the table."""
    return f"| {row.name} | {row.measured} | {row.wanted} | {'' if row.met else 'MISSED'} |"


if __name__ == "__main__":
    sys.exit(main())
