"""Ctrl-C while modules are imported: it waits until they are.

An interrupt in the middle of an import can be lost (in a callback that may not raise), can end the
process by a signal although it was caught (``exec``, by which dataclasses are made, marks it as
unhandled), or leave a module half made.
"""

import signal
import threading
from types import FrameType

PAUSE = 0.02
"""Seconds after which an interrupt that had to wait is heard again."""


def let_imports_finish() -> None:
    """Hear Ctrl-C from now on as KeyboardInterrupt, but not within an import.

    Where it is ignored, or somebody else listens, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    if not _is_import(frame):
        raise KeyboardInterrupt
    again = threading.Timer(PAUSE, _tell, (number,))
    again.daemon = True
    again.start()


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _tell(number: int) -> None:
    """Interrupt the main thread, awake or waiting."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
