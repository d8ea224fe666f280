"""BLAS threads: one, unless the person says otherwise. Must run before NumPy is imported.

On small machines that others share, more threads make a step of these small matrices many times
slower, not faster.
"""

import os

from gradscope.study.threads import THREAD_VARIABLES


def set_blas_threads(threads: int | None) -> None:
    """Set the number of BLAS threads of this process; None keeps what the environment has, else
    1.
    """
    for name in THREAD_VARIABLES:
        if threads is not None:
            os.environ[name] = str(threads)
        else:
            os.environ.setdefault(name, "1")
