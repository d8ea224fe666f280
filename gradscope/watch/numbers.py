"""The numbers of a snapshot by name, for loggers, documents and whatever takes a dictionary."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradscope.analysis.fields import RATE
from gradscope.arrays import plain
from gradscope.diagnosis.growth import terms_of
from gradscope.report.formats import Document, head
from gradscope.watch.journal import Journal
from gradscope.watch.replay import SLOPE_QUANTILES, Snapshot


class Quantity(NamedTuple):
    """A number of a snapshot: its unit, and how it is read; None or not finite: not known."""

    unit: str
    of: Callable[[Snapshot], float | None]


QUANTITIES: Mapping[str, Quantity] = {
    "reach_steps": Quantity("steps", lambda s: s.reach),
    "lags_measured": Quantity("steps", lambda s: s.verdict.max_lag if s.verdict else None),
    "required_lag_reached": Quantity("0 or 1", lambda s: s.reaches),
    "growth_nats_per_step": Quantity(RATE, lambda s: s.rate),
    "growth_low_nats_per_step": Quantity(RATE, lambda s: s.interval[0] if s.interval else None),
    "growth_high_nats_per_step": Quantity(RATE, lambda s: s.interval[1] if s.interval else None),
    "log10_norm_at_last_lag": Quantity(
        "log10", lambda s: s.log10_norms[-1] if s.log10_norms.size else None
    ),
    "slope_median": Quantity("", lambda s: s.slopes[1] if s.slopes else None),
    "gradient_norm": Quantity("", lambda s: s.gradient_norm),
    "cost_seconds": Quantity("s", lambda s: s.cost),
}
"""Every number that loggers are given, by the last part of its name."""


def numbers(snapshot: Snapshot) -> dict[str, float]:
    """Return the finite numbers of a snapshot by the names ``gradscope/<layer>/<quantity>``.

    What is not known is left out: ``reach_steps`` where the gradient reaches beyond
    ``lags_measured``. ``lstm[0]`` is ``lstm.0``; what else loggers refuse is an underscore.
    """
    layer = re.sub(r"\[(\d+)\]", r".\1", snapshot.layer)
    layer = re.sub(r"[^\w.\- ]", "_", layer)
    read = ((name, each.of(snapshot)) for name, each in QUANTITIES.items())
    known = {name: float(value) for name, value in read if value is not None}
    finite = {name: value for name, value in known.items() if np.isfinite(value)}
    return {f"gradscope/{layer}/{name}": value for name, value in finite.items()}


def watch_document(journal: Journal, settings: Mapping[str, Any]) -> Document:
    """Return what a watch recorded, version 1: snapshots, gradient norms and losses by step."""
    at, norms = journal.gradient_norms
    return {
        **head("watch", settings),
        "steps": journal.steps,
        "units": {name: each.unit for name, each in QUANTITIES.items()},
        "snapshots": [_snapshot(each) for each in journal.snapshots],
        "gradient_norms": {"step": plain(at), "norm": plain(norms)},
        "losses": plain([{"step": step, "loss": loss} for step, loss in journal.losses]),
        "not_finite": [plain(each._asdict()) for each in journal.trouble.values()],
        "not_watched": [plain(each._asdict()) for each in journal.refused],
    }


def _snapshot(snapshot: Snapshot) -> Document:
    verdict, diagnosis = snapshot.verdict, snapshot.diagnosis
    causes = {} if diagnosis is None else {**terms_of(diagnosis.causes)}
    levels = map("p{:02.0f}".format, (100 * each for each in SLOPE_QUANTILES))
    return {
        "step": snapshot.step,
        "layer": snapshot.layer,
        "regime": None if verdict is None else str(verdict.regime),
        "required_lag": None if verdict is None else verdict.required_lag,
        **{name: plain(each.of(snapshot)) for name, each in QUANTITIES.items()},
        "log10_norms": plain(snapshot.log10_norms),
        "slopes": plain(dict(zip(levels, snapshot.slopes, strict=True)))
        if snapshot.slopes
        else None,
        "causes_nats_per_step": plain(causes),
        "sequences": snapshot.n_sequences,
        "overflow_step": snapshot.bad_step,
        "replay_deviation": plain(snapshot.deviation),
    }
