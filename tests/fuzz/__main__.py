"""``python -m tests.fuzz N SEED [KIND …]``: N mutants of each kind; says what failed.

``python -m tests.fuzz 1 SEED KIND:NUMBER``, with what a failure says, makes that mutant again.
"""

import sys
import tempfile
from pathlib import Path

from tests.fuzz.running import run_kind
from tests.fuzz.seeds import KINDS


def main(count: int, seed: int, *names: str) -> int:
    """Fuzz these kinds, or all; return how many mutants failed."""
    folder, failed = Path(tempfile.mkdtemp(prefix="fuzz-")), 0
    for name in names or KINDS:
        kind, _, number = name.partition(":")
        if missing := KINDS[kind].missing:
            sys.stdout.write(f"{kind}: skipped, {missing} is not installed\n")
            continue
        failures = run_kind(kind, count, int(number or 0), seed, folder / kind)
        failed += len(failures)
        sys.stdout.write(f"{kind}: {len(failures)} of {count} failed\n")
        sys.stdout.writelines(f"{failure}\n" for failure in failures)
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    many, seeded, *kinds = sys.argv[1:]
    sys.exit(bool(main(int(many), int(seeded), *kinds)))
