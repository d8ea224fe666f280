"""Lessons as files: pages of HTML, which ``report/lesson.js`` computes anew, and pictures."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import LN_10, plain
from gradscope.diagnosis.theory import log_spectral_norm
from gradscope.explain.backprop import BackpropLesson
from gradscope.explain.bptt import MAX_STEPS, BpttLesson, draw_bptt_lesson
from gradscope.explain.vanishing import THRESHOLD, ProductLesson
from gradscope.names import ActivationName
from gradscope.report.figures import pages, style
from gradscope.report.figures.profile_panels import TIMES_SHOWN, draw_curve, draw_states
from gradscope.report.figures.style import BLUE, VERMILLION, Look
from gradscope.report.html import whole_page
from gradscope.report.provenance.recipe import in_full
from gradscope.report.terminal.table import Page
from gradscope.report.words.numbers import number, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Held = dict[str, Any]
Edge = tuple[str, str, str, float]
"""The later node, the earlier one, words, and how much arrives, 1 or less."""


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
        f"<h3>{escape(title)}</h3>\n" + "".join(f"<samp>{escape(each)}</samp>" for each in lines)
        for title, lines in page.sections
    )
    sections = {
        "try": ("Try it", (files("gradscope.explain") / f"topics/{name}.html").read_text("utf-8")),
        "steps": ("Step by step", "\n".join(texts)),
    }
    scripts = ("page.js", "lesson.js")
    html = whole_page(page.answer, command, {}, made_by, sections, plain(held), scripts=scripts)
    return html.encode()


def backprop_numbers(lesson: BackpropLesson, _: Mapping[str, Any]) -> Held:
    """Return where the sliders of a page start, and what the script computes from, by its names."""
    return {"lesson": {"start": {name: lesson.values[name] for name in "xyz"}}}


def bptt_numbers(lesson: BpttLesson, made_by: Mapping[str, Any]) -> Held:
    """Return it for BPTT, with what ``draw_bptt_lesson`` feeds the network for each T."""
    params, phi = lesson.params, list(map(str, ActivationName))
    drawn = [
        draw_bptt_lesson(steps, params.sizes[1], seed=made_by["seed"])
        for steps in range(1, MAX_STEPS + 1)
    ]
    sequences = [
        (each.trajectory.inputs.ravel(), each.targets.values.ravel(), each.trajectory.hidden[0, 0])
        for each in drawn
    ]
    start = {"T": len(lesson.steps), "phi": phi.index(params.activation.name), "gain": 1.0}
    weights = {"U": params.input_weights[:, 0], "W": params.recurrent_weights}
    weights["V"] = params.output_weights[0]
    return {"lesson": {"start": start, **weights, "sequences": sequences, "words": {"phi": phi}}}


def vanishing_numbers(lesson: Sequence[ProductLesson], made_by: Mapping[str, Any]) -> Held:
    """Return it for the products: two stages, of which the script computes the profiles."""
    params, gain = lesson[0].params, made_by["gain"]
    weights = {"U": params.input_weights[:, 0], "W": params.recurrent_weights / gain}
    start = {"T": made_by["steps"], "gain": gain}
    return {
        "lesson": {"start": start, **weights, "inputs": lesson[0].inputs},
        "stages": [
            {"name": each.activation, "title": each.activation, "ceiling": each.slope_ceiling}
            for each in lesson
        ],
        "tables": {"profile": {"lag": [made_by["steps"]]}},
        "threshold": np.log10(THRESHOLD),
    }


def draw_backprop(figure: "Figure", lesson: BackpropLesson) -> None:
    """Draw the graph: values, derivatives, and the local derivative on each edge."""
    places = {"x": (0.0, 1.0), "y": (0.0, 0.5), "z": (0.0, 0.0), "p": (0.5, 0.75), "f": (1.0, 0.4)}
    nodes = {
        name: (place, f"{name} = {number(lesson.values[name])}",
               f"∂f/∂{name} = {number(lesson.adjoints[name])}")
        for name, place in places.items()
    }  # fmt: skip
    _draw_graph(figure, nodes, [(e.later, e.earlier, number(e.slope), 1.0) for e in lesson.edges])


def draw_bptt(figure: "Figure", lesson: BpttLesson) -> None:
    """Draw the net over time, fainter where less arrives, and what each path adds."""
    last = lesson.steps[-1]
    t, edges = last.step, [("E", f"h{last.step}", "", 1.0)]
    nodes = {"E": ((1.0, 1.0), f"$E_{t}$", ""), "h0": ((0.0, 0.6), "$h_0$", "")}
    for term, weight in zip(last.terms, last.weights.tolist(), strict=True):
        k, share = term.earlier, percent(round(weight, 2))
        nodes[f"h{k}"] = (k / t, 0.6), f"$h_{k}$", ""
        nodes[f"x{k}"] = (k / t, 0.1), f"$x_{k}$", f"adds {share}"
        arrives = 1.0 - log_spectral_norm(term.transport) / np.log(THRESHOLD)
        edges += [(f"h{k}", f"x{k}", "", arrives), (f"h{k}", f"h{k - 1}", "", arrives)]
    _draw_graph(figure, nodes, edges)


def _draw_graph(
    figure: "Figure",
    nodes: Mapping[str, tuple[tuple[float, float], str, str]],
    edges: Sequence[Edge],
) -> None:
    axes = figure.add_subplot(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    axes.set_axis_off()
    middle: Look = {"ha": "center", "va": "center"}
    for later, earlier, words, strength in edges:
        ends = nodes[earlier][0], nodes[later][0]
        arrow: Look = {"arrowstyle": "-|>", "linewidth": 1.6, "shrinkA": 30, "shrinkB": 30}
        arrow |= {"color": BLUE, "alpha": float(np.clip(strength, 0.12, 1.0))}
        axes.annotate("", *ends, arrowprops=arrow)
        between = float(np.mean([x for x, _ in ends])), float(np.mean([y for _, y in ends]))
        style.write(axes, words, between, (0, 9), color=BLUE, **middle)
    for place, words, below in nodes.values():
        style.write(axes, words, place, (0, 4), weight="bold", size=12, **middle)
        style.write(axes, below, place, (0, -10), color=BLUE, **middle)


def draw_vanishing(figure: "Figure", lesson: Sequence[ProductLesson]) -> None:
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
        style.write(strip, each.activation, (end, 0.0), (0, 8), ha="right", color=color)
        look: Look = {"color": color, "linewidth": 2.2}
        draw_curve(axes, each.lags, each.log_norms, each.activation, look, to=True)
        axes.plot(each.lags, each.log_bound / LN_10, ":", color=color)
