"""The report as one self-contained HTML file, in the frame of ``page.html``: no network, no script;
all that comes from a file or a setting is escaped. A notebook shows less, inside its own page.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from html import escape
from importlib.resources import files
from itertools import zip_longest
from string import Template

from gradscope.analysis.results import Analysis, Comparison
from gradscope.analysis.settings import Settings
from gradscope.arrays import LN_10
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import NotebookResult
from gradscope.remedy.trial import Trial
from gradscope.report.documents.remedy import winner_command
from gradscope.report.figures.analysis import analysis_picture, panel_picture, profile_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.figures.panels import PANELS, Panel
from gradscope.report.figures.remedy import trial_picture
from gradscope.report.formats import to_csv
from gradscope.report.provenance.recipe import command_line
from gradscope.report.provenance.records import ANALYSIS, provenance_text, settings_to_toml
from gradscope.report.screen import printable
from gradscope.report.terminal import analysis as terminal
from gradscope.report.terminal import remedy as trial_words
from gradscope.report.words import headline as words
from gradscope.report.words.captions import verification_sentences
from gradscope.report.words.numbers import power_of_ten, steps
from gradscope.report.words.reasons import reason_sentence, why
from gradscope.report.words.remedies import advice


def bullet_list(sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    """Return sentences as a list, each with its command, if it has one."""
    codes = [f"<pre><code>{escape(each)}</code></pre>" if each else "" for each in commands]
    pairs = zip_longest(map(escape, sentences), codes, fillvalue="")
    items = "\n".join(f"<li>{sentence}{code}</li>" for sentence, code in pairs)
    return f"<ul>\n{items}\n</ul>"


def data_url(media_type: str, content: bytes) -> str:
    """Return bytes as a data URL, so that nothing is fetched."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def analysis_html(analysis: Analysis) -> str:
    """Return the whole report of one analysis as HTML."""
    settings, advised = analysis.settings, advice(analysis)
    layers, layers_title = terminal.layer_rows(analysis), terminal.layers_title(analysis)
    again = (
        "<p>This command reproduces every number:</p>\n"
        f"<pre><code>{escape(command_line(settings))}</code></pre>\n"
        "<details>\n<summary>All settings, as a TOML file for <code>--config</code></summary>\n"
        f"<pre><code>{escape(settings_to_toml(settings.as_dict()))}</code></pre>\n</details>"
    )
    sections = [
        _section("numbers", "In numbers", _numbers(analysis)),
        _section("layers", layers_title, _table(terminal.LAYER_TITLES, layers)) if layers else "",
        _section("why", "Why", bullet_list(why(analysis))),
        _section("advice", "What to do", bullet_list(*advised)) if advised[0] else "",
        *(_figure(each, analysis) for each in PANELS.values() if each.shown(analysis)),
        _section("again", "Reproduce it", again),
    ]
    return _page(words.answer(analysis), words.describe(settings, analysis), settings, sections)


def trial_html(trial: Trial) -> str:
    """Return what came of a trial as HTML."""
    picture = data_url("image/svg+xml", trial_picture(trial, ".svg"))
    command, left = winner_command(trial), trial_words.not_tried(trial)
    answer, about = trial_words.trial_answer(trial), trial_words.trial_about(trial)
    ranking = _table(trial_words.TITLES, trial_words.trial_table(trial))
    sections = [
        _section(
            "errors", "Errors", f'<figure><img src="{picture}" alt="{escape(answer)}"></figure>'
        ),
        _section("ranking", "Ranking", ranking),
        _section("left", "Not tried", bullet_list(left)) if left else "",
        _section("use", "Use it", bullet_list([""], [command])) if command else "",
        _section("decision", "How it was decided", bullet_list(trial_words.decision(trial))),
    ]
    return _page(answer, about, trial.plan.settings, sections, {"command": "try"})


def _page(
    title: str,
    subject: str,
    settings: Settings,
    sections: Iterable[str],
    made_by: Mapping[str, str] = ANALYSIS,
) -> str:
    frame = Template((files("gradscope.report") / "page.html").read_text("utf-8"))
    page = frame.substitute(
        title=escape(title),
        subject=escape(subject),
        provenance=escape(provenance_text(settings.as_dict(), made_by)),
        sections="\n".join(filter(None, sections)),
    )
    return _seen(page)


def _seen(page: str) -> str:
    return "\n".join(map(printable, page.split("\n")))  # What cannot be seen is spelled out.


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
    stages = [words.stage_title(stage.name, analysis.training) for stage in analysis.stages]
    rows = [(title.strip() or "that is", *cells) for title, cells in terminal.stage_rows(analysis)]
    ended = words.training_sentence(analysis.training) if analysis.training is not None else ""
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


WIDTH = "max-width: 60em; width: 100%"


@singledispatch
def notebook_page(result: NotebookResult) -> str:
    """Return the page of a result; raises TypeError if its kind has none."""
    raise TypeError(f"a {type(result).__name__} has no page")


@notebook_page.register
def _(analysis: Analysis) -> str:
    drawn = analysis_picture(analysis, ".png")
    lists = _points("Why", why(analysis)), _points("What to do", *advice(analysis))
    about = words.describe(analysis.settings, analysis)
    return _framed(words.answer(analysis), about, drawn, *lists)


@notebook_page.register
def _(comparison: Comparison) -> str:
    if not comparison.analyses:
        return _framed("Nothing was compared: interrupted")
    drawn = comparison_picture(comparison, ".png")
    return _framed(words.comparison_headline(comparison), png=drawn)


@notebook_page.register
def _(diagnosis: Diagnosis) -> str:
    threshold = diagnosis.thresholds.vanishing
    drawn = profile_picture(diagnosis.norms, threshold, diagnosis.log_bound)
    reasons = _points("Why", [reason_sentence(each) for each in diagnosis.verdict.reasons])
    said = words.headline(diagnosis.verdict, threshold)
    return _framed(said, words.cause_sentence(diagnosis.causes), drawn, reasons)


@notebook_page.register
def _(norms: LagNorms) -> str:
    last = int(norms.lags[-1])
    lows, highs = float(norms.log_norms[-1].min()), float(norms.log_norms[-1].max())
    reach = " to ".join(dict.fromkeys(power_of_ten(each / LN_10) for each in (lows, highs)))
    answer = f"σ_max is {reach} after {steps(last)}"
    drawn = profile_picture(norms, Thresholds().vanishing)
    about = f"{norms.log_norms.shape[1]} sequences; relative error {norms.certificate.max():.0e}"
    return _framed(answer, about, drawn)


def _framed(answer: str, about: str = "", png: bytes = b"", *lists: str) -> str:
    """Return a page: the answer, what it is about, the picture, lists of sentences."""
    said = escape(answer)
    parts = [f"<p><strong>{said}.</strong></p>", f"<p>{escape(about)}</p>" if about else ""]
    if png:
        parts.append(f'<img alt="{said}" src="{data_url("image/png", png)}" style="{WIDTH}">')
    return _seen(f'<div class="gradscope">{"".join([*parts, *lists])}</div>')


def _points(title: str, sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    return f"<p>{escape(title)}</p>{bullet_list(sentences, commands)}" if sentences else ""
