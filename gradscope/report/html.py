"""The report as one self-contained HTML file: no network, no script; light and dark; prints well.

The verdict first, then why, then what to do, then every panel with how to read it for this run and
its numbers to download, then the settings and the command. Everything that comes from a file or a
setting is escaped.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from gradscope.analysis.results import Analysis
from gradscope.report.figures.analysis import panel_picture
from gradscope.report.figures.panels import PANELS, Panel
from gradscope.report.formats import to_csv
from gradscope.report.provenance.recipe import command_line
from gradscope.report.provenance.records import provenance_text, settings_to_toml
from gradscope.report.terminal.analysis import (
    LAYER_TITLES,
    layer_rows,
    layers_title,
    measure_sentence,
    stage_rows,
)
from gradscope.report.words.captions import verification_sentences
from gradscope.report.words.headline import answer, describe, stage_title, training_sentence
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #565656; --page: #ffffff;
  --card: #f5f6f7; --line: #d7dadd; --link: #005a9c; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #b4b8bc; --page: #16181a;
  --card: #212427; --line: #3b4045; --link: #7cc0ff; --warn: #ffb27a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
header { padding: 1.5rem 0 0.5rem; border-bottom: 1px solid var(--line); }
.brand { margin: 0; color: var(--soft); font-size: 0.9rem; letter-spacing: 0.04em; }
h1 { margin: 0.2rem 0 0.4rem; font-size: clamp(1.25rem, 4.2vw, 1.9rem); line-height: 1.25; }
h2 { margin: 2rem 0 0.6rem; font-size: 1.2rem; }
.subject, figcaption, footer { color: var(--soft); }
.warning { color: var(--warn); font-weight: 600; }
p, li, td, th, figcaption, h1 { overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; font-size: 0.93rem; }
th, td { padding: 0.3rem 0.4rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th:first-child { text-align: left; }
tbody th { font-weight: 400; }
figure { margin: 0; padding: 0.75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 0.4rem; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; }
figcaption { margin-top: 0.6rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
pre { padding: 0.7rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 0.4rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.88rem; }
footer { padding: 1.5rem 1rem 2.5rem; font-size: 0.9rem; }
@media print { :root { --ink: #000000; --soft: #333333; --page: #ffffff; --card: #ffffff;
  --line: #bbbbbb; --link: #000000; } section, figure, table { break-inside: avoid; }
  details > * { display: block; } }
"""


def bullet_list(sentences: Sequence[str]) -> str:
    """Return sentences as a list."""
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>\n{items}\n</ul>"


def data_url(media_type: str, content: bytes) -> str:
    """Return bytes as a data URL, so that nothing is fetched."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="gradscope">
<meta name="gradscope" content="$provenance">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<p class="brand">gradscope</p>
<h1>$title</h1>
<p class="subject">$subject</p>
</header>
$sections
</main>
<footer><p>Made by gradscope. The command above reproduces every number.</p></footer>
</body>
</html>
""")


def analysis_html(analysis: Analysis) -> str:
    """Return the whole report of one analysis as HTML."""
    verdict, layers, advised = analysis.last.verdict, layer_rows(analysis), advice(analysis)
    settings = analysis.settings
    again = (
        f"<pre><code>{escape(command_line(settings))}</code></pre>\n"
        "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
        f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
    )
    sections = [
        _section("numbers", "In numbers", _numbers(analysis)),
        _section("layers", layers_title(analysis), _table(LAYER_TITLES, layers)) if layers else "",
        _section("why", "Why", bullet_list([reason_sentence(r) for r in verdict.reasons])),
        _section("advice", "What to do", bullet_list(advised)) if advised else "",
        *(_figure(each, analysis) for each in PANELS.values() if each.shown(analysis)),
        _section("again", "Reproduce it", again),
    ]
    return PAGE.substitute(
        title=escape(answer(analysis)),
        subject=escape(describe(settings, analysis)),
        provenance=escape(provenance_text(settings.as_dict())),
        style=STYLE,
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
    rows = [(title.strip() or "that is", *cells) for title, cells in stage_rows(analysis)]
    ended = training_sentence(analysis.training) if analysis.training is not None else ""
    warning = f'<p class="warning">{escape(ended)}</p>' if ended else ""
    notes = [measure_sentence(analysis), *verification_sentences(analysis)]
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
