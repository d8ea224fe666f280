"""The rows of BLAS threads on a busy machine: the environment says one thread, or says nothing.

Beside the call runs one busy loop for each processor. Time is the clock's, unlike in the other
rows: threads that wait for one another cost their caller time while no processor works for it.
Both sides are calls in a fresh process, because BLAS reads the environment when NumPy is loaded;
they run in turn under the same load, and starting up is not counted.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from gradscope.machine import THREAD_VARIABLES
from tests.benchmarks.measure import Row

TURNS = 7
MAX_SLOWDOWN = 1.2

BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""A loop that ends with the process that started it, whatever happens there."""

CALLS = {
    "lag_norms": (
        (
            "orthogonal = np.linalg.qr(rng.normal(size=(128, 128)))[0]\n"
            "chain = gradscope.ElmanChain(rng.uniform(0.9, 1.0, (100, 4, 128)), orthogonal)"
        ),
        "gradscope.lag_norms(chain)",
    ),
    "analyze": (
        "settings = gradscope.Settings(hidden=128, steps=100, updates=0)",
        "gradscope.analyze(settings)",
    ),
}
"""What is made before the clock starts, and the call."""

SCRIPT = """
import time
import numpy as np
import gradscope
rng = np.random.default_rng(0)
{before}
{call}
start = time.perf_counter()
{call}
print(time.perf_counter() - start)
"""


def rows() -> Iterator[Row]:
    """Yield a row for each call: default BLAS threads against one thread."""
    with busy_processors():
        for name, (before, call) in CALLS.items():
            script = SCRIPT.format(before=before, call=call)
            pairs = [(_seconds(script, threads="1"), _seconds(script)) for _ in range(TURNS)]
            ratios = [reference / mine for reference, mine in pairs]
            reference, mine = (median(column) for column in zip(*pairs, strict=True))
            yield Row(
                f"{name}, default threads on a busy machine, vs one thread",
                1.0 / MAX_SLOWDOWN,
                reference / mine,
                min(ratios),
                max(ratios),
                mine,
                reference,
                note=f"H = 128, T = 100, {os.cpu_count()} busy loops, by the clock",
            )


@contextlib.contextmanager
def busy_processors() -> Iterator[None]:
    """Within, a loop runs for each processor."""
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            command = [sys.executable, "-c", BUSY, str(os.getpid())]
            loop = stack.enter_context(subprocess.Popen(command))
            stack.callback(loop.kill)
        yield


def _seconds(script: str, threads: str | None = None) -> float:
    """Return how long a call took in a process whose environment says ``threads``, or nothing."""
    environment = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    environment |= {} if threads is None else {"OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout)
