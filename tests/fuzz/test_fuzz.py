"""Damaged files of every kind give one line or a result; and what judges this sees every fault."""

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import running
from tests.fuzz.library_mutators import mutant
from tests.fuzz.running import faults, forked, run_kind
from tests.fuzz.seeds import KINDS

MUTANTS, SEED = 300, 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_in_one_line_or_read(kind: str, tmp_path: Path) -> None:
    if missing := KINDS[kind].missing:
        pytest.skip(f"{missing} writes the seed, and is not installed")

    failures = run_kind(kind, MUTANTS, 0, SEED, tmp_path / kind)

    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize("kind", ["npz", "toml", "csv", "data-npy"])
def test_a_mutant_is_the_same_each_time_and_most_are_other_files(kind: str, tmp_path: Path) -> None:
    KINDS[kind].write(tmp_path / KINDS[kind].file)
    whole = (tmp_path / KINDS[kind].file).read_bytes()

    first, again = (
        [mutant(whole, KINDS[kind].mutators, SEED, number) for number in range(20)]
        for _ in range(2)
    )

    assert first == again
    assert len(set(first)) > 10
    assert all(first)


def _ends(_: Sequence[str]) -> int:
    raise ValueError("a\nb")


def _computes(_: Sequence[str]) -> int:
    while True:
        pass


def _takes_memory(_: Sequence[str]) -> int:
    return int(np.ones(2 * running.MEMORY // 8).size > 0)


def _warns(_: Sequence[str]) -> int:
    sys.stderr.write(warnings.formatwarning("odd", RuntimeWarning, "x.py", 1))
    return 0


def _writes(text: str, code: int) -> Callable[[Sequence[str]], int]:
    def command(_: Sequence[str]) -> int:
        (sys.stderr if code else sys.stdout).write(text)
        return code

    return command


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what says what is wrong with a command that a function stands for."""

    def judge(command: Callable[[Sequence[str]], int], *words: str) -> str:
        typed = words or ("x",)
        monkeypatch.setattr(running, "run", _writes("", 0))
        plain = forked(typed, tmp_path, running.CPU_SECONDS)
        monkeypatch.setattr(running, "run", command)
        return "; ".join(faults(forked(typed, tmp_path, running.CPU_SECONDS), plain, typed))

    return judge


def test_nothing_is_wrong_with_one_line_or_a_result(judged: Callable[..., str]) -> None:
    assert judged(_writes("error: x is 3; choose 4\n", 2)) == ""
    assert judged(_writes('{"a": 1}\n', 0), "rerun", "--json") == ""


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (_ends, (), "traceback"),
        (_takes_memory, (), "MiB more"),
        (_warns, (), "warning"),
        (_writes("error: a\nb\n", 2), (), "2 lines"),
        (_writes("error: \x1b[2J\n", 2), (), "on stderr"),
        (_writes(f"error: {'x' * 400}\n", 2), (), "characters"),
        (_writes("error: a\n", 1), (), "exit code 1"),
        (_writes("\x1b[2J", 0), (), "on stdout"),
        (_writes('{"a": NaN}', 0), ("rerun", "--json"), "NaN in JSON"),
        (_writes("a = b\n", 0), ("show-config", "x"), "output"),
    ],
)
def test_every_fault_is_seen(
    judged: Callable[..., str],
    command: Callable[[Sequence[str]], int],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert said in judged(command, *words)


@pytest.mark.slow
def test_what_does_not_end_is_stopped(judged: Callable[..., str]) -> None:
    began = time.process_time()

    assert running.OUT_OF_TIME in judged(_computes)
    assert time.process_time() - began < running.CPU_SECONDS
