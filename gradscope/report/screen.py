"""What a page is drawn for: how wide the terminal is, and which letters it can show.

Mathematics is written with its own letters (σ, ∂, ‖ ‖). A terminal that knows only ASCII gets the
words and marks that people type instead, never a row of question marks; and whatever came from a
user's file is shown on one line, its control characters spelled out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NARROWEST = 60
"""Columns below which a page is not squeezed further."""

SPELLED: Mapping[str, str] = MappingProxyType(
    {
        "σ": "sigma",
        "γ": "gamma",
        "φ": "phi",
        "θ": "theta",
        "λ": "lambda",
        "α": "alpha",
        "τ": "tau",
        "ψ": "psi",
        "√": "sqrt",
        "δ": "delta",
        "ε": "eps",
        "ℓ": "l",
        "ρ": "rho",
        "χ": "chi",
        "Σ": "sum ",
        "∂": "d",
        "‖": "||",
        "−": "-",
        "–": "-",
        "—": "-",
        "×": "x",
        "·": "*",
        "½": "1/2",
        "≥": ">=",
        "≤": "<=",
        "∞": "inf",
        "′": "'",
        "→": "->",
        "…": "...",
        "•": "*",
        "∘": "o",
        "²": "^2",
        "³": "^3",
        "⁴": "^4",
        "⁺": "+",
        "ᵀ": "^T",
        "Π": "prod ",
        "η": "eta",
        "μ": "mu",
        "π": "pi",
        "±": "+-",
        "⋯": "...",
        "←": "<-",
        "≈": "~",
        "─": "-",
        "┐": "+",
        "┘": "+",
    }
)
"""How each letter and sign of the field is typed on a plain keyboard."""


def to_ascii(text: str) -> str:
    """Return a text in ASCII: spelled out where there is a spelling, else ``?``."""
    if text.isascii():
        return text
    return "".join(each if each.isascii() else SPELLED.get(each, "?") for each in text)


def printable(text: str) -> str:
    """Return a text as one line: control characters are spelled out, a newline as backslash-n."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@dataclass(frozen=True, eq=False, slots=True)
class Screen:
    """What a page is drawn for: ``width`` columns, and whether it shows more than ASCII."""

    width: int = 80
    unicode: bool = True

    def say(self, text: str) -> str:
        """Return one line of text as this screen can show it."""
        line = printable(text)
        return line if self.unicode else to_ascii(line)
