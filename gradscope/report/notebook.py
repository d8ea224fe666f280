"""What a notebook shows of a result, inside its own page: the answer, a picture, lists."""

import base64
from collections.abc import Sequence
from html import escape

from gradscope.analysis.results import Analysis, Comparison, Profile
from gradscope.arrays import LN_10, quantiles
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import NotebookResult
from gradscope.report.figures.analysis import analysis_picture, profile_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.html import analysis_html, bullet_list, seen
from gradscope.report.words import headline as words
from gradscope.report.words.numbers import power_of_ten, steps
from gradscope.report.words.reasons import reason_sentence, why
from gradscope.report.words.remedies import advice

WIDTH = "max-width: 60em; width: 100%"

EXPLORE = (
    '<details><summary>Explore</summary><iframe srcdoc="{page}" loading="lazy" '
    'title="The report, to explore" style="width: 100%; height: 50em; border: 0">'
    "</iframe></details>"
)
"""The page of an analysis inside that of a notebook; viewers that leave it out show the rest."""


def notebook_page(result: NotebookResult) -> str:
    """Return the page of a result; raises TypeError if its kind has none."""
    match result:
        case Analysis():
            drawn = analysis_picture(result, ".png")
            lists = points("Why", why(result)), points("What to do", *advice(result))
            page = EXPLORE.format(page=escape(analysis_html(result)))
            about = words.describe(result.settings, result)
            return framed(
                words.answer(result), about, drawn, *lists, page, alt=_levels(result.last.profile)
            )
        case Comparison(analyses=()):
            return framed("Nothing was compared: interrupted")
        case Comparison():
            drawn = comparison_picture(result, ".png")
            alt = "For each network a bar to its reach, beside what is needed"
            return framed(words.comparison_headline(result), png=drawn, alt=alt)
        case Diagnosis(verdict=verdict, thresholds=thresholds):
            drawn = profile_picture(result.norms, thresholds.vanishing, result.log_bound)
            reasons = points("Why", list(map(reason_sentence, verdict.reasons)))
            said = words.headline(verdict, thresholds.vanishing)
            alt = _levels(result.norms)
            return framed(said, words.cause_sentence(result.causes), drawn, reasons, alt=alt)
        case LagNorms(lags=lags, log_norms=log_norms):
            ends = float(log_norms[-1].min()), float(log_norms[-1].max())
            reach = " to ".join(dict.fromkeys(power_of_ten(each / LN_10) for each in ends))
            drawn = profile_picture(result, Thresholds().vanishing)
            error = f"relative error {result.certificate.max():.0e}"
            about = f"{log_norms.shape[1]} sequences; {error}"
            said = f"σ_max is {reach} after {steps(int(lags[-1]))}"
            return framed(said, about, drawn, alt=_levels(result))
    raise TypeError(f"a {type(result).__name__} has no page")


def _levels(norms: LagNorms | Profile) -> str:
    """Return σ_max at four lags: what a picture of a profile says to the blind."""
    median = quantiles(norms.log_norms, (0.5,))[0] / LN_10
    at = range(-(-median.size // 4) - 1, median.size, -(-median.size // 4))
    said = ", ".join(f"{power_of_ten(float(median[k]))} at lag {norms.lags[k]}" for k in at)
    return f"Median σ_max of the gradient that arrives: {said}"


def framed(answer: str, about: str = "", png: bytes = b"", *lists: str, alt: str = "") -> str:
    """Return a page: the answer, what it is about, the picture, lists of sentences."""
    said = escape(answer)
    parts = [f"<p><strong>{said}.</strong></p>", f"<p>{escape(about)}</p>" if about else ""]
    if png:
        encoded = base64.b64encode(png).decode("ascii")
        parts.append(
            f'<img alt="{escape(alt)}" src="data:image/png;base64,{encoded}" style="{WIDTH}">'
        )
    return seen(f'<div class="gradscope">{"".join([*parts, *lists])}</div>')


def points(title: str, sentences: Sequence[str], commands: Sequence[str | None] = ()) -> str:
    """Return sentences as a list under a title, each with its command; nothing of none."""
    return f"<p>{escape(title)}</p>{bullet_list(sentences, commands)}" if sentences else ""
