"""An analysis in a few lines of Markdown, for the summary of a CI job."""

import re

from gradscope.analysis.results import Analysis
from gradscope.report.screen import printable
from gradscope.report.words import headline as words
from gradscope.report.words.reasons import why
from gradscope.report.words.remedies import advice


def analysis_summary(analysis: Analysis) -> str:
    """Return answer, reasons and advice, each with its command, if it has one, as Markdown."""
    points = [f"- {_escaped(each)}" for each in why(analysis)]
    changes = [
        f"- {_escaped(said)}" + (f"\n\n      {printable(command)}\n" if command else "")
        for said, command in zip(*advice(analysis), strict=True)
    ]
    parts = [f"### {_escaped(words.answer(analysis))}"]
    parts.append(_escaped(words.describe(analysis.settings, analysis)))
    for title, lines in (("Why", points), ("What to do", changes)):
        parts += [f"**{title}**", "\n".join(lines)] if lines else []
    return "\n\n".join(part.rstrip() for part in parts) + "\n\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]#|])", r"\\\1", printable(text))
