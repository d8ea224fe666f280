"""The glossary: every term that a report uses. Any spelling of a name finds its entry, else near
names are offered.

The entries stand in ``glossary_network``, ``glossary_products``, ``glossary_spectra`` and
``glossary_verdict``; ``explain TERM`` shows one.
"""

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from gradscope.errors import SettingError
from gradscope.explain.terms.entry import Term
from gradscope.explain.terms.network import NETWORK
from gradscope.explain.terms.products import PRODUCTS
from gradscope.explain.terms.spectra import SPECTRA
from gradscope.explain.terms.verdict import VERDICT
from gradscope.report.figures.panels import PANELS
from gradscope.report.screen import to_ascii

TERMS: tuple[Term, ...] = (*NETWORK, *PRODUCTS, *SPECTRA, *VERDICT)
"""In the order in which one meets them."""

MAX_OFFERED = 5
SIMILAR = 0.6
"""Ratio of difflib from which on a name is near (its own default)."""


def _key(name: str) -> str:
    """Return a name without case, hyphens and spaces, its Greek letters and primes spelled out."""
    spelled = to_ascii(name).lower().replace("'", "prime")
    return re.sub(r"[^a-z0-9%|]", "", spelled)


_BY_KEY: Mapping[str, Term] = MappingProxyType(
    {_key(name): term for term in reversed(TERMS) for name in (*term.others[::-1], term.name)}
)
_PANEL_TERMS: Mapping[str, str] = MappingProxyType(
    {_key(each.name): _key(each.term) for each in PANELS.values() if each.term}
)


def find_term(name: str) -> Term:
    """Return the entry of a term.

    Raises
    ------
    SettingError
        If there is none; the message offers near ones.
    """
    found = _BY_KEY.get(_PANEL_TERMS.get(_key(name), _key(name)))
    if found is not None:
        return found
    near = near_terms(name)
    offer = f"did you mean {', '.join(near)}?" if near else "gradscope explain lists all"
    raise SettingError(f"there is no term {name!r}; {offer}")


def near_terms(name: str) -> list[str]:
    """Return the names of terms that look like this one, nearest first."""
    key = _key(name)
    close = difflib.get_close_matches(key, list(_BY_KEY), n=MAX_OFFERED, cutoff=SIMILAR)
    holding = [each for each in _BY_KEY if len(key) > 2 and key in each]
    names = (_BY_KEY[each].name for each in (*close, *holding))
    return list(dict.fromkeys(names))[:MAX_OFFERED]
