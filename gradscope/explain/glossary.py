"""The glossary: what every term of a report means, found by any spelling of its name.

The entries are data: ``terms/*.toml``, in the order in which a reader meets them.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from gradscope.errors import SettingError
from gradscope.report.screen import to_ascii

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
    others: Sequence[str] = ()


TERMS: tuple[Term, ...] = tuple(
    Term(name, **entry)
    for subject in ("network", "products", "spectra", "verdict")
    for name, entry in tomllib.loads(
        (files("gradscope.explain") / "terms" / f"{subject}.toml").read_text("utf-8")
    ).items()
)


def term_key(name: str) -> str:
    """Return a name without case, hyphens and spaces, its Greek letters and primes spelled out."""
    spelled = to_ascii(name).lower().replace("'", "prime")
    return re.sub(r"[^a-z0-9%|]", "", spelled)


_BY_KEY: Mapping[str, Term] = MappingProxyType(
    {term_key(name): term for term in TERMS for name in (term.name, *term.others)}
)


def find_term(name: str) -> Term:
    """Return the entry of a term.

    Raises
    ------
    SettingError
        If there is none; the message suggests similar ones.
    """
    key = term_key(name)
    if key in _BY_KEY:
        return _BY_KEY[key]
    close = difflib.get_close_matches(key, list(_BY_KEY), n=MAX_OFFERED, cutoff=SIMILAR)
    holding = [each for each in _BY_KEY if len(key) > 2 and key in each]
    near = list(dict.fromkeys(_BY_KEY[each].name for each in (*close, *holding)))[:MAX_OFFERED]
    offer = f"did you mean {', '.join(near)}?" if near else "gradscope explain lists all"
    raise SettingError(f"there is no term {name!r}; {offer}")
