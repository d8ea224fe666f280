"""Lessons as files: pages of HTML, which ``report/lesson.js`` computes anew, and pictures."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pkgutil import resolve_name
from typing import Any

import numpy as np

from gradscope.arrays import LN_10, plain
from gradscope.diagnosis.theory import log_spectral_norm
from gradscope.explain.backprop import BackpropLesson
from gradscope.explain.bptt import MAX_STEPS, BpttLesson, draw_bptt_lesson
from gradscope.explain.vanishing import THRESHOLD, ProductLesson, draw_network
from gradscope.model.elman import ElmanParameters
from gradscope.names import ActivationName
from gradscope.report.documents.page import table
from gradscope.report.figures import pages, style
from gradscope.report.figures.profile_panels import TIMES_SHOWN, draw_curve, draw_states, enter
from gradscope.report.figures.style import BLUE, GREY, VERMILLION, Look
from gradscope.report.html import whole_page
from gradscope.report.provenance.recipe import in_full
from gradscope.report.terminal.table import Page
from gradscope.report.words.numbers import number, percent

Held = dict[str, Any]


def lesson_file(page: Page, lesson: Any, made_by: Mapping[str, Any], suffix: str) -> bytes:
    """Return a lesson as the bytes of a ``.png``, ``.svg`` or ``.pdf``; else of a page of HTML:
    what its sliders move, its formulas, and every section of its ``page``.
    """
    name = made_by["command"].split()[-1]
    command = in_full({"made_by": made_by, "settings": {}})
    if suffix in (".png", ".svg", ".pdf"):
        figure = pages.new_page(page.answer, command)
        resolve_name(f"{__name__}.draw_{name}")(figure, lesson)
        return pages.picture_bytes(figure, suffix, {}, made_by)
    held = {"tables": {}, **resolve_name(f"{__name__}.{name}_numbers")(lesson, made_by)}
    held["lesson"]["name"] = name
    texts = (
        f"<h3>{escape(title)}</h3>\n<samp>" + escape("\n".join(lines)) + "</samp>"
        for title, lines in page.sections
    )
    sections = {
        "try": ("Try it", (files("gradscope.explain") / f"topics/{name}.html").read_text("utf-8")),
        "steps": ("Step by step", "\n".join(texts)),
    }
    html = whole_page(page.answer, command, {}, made_by, sections, plain(held))
    return html.encode()


def backprop_numbers(lesson: BackpropLesson, _: Mapping[str, Any]) -> Held:
    """Return where the sliders of a page start, and what the script computes from, by its names."""
    return {"lesson": {"start": {name: lesson.values[name] for name in "xyz"}}}


def bptt_numbers(lesson: BpttLesson, made_by: Mapping[str, Any]) -> Held:
    """Return it for BPTT, with what ``draw_bptt_lesson`` feeds the network for each T."""
    params, phi, every = lesson.params, list(map(str, ActivationName)), range(1, MAX_STEPS + 1)
    runs = (draw_bptt_lesson(n, params.sizes[1], seed=made_by["seed"]) for n in every)
    sequences = [
        (run.trajectory.inputs.ravel(), run.targets.values.ravel(), run.trajectory.hidden[0, 0])
        for run in runs
    ]
    start = {"T": len(lesson.steps), "phi": phi.index(params.activation.name), "gain": 1.0}
    held = {"start": start, "V": params.output_weights[0], "sequences": sequences, "phi": phi}
    return {"lesson": {**held, **_network(params)}}


def vanishing_numbers(lesson: Sequence[ProductLesson], made_by: Mapping[str, Any]) -> Held:
    """Return it for the products: two stages, of which the script computes the profiles."""
    steps, gain = made_by["steps"], made_by["gain"]
    params, inputs = draw_network(steps, made_by["hidden"], 1.0, made_by["seed"])
    stages = [
        {"name": each.activation, "title": each.activation, "ceiling": each.slope_ceiling}
        for each in lesson
    ]
    held = {"start": {"T": steps, "gain": gain}, "inputs": inputs.ravel(), **_network(params)}
    tables = {"profile": table(("lag",), [[steps]])}
    threshold = np.log10(THRESHOLD)
    return {"lesson": held, "stages": stages, "tables": tables, "threshold": threshold}


def _network(params: ElmanParameters) -> Held:
    return {"U": params.input_weights[:, 0], "W": params.recurrent_weights}


def draw_backprop(figure: Any, lesson: BackpropLesson) -> None:
    """Draw the graph: values, derivatives, and the local derivative on each edge."""
    places = {"x": (0.0, 1.0), "y": (0.0, 0.5), "z": (0.0, 0.0), "p": (0.5, 0.75), "f": (1.0, 0.4)}
    axes = figure.add_subplot(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    axes.set_axis_off()
    for edge in lesson.edges:
        (x, y), (a, b) = ends = places[edge.earlier], places[edge.later]
        arrow: Look = {"arrowstyle": "-|>", "linewidth": 1.6, "shrinkA": 34, "shrinkB": 34}
        axes.annotate("", *ends, arrowprops={**arrow, "color": BLUE})
        middle = (x + a) / 2.0, (y + b) / 2.0
        style.write(axes, number(edge.slope), middle, (0, 6), color=BLUE, ha="center")
    for name, place in places.items():
        value, adjoint = number(lesson.values[name]), number(lesson.adjoints[name])
        style.write(axes, f"{name} = {value}", place, ha="center", weight="bold", size=11)
        style.write(axes, f"∂f/∂{name} = {adjoint}", place, (0, -13), color=BLUE, ha="center")


def draw_bptt(figure: Any, lesson: BpttLesson) -> None:
    """Draw the net over time, fainter where less arrives, and below it what each path adds."""
    last = lesson.steps[-1]
    t, lags = last.step, np.arange(last.step + 1)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    sizes = [log_spectral_norm(each.transport) for each in last.terms]
    draw_states(above, lags, np.array([*sizes, sizes[-1]]), THRESHOLD, 1.0 / THRESHOLD)
    enter(above, 0.0, 15, "error enters here", style.INK)
    below.bar(lags[:-1], last.weights, 0.5, color=BLUE)
    below.axhline(0.0, color=GREY, linewidth=0.6)
    below.set(xlim=(t + 0.4, -0.6))
    below.margins(y=0.15)
    below.set_axis_off()
    for lag, weight in enumerate([*last.weights.tolist(), None]):
        style.write(above, f"$h_{t - lag}$", (lag, 0.0), (0, -14), ha="center")
        if weight is not None:
            text = f"$x_{t - lag}$ adds {percent(round(weight, 2))}"
            style.write(below, text, (lag, max(weight, 0.0)), (0, 4), ha="center")


def draw_vanishing(figure: Any, lesson: Sequence[ProductLesson]) -> None:
    """Draw each net over time, and below them how much arrives by lag, beside its bound."""
    *strips, axes = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 5))
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    style.show_corridor(axes, THRESHOLD, 1.0 / THRESHOLD)
    last = lesson[0].lags.size
    end = min(last, TIMES_SHOWN * max(each.horizon or last for each in lesson))
    axes.set_xlim(0.0, end)
    lags = np.unique(np.linspace(0, end, 18).astype(int))
    for strip, each, color in zip(strips, lesson, (BLUE, VERMILLION), strict=True):
        nats = np.append(0.0, each.log_norms)[lags]
        draw_states(strip, lags, nats, THRESHOLD, 1.0 / THRESHOLD)
        enter(strip, 0.0, 15, "error enters here; gradient flows back →", style.INK)
        style.write(strip, each.activation, (end, 0.0), (0, 8), ha="right", color=color)
        look: Look = {"color": color, "linewidth": 2.2}
        draw_curve(axes, each.lags, each.log_norms, each.activation, look, to=True)
        axes.plot(each.lags, each.log_bound / LN_10, ":", color=color)
