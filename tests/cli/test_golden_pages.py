"""One page of each command that prints an analysis, whole: what changes it shows in a diff.

The networks are small, and far from the edge of chaos, so that the digits shown are the same on
every machine. ``GOLDEN=write`` in the environment writes the pages instead.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
NETWORK = ("--hidden", "4", "--steps", "12", "--sequences", "2", "--gain", "0.8")

PAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "analyze": (("analyze", *NETWORK, "--updates", "3", "--full"),),
    "compare": (
        (
            *("compare", "--activation", "sigmoid,identity", "--steps", "4,12", "--gain", "2"),
            *("--hidden", "4", "--sequences", "2", "--updates", "0", "--seeds", "2"),
            *("--workers", "1"),
        ),
    ),
    "train": (("train", *NETWORK, "--updates", "3", "--learning-rate", "0.001"),),
    "spectrum": (("spectrum", *NETWORK),),
    "try": (("try", *NETWORK, "--budget", "3", "--seeds", "2", "--workers", "1"),),
    "forecast": (("forecast", "--hidden", "4", "--lags", "2,8", "--batch", "64", "--gain", "0.8"),),
    "report": (
        (
            *("sweep", *NETWORK[:-2], "--updates", "0", "--executor", "serial"),
            *("-P", "activation=sigmoid,identity", "-P", "gain=0.9,2"),
        ),
        ("report", "sweep.db"),
    ),
    "inspect": (("inspect", "cell.npz"),),
}
"""The commands that lead to each page, which is that of the last."""


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_golden_one(
    name: str, call: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    weights = np.diag([0.5, 0.25])
    arrays: dict[str, Any] = {"rnn.weight_hh_l0": weights, "rnn.weight_ih_l0": weights}
    np.savez(tmp_path / "cell.npz", **arrays)
    done = [call(*command) for command in PAGES[name]]

    assert [each.returncode for each in done] == [0] * len(done), done[-1].stderr
    page = re.sub(r"\b\d(\.\d+)?e[-−]1\d\b", "TINY", done[-1].stdout)  # Rounding errors.
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(page, encoding="utf-8")
    assert page == golden.read_text(encoding="utf-8")
