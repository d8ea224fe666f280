"""What to do about the layers of a training that runs."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.diagnosis.remedies import QUANTILE_TO_CLIP_AT, Remedy, remedies
from gradscope.report.words.remedies import remedy_sentence
from gradscope.watch.journal import Journal

AS_IT_IS: Mapping[str, Any] = MappingProxyType(
    {
        "weights": "in training",
        "standardise": True,
        "gain": 1.0,
        "input_scale": 1.0,
        "noise_scale": 1.0,
        "updates": 1,
        "clip_norm": None,
    }
)
"""The settings of a network that is somebody's own: none of them can be changed here."""

MIN_NORMS = 10
"""Training steps from which on a quantile of their gradient norms is told."""


def advice(journal: Journal) -> list[str]:
    """Return what to do about the layers as they were seen last, each sentence for those it is
    true of.
    """
    said: dict[str, list[str]] = {}
    for title, (first, last) in shut_by_training(journal).items():
        so = f"Something was written at step {first} and nothing is at step {last}"
        lower = "the training did that: lower the learning rate, or clip the gradient norm."
        said.setdefault(f"{so}; {lower}", []).append(title)
    for title, of_layer in remedies_by_layer(journal).items():
        for each in of_layer:
            said.setdefault(remedy_sentence(each), []).append(title)
    many = len(journal.diagnoses) > 1
    return [f"{', '.join(of)}: {each}" if many else each for each, of in said.items()]


def shut_by_training(journal: Journal) -> dict[str, tuple[int, int]]:
    """Return the layers in which something was written at their first snapshot and nothing is at
    their last, with the training steps of both.
    """
    seen: dict[str, list[tuple[int, bool]]] = {}
    for each in journal.snapshots:
        if each.verdict is not None:
            seen.setdefault(each.title, []).append((each.step, each.verdict.shut))
    ends = {title: (of[0], of[-1]) for title, of in seen.items()}
    return {title: (a[0], b[0]) for title, (a, b) in ends.items() if b[1] and not a[1]}


def remedies_by_layer(journal: Journal) -> dict[str, tuple[Remedy, ...]]:
    """Return the remedies of each layer that the training did not shut. Nothing is drawn anew
    beside a training: what holds only if a measurement bears it out is left out.
    """
    norms = journal.gradient_norms[1]
    norms = norms[np.isfinite(norms)]
    clip_at = float(np.quantile(norms, QUANTILE_TO_CLIP_AT)) if norms.size >= MIN_NORMS else None
    activations = {each.title: each.activation for each in journal.snapshots}
    return {
        title: remedies(
            found.verdict,
            found.causes,
            {**AS_IT_IS, "activation": activations[title]},
            partial(_measured, found.verdict.rate),
            clip_at,
        )
        for title, found in journal.diagnoses.items()
        if title not in shut_by_training(journal)
    }


def _measured(rate: float, **changes: Any) -> float:
    """The growth rate of a network as it is; NaN of a changed one, which is not measured."""
    return np.nan if changes else rate
