"""Results as a notebook shows them: verdict in words, picture, reasons, what to do.

One self-contained piece of HTML: the picture is inside, every text is escaped, and nothing is
fetched. Which results have a page is said by ``gradscope.notebook_repr``.
"""

import html
from collections.abc import Sequence

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


def page(result: NotebookResult) -> str:
    """Return the page of a result.

    Raises
    ------
    TypeError
        If the result is of a kind that has none.
    """
    if isinstance(result, Analysis):
        return _analysis(result)
    if isinstance(result, Comparison):
        return _comparison(result)
    if isinstance(result, Diagnosis):
        return _diagnosis(result)
    if isinstance(result, LagNorms):
        return _lag_norms(result)
    raise TypeError(f"a {type(result).__name__} has no page")


def _analysis(analysis: Analysis) -> str:
    answer = headline(analysis.last.verdict, analysis.settings.vanishing)
    parts = [
        _opening(answer, describe(analysis.settings, analysis)),
        _picture(analysis_picture(analysis, ".png"), answer),
        _points("Why", [reason_sentence(each) for each in analysis.last.verdict.reasons]),
        _points("What to do", advice(analysis)),
    ]
    return _frame(parts)


def _comparison(comparison: Comparison) -> str:
    if not comparison.analyses:
        return _frame([_opening("Nothing was compared: interrupted", "")])
    answer = comparison_headline(comparison)
    return _frame([_opening(answer, ""), _picture(comparison_picture(comparison, ".png"), answer)])


def _diagnosis(diagnosis: Diagnosis) -> str:
    threshold = diagnosis.thresholds.vanishing
    answer = headline(diagnosis.verdict, threshold)
    drawn = profile_picture(diagnosis.norms, threshold, diagnosis.log_bound)
    reasons = [reason_sentence(each) for each in diagnosis.verdict.reasons]
    parts = [
        _opening(answer, cause_sentence(diagnosis.causes)),
        _picture(drawn, answer),
        _points("Why", reasons),
    ]
    return _frame(parts)


def _lag_norms(norms: LagNorms) -> str:
    last = int(norms.lags[-1])
    lows, highs = float(norms.log_norms[-1].min()), float(norms.log_norms[-1].max())
    reach = " to ".join(dict.fromkeys(power_of_ten(each / LN_10) for each in (lows, highs)))
    answer = f"σ_max is {reach} after {steps(last)}"
    drawn = profile_picture(norms, Thresholds().vanishing)
    about = f"{norms.log_norms.shape[1]} sequences; relative error {norms.certificate.max():.0e}"
    return _frame([_opening(answer, about), _picture(drawn, answer)])


def _opening(answer: str, about: str) -> str:
    lines = f"<p><strong>{html.escape(answer)}.</strong></p>"
    return lines + (f"<p>{html.escape(about)}</p>" if about else "")


def _picture(png: bytes, words: str) -> str:
    source = data_url("image/png", png)
    return f'<img alt="{html.escape(words)}" src="{source}" style="{WIDTH}">'


def _points(title: str, sentences: Sequence[str]) -> str:
    return f"<p>{html.escape(title)}</p>{bullet_list(sentences)}" if sentences else ""


def _frame(parts: Sequence[str]) -> str:
    return f'<div class="gradscope">{"".join(parts)}</div>'
