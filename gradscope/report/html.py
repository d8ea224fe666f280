"""Reports as self-contained HTML files, in the frame of ``page.html``, whose pictures ``page.js``
draws from one island of numbers: no network; all that comes from a file or a setting is escaped.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import zip_longest
from string import Template
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10
from gradscope.remedy.trial import Trial
from gradscope.report.documents.page import (
    analysis_numbers,
    comparison_numbers,
    store_numbers,
    table,
)
from gradscope.report.documents.remedy import trial_made_by, trial_rows, winner_command
from gradscope.report.documents.rows import Rows, file_of, median_rows
from gradscope.report.documents.sweep import group_rows
from gradscope.report.figures.panels import PANELS
from gradscope.report.provenance.recipe import command_line
from gradscope.report.provenance.records import provenance_text, settings_to_toml
from gradscope.report.screen import printable
from gradscope.report.terminal import analysis as terminal
from gradscope.report.terminal import remedy as trial_words
from gradscope.report.words import headline as words
from gradscope.report.words.captions import lyapunov_sentence, verification_sentences
from gradscope.report.words.numbers import number, power_of_ten, steps
from gradscope.report.words.reasons import why
from gradscope.report.words.remedies import advice
from gradscope.sweep.query import Rows as StoreRows
from gradscope.sweep.summary import Summary, grid_of_values, shared_settings

FIRST = ("profile", "causes", "matrix", "values")
"""Figures that stand before the sentences."""

STRIP = (
    '<div class="chart" data-figure="strip" role="img" aria-label="The network over time"></div>'
)

TERM_PLACE = r"(<(?:h3|th scope=\"row\"|li|figcaption)[^>]*>[^<]*?\b)({})\b"
"""Where a term may stand: in a title, the name of a row, a sentence, before any mark-up there."""

STILL_POINTS = 100
"""Points of each curve of the picture for browsers without scripts."""


def bullet_list(sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    """Return sentences as a list, each with its command, if it has one."""
    codes = [f"<pre><code>{escape(each)}</code></pre>" if each else "" for each in commands]
    pairs = zip_longest(map(escape, sentences), codes, fillvalue="")
    items = "\n".join(f"<li>{sentence}{code}</li>" for sentence, code in pairs)
    return f"<ul>\n{items}\n</ul>"


def analysis_html(
    analysis: Analysis,
    terms: Mapping[str, str] = MappingProxyType({}),
    command: str = "analyze",
    progress: Rows | None = None,
) -> str:
    """Return the page of one analysis, as ``command`` made it: the answer, the network over time,
    what moves with the lag, why, what to do, then every panel. ``terms`` are definitions by their
    names, ``progress`` is how training went.
    """
    settings = analysis.settings
    numbers = analysis_numbers(analysis, {"progress": progress} if progress else {})
    panels = [
        _figure(panel.name, panel.title(analysis), panel.reading(analysis))
        for panel in PANELS.values()
        if panel.shown(analysis)
    ]
    if progress:
        panels.append(_figure("progress", "Reach by update", "The memory horizon in training."))
    if "values" in numbers["tables"]:
        panels.insert(0, _figure("values", "Singular values of ∂h_T/∂h_T−ℓ", "One sequence."))
    elif any(numbers["matrices"]):
        reading = "Of one sequence; dark: 1, white: a millionth or less, orange: above 1."
        panels.insert(0, _figure("matrix", "The matrix ∂h_T/∂h_T−ℓ at this lag", reading))
    typed = settings.with_changes({"spectrum": False}) if command == "spectrum" else settings
    again = (
        "<p>This command reproduces every number:</p>\n"
        f"<pre><code>{escape(command_line(typed, command))}</code></pre>\n"
        "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
        f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
    )
    layers = terminal.layer_rows(analysis)
    first = [each for name in FIRST for each in panels if f'data-figure="{name}"' in each]
    sections = {
        "whether": ("How much arrives, and why", [_still(analysis), *first]),
        "why": ("Why", bullet_list(why(analysis))),
        "advice": ("What to do", bullet_list(*advice(analysis)) if analysis.remedies else ""),
        "numbers": ("In numbers", _numbers(analysis)),
        "layers": (
            terminal.layers_title(analysis),
            _table(terminal.LAYER_TITLES, layers) if layers else "",
        ),
        "depth": ("In depth", [each for each in panels if each not in first]),
        "again": ("Reproduce it", again),
    }
    answer = words.answer(analysis)
    if command == "spectrum":
        answer = f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}"
    heads = answer, words.describe(settings, analysis), settings.as_dict(), {"command": command}
    return whole_page(*heads, sections, numbers, terms)


def trial_html(trial: Trial) -> str:
    """Return what came of a trial as HTML."""
    command, left = winner_command(trial), trial_words.not_tried(trial)
    reading = "Held-out error in parts of the baseline's: a dot for each seed, a line at the mean."
    ranking = _table(trial_words.TITLES, trial_words.trial_table(trial))
    sections = {
        "whether": ("Errors", [_figure("trial", "By change", reading)]),
        "ranking": ("Ranking", ranking),
        "left": ("Not tried", bullet_list(left) if left else ""),
        "use": ("Use it", bullet_list([""], [command]) if command else ""),
        "decision": ("How it was decided", bullet_list(trial_words.decision(trial))),
    }
    numbers = {"tables": {"trial": table(*trial_rows(trial))}}
    heads = trial_words.trial_answer(trial), trial_words.trial_about(trial)
    settings = trial.plan.settings.as_dict()
    return whole_page(*heads, settings, trial_made_by(trial), sections, numbers)


def comparison_html(comparison: Comparison) -> str:
    """Return how far each network of a comparison reaches, and the profile pointed at, as HTML."""
    reading = "A bar to the median horizon, a dot for each seed, a line at what is needed."
    reach = _figure("reach", "How far each reaches", reading)
    profile = "The median over the sequences of one network; point at another above."
    profiles = _figure("profiles", "How much arrives, by lag", profile)
    sections = {
        "whether": ("Reach", [reach, profiles]),
        "numbers": ("In numbers", _rows(median_rows(comparison))),
    }
    heads = words.comparison_headline(comparison), words.seeds_of(comparison)
    every = [each.settings.as_dict() for each in comparison.analyses]
    compared: Mapping[str, Any] = {"files": list(map(file_of, comparison.analyses))}
    if None in compared["files"]:
        axes = ("cell", "activation", "steps")
        compared = {name: list(dict.fromkeys(each[name] for each in every)) for name in axes}
        compared = {**compared, "seeds": len({each["seed"] for each in every})}
    made_by = {"command": "compare", **compared}
    return whole_page(*heads, every[0], made_by, sections, comparison_numbers(comparison))


def store_html(rows: StoreRows, summary: Summary, made_by: Mapping[str, Any]) -> str:
    """Return a phase diagram of the rate for each network of a store, and the profile of the cell
    pointed at, as HTML; SettingError where there are no two swept settings.
    """
    x, y = (each and each.replace("-", "_") for each in (made_by["x"], made_by["y"]))
    grid = grid_of_values(rows, x, y, "rate_nats_per_step")
    reading = "Growth, median: blue −0.5 nats per step or less, white 0, orange 0.5 or more."
    panels = [_figure("phase", each, reading, of=each) for each in grid.panels]
    profiles = _figure("profiles", "How much arrives, by lag", "In the cell pointed at.")
    sections = {
        "whether": ("Where gradients vanish or explode", [*panels, profiles]),
        "numbers": ("In numbers", _rows(group_rows(summary))),
    }
    title = f"{', '.join(grid.panels)} over {grid.x.name} and {grid.y.name}".replace("_", " ")
    heads = title, f"{len(rows.values)} cells", shared_settings(rows), {**made_by, "kind": "phase"}
    return whole_page(*heads, sections, store_numbers(rows, grid))


def _rows(table: Rows) -> str:
    def cell(value: Any) -> str:
        return number(value) if isinstance(value, float | None) else str(value)

    return _table(table[0], (list(map(cell, row)) for row in table[1]))


def whole_page(
    title: str,
    subject: str,
    settings: Mapping[str, Any],
    made_by: Mapping[str, Any],
    sections: Mapping[str, tuple[str, Sequence[str]]],
    numbers: Mapping[str, Any],
    terms: Mapping[str, str] = MappingProxyType({}),
    scripts: Sequence[str] = ("page.js",),
) -> str:
    """Return the page: sections by their identity, a title and what it holds (figures: a list).
    The first place of each of the ``terms`` shows its definition; ``scripts`` draw it.
    """
    package = files("gradscope.report")
    shown = {each: words for each, words in sections.items() if words[1]}
    body = "\n".join(
        f'<section aria-labelledby="{each}">\n<h2 id="{each}">{escape(name)}</h2>\n'
        + (inside if isinstance(inside, str) else f'<div class="figures">{"".join(inside)}</div>')
        + "\n</section>"
        for each, (name, inside) in shown.items()
    )
    for name, meaning in sorted(terms.items(), key=lambda term: -len(term[0])):
        tip = f'\\1<dfn tabindex="0" data-says="{escape(meaning)}">\\2</dfn>'
        body = re.sub(
            TERM_PLACE.format(re.escape(escape(name))), tip, body, count=1, flags=re.IGNORECASE
        )
    island = json.dumps(numbers, allow_nan=False, separators=(",", ":"))
    page = Template((package / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        subject=escape(subject),
        provenance=escape(provenance_text(settings, made_by)),
        strip=STRIP if "stages" in numbers else "",
        contents=" ".join(f'<a href="#{each}">{escape(shown[each][0])}</a>' for each in shown),
        sections=body,
        island=island.replace("<", "\\u003c"),
        script="".join((package / each).read_text("utf-8") for each in scripts),
    )
    return seen(page)


def seen(page: str) -> str:
    """Return a page with what cannot be seen spelled out."""
    return "\n".join(map(printable, page.split("\n")))


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column holds the names of the rows."""
    heads = "".join(f'<th scope="col">{escape(title.replace("_", " "))}</th>' for title in titles)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>'
        "\n</table></div>"
    )


def _numbers(analysis: Analysis) -> str:
    """Return the table of all stages, a column each."""
    stages = [words.stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title.strip() or "that is", *cells) for title, cells in terminal.stage_rows(analysis)]
    ended = words.training_sentence(analysis.training) if analysis.training is not None else ""
    warning = f'<p class="warning">{escape(ended)}</p>' if ended else ""
    notes = [terminal.measure_sentence(analysis), *verification_sentences(analysis)]
    below = "\n".join(f"<p>{escape(each)}</p>" for each in notes)
    return f"{warning}{_table(['quantity', *stages], rows)}\n{below}"


def _figure(name: str, title: str, reading: str, of: str = "") -> str:
    """Return a place for the script to draw in, under its title, and how to read it."""
    return (
        f'<figure>\n<h3 id="{name}">{escape(title)}</h3>\n<div class="chart" role="img" '
        f'data-figure="{name}" data-of="{escape(of)}" aria-label="{escape(f"{title}. {reading}")}">'
        f"</div>\n<figcaption>{escape(reading)} </figcaption>\n</figure>"
    )


def _still(analysis: Analysis) -> str:
    """Return the lag profile as a small picture, for a browser without scripts."""
    curves = [each.profile.median / LN_10 for each in analysis.stages]
    every = np.concatenate([each[np.isfinite(each)] for each in curves])
    low, high, longest = every.min(initial=-4.0), every.max(initial=4.0), curves[-1].size
    end = f"{steps(longest)} back: {power_of_ten(float(curves[-1][-1]))}"
    drawn = f'<text x="330" y="184" text-anchor="end">{end}</text>'
    for median in curves:
        places = np.unique(np.linspace(0, median.size - 1, STILL_POINTS).round().astype(int))
        points = " ".join(
            f"{50 + 280 * (at + 1) / longest:.0f},{160 * (high - median[at]) / (high - low):.0f}"
            for at in places[np.isfinite(median[places])]
        )
        drawn += f'<polyline points="{points}"/>'
    for at, word in ((3, "1000"), (0, "1"), (-3, "1/1000")):
        y = f"{160 * (high - at) / (high - low):.0f}"
        drawn += f'<path d="M50 {y}h280"/><text x="46" y="{y}" text-anchor="end">{word}</text>'
    return f'<svg class="still" viewBox="0 0 340 190" aria-label="lag profile">{drawn}</svg>'
