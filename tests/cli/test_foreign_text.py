"""Hostile and odd names through the command line: nothing is obeyed, nothing is a traceback."""

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

ESCAPES = {
    "settings": {"seed": 1, "\x1b]0;k\x07\nload": "x", "data": "\x9b31m\u202e\x1b"},
    "made_by": {"command": "inspect", "file": "\x1b[2J\nseed = 7", "map": []},
}
INJECTION = {
    "settings": {"seed": 1},
    "made_by": {
        "command": "compare",
        "activation": ["tanh"],
        "steps": [5],
        "cell": ['elman\nload = "evil.npz"\n# x'],
    },
}


def document(path: Path, **parts: Any) -> str:
    head = {"schema": "gradscope.settings", "version": 1, "gradscope": "\x1b[2J", "environment": {}}
    path.write_text(json.dumps({**head, **parts}))
    return path.name


def test_show_config_refuses_names_that_are_no_settings(run: Run, tmp_path: Path) -> None:
    for more in ((), ("--json",)):
        done = run("show-config", document(tmp_path / "e.json", **ESCAPES), *more)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.removesuffix("\n").isprintable()


def test_show_config_writes_no_line_of_the_files_choice(run: Run, tmp_path: Path) -> None:
    done = run("show-config", document(tmp_path / "i.json", **INJECTION))

    assert done.returncode == 0
    assert tomllib.loads(done.stdout) == {"seed": 1}


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN"])
def test_a_number_that_json_cannot_hold_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    document(tmp_path / "n.json", settings={"gain": 12345})
    whole = (tmp_path / "n.json").read_text()
    (tmp_path / "n.json").write_text(whole.replace("12345", text))

    done = run("show-config", "n.json", "--json")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_error_is_never_longer_than_a_few_lines(run: Run, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {f"{n}{'x' * 90}": np.eye(3) for n in range(30)}
    np.savez(tmp_path / "n.npz", **arrays)
    (tmp_path / "s.toml").write_text('activation = "' + "\\u001b" * 999 + '"\n')

    for words in (("analyze", "n.npz"), ("analyze", "--config", "s.toml"), ("analyze", "--x" * 90)):
        done = run(*words)

        assert done.returncode == 2
        assert len(done.stderr) <= max(301, 4 * len(words[-1]) + 1)
        assert done.stderr.removesuffix("\n").isprintable()


@pytest.fixture
def bytes_name(tmp_path: Path) -> str:
    """Return the beginning of file names that are not UTF-8, where the disk takes them."""
    name = os.fsdecode(b"a\xffb")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system only has names in UTF-8")
    return name


@pytest.mark.slow
def test_names_that_are_not_utf8_go_through_every_command(
    run: Run, tmp_path: Path, bytes_name: str, small: tuple[str, ...]
) -> None:
    data, store = f"{bytes_name}.npy", f"{bytes_name}.db"
    np.save(tmp_path / data, np.random.default_rng(0).normal(size=60))
    of_data = ("--data", data, *small)
    lines = (
        ("analyze", *of_data, "--html", "o.html", "--svg", "o.svg", "--json", "-o", "o.json"),
        ("analyze", *of_data, "-o", f"{bytes_name}.csv", "--save", f"{bytes_name}.npz"),
        ("rerun", "o.json"),
        ("explain", "verdict", f"{bytes_name}.npz"),
        ("sweep", "-P", "gain=0.5,1", *of_data, "-o", store),
        ("sweep", "-P", "gain=0.5,1,2", *of_data, "-o", store),
        *(("report", store, *more) for more in ((), ("--json",), ("--svg", "r.svg", "--x", "gain",
                                                                  "--kind", "quantiles"))),
        *(("export", store, "--format", kind) for kind in ("csv", "jsonl", "md")),
        ("export", store, "-o", "e.npz"),
        ("merge", store, "-o", "m.db"),
        ("report", "m.db"),
    )  # fmt: skip

    for words in lines:
        done = run(*words)

        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr

    exported = [
        json.loads(line) for line in run("export", "m.db", "--format", "jsonl").stdout.splitlines()
    ]
    assert {row["data"] for row in exported} == {data}
    assert run("export", store, "--where", "gain = 2").stdout.count("\n") == 2
    refused = run("show-config", "o.json")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
