"""Calls of the library hold BLAS at one thread, or at as many as were chosen, and give it back."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import gradscope
from gradscope import machine
from gradscope.errors import SettingError
from gradscope.machine import THREAD_VARIABLES, environment, held_threads


class Blas:
    """A BLAS that remembers how many threads it was set to."""

    def __init__(self) -> None:
        self.now = 7

    def set_threads(self, count: int) -> None:
        self.now = count

    def functions(self) -> tuple[Callable[[], bytes], Callable[[], int], Callable[[int], None]]:
        return lambda: b"Fake", lambda: self.now, self.set_threads


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blas]:
    fake = Blas()
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "_openblas", fake.functions)
    monkeypatch.setattr(machine, "_HOLD", machine._Hold())
    yield fake
    assert fake.now == 7, "the threads were not given back"


def test_a_call_takes_one_thread_and_gives_them_back(blas: Blas) -> None:
    seen = []
    gradscope.analyze(
        gradscope.Settings(hidden=4, steps=5, updates=2), watch=lambda *_: seen.append(blas.now)
    )

    assert set(seen) == {1}


def test_nested_calls_and_those_that_fail_give_them_back(blas: Blas) -> None:
    @held_threads()
    def inner() -> None:
        raise KeyboardInterrupt

    with held_threads():
        with pytest.raises(KeyboardInterrupt):
            inner()
        assert blas.now == 1


def test_the_last_of_two_calls_at_once_gives_them_back(blas: Blas) -> None:
    first, second = held_threads(), held_threads()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas.now == 1
    second.__exit__(None, None, None)


def test_a_choice_counts_until_it_is_taken_back(
    blas: Blas, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradscope.set_threads(3)
    with held_threads():
        assert blas.now == environment()["threads"] == 3
    gradscope.set_threads(None)
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    with held_threads():
        assert blas.now == 7
    gradscope.set_threads(4)
    with held_threads():
        assert blas.now == 4


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_threads_than_one_are_refused(count: int) -> None:
    with pytest.raises(SettingError, match="choose 1 or more"):
        gradscope.set_threads(count)


def test_without_openblas_a_call_leaves_blas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "_openblas", lambda: None)
    monkeypatch.setattr(machine, "_HOLD", machine._Hold())

    with held_threads():
        assert environment()["threads"] is None


def test_functions_that_hold_can_still_be_pickled() -> None:
    dumped = pickle.dumps(gradscope.lag_norms)

    assert pickle.loads(dumped) is gradscope.lag_norms  # noqa: S301 (our own)


SCRIPT = """
import json, threading
import numpy as np
import gradscope
from gradscope import machine

found = machine._openblas()
if found is None:
    print("null")
    raise SystemExit
_, threads, set_threads = found
set_threads(2) if {set} else None
before, seen = threads(), []

def study():
    gradscope.analyze(
        gradscope.Settings(hidden=4, steps=5, updates=3),
        watch=lambda *_: seen.append(threads()),
    )

workers = [threading.Thread(target=study) for _ in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps(dict(before=before, seen=sorted(set(seen)), after=threads())))
"""


@pytest.mark.parametrize("chosen", [None, "2"])
def test_the_real_blas_is_held_by_calls_in_two_threads_unless_the_environment_says(
    chosen: str | None,
) -> None:
    environ = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    environ |= {} if chosen is None else {"OPENBLAS_NUM_THREADS": chosen}
    script = SCRIPT.replace("{set}", str(chosen is None))
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] | None = json.loads(done.stdout)
    if found is None:
        pytest.skip("NumPy's BLAS is not OpenBLAS")
    of = SimpleNamespace(**found)

    assert of.seen == ([1] if chosen is None else [of.before])
    assert of.after == of.before
