"""What a watch shows: a picture, and a page for notebooks."""

from typing import Any

import numpy as np

from gradscope.learning.history import BEYOND
from gradscope.report.figures import pages, style
from gradscope.report.figures.time_panels import draw_course, draw_reach
from gradscope.report.notebook import framed, points
from gradscope.report.words.headline import headline
from gradscope.watch.journal import Journal, columns_of
from gradscope.watch.page import opening, report_sections


def watch_headline(journal: Journal) -> str:
    """Return the last verdict on the layer that reaches least, "" where none was seen."""
    last = {name: each.verdict for name, each in journal.diagnoses.items()}
    if not last:
        return ""
    least = min(last, key=lambda name: last[name].horizon or np.inf)
    said = headline(last[least], journal.diagnoses[least].thresholds.vanishing)
    return f"{least}: {said}" if len(last) > 1 else said


def watch_figure(journal: Journal) -> Any:
    """Return the picture of a watch, a Matplotlib figure: the error by training step (the unclipped
    gradient norm, where no loss was told) over the reach of each layer and what is needed; its
    title is the verdict on the layer that reaches least.
    """
    reaches: dict[str, list[tuple[int, int]]] = {}
    seen = [(each, each.diagnosis.verdict) for each in journal.snapshots if each.diagnosis]
    for each, verdict in seen:
        reaches.setdefault(each.title, []).append((each.step, verdict.horizon or BEYOND))
    answer = watch_headline(journal)
    figure = pages.new_page(answer or opening(journal), opening(journal) if answer else "")
    axes, told = figure.add_subplot(), bool(journal.losses)
    steps, values = columns_of(journal.losses) if told else journal.gradient_norms
    style.dress(axes, "training step", "error" if told else "gradient norm")
    known = np.isfinite(values)
    if known.any():
        draw_course(axes, steps[known], values[known])
    if seen:
        far = max(verdict.max_lag for _, verdict in seen)
        curves = {name: np.array(each) for name, each in reaches.items()}
        draw_reach(axes, curves, far, seen[-1][1].required_lag)
    return figure


def watch_picture(journal: Journal, suffix: str) -> bytes:
    """Return that picture as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    return pages.picture_bytes(watch_figure(journal), suffix, {}, pages.BY_HAND)


def watch_html(journal: Journal) -> str:
    """Return the answer, the picture, why and what to do as HTML, to stand inside a page."""
    answer, about = watch_headline(journal), opening(journal)
    lists = [points(title, said) for title, said in report_sections(journal).items()]
    drawn = watch_picture(journal, ".png")
    alt = "The reach of each layer by training step"
    return framed(answer or about, about if answer else "", drawn, *lists, alt=alt)
