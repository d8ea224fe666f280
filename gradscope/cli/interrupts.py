"""Ctrl-C at moments when Python would lose it: it waits until they are over.

An interrupt in the middle of an import can end the process by a signal although it was caught
(``exec``, by which dataclasses are made, marks it as unhandled), or leave a module half made. In a
callback of a weak reference or a finaliser it is written to stderr as ignored, and lost.
"""

import _weakrefset
import signal
import threading
import weakref
from types import FrameType

PAUSE = 0.02
"""Seconds after which an interrupt that had to wait is heard again."""

IMPORTING = "<frozen importlib"
CALLING_BACK = (weakref.__file__, _weakrefset.__file__)
FINALISER = "__del__"


def hold_interrupts_that_would_be_lost() -> None:
    """Hear Ctrl-C from now on as KeyboardInterrupt, but not within an import or a callback.

    Where it is ignored, or somebody else listens, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _hear)


def _hear(number: int, frame: FrameType | None) -> None:
    if not _would_be_lost(frame):
        raise KeyboardInterrupt
    again = threading.Timer(PAUSE, _tell, (number,))
    again.daemon = True
    again.start()


def _would_be_lost(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(IMPORTING) or code.co_filename in CALLING_BACK:
            return True
        if code.co_name == FINALISER:
            return True
        frame = frame.f_back
    return False


def _tell(number: int) -> None:
    """Interrupt the main thread, awake or waiting."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
