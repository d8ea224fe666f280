"""What decides the last bits of a number on this machine: NumPy, its BLAS, the kernel, the threads.

OpenBLAS chooses a kernel for the processor when it is loaded, and kernels add up dot products in
different orders. What it chose is asked of the library that NumPy itself is linked to.

Its threads are told there too. On a busy machine products of many small matrices wait for one
another's threads, and take 2 to 13 times as long as with one (87 times, once): the calls of this
library hold BLAS at one thread, unless a person chose otherwise.
"""

import contextlib
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from gradscope.errors import SettingError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""The variables from which BLAS libraries read their number of threads, when NumPy is imported."""

ARITHMETIC = ("numpy", "simd", "blas", "kernel", "threads", "platform")
"""The fields of an environment that decide the last bits."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""What ``malloc.h`` calls them."""

_EXTENSIONS = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
_SYMBOLS = (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", ""))
"""What OpenBLAS builds put around the names of their functions."""


def environment() -> dict[str, Any]:
    """Return versions, BLAS, kernel and threads, in about 0.1 ms; a null has its reason beside."""
    import numpy as np

    try:
        config: Mapping[str, Any] = np.show_config(mode="dicts") or {}
    except (TypeError, AttributeError, LookupError):
        config = {}
    blas = config.get("Build Dependencies", {}).get("blas", {})
    kernel, threads = None, None
    if openblas := _openblas():
        kernel = (openblas[0]() or b"").decode("ascii", "replace") or None
        threads = _HOLD.wanted() or openblas[1]()
    library = None  # The C library has the functions that NumPy does not compute itself.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        library = os.confstr("CS_GNU_LIBC_VERSION")
    because = "NumPy's BLAS is not OpenBLAS, or does not name its kernel"
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "simd": config.get("SIMD Extensions", {}).get("found"),
        "blas": " ".join(str(blas[name]) for name in ("name", "version") if name in blas) or None,
        "kernel": kernel,
        "threads": threads,
        "kernel_null_because": because if kernel is None else None,
        "platform": f"{platform.system()} {platform.machine()} {library or platform.release()}",
    }


def same_machine_type(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two environments give the same bits; an unknown kernel is never taken to be equal."""
    known = first.get("kernel") is not None and second.get("kernel") is not None
    return known and all(first.get(name) == second.get(name) for name in ARITHMETIC)


def _openblas() -> tuple[Any, Any, Any] | None:
    """Return how the OpenBLAS that NumPy is linked to tells its kernel and its threads, and how it
    is given threads; None where that is another BLAS.

    A symbol looked up in an extension module is also looked up in the libraries it is linked to
    (POSIX, dlsym), so that the BLAS of another package is not mistaken for NumPy's.
    """
    loaded = next((sys.modules[name] for name in _EXTENSIONS if name in sys.modules), None)
    try:
        library = ctypes.CDLL(str(getattr(loaded, "__file__", None)))
    except OSError:
        return None
    for before, after in _SYMBOLS:
        with contextlib.suppress(AttributeError):
            kernel, threads, set_threads = (
                getattr(library, f"{before}openblas_{name}{after}")
                for name in ("get_corename", "get_num_threads", "set_num_threads")
            )
            kernel.restype, set_threads.restype = ctypes.c_char_p, None
            return kernel, threads, set_threads
    return None


class _Hold:
    """How many calls hold BLAS, at how many threads, and how many it had before the first."""

    def __init__(self) -> None:
        self.lock, self.calls, self.before = threading.RLock(), 0, 0
        self.chosen: int | None = None
        self.openblas: tuple[Any, Any, Any] | None = None

    def wanted(self) -> int | None:
        """The threads of a call; None where the environment says how many."""
        by_environment = any(os.environ.get(name) for name in THREAD_VARIABLES)
        return self.chosen or (None if by_environment else 1)


_HOLD = _Hold()


def set_threads(count: int | None) -> None:
    """Choose how many BLAS threads the calls of this library take; None takes the choice back: then
    they take as many as ``OPENBLAS_NUM_THREADS`` or its like say, and one where none is set.

    Of no effect where NumPy's BLAS is not OpenBLAS. Raises SettingError if ``count`` is below 1.
    """
    if count is not None and count < 1:
        raise SettingError(f"the number of threads is {count}; choose 1 or more, or None")
    _HOLD.chosen = count


@contextlib.contextmanager
def held_threads() -> Iterator[None]:
    """Within, NumPy's OpenBLAS takes the threads that ``set_threads`` says; then those of before.

    The last of nested and of concurrent calls gives them back. It is a decorator too.
    """
    wanted = _HOLD.wanted()
    if wanted is None or (openblas := _HOLD.openblas or _openblas()) is None:
        yield
        return
    with _HOLD.lock:
        _HOLD.openblas = openblas
        if not _HOLD.calls:
            _HOLD.before = openblas[1]()
            openblas[2](wanted)
        _HOLD.calls += 1
    try:
        yield
    finally:
        with _HOLD.lock:
            _HOLD.calls -= 1
            if not _HOLD.calls:
                openblas[2](_HOLD.before)


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed arrays for the next ones; elsewhere nothing happens.

    By default it gives back what is freed, and asks anew: a process that makes one array of
    megabytes after another then spends a fifth to a third of its time on pages of zeros. For
    processes of our own: how much memory one holds to its end is for a library not to say.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for limit in (2**25, 2**30):  # Of arrays that lie apart; older versions refuse the second.
            mallopt(_M_MMAP_THRESHOLD, limit)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
