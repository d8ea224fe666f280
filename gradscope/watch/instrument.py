"""What a watch has recorded, and what is made of it, whatever the framework."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradscope.errors import SettingError
from gradscope.report.figures.panels import picture_suffix
from gradscope.report.files import write_whole
from gradscope.report.formats import to_json
from gradscope.watch.display import watch_figure, watch_html, watch_picture
from gradscope.watch.live import LiveView
from gradscope.watch.numbers import watch_document
from gradscope.watch.page import WatchLog, watch_report
from gradscope.watch.replay import Snapshot
from gradscope.watch.schedule import Steps

OnSnapshot = Callable[[Snapshot], object] | None


class Instrument:
    """A watch over a training; ``journal`` holds everything that it has recorded."""

    def __init__(self, steps: Steps, log: WatchLog, on_snapshot: OnSnapshot) -> None:
        if on_snapshot is not None and not callable(on_snapshot):
            fault = "choose a function of one snapshot"
            raise SettingError(f"on_snapshot is {on_snapshot!r}; {fault}")
        self.journal, self._steps, self._log = steps.journal, steps, log
        self._on_snapshot, self._told = on_snapshot, 0
        self._live: LiveView | None = None

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What was measured so far, in the order of the training steps."""
        self._catch_up()
        return tuple(self.journal.snapshots)

    def loss(self, value: Any) -> None:
        """Keep the loss of this training step, a number or a tensor of one, for the picture."""
        number = float(value.detach() if hasattr(value, "detach") else value)
        self.journal.losses.append((self._steps.now, number))

    def report(self) -> str:
        """Return what was recorded so far, as text."""
        self._catch_up()
        return watch_report(self.journal, log_error=self._log.error)

    def to_json(self) -> str:
        """Return what was recorded so far as a JSON document; norms are log10."""
        self._catch_up()
        asked = ("every", "max_lag", "sequences", "required_lag")
        return to_json(watch_document(self.journal, {n: getattr(self._steps, n) for n in asked}))

    def figure(self) -> Any:
        """Return the picture of what was recorded so far as a Matplotlib figure: the loss over the
        reach of each layer by training step.
        """
        self._catch_up()
        return watch_figure(self.journal)

    def picture(self, path: str | Path) -> None:
        """Write that figure; SettingError unless the file ends in .png, .svg or .pdf."""
        self._catch_up()
        suffix = picture_suffix(Path(path))
        write_whole(Path(path), watch_picture(self.journal, suffix), force=True)

    def html(self) -> str:
        """Return answer, picture, why and what to do, so far, as HTML to stand inside a page."""
        self._catch_up()
        return watch_html(self.journal)

    def _repr_html_(self) -> str:
        return self.html()

    def finish(self) -> None:
        """Stop the clock, hand on the last snapshots, and write the report to the log."""
        ended = self.journal.budget.clock()
        self.journal.budget.clock = lambda: ended
        self._steps.closing = True
        try:
            self.tell_snapshots()
        finally:
            self._draw(last=True)
            self._log.write(self.report())

    def show_live(self) -> None:
        """Draw what is recorded with each snapshot, in the terminal or below a notebook's cell."""
        self._live = LiveView(self.journal, self._steps.required_lag)

    def _draw(self, *, last: bool = False) -> None:
        try:
            if self._live is not None:
                self._live.draw(last=last)
        except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
            self._live, self._log.error = None, self._log.error or error

    def _catch_up(self) -> None:
        """Record what was measured and is not yet read."""

    def tell_snapshots(self) -> None:
        """Hand on the snapshots of training steps that have ended; errors of a person's function
        are theirs.
        """
        waiting = self.journal.snapshots[self._told :]
        ended = [each for each in waiting if each.step < self._steps.now or self._steps.closing]
        if ended:
            self._catch_up()
            self._draw()
        for _ in ended:
            snapshot = self.journal.snapshots[self._told]
            self._told += 1
            self._log.write_numbers(snapshot)
            if self._on_snapshot is not None:
                try:
                    self._on_snapshot(snapshot)
                except BaseException:
                    self._on_snapshot = None  # The end of the watch would raise it again.
                    raise
