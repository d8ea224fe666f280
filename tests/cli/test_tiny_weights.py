"""A W of almost nothing, or no matrix at all: numbers or one line, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.prepare import resolve
from gradscope.diagnosis.remedies import RemedyCode
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.formats import to_json


def saved(path: Path, scale: float) -> str:
    rng = np.random.default_rng(0)
    square, wide = rng.standard_normal((8, 8)), rng.standard_normal((8, 3))
    np.savez(path, W_rec=scale * square, W_in=wide, b_rec=np.zeros(8))
    return str(path)


@pytest.mark.parametrize(("scale", "scaled"), [(1e-309, False), (1e-20, False), (1e-3, True)])
def test_a_w_of_almost_nothing_is_no_gain_to_raise(
    tmp_path: Path, scale: float, scaled: bool
) -> None:
    weights = saved(tmp_path / "w.npz", scale)
    found = analyze(resolve({"weights": weights, "activation": "tanh", "leak": 1.0, "steps": 20}))
    assert json.loads(to_json(analysis_document(found)))["stages"][0]["verdict"]["horizon"] <= 2
    codes = [each.code for each in found.remedies]
    assert (RemedyCode.RAISE_GAIN in codes) is scaled


def test_a_w_without_axes_is_one_line(
    run: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    np.savez(tmp_path / "w.npz", W_rec=np.float64(1.0), W_in=np.float64(1.0), b_rec=np.float64(0.0))
    done = run("analyze", str(tmp_path / "w.npz"), "--activation", "tanh")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
