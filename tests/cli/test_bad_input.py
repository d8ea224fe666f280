"""Bad input of every kind: exit code 2, nothing on stdout, one line on stderr that says what to do,
and nothing left behind.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SETTINGS = {
    "zero steps": ("analyze --steps 0", "--steps is 0; choose 1 or more"),
    "negative hidden": ("analyze --hidden -3", "--hidden is -3; choose 1 or more"),
    "negative gain": ("analyze --gain -1", "--gain is -1.0; choose 0"),
    "gain nan": ("analyze --gain nan", "--gain is nan; give a finite number"),
    "gain inf": ("analyze --gain inf", "--gain is inf; give a finite number"),
    "gain too large": ("analyze --gain 1e200", "--gain is 1e\\+200; choose 0 to 1e\\+100"),
    "learning rate zero": ("analyze --learning-rate 0", "--learning-rate is 0.0; choose"),
    "learning rate -inf": ("train --learning-rate=-inf", "--learning-rate is -inf; give"),
    "clip norm negative": ("train --clip-norm -2", "--clip-norm is -2.0; choose"),
    "huge integer": ("analyze --steps " + "9" * 400, "--steps is about 10\\^400; choose"),
    "seed beyond 64 bits": ("analyze --seed 99999999999999999999", "--seed is 9+; choose 0 or"),
    "negative seed": ("check --seed -1", "--seed is -1; choose 0 or more"),
    "steps not a number": ("analyze --steps ten", "'ten' is not a valid int"),
    "steps not whole": ("analyze --steps 10.5", "'10.5' is not a valid int"),
    "gain empty": ("analyze --gain=", "'' is not a valid float"),
    "no such activation": ("analyze --activation tahn", "'tahn' is not one of 'tanh'"),
    "no such optimizer": ("train --optimizer lbfgs", "'lbfgs' is not one of"),
    "no such format": ("analyze --format xml", "'xml' is not one of"),
    "validation of all": ("analyze --validation 1", "--validation is 1.0; choose a number between"),
    "agreement zero": ("analyze --agreement 0", "--agreement is 0.0; choose a number between"),
    "vanishing above one": ("analyze --vanishing 2", "--vanishing is 2.0; choose a number between"),
    "exploding below one": ("analyze --exploding 0.5", "--exploding is 0.5; choose a number above"),
    "no sequences": ("analyze --sequences 0", "--sequences is 0; choose 1 or more"),
    "lag beyond the steps": (
        "analyze --steps 5 --max-lag 6",
        "--max-lag is 6; choose --max-lag 1 to 5",
    ),
    "delay beyond the steps": ("analyze --steps 5 --delay 5", "--delay is 5, but a sequence of 5"),
    "two ways to clip": ("train --clip-norm 1 --clip-value 1", "are both given; choose one"),
    "two formats": ("analyze --json --format csv", "--json and --format csv are both given"),
    "centred tanh": ("analyze --center-bias", "--center-bias is for sigmoid"),
    "delay of adding": ("analyze --task adding --delay 3", "only the recall task takes a delay"),
    "copy too short": ("analyze --task copy --steps 20", "needs 21 or more"),
    "column without data": ("analyze --column A", "--column is given without --data"),
    "delay with data": ("analyze --data good.csv --delay 1", "leave --delay out"),
    "training without updates": ("train --updates 0", "--updates is 0; choose 1 or more"),
    "zero threads": ("analyze --threads 0", "--threads"),
    "no such option": ("analyze --stepz 3", "No such option: --stepz"),
    "no such command": ("analyse", "No such command 'analyse'"),
    "option without value": ("analyze --steps", "requires an argument"),
    "no such file of weights": ("analyze tanh", "tanh does not exist; check the name"),
    "stray argument": ("analyze tanh relu", "unexpected extra argument"),
    "too large for memory": ("analyze --hidden 100000 --steps 10000000", "GiB of memory"),
    "one cell too large": ("compare --steps 10,10000000 --hidden 1000", "GiB of memory"),
}

COMPARISONS = {
    "list with a hole": ("compare --steps 10,,20", "empty part"),
    "list with a word": ("compare --steps 10,many", "'many' is not a number"),
    "half a step": ("compare --steps 2.5", "not a whole number"),
    "range without count": ("compare --steps 10:100", "start:stop:count"),
    "range with count zero": ("compare --steps 1:9:0", "its count is '0'"),
    "log range from zero": ("compare --steps log:0:100:3", "both ends above 0"),
    "list with nan": ("compare --steps nan", "not finite"),
    "no such activation in a list": ("compare --activation tanh,tnah", "there is no 'tnah'"),
}

FILES = {
    "no such file": ("analyze --data missing.csv", "missing.csv does not exist"),
    "a folder": ("analyze --data folder.csv", "is a folder"),
    "unreadable format": ("analyze --data table.ods", "is not a .csv"),
    "empty": ("analyze --data empty.csv", "is empty"),
    "header only": ("analyze --data header.csv", "has a header but no rows"),
    "one row": ("analyze --data one.csv --steps 3", "the series has 1 rows"),
    "too few rows": ("analyze --data good.csv --steps 90", "needs"),
    "missing cell": (
        "analyze --data gap.csv --steps 3",
        "line 4, column 'v': the value is missing",
    ),
    "a mark for a missing value": (
        "analyze --data marks.csv --steps 3",
        "line 4, column 'v': -9999 stands in 2 of 60 rows, .* --missing -9999, if not, .* keep$",
    ),
    "no such way with missing cells": (
        "analyze --data good.csv --missing drop",
        "--missing is 'drop'; choose refuse, interpolate, keep, or numbers",
    ),
    "decimals or thousands": (
        "analyze --data doubt.csv --column x",
        "line 2, column 'x': '1.000' has decimals or thousands",
    ),
    "infinite cell": ("analyze --data inf.csv --steps 3", "the value is inf"),
    "text among numbers": ("analyze --data text.csv --steps 3", "'oops' is not a number"),
    "ragged rows": ("analyze --data ragged.csv", "has 3 cells, but most have 2"),
    "constant column": ("analyze --data constant.csv --steps 3", "is constant"),
    "several columns": ("analyze --data two.csv --steps 3", "choose with --column"),
    "no such column": ("analyze --data two.csv --column c", "has no column 'c'"),
    "binary junk": ("analyze --data junk.csv", "is not UTF-8 text"),
    "junk as .npy": ("analyze --data junk.npy", "cannot be read as a .npy array"),
    "complex .npy": ("analyze --data complex.npy", "values of type complex128"),
    "cubic .npy": ("analyze --data cube.npy --steps 4", "shape \\(2, 2, 2\\)"),
    "pickled .npy": ("analyze --data pickled.npy", "holds values of type object"),
    "no saved run": ("analyze --load missing.npz", "missing.npz does not exist"),
    "truncated run": ("analyze --load truncated.npz", "cannot be read as a saved run"),
    "run with a nan": ("analyze --load nan.npz", "recurrent_weights holds a number that is not"),
    "someone else's run": ("analyze --load other.npz", "is not a run saved by gradscope"),
    "an array as run": ("analyze --load cube.npy", "cannot be read as a saved run"),
    "another network than saved": ("analyze --load run.npz --hidden 7", "leave --hidden out"),
    "other inputs than saved": ("analyze --load run.npz --task adding", "has 1 inputs"),
    "no config": ("analyze --config missing.toml", "does not exist"),
    "broken TOML": ("analyze --config broken.toml", "is not valid TOML"),
    "unknown key": ("analyze --config unknown.toml", "did you mean 'hidden'"),
    "TOML of the wrong type": ("analyze --config typed.toml", "--hidden is 'many'; give a whole"),
    "TOML load a number": ("analyze --config load.toml", "--load is 3; name a file"),
    "TOML column half a number": ("analyze --config column.toml", "--column is 1.5"),
    "TOML with nan": ("analyze --config nan.toml", "--gain is nan; give a finite number"),
    "settings of a picture not ours": ("show-config plain.png", "has no gradscope settings"),
    "settings of a text": ("show-config good.csv", "has no gradscope settings"),
    "settings of nothing": ("show-config missing.png", "does not exist"),
}

OUTPUTS = {
    "output exists": ("analyze -o good.csv", "already exists; choose another name, or --force"),
    "picture exists": ("analyze --png plain.png", "already exists"),
    "run exists": ("train --save run.npz", "already exists"),
    "output in no folder": ("analyze -o nowhere/a.json", "nowhere is not a folder"),
    "output is a folder": ("analyze -o folder.csv", "is a folder; name a file in it"),
    "picture of no known kind": ("analyze --png report.jpg", "choose .png, .svg, .pdf"),
    "picture without ending": ("compare --png report", "ends in nothing"),
    "two outputs, one name": ("analyze -o a.png --png folder.csv/../a.png", "for two outputs"),
}

BAD = {**SETTINGS, **COMPARISONS, **FILES, **OUTPUTS}

ROWS = [str(0.5 * (k % 7) - k % 3) for k in range(60)]
TEXTS = {
    "good.csv": ["v", *ROWS],
    "table.ods": ROWS,
    "marks.csv": ["v", *ROWS[:2], "-9999", *ROWS[3:59], "-9999"],
    "doubt.csv": ["x;y", *(f"{k}.000;{k}" for k in range(1, 9))],
    "empty.csv": [],
    "header.csv": ["v"],
    "one.csv": ["1.5"],
    "gap.csv": ["v,w", "1,a", "2,b", ",c", *(f"{row},d" for row in ROWS)],
    "inf.csv": ["v", "1", "inf", *ROWS],
    "text.csv": ["v", "1", "oops", *ROWS],
    "ragged.csv": ["1,2", "3,4", "5,6,7"],
    "constant.csv": ["2"] * 60,
    "two.csv": ["a,b", *(f"{row},{row}" for row in ROWS)],
    "broken.toml": ["steps = = 3"],
    "unknown.toml": ["hiden = 3"],
    "typed.toml": ['hidden = "many"'],
    "load.toml": ["load = 3"],
    "column.toml": ['data = "good.csv"', "column = 1.5"],
    "nan.toml": ["gain = nan"],
}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, program: tuple[str, ...], environment: dict[str, str]
) -> Path:
    """Return a folder of good files gone bad."""
    place = tmp_path_factory.mktemp("bad")
    for name, lines in TEXTS.items():
        (place / name).write_text("\n".join(lines))
    (place / "folder.csv").mkdir()
    junk = bytes(range(256)) * 8
    (place / "junk.csv").write_bytes(junk)
    (place / "junk.npy").write_bytes(b"\x93NUMPY" + junk)
    (place / "plain.png").write_bytes(b"\x89PNG\r\n\x1a\n" + junk)
    np.save(place / "complex.npy", np.ones(50, dtype=np.complex128))
    np.save(place / "cube.npy", np.ones((2, 2, 2)))
    np.save(place / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.savez(place / "other.npz", weights=np.ones(3))
    sizes = ("--hidden", "4", "--steps", "6", "--updates", "0", "--sequences", "2")
    saving = [*program, "analyze", *sizes, "--save", "run.npz"]
    subprocess.run(saving, cwd=place, env=environment, check=True, capture_output=True)
    (place / "truncated.npz").write_bytes((place / "run.npz").read_bytes()[:700])
    with np.load(place / "run.npz") as saved:
        arrays = {name: saved[name] for name in saved.files}
    arrays["recurrent_weights"][0, 0] = np.nan
    np.savez(place / "nan.npz", **arrays)
    return place


def test_more_than_forty_kinds_of_bad_input_are_listed() -> None:
    lines = [line for line, _ in BAD.values()]

    assert len(BAD) == len(SETTINGS) + len(COMPARISONS) + len(FILES) + len(OUTPUTS)
    assert len(set(lines)) == len(lines) >= 40


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_on_stderr_and_exit_code_two(
    call: Run, folder: Path, kind: str
) -> None:
    line, expected = BAD[kind]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}

    done = call(*line.split(), cwd=folder)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert re.search(expected, done.stderr), done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_debug_shows_the_traceback_above_the_line(run: Run) -> None:
    done = run("analyze", "--steps", "0", "--debug")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("error: --steps is 0")
