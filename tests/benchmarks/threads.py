"""The rows of BLAS threads on a busy machine: the environment says one thread, or says nothing.

Beside the call runs one busy loop for each processor. Time is the processor's, of all threads of
the process: those that wait for one another spin, and are counted; a wait for the busy loops is
not. By the clock the same call differed by more than twice from one turn to the next.
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
        "settings = gradscope.Settings(hidden=64, steps=100, updates=0)",
        "gradscope.analyze(settings)",
    ),
}
"""What is made before the measurement, and the call."""

SCRIPT = """
import time
import numpy as np
import gradscope
rng = np.random.default_rng(0)
{before}
{call}
start = time.process_time()
{call}
print(time.process_time() - start)
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
                note=f"T = 100, {os.cpu_count()} busy loops",
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
