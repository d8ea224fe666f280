"""The report as one self-contained HTML file: no network, no script; light and dark; prints well.

The verdict first, then why, then what to do, then every panel with how to read it for this run and
its numbers to download, then the settings and the command. Everything that comes from a file or a
setting is escaped.
"""

from html import escape
from string import Template

from gradscope.names import PanelName
from gradscope.report.advice import advice
from gradscope.report.command_line import command_line
from gradscope.report.export import to_csv
from gradscope.report.figures import panel_picture
from gradscope.report.given import TITLES, layer_rows, layers_title, measure_sentence
from gradscope.report.html_pieces import bullet_list, data_url
from gradscope.report.html_style import STYLE
from gradscope.report.panels import PANELS, Panel
from gradscope.report.provenance import provenance_text, settings_to_toml
from gradscope.report.readings import verification_sentences
from gradscope.report.sentences import reason_sentence
from gradscope.report.tables import stage_rows
from gradscope.report.words import (
    describe,
    headline,
    stage_title,
    training_sentence,
)
from gradscope.study.results import Analysis

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
<footer><p>Made by gradscope. The command above makes every number again.</p></footer>
</body>
</html>
""")


def analysis_html(analysis: Analysis) -> str:
    """Return the whole report of one analysis as HTML."""
    sections = [
        _section("numbers", "In numbers", _numbers(analysis)),
        *_layers(analysis),
        _section(
            "why", "Why", bullet_list([reason_sentence(r) for r in analysis.last.verdict.reasons])
        ),
        *_advice(analysis),
        *(
            _figure(name, panel, analysis)
            for name, panel in PANELS.items()
            if panel.shown(analysis)
        ),
        _section("again", "Make it again", _again(analysis)),
    ]
    return PAGE.substitute(
        title=escape(headline(analysis.last.verdict, analysis.settings.vanishing)),
        subject=escape(describe(analysis.settings, analysis)),
        provenance=escape(provenance_text(analysis.settings.as_dict())),
        style=STYLE,
        sections="\n".join(sections),
    )


def _section(identity: str, title: str, body: str) -> str:
    return (
        f'<section aria-labelledby="{identity}">\n<h2 id="{identity}">{escape(title)}</h2>\n'
        f"{body}\n</section>"
    )


def _numbers(analysis: Analysis) -> str:
    """Return the table of all stages, a column each."""
    heads = "".join(
        f'<th scope="col">{escape(stage_title(stage.name, analysis.training))}</th>'
        for stage in analysis.stages
    )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(title.strip() or "that is")}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for title, cells in stage_rows(analysis)
    )
    ended = training_sentence(analysis.training) if analysis.training is not None else ""
    warning = f'<p class="warning">{escape(ended)}</p>' if ended else ""
    said = [measure_sentence(analysis), *verification_sentences(analysis)]
    notes = "\n".join(f"<p>{escape(each)}</p>" for each in said)
    return (
        f'{warning}<table>\n<thead><tr><th scope="col">quantity</th>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n{notes}"
    )


def _layers(analysis: Analysis) -> list[str]:
    """Return the table of all layers of a network from a file; nothing for another."""
    rows = layer_rows(analysis)
    if not rows:
        return []
    heads = "".join(f'<th scope="col">{escape(each)}</th>' for each in TITLES)
    lines = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(each)}</td>" for each in cells)
        + "</tr>"
        for name, *cells in rows
    )
    table = f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
    return [_section("layers", layers_title(analysis), table)]


def _advice(analysis: Analysis) -> list[str]:
    if not analysis.remedies:
        return []
    return [_section("advice", "What to do", bullet_list(advice(analysis)))]


def _figure(name: PanelName, panel: Panel, analysis: Analysis) -> str:
    """Return one panel: its picture, how to read it for this run, its numbers to download."""
    picture = data_url("image/svg+xml", panel_picture(analysis, name, ".svg"))
    title, reading = panel.title(analysis), escape(panel.reading(analysis))
    numbers = data_url("text/csv", to_csv(*panel.rows(analysis)).encode())
    body = (
        f'<figure>\n<img src="{picture}" '
        f'alt="{escape(title)}. {reading}">\n<figcaption>{reading} '
        f'<a download="{name}.csv" href="{numbers}">The numbers (CSV)</a>'
        "</figcaption>\n</figure>"
    )
    return _section(name, title, body)


def _again(analysis: Analysis) -> str:
    settings = analysis.settings
    return (
        f"<pre><code>{escape(command_line(settings))}</code></pre>\n"
        "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
        f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
    )
