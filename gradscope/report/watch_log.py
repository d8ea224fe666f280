"""Where a watch writes its lines: to a function such as ``print``, a logger, or a file."""

from collections.abc import Callable
from logging import Logger
from pathlib import Path

from gradscope.errors import OutputError
from gradscope.report.watch_page import event_line, is_urgent
from gradscope.study.watch_journal import Event

Log = Callable[[str], object] | Logger | str | Path | None
"""A function of one string, a logger, a file that is added to, or nowhere."""


class WatchLog:
    """Turns events into lines and sends them on.

    A log that fails is not tried again and does not stop the training; ``error`` keeps why.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.error: Exception | None = None
        if isinstance(log, str | Path):
            try:
                _add(Path(log), "")
            except OSError as error:
                raise OutputError(
                    f"the log {log} cannot be written: {error.strerror}; choose another place"
                ) from error

    def __call__(self, event: Event) -> None:
        """Write the line of an event."""
        self.write(event_line(event), urgent=is_urgent(event))

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write some lines; a logger gets the urgent ones as warnings."""
        if self._log is None or self.error is not None:
            return
        try:
            if isinstance(self._log, Logger):
                (self._log.warning if urgent else self._log.info)("%s", text)
            elif isinstance(self._log, str | Path):
                _add(Path(self._log), f"{text}\n")
            else:
                self._log(text)
        except Exception as error:  # noqa: BLE001 (whatever a user's function raises)
            self.error = error


def _add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
