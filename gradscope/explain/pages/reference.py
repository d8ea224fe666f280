"""Reference pages: a term, a topic, or the list of all lessons, topics and terms.

A topic is a text, ``topics/NAME.md``. The list of a store's columns is made from the code; what
each of them means is in ``topics/columns.toml``.
"""

import textwrap
import tomllib
from dataclasses import asdict
from importlib.resources import files
from itertools import groupby
from typing import Any

from gradscope.explain.glossary import TERMS, Term
from gradscope.explain.pages.page import Page, Section
from gradscope.report.formats import Document, head
from gradscope.sweep.store import columns, setting_columns

Table = tuple[tuple[str, ...], list[list[Any]]]

LESSONS = {
    "backprop": "the graph f = (x − y) z: chain rule and one step downhill",
    "bptt": "∂E_T/∂V, ∂E_T/∂W, ∂E_T/∂U of a small RNN, term by term",
    "vanishing": "the product of Jacobians, tanh against sigmoid, with the bound",
    "verdict RUN": "how each number of a saved run (.npz) was reached",
}
TOPICS = {
    "store": "the tables and columns of a sweep's store, and how to query them",
    "cluster": "loops, xargs, GNU parallel, SLURM and dask; shards and merge",
}
TEXT_WIDTH = 76
"""Columns of a list of names, whatever the terminal."""


def term_page(term: Term) -> Page:
    """Return the page of one term."""
    return Page(
        f"{term.name}: {term.definition}",
        (
            Section("Formula", (term.formula,)),
            Section("How to read it", (term.reading,)),
            Section("Source", (term.source,)),
        ),
    )


def terms_table(*terms: Term) -> Table:
    """Return terms, one per row."""
    names = ("term", "definition", "formula", "reading", "source")
    return names, [[t.name, t.definition, t.formula, t.reading, t.source] for t in terms]


def term_document(term: Term) -> Document:
    """Return a term as JSON has it."""
    return {**head("explain.term", {}), **_fields(term)}


def _fields(term: Term) -> Document:
    fields = asdict(term)
    return {"term": fields.pop("name"), **fields, "others": list(term.others)}


def listing_page() -> Page:
    """Return the list of lessons, topics and terms."""
    width = max(map(len, (*LESSONS, *TOPICS)))
    lessons, topics = (
        [f"{name.ljust(width)}  {about}" for name, about in group.items()]
        for group in (LESSONS, TOPICS)
    )
    names = textwrap.wrap(", ".join(term.name for term in TERMS), TEXT_WIDTH)
    return Page(
        "What gradscope explains, with numbers computed now.",
        (
            Section("Lessons: gradscope explain LESSON", lessons),
            Section("Topics: gradscope explain TOPIC", topics),
            Section("Terms: gradscope explain TERM", names),
        ),
    )


def listing_document() -> Document:
    """Return all lessons, topics and terms."""
    groups = {"lessons": LESSONS, "topics": TOPICS}
    return {
        **head("explain.topics", {}),
        **{
            title: [{"name": name, "about": about} for name, about in group.items()]
            for title, group in groups.items()
        },
        "terms": [_fields(term) for term in TERMS],
    }


def column_meanings() -> dict[str, str]:
    """Return what each column of a store means."""
    groups = tomllib.loads(_text("columns.toml"))
    settings = dict.fromkeys(setting_columns(), groups.pop("settings"))
    return {name: text for names, text in groups.items() for name in names.split()} | settings


def columns_table() -> Table:
    """Return the columns of a store: name, SQL type and meaning."""
    meanings = column_meanings()
    return ("column", "type", "meaning"), [[n, sql, meanings[n]] for n, sql in columns().items()]


def topic_page(name: str) -> Page:
    """Return a topic: the sections of its text, code as it stands."""
    answer, *parts = _text(f"{name}.md").split("\n## ")
    sections = []
    for part in parts:
        title, _, *lines = part.rstrip().split("\n")
        sections.append(Section(title, [each for each in lines if not each.startswith("```")]))
    if name == "store":
        sections.append(Section("Columns of `cells`", _columns_lines()))
    return Page(answer.strip(), sections)


def _columns_lines() -> list[str]:
    lines = []
    for meaning, names in groupby(columns(), column_meanings().__getitem__):
        lines += textwrap.wrap(", ".join(names), TEXT_WIDTH)
        lines += [f"    {line}" for line in textwrap.wrap(meaning, TEXT_WIDTH - 4)]
    return lines


def topic_document(name: str) -> Document:
    """Return a topic's text as Markdown, with the columns of the store where it is about them."""
    titles, rows = columns_table() if name == "store" else ((), [])
    return {
        **head("explain.topic", {}),
        "topic": name,
        "text": _text(f"{name}.md"),
        **({"columns": [dict(zip(titles, row, strict=True)) for row in rows]} if rows else {}),
    }


def _text(name: str) -> str:
    return (files("gradscope.explain") / "topics" / name).read_text("utf-8")
