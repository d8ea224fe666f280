"""Terms as pages, documents and rows: one of them, or the list of all."""

import textwrap
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType

from gradscope.explain.glossary import TERMS
from gradscope.explain.pages.page import Section, lesson_page
from gradscope.explain.terms.entry import Term
from gradscope.report.formats import Document, head
from gradscope.report.screen import Screen

LESSONS = (
    ("backprop", "the graph f = (x − y) z: chain rule and one step downhill"),
    ("bptt", "∂E_T/∂V, ∂E_T/∂W, ∂E_T/∂U of a small RNN, term by term"),
    ("vanishing", "the product of Jacobians, tanh against sigmoid, with the bound"),
    ("verdict RUN", "how each number of a saved run (.npz, .json) was reached"),
)

TERM_COLUMNS = ("term", "definition", "formula", "reading", "source")


def term_page(term: Term, screen: Screen) -> RenderableType:
    """Return the page of one term."""
    sections = [
        Section("Formula", (term.formula,)),
        Section("How to read it", (term.reading,)),
        Section("Source", (term.source,)),
    ]
    return lesson_page(f"{term.name}: {term.definition}", sections, screen)


def term_document(term: Term) -> Document:
    """Return one term."""
    return {**head("explain.term", {}), **_fields(term)}


def term_table(term: Term) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Return one term as a row."""
    return TERM_COLUMNS, [_row(term)]


def topics_page(screen: Screen) -> RenderableType:
    """Return the list of lessons and terms."""
    width = max(len(name) for name, _ in LESSONS)
    lessons = tuple(f"{name.ljust(width)}  {about}" for name, about in LESSONS)
    names = textwrap.wrap(", ".join(term.name for term in TERMS), min(screen.width, 80) - 4)
    sections = [
        Section("Lessons: gradscope explain LESSON", lessons),
        Section("Terms: gradscope explain TERM", tuple(names)),
    ]
    return lesson_page("What gradscope explains, with numbers computed now.", sections, screen)


def topics_document() -> Document:
    """Return all lessons and terms."""
    return {
        **head("explain.topics", {}),
        "lessons": [{"name": name, "about": about} for name, about in LESSONS],
        "terms": [_fields(term) for term in TERMS],
    }


def topics_table() -> tuple[tuple[str, ...], list[list[Any]]]:
    """Return all terms, a row each."""
    return TERM_COLUMNS, [_row(term) for term in TERMS]


def _fields(term: Term) -> Document:
    fields = asdict(term)
    return {"term": fields.pop("name"), **fields, "others": list(term.others)}


def _row(term: Term) -> list[Any]:
    return [term.name, term.definition, term.formula, term.reading, term.source]
