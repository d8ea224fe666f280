"""Damaged files of every format: only our own errors come out, and memory stays bounded."""

import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from gradscope.data.intake import ALWAYS_ALLOWED
from gradscope.errors import GradscopeError
from gradscope.weights.load import load_weights
from tests.weights.mutating import WRITERS, damaged, repacked

ROUNDS = 250
HEADROOM = 64 * 2**20
"""For the parsers themselves, beside what a file of any size may unfold to."""


def outcome(path: Path) -> str:
    """Load a file; return the line with which it was refused, or nothing."""
    try:
        load_weights(path)
    except GradscopeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_is_read(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)

    assert len(load_weights(tmp_path / name).layers) == 1


@pytest.mark.filterwarnings("ignore")  # SciPy warns of what it then refuses
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_gives_one_line_and_bounded_memory(
    tmp_path: Path, name: str, packed: bool
) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    if packed and not whole.startswith(b"PK"):
        pytest.skip("no zip, so no checksums to put right")
    rng = np.random.default_rng(20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = []

    tracemalloc.start()
    for _ in range(ROUNDS):
        if packed:
            path.write_bytes(whole)
            repacked(path, rng)
        else:
            path.write_bytes(damaged(whole, rng))
        lines.append(outcome(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert any(lines)
    assert not any("\n" in line for line in lines)
    assert peak < ALWAYS_ALLOWED + HEADROOM
    assert grown < ALWAYS_ALLOWED + 4 * HEADROOM
