"""One process for many files: for each line of JSON, a folder and a command, a line of JSON with
the exit code and what is wrong with how the command ended.

Run as ``python -m tests.fuzz.serving COMMAND…``, an honest one, which others are judged against.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path

from tests.fuzz.running import CPU_SECONDS, faults, forked, quietly


def serve(*words: str) -> None:
    """Answer each line of stdin; ``words`` are the honest command."""
    for needed in ("h5py", "onnx", "openpyxl"):
        with contextlib.suppress(ImportError):
            importlib.import_module(needed)
    quietly(words, Path())
    honest = forked(words, Path(), CPU_SECONDS)
    for line in sys.stdin:
        place, *command = json.loads(line)
        ran = forked(command, Path(place), honest.seconds + CPU_SECONDS)
        found = [f"exit code {ran.code}", *faults(ran, honest, command)]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
