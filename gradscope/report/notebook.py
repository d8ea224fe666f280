"""Results as a notebook shows them: verdict in words, picture, reasons, what to do.

One self-contained piece of HTML: the picture is inside, every text is escaped, nothing is fetched.
"""

import html
from collections.abc import Sequence
from functools import singledispatch

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.verdict import Thresholds
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import NotebookResult
from gradscope.report.figures.analysis import analysis_picture, profile_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.html import bullet_list, data_url
from gradscope.report.words.headline import cause_sentence, comparison_headline, describe, headline
from gradscope.report.words.numbers import power_of_ten, steps
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import advice

WIDTH = "max-width: 60em; width: 100%"


@singledispatch
def page(result: NotebookResult) -> str:
    """Return the page of a result; raises TypeError if its kind has none."""
    raise TypeError(f"a {type(result).__name__} has no page")


@page.register
def _(analysis: Analysis) -> str:
    answer = headline(analysis.last.verdict, analysis.settings.vanishing)
    drawn = analysis_picture(analysis, ".png")
    why = _points("Why", [reason_sentence(each) for each in analysis.last.verdict.reasons])
    advised = _points("What to do", advice(analysis))
    return _framed(answer, describe(analysis.settings, analysis), drawn, why, advised)


@page.register
def _(comparison: Comparison) -> str:
    if not comparison.analyses:
        return _framed("Nothing was compared: interrupted")
    answer = comparison_headline(comparison)
    return _framed(answer, "", comparison_picture(comparison, ".png"))


@page.register
def _(diagnosis: Diagnosis) -> str:
    threshold = diagnosis.thresholds.vanishing
    answer = headline(diagnosis.verdict, threshold)
    drawn = profile_picture(diagnosis.norms, threshold, diagnosis.log_bound)
    why = _points("Why", [reason_sentence(each) for each in diagnosis.verdict.reasons])
    return _framed(answer, cause_sentence(diagnosis.causes), drawn, why)


@page.register
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
    said = html.escape(answer)
    parts = [f"<p><strong>{said}.</strong></p>", f"<p>{html.escape(about)}</p>" if about else ""]
    if png:
        parts.append(f'<img alt="{said}" src="{data_url("image/png", png)}" style="{WIDTH}">')
    return f'<div class="gradscope">{"".join([*parts, *lists])}</div>'


def _points(title: str, sentences: Sequence[str]) -> str:
    return f"<p>{html.escape(title)}</p>{bullet_list(sentences)}" if sentences else ""
