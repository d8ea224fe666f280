"""What a notebook shows of a result, inside its own page: the answer, a picture, lists."""

import base64
from collections.abc import Sequence
from functools import singledispatch
from html import escape

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10, quantiles
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import NotebookResult
from gradscope.report.figures.analysis import analysis_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.html import bullet_list, levels, seen, still
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
    drawn = _image(analysis_picture(analysis, ".png"), levels(analysis.last.profile.median))
    lists = _points("Why", why(analysis)), _points("What to do", *advice(analysis))
    about = words.describe(analysis.settings, analysis)
    return _framed(words.answer(analysis), drawn, about, *lists)


@notebook_page.register
def _(comparison: Comparison) -> str:
    if not comparison.analyses:
        return _framed("Nothing was compared: interrupted")
    drawn = _image(comparison_picture(comparison, ".png"), "A bar to the reach of each network")
    return _framed(words.comparison_headline(comparison), drawn)


@notebook_page.register
def _(diagnosis: Diagnosis) -> str:
    threshold = diagnosis.thresholds.vanishing
    drawn = still([quantiles(diagnosis.norms.log_norms, (0.5,))[0] / LN_10])
    reasons = _points("Why", [reason_sentence(each) for each in diagnosis.verdict.reasons])
    said = words.headline(diagnosis.verdict, threshold)
    return _framed(said, drawn, words.cause_sentence(diagnosis.causes), reasons)


@notebook_page.register
def _(norms: LagNorms) -> str:
    last = int(norms.lags[-1])
    lows, highs = float(norms.log_norms[-1].min()), float(norms.log_norms[-1].max())
    reach = " to ".join(dict.fromkeys(power_of_ten(each / LN_10) for each in (lows, highs)))
    answer = f"σ_max is {reach} after {steps(last)}"
    drawn = still([quantiles(norms.log_norms, (0.5,))[0] / LN_10])
    about = f"{norms.log_norms.shape[1]} sequences; relative error {norms.certificate.max():.0e}"
    return _framed(answer, drawn, about)


def _framed(answer: str, picture: str = "", about: str = "", *lists: str) -> str:
    """Return a page: the answer, what it is about, the picture, lists of sentences."""
    said = f"<p><strong>{escape(answer)}.</strong></p>"
    parts = said, f"<p>{escape(about)}</p>" if about else "", picture, *lists
    return seen(f'<div class="gradscope">{"".join(parts)}</div>')


def _image(png: bytes, alt: str) -> str:
    encoded = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded}" style="{WIDTH}">'


def _points(title: str, sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    return f"<p>{escape(title)}</p>{bullet_list(sentences, commands)}" if sentences else ""
