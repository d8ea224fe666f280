"""Adding to gradscope takes the few edits that its tables promise, shown on a copy of the package.

The copy gets an activation (its word and its row), a setting (its field) and a panel (its drawing
and its row); command line, help and pictures then have all three.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]

WORD = '    ARCTAN = "arctan"\n'
ROW = """\
    Activation(
        ActivationName.ARCTAN, np.arctan,
        lambda a: 1.0 / (1.0 + np.square(a)), slope_ceiling=1.0,
        torch_name=None, keras_name=None, line_style=LineStyle("#F0E442", (0, (3, 1)), "*"),
    ),
"""
FIELD = """
    waiting: int = setting(7, JUDGING, ANALYSIS, "Steps to wait.", LENGTH)
"""
DRAWING = '''

def steepness_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the median slope."""
    style.dress(axes, "time step t", "median slope")
    axes.plot(analysis.last.slopes.median)
'''
CAPTION = '''

def steepness_caption(analysis: Analysis) -> str:
    """Say what slopes_caption says."""
    return slopes_caption(analysis)
'''
NUMBERS = """

def steepness_rows(analysis: Analysis) -> Rows:
    return slopes_rows(analysis)
"""
PANEL = """    Panel("steepness", "How steep the median unit is", "time_panels", term="slope"),
"""

EDITS = {
    "names.py": ('    SOFTPLUS = "softplus"\n', f'    SOFTPLUS = "softplus"\n{WORD}'),
    "model/activations.py": ("\n)  # fmt: skip\n", f"\n{ROW})  # fmt: skip\n"),
    "analysis/setting_fields.py": ("\n    seed: int", f"{FIELD}\n    seed: int"),
    "report/figures/time_panels.py": ("\n\ndef slopes_panel", f"{DRAWING}\n\ndef slopes_panel"),
    "report/documents/rows.py": ("\n\ndef slopes_rows", f"{NUMBERS}\n\ndef slopes_rows"),
    "report/words/captions.py": (
        "\n\ndef training_caption", f"{CAPTION}\n\ndef training_caption",
    ),
    "report/figures/panels.py": ('    Panel("map"', f'{PANEL}    Panel("map"'),
}  # fmt: skip
"""All that is edited, by file: the place, and what it becomes."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a copy of the package with everything added."""
    folder = tmp_path_factory.mktemp("extended")
    package = folder / "gradscope"
    shutil.copytree(ROOT / "gradscope", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (before, after) in EDITS.items():
        text = (package / name).read_text("utf-8")
        assert text.count(before) == 1, name
        (package / name).write_text(text.replace(before, after), "utf-8")
    return folder


@pytest.fixture
def run(extended: Path, tmp_path: Path) -> Run:
    def started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(extended), "COLUMNS": "80", **variables}
        return subprocess.run(
            [sys.executable, "-m", "gradscope", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return started


SMALL = ("--hidden", "4", "--steps", "8", "--sequences", "2", "--updates", "0")


def test_help_lists_what_was_added(run: Run) -> None:
    page = run("analyze", "--help").stdout + run("analyze", "--help-all").stdout

    assert {"arctan", "--waiting", "steepness"} <= set(re.findall(r"[\w-]+", page))


def test_a_new_panel_is_drawn_by_its_name(run: Run, tmp_path: Path) -> None:
    done = run("analyze", *SMALL, "--panel", "steepness", "--png", "new.png", "--html", "new.html")

    assert done.returncode == 0, done.stderr
    assert imread(tmp_path / "new.png").size
    assert 'id="steepness"' in (tmp_path / "new.html").read_text("utf-8")
    assert run("explain", "steepness").stdout == run("explain", "slope").stdout


def test_a_new_activation_trains_and_is_compared_in_a_picture(run: Run, tmp_path: Path) -> None:
    alone = run("analyze", *SMALL[:-1], "2", "--batch", "2", "--activation", "arctan")
    compared = run(
        "compare", *SMALL[:2], *SMALL[4:], "--steps", "5,8", "--activation", "tanh,arctan",
        "--cell", "elman,gru", "--png", "compared.png",
    )  # fmt: skip
    checked = run("check", "--activation", "arctan")

    assert alone.returncode == 0, alone.stderr
    assert compared.returncode == 0, compared.stderr
    assert imread(tmp_path / "compared.png").size
    assert checked.returncode == 0, checked.stdout


def test_a_new_setting_has_a_flag_a_variable_a_key_limits_and_a_column(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text("waiting = 5\n", "utf-8")

    def waiting(*arguments: str, **variables: str) -> str:
        done = run("analyze", *SMALL, "--json", *arguments, **variables)
        assert done.returncode == 0, done.stderr
        found = re.search(r'"waiting": (\d+)', done.stdout)
        return found[1] if found else ""

    assert waiting() == "7"
    assert waiting("--waiting", "3") == "3"
    assert waiting(GRADSCOPE_WAITING="4") == "4"
    assert waiting("--config", "run.toml") == "5"
    refused = run("analyze", "--waiting", "0")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --waiting is 0; choose 1 or more")
    swept = run("sweep", *SMALL, "-P", "waiting=2,3", "-o", "s.db", "--executor", "serial")
    assert swept.returncode == 0, swept.stderr
    with sqlite3.connect(tmp_path / "s.db") as store:
        assert sorted(store.execute("SELECT waiting FROM cells")) == [(2,), (3,)]
    store.close()
