"""What a notebook shows of a result, inside its own page: the answer, a picture, lists."""

import base64
from collections.abc import Sequence
from functools import singledispatch
from html import escape

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import NotebookResult
from gradscope.report.figures.analysis import analysis_picture, profile_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.html import bullet_list, seen
from gradscope.report.words import headline as words
from gradscope.report.words.numbers import power_of_ten, steps
from gradscope.report.words.reasons import reason_sentence, why
from gradscope.report.words.remedies import advice

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
        encoded = base64.b64encode(png).decode("ascii")
        parts.append(f'<img alt="{said}" src="data:image/png;base64,{encoded}" style="{WIDTH}">')
    return seen(f'<div class="gradscope">{"".join([*parts, *lists])}</div>')


def _points(title: str, sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    return f"<p>{escape(title)}</p>{bullet_list(sentences, commands)}" if sentences else ""
