"""The glossary, found by any spelling of a name, the topics, and the list of all that is explained.

Entries are data, ``terms/*.toml``, in the order in which a reader meets them; a heading holds all
names of its term. Topics are texts, ``topics/NAME.md``.
"""

import difflib
import re
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from gradscope.errors import SettingError
from gradscope.report.figures.panels import PANELS
from gradscope.report.formats import Document, head, named
from gradscope.report.screen import to_ascii
from gradscope.report.terminal.table import Page
from gradscope.sweep.cell import columns, setting_columns

MAX_OFFERED = 5
SIMILAR = 0.6
"""Ratio of difflib from which on two names are similar (its own default)."""


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """One entry; ``others`` are further names that lead to it."""

    name: str
    definition: str
    formula: str
    reading: str
    source: str
    others: Sequence[str]


TEXTS = ("definition", "formula", "reading", "source")
OURS = "exact along the vector that the rate is taken along; the project's decomposition"
"""The source of the terms that name none: the causes of the growth rate."""

TERMS = tuple(
    Term(name, **{"source": OURS, **entry}, others=others)
    for subject in ("network", "products", "spectra", "verdict")
    for names, entry in tomllib.loads(
        (files("gradscope.explain") / "terms" / f"{subject}.toml").read_text("utf-8")
    ).items()
    for name, *others in [names.split("; ")]
)

DEFINITIONS = {term.name: term.definition for term in TERMS}
"""What a page says of each term."""


def term_key(name: str) -> str:
    """Return a name without case, hyphens and spaces, its Greek letters and primes spelled out."""
    spelled = to_ascii(name).lower().replace("'", "prime")
    return re.sub(r"[^a-z0-9%|]", "", spelled)


_BY_KEY = {term_key(name): term for term in TERMS for name in (term.name, *term.others)}
_BY_PANEL = {term_key(each.name): term_key(each.term) for each in PANELS.values() if each.term}
"""The keys of terms that panels of other names lead to."""


def find_term(name: str) -> Term:
    """Return the entry of a term; SettingError, which offers similar ones, if there is none."""
    key = _BY_PANEL.get(term_key(name), term_key(name))
    if key in _BY_KEY:
        return _BY_KEY[key]
    close = difflib.get_close_matches(key, list(_BY_KEY), n=MAX_OFFERED, cutoff=SIMILAR)
    holding = [each for each in _BY_KEY if len(key) > 2 and key in each]
    near = list(dict.fromkeys(_BY_KEY[each].name for each in (*close, *holding)))[:MAX_OFFERED]
    offer = f"did you mean {', '.join(near)}?" if near else "gradscope explain lists all"
    raise SettingError(f"there is no term {name!r}; {offer}")


Table = tuple[tuple[str, ...], list[list[Any]]]
Answer = tuple[Page, Document, Table | None]

LESSONS = {
    "backprop": "the graph f = (x − y) z: chain rule and one step downhill",
    "bptt": "∂E_T/∂V, ∂E_T/∂W, ∂E_T/∂U of a small RNN, term by term",
    "vanishing": "the product of Jacobians, tanh against sigmoid, with the bound",
    "verdict RUN": "how each number of a saved run (.npz) was reached",
}
TOPICS = {
    "store": "the tables and columns of a sweep's store, and how to query them",
    "cluster": "loops, xargs, GNU parallel, SLURM and dask; shards and merge",
    "integrations": "in your training loop: loggers, Lightning, Optuna, pytest",
}
TEXT_WIDTH = 76
"""Columns of a list of names, whatever the terminal."""


def term_answer(name: str) -> Answer:
    """Return a term: definition, formula, how to read it, source."""
    term = find_term(name)
    texts = {"Formula": term.formula, "How to read it": term.reading, "Source": term.source}
    sections = [(title, (text,)) for title, text in texts.items()]
    document = {**head("explain.term", {}), **_fields(term)}
    return Page(f"{term.name}: {term.definition}", sections), document, _table([term])


def _fields(term: Term) -> Document:
    return named(term, *TEXTS, "others", term="name")


def _table(terms: Sequence[Term]) -> Table:
    return ("term", *TEXTS), [[each.name, *named(each, *TEXTS).values()] for each in terms]


def listing() -> Answer:
    """Return the list of lessons, topics and terms."""
    width = max(map(len, (*LESSONS, *TOPICS)))
    document, texts = head("explain.topics", {}), {}
    for title, group in (("Lessons", LESSONS), ("Topics", TOPICS)):
        lines = [f"{name.ljust(width)}  {about}" for name, about in group.items()]
        texts[f"{title}: gradscope explain {title[:-1].upper()}"] = lines
        document[title.lower()] = [{"name": name, "about": about} for name, about in group.items()]
    names = ", ".join(term.name for term in TERMS)
    texts["Terms: gradscope explain TERM"] = textwrap.wrap(names, TEXT_WIDTH)
    document["terms"] = [_fields(term) for term in TERMS]
    page = Page("What gradscope explains, with numbers computed on the spot.", texts.items())
    return page, document, _table(TERMS)


def column_meanings() -> dict[str, str]:
    """Return what each column of a store means."""
    groups = tomllib.loads(_text("columns.toml"))
    settings = dict.fromkeys(setting_columns(), groups.pop("settings"))
    return {name: text for names, text in groups.items() for name in names.split()} | settings


def topic(name: str) -> Answer:
    """Return the text of a topic; of ``store`` also the columns: name, SQL type and meaning."""
    text, meanings = _text(f"{name}.md"), column_meanings()
    document = {**head("explain.topic", {}), "topic": name, "text": text}
    answer, *parts = text.split("\n## ")
    sections = []
    for part in parts:
        title, _, *lines = part.rstrip().split("\n")
        sections.append((title, [each for each in lines if not each.startswith("```")]))
    page = Page(answer.strip(), sections)
    if name != "store":
        return page, document, None
    listed = []
    for meaning, names in groupby(columns(), meanings.__getitem__):
        listed += textwrap.wrap(", ".join(names), TEXT_WIDTH)
        listed += [f"    {line}" for line in textwrap.wrap(meaning, TEXT_WIDTH - 4)]
    sections.append(("Columns of `cells`", listed))
    titles = ("column", "type", "meaning")
    rows = [[column, sql, meanings[column]] for column, sql in columns().items()]
    document["columns"] = [dict(zip(titles, row, strict=True)) for row in rows]
    return page, document, (titles, rows)


def _text(name: str) -> str:
    return (files("gradscope.explain") / "topics" / name).read_text("utf-8")
