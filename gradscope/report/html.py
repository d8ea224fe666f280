"""The report as one self-contained HTML file: no network, no script; light and dark; prints well.

The verdict first, then why, then what to do, then every panel with how to read it for this run and
its numbers to download, then the settings and the command, in the frame of ``page.html``.
Everything that comes from a file or a setting is escaped.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from gradscope.analysis.results import Analysis
from gradscope.report.figures.analysis import panel_picture
from gradscope.report.figures.panels import PANELS, Panel
from gradscope.report.formats import to_csv
from gradscope.report.provenance.recipe import command_line
from gradscope.report.provenance.records import provenance_text, settings_to_toml
from gradscope.report.terminal import analysis as terminal
from gradscope.report.words.captions import verification_sentences
from gradscope.report.words.headline import answer, describe, stage_title, training_sentence
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice


def bullet_list(sentences: Sequence[str]) -> str:
    """Return sentences as a list."""
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>"


def data_url(media_type: str, content: bytes) -> str:
    """Return bytes as a data URL, so that nothing is fetched."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def analysis_html(analysis: Analysis) -> str:
    """Return the whole report of one analysis as HTML."""
    settings, verdict, advised = analysis.settings, analysis.last.verdict, advice(analysis)
    layers, layers_title = terminal.layer_rows(analysis), terminal.layers_title(analysis)
    again = (
        f"<pre><code>{escape(command_line(settings))}</code></pre>\n"
        "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
        f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
    )
    sections = [
        _section("numbers", "In numbers", _numbers(analysis)),
        _section("layers", layers_title, _table(terminal.LAYER_TITLES, layers)) if layers else "",
        _section("why", "Why", bullet_list([reason_sentence(r) for r in verdict.reasons])),
        _section("advice", "What to do", bullet_list(advised)) if advised else "",
        *(_figure(each, analysis) for each in PANELS.values() if each.shown(analysis)),
        _section("again", "Reproduce it", again),
    ]
    page = Template((files("gradscope.report") / "page.html").read_text("utf-8"))
    return page.substitute(
        title=escape(answer(analysis)),
        subject=escape(describe(settings, analysis)),
        provenance=escape(provenance_text(settings.as_dict())),
        sections="\n".join(filter(None, sections)),
    )


def _section(identity: str, title: str, body: str) -> str:
    return (
        f'<section aria-labelledby="{identity}">\n<h2 id="{identity}">{escape(title)}</h2>\n'
        f"{body}\n</section>"
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column holds the names of the rows."""
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _numbers(analysis: Analysis) -> str:
    """Return the table of all stages, a column each."""
    stages = [stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title.strip() or "that is", *cells) for title, cells in terminal.stage_rows(analysis)]
    ended = training_sentence(analysis.training) if analysis.training is not None else ""
    warning = f'<p class="warning">{escape(ended)}</p>' if ended else ""
    notes = [terminal.measure_sentence(analysis), *verification_sentences(analysis)]
    below = "\n".join(f"<p>{escape(each)}</p>" for each in notes)
    return f"{warning}{_table(['quantity', *stages], rows)}\n{below}"


def _figure(panel: Panel, analysis: Analysis) -> str:
    """Return one panel: its picture, how to read it for this run, its numbers to download."""
    picture = data_url("image/svg+xml", panel_picture(analysis, panel.name, ".svg"))
    title, reading = panel.title(analysis), escape(panel.reading(analysis))
    numbers = data_url("text/csv", to_csv(*panel.rows(analysis)).encode())
    body = (
        f'<figure>\n<img src="{picture}" '
        f'alt="{escape(title)}. {reading}">\n<figcaption>{reading} '
        f'<a download="{panel.name}.csv" href="{numbers}">The numbers (CSV)</a>'
        "</figcaption>\n</figure>"
    )
    return _section(panel.name, title, body)
