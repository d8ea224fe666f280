"""One measurement: two sides run in turn, the ratio of their medians and its spread.

Time is the processor's, for one thread: on a busy machine it says what the work costs, not how long
it waited.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

REPEATS = 3


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did: ``share`` of the whole task, the rest counted at the same rate."""

    run: Callable[[], object]
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how many times faster ``ours`` is than ``reference``.

    ``floor`` is the least ratio that is promised; ``lowest`` and ``highest`` are over the repeats;
    seconds are medians for the whole task; ``note`` says what was scaled.
    """

    name: str
    floor: float
    ratio: float
    lowest: float
    highest: float
    ours_seconds: float
    reference_seconds: float
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise holds."""
        return self.ratio >= self.floor


def compare(
    name: str, floor: float, ours: Side, reference: Side, *, note: str = "", repeats: int = REPEATS
) -> Row:
    """Run both sides in turn and return their ratio."""
    pairs = [(_seconds(reference), _seconds(ours)) for _ in range(repeats)]
    ratios = [theirs / mine for theirs, mine in pairs]
    theirs = median(pair[0] for pair in pairs)
    mine = median(pair[1] for pair in pairs)
    return Row(name, floor, theirs / mine, min(ratios), max(ratios), mine, theirs, note)


def _seconds(side: Side) -> float:
    start = time.process_time()
    side.run()
    return (time.process_time() - start) / side.share
