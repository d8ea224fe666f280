"""What decides the last bits of a number on this machine: NumPy, its BLAS, the kernel, the threads.

OpenBLAS chooses a kernel for the processor when it is loaded, and kernels add up dot products in
different orders. What it chose is asked of the library that NumPy itself is linked to.
"""

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""The variables from which BLAS libraries read their number of threads, when NumPy is imported."""

ARITHMETIC = ("numpy", "simd", "blas", "kernel", "threads", "platform")
"""The fields of an environment that decide the last bits."""

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
    kernel, threads = _openblas()
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


def _openblas() -> tuple[str | None, int | None]:
    """Return the kernel and the number of threads of the OpenBLAS that NumPy is linked to.

    A symbol looked up in an extension module is also looked up in the libraries it is linked to
    (POSIX, dlsym), so that the BLAS of another package is not mistaken for NumPy's.
    """
    loaded = next((sys.modules[name] for name in _EXTENSIONS if name in sys.modules), None)
    try:
        library = ctypes.CDLL(str(getattr(loaded, "__file__", None)))
    except OSError:
        return None, None
    for before, after in _SYMBOLS:
        name = getattr(library, f"{before}openblas_get_corename{after}", None)
        threads = getattr(library, f"{before}openblas_get_num_threads{after}", None)
        if name is not None and threads is not None:
            name.argtypes, name.restype = (), ctypes.c_char_p
            threads.argtypes, threads.restype = (), ctypes.c_int
            return (name() or b"").decode("ascii", "replace") or None, threads()
    return None, None
