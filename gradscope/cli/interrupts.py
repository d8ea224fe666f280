"""Ctrl-C during imports and callbacks, where Python would lose it, is delivered afterwards.

An interrupt during an import can kill the process although it is caught (``exec``, which makes
dataclasses, marks it as unhandled), or leave a module incomplete. In the callback of a weak
reference or in a finaliser Python reports it as ignored, and it is lost.
"""

import _weakrefset
import signal
import threading
import weakref
from types import FrameType

PAUSE = 0.02
"""Seconds after which a deferred interrupt is delivered again."""

IMPORTING = "<frozen importlib"
CALLING_BACK = (weakref.__file__, _weakrefset.__file__)
FINALISER = "__del__"


def hold_interrupts_that_would_be_lost() -> None:
    """Do so; a process that ignores SIGINT, or handles it, is left as it is."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    if not _would_be_lost(frame):
        raise KeyboardInterrupt
    again = threading.Timer(PAUSE, _deliver, (number,))
    again.daemon = True
    again.start()


def _would_be_lost(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        calling = code.co_name == FINALISER or code.co_filename in CALLING_BACK
        if calling or code.co_filename.startswith(IMPORTING):
            return True
        frame = frame.f_back
    return False


def _deliver(number: int) -> None:
    """Send the signal to the main thread, which may be waiting."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
