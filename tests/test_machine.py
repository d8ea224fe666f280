"""The environment names what decides the last bits, quickly, and never fails."""

import ctypes
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope import machine
from gradscope.machine import ARITHMETIC, THREAD_VARIABLES, environment, same_machine_type

SCRIPT = "import json; from gradscope.machine import environment; print(json.dumps(environment()))"

OPENBLAS = environment()["kernel"] is not None and platform.machine() in ("x86_64", "AMD64")


def environment_under(**variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_field_that_decides_the_last_bits_is_there_and_json() -> None:
    found = environment()

    assert set(found) == {"python", "kernel_null_because", *ARITHMETIC}
    assert found["numpy"] == np.__version__
    assert (found["kernel"] is None) == (found["kernel_null_because"] is not None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.skipif(not OPENBLAS, reason="needs NumPy with OpenBLAS on x86-64")
def test_kernel_and_threads_are_those_that_openblas_uses() -> None:
    found = environment_under(OPENBLAS_CORETYPE="Nehalem", **dict.fromkeys(THREAD_VARIABLES, "1"))

    assert found["kernel"] == "Nehalem"
    assert found["threads"] == 1
    assert not same_machine_type(found, {**found, "kernel": "Haswell"})


def test_it_takes_less_than_a_millisecond() -> None:
    environment()
    took = []
    for _ in range(20):
        start = time.perf_counter()
        environment()
        took.append(time.perf_counter() - start)

    assert min(took) < 1e-3


def _no_library(_path: str) -> Any:
    raise OSError


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (ctypes, "CDLL", _no_library),
        (ctypes, "CDLL", lambda _path: object()),
        (np, "show_config", lambda mode: None),  # noqa: ARG005
        (machine, "_EXTENSIONS", ()),
        (os, "confstr", lambda _name: None),
    ],
)
def test_what_cannot_be_found_out_is_null(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: Callable[..., Any]
) -> None:
    monkeypatch.setattr(place, name, value)

    found = environment()

    assert found["numpy"] == np.__version__
    assert (found["kernel"] is None) == (found["kernel_null_because"] is not None)


@pytest.mark.parametrize("field", ARITHMETIC)
def test_machines_that_differ_in_one_field_are_not_of_one_type(field: str) -> None:
    known = {**environment(), "kernel": "Haswell"}

    assert same_machine_type(known, dict(known))
    assert not same_machine_type(known, {**known, field: "another"})


def test_an_unknown_kernel_is_no_known_type() -> None:
    unknown = {**environment(), "kernel": None}

    assert not same_machine_type(unknown, unknown)
    assert not same_machine_type({}, {})
