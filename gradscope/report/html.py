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

from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import CODE
from gradscope.report.documents.page import analysis_numbers
from gradscope.report.documents.rows import Rows
from gradscope.report.figures.panels import PANELS
from gradscope.report.provenance.recipe import command_line
from gradscope.report.provenance.records import provenance_text, settings_to_toml
from gradscope.report.screen import Screen, printable
from gradscope.report.terminal import analysis as terminal
from gradscope.report.terminal.plot import profile_plot
from gradscope.report.words import headline as words
from gradscope.report.words.captions import lyapunov_sentence, verification_sentences
from gradscope.report.words.numbers import number
from gradscope.report.words.reasons import why
from gradscope.report.words.remedies import advice

FIRST = ("profile", "causes", "matrix", "values")
"""Figures that stand before the sentences."""

WORDS = {
    "values": ("Singular values of ∂h_T/∂h_T−ℓ", "Of one sequence, at the nearest lag held."),
    "matrix": (
        "The matrix ∂h_T/∂h_T−ℓ at this lag",
        "Of one sequence; dark: 1, white: a millionth or less, orange: above 1.",
    ),
    "progress": ("Reach by update", "The memory horizon in training."),
}
"""Title of each figure that is no panel, and how to read it."""

PLAIN = Screen(44, unicode=False)
"""Where the profile is drawn for a browser without scripts: as text, on a phone too."""

STRIP = (
    '<div class="chart" data-figure="strip" role="img" aria-label="The network over time"></div>'
)

PYTHON = "Made in Python, from the step and the inputs of that session, by:"
"""What stands before the call that made a page."""

TERM_PLACE = r"(<(?:h3|th scope=\"row\"|li|figcaption)[^>]*>[^<]*?\b)({})\b"
"""Where a term may stand: in a title, the name of a row, a sentence, before any mark-up there."""


def bullet_list(sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    """Return sentences as a list, each with its command, if it has one; no list of none."""
    codes = [f"<pre><code>{escape(each)}</code></pre>" if each else "" for each in commands]
    pairs = zip_longest(map(escape, sentences), codes, fillvalue="")
    items = "\n".join(f"<li>{sentence}{code}</li>" for sentence, code in pairs)
    return f"<ul>\n{items}\n</ul>" if items else ""


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
    settings, history = analysis.settings, analysis.training
    ended = [said for each in [history] if each and (said := words.training_sentence(each))]
    numbers = analysis_numbers(analysis, {"progress": progress} if progress else {})
    of_page = [name for name in ("values", "progress") if name in numbers["tables"]]
    if any(numbers["matrices"]):
        of_page.append("matrix")
    figures = {name: figure(name, *WORDS[name]) for name in of_page}
    for name, panel in PANELS.items():
        if panel.shown(analysis):
            figures[name] = figure(name, panel.title(analysis), panel.reading(analysis))
    typed = settings.with_changes({"spectrum": False}) if command == "spectrum" else settings
    made_in_python = settings.cell is None and not CODE.fullmatch(settings.weights or "")
    again = (
        f"<p>{PYTHON if made_in_python else 'This command reproduces every number:'}</p>\n"
        f"<pre><code>{escape(command_line(typed, command))}</code></pre>\n"
    )
    if settings.cell is not None:  # Code is run only where it is typed.
        again += (
            "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
            f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
        )
    plot = "\n".join(each.plain for each in profile_plot(analysis, PLAIN, PLAIN.width))
    still = f'<pre class="still">{escape(plot)}</pre>'
    first = [figures.pop(name) for name in FIRST if name in figures]
    layers = html_table(terminal.LAYER_TITLES, terminal.layer_rows(analysis))
    sections = {
        "whether": ("How much arrives, and why", [still, *first]),
        "why": ("Why", bullet_list([*ended, *why(analysis)])),
        "advice": ("What to do", bullet_list(*advice(analysis))),
        "numbers": ("In numbers", _numbers(analysis)),
        "layers": (terminal.layers_title(analysis), layers),
        "depth": ("In depth", [*figures.values()]),
        "again": ("Reproduce it", again),
    }
    answer, verdict = words.answer(analysis), analysis.last.verdict
    look = "mixed" if verdict.shut else verdict.regime
    mark = f'<span class="{look}">{words.look(verdict).symbol}</span> '
    if command == "spectrum":
        answer, mark = f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}", ""
    heads = answer, words.describe(settings, analysis), settings.as_dict(), {"command": command}
    return whole_page(*heads, sections, numbers, terms, mark)


def whole_page(
    title: str,
    subject: str,
    settings: Mapping[str, Any],
    made_by: Mapping[str, Any],
    sections: Mapping[str, tuple[str, Sequence[str]]],
    numbers: Mapping[str, Any],
    terms: Mapping[str, str] = MappingProxyType({}),
    mark: str = "",
) -> str:
    """Return the page: sections by their identity, a title and what it holds (figures: a list).
    The first place of each of the ``terms`` shows its definition; ``mark`` is the regime's symbol.
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
        if escape(name).lower() not in body.lower():
            continue  # To look for it takes an expression of its own, milliseconds each.
        tip = f'\\1<dfn tabindex="0" data-says="{escape(meaning)}">\\2</dfn>'
        body = re.sub(
            TERM_PLACE.format(re.escape(escape(name))), tip, body, count=1, flags=re.IGNORECASE
        )
    scripts = ["page.js", *(["lesson.js"] if "lesson" in numbers else [])]
    island = json.dumps(numbers, allow_nan=False, separators=(",", ":"))
    page = Template((package / "page.html").read_text("utf-8")).substitute(
        mark=mark,
        title=escape(title),
        subject=escape(subject),
        provenance=escape(provenance_text(settings, made_by)),
        strip=STRIP if "stages" in numbers else "",
        contents=" ".join(
            f'<a href="#{each}">{escape(name.partition(" (")[0])}</a>'
            for each, (name, _) in shown.items()
        ),
        sections=body,
        island=island.replace("<", "\\u003c"),
        script="".join((package / each).read_text("utf-8") for each in scripts),
    )
    return seen(page)


def seen(page: str) -> str:
    """Return a page with what cannot be seen spelled out."""
    return "\n".join(map(printable, page.split("\n")))


def html_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table whose first column holds the names of the rows; nothing for no row."""
    heads = "".join(f'<th scope="col">{escape(title.replace("_", " "))}</th>' for title in titles)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f"<td>{escape(number(v) if isinstance(v, float | None) else str(v))}</td>"
            for v in cells
        )
        + "</tr>"
        for name, *cells in rows
    )
    head = f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>'
    return f"{head}\n<tbody>\n{lines}\n</tbody>\n</table></div>" if lines else ""


def _numbers(analysis: Analysis) -> str:
    """Return the table of all stages, a column each."""
    stages = [words.stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title.strip() or "that is", *cells) for title, cells in terminal.stage_rows(analysis)]
    notes = [terminal.measure_sentence(analysis), *verification_sentences(analysis)]
    return html_table(["quantity", *stages], rows) + bullet_list(notes)


def figure(name: str, title: str, reading: str, of: str = "") -> str:
    """Return a place for the script to draw in, under its title, and how to read it."""
    return (
        f'<figure>\n<h3 id="{of or name}">{escape(title)}</h3>\n<div class="chart" role="img" '
        f'data-figure="{name}" data-of="{escape(of)}" aria-label="{escape(f"{title}. {reading}")}">'
        f"</div>\n<figcaption>{escape(reading)} </figcaption>\n</figure>"
    )
