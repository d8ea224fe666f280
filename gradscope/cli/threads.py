"""BLAS threads: one, unless the person says otherwise. Must run before NumPy is imported.

On small machines that others share, more threads make a step of these small matrices many times
slower, not faster.
"""

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def set_blas_threads(threads: int | None) -> None:
    """Set the number of BLAS threads of this process; None keeps what the environment has, else
    1.
    """
    for name in VARIABLES:
        if threads is not None:
            os.environ[name] = str(threads)
        else:
            os.environ.setdefault(name, "1")
