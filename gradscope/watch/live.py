"""A watch in six lines while the training runs, in a terminal or a notebook."""

import sys
import textwrap
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gradscope.report.screen import Screen
from gradscope.watch.display import watch_headline
from gradscope.watch.journal import Journal
from gradscope.watch.page import opening
from gradscope.watch.replay import Snapshot

LINES, BARS, POINTS = 6, "▁▂▃▄▅▆▇█", 24
"""Lines in all, the heights of a sparkline, and the snapshots that it shows, the last ones."""


class LiveView:
    """Headline, cost, and of the layers that reach least the reach by snapshot, beside what is
    needed. It is drawn anew with each snapshot, between what the training prints.
    """

    def __init__(self, journal: Journal, required_lag: int | None) -> None:
        self._journal, self._needed = journal, required_lag
        console = Console(stderr=True)
        self._screen = Screen(console.width, unicode=console.encoding.startswith("utf"))
        # Rich would ask for one more package to draw in a notebook.
        notebook = sys.modules.get("IPython.display") if console.is_jupyter else None
        self._place: Any = notebook and notebook.display({}, raw=True, display_id=True)
        self._live = None if notebook else Live(console=console, auto_refresh=False)
        if self._live is not None:
            self._live.start()

    def draw(self, *, last: bool = False) -> None:
        """Draw what was recorded so far; the ``last`` time it stays."""
        answer = textwrap.wrap(watch_headline(self._journal), self._screen.width)[:2]
        lines = [*answer, opening(self._journal), *self._layers()]
        text = "\n".join(self._screen.say(each)[: self._screen.width] for each in lines[:LINES])
        if self._live is None:
            self._place.update({"text/plain": text}, raw=True)
            return
        self._live.update(Text(text), refresh=True)
        if last:
            self._live.stop()

    def _layers(self) -> list[str]:
        seen: dict[str, list[Snapshot]] = {}
        for each in self._journal.snapshots:
            if each.verdict is not None:
                seen.setdefault(each.title, []).append(each)
        ordered = sorted(seen.items(), key=lambda pair: pair[1][-1].reach or float("inf"))
        width = max(map(len, seen), default=0)
        return [f"{title.ljust(width)}  {self._sparkline(of)}" for title, of in ordered]

    def _sparkline(self, snapshots: list[Snapshot]) -> str:
        """Return the reach at the last snapshots, the highest bar for what is needed (all lags)."""
        last = snapshots[-1]
        full = self._needed or max(len(each.log10_norms) for each in snapshots)
        reaches = [full if each.reach is None else each.reach for each in snapshots[-POINTS:]]
        bars = (BARS[int((len(BARS) - 1) * min(reach / full, 1.0))] for reach in reaches)
        at = f"more than {len(last.log10_norms)}" if last.reach is None else f"{last.reach}"
        needed = "" if self._needed is None else f" of {self._needed} needed"
        return f"{''.join(bars)} reaches {at}{needed}"
