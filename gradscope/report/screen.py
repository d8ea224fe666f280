"""What a page is drawn for: how wide the terminal is, and which characters it can show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

NARROWEST = 60
"""Narrowest page, in columns; a narrower terminal wraps its lines."""

HEIGHT = 24
"""Lines of the first screen, at most."""

_LETTERS = "σ γ φ θ λ α τ ψ δ ε ρ χ η μ π ξ Ω"
_NAMES = "sigma gamma phi theta lambda alpha tau psi delta eps rho chi eta mu pi xi Omega"
_SIGNS = "∂ √ ∞ ∘ ℓ × ½ ± ≈ ≥ ≤ → ← ↑ ‖ ′ ᵀ"
_TYPED = "d sqrt inf o l x 1/2 +- ~ >= <= -> <- ^ || ' ^T"

POWERS = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))

SPELLED: Mapping[str, str] = {
    **dict(zip(_LETTERS.split(), _NAMES.split(), strict=True)),
    **dict.fromkeys("−–—─╌░", "-"),
    **dict.fromkeys("·•", "*"),
    **dict.fromkeys("⁺┐┘└┬", "+"),
    **dict(zip("▼▲●◆○▸◂█▓┤┆", "v^o?!><#=||", strict=True)),
    **dict.fromkeys("…⋯", "..."),
    **dict(zip(_SIGNS.split(), _TYPED.split(), strict=True)),
    **dict(zip("’€£¥₹", ("'", "EUR", "GBP", "JPY", "INR"), strict=True)),
    **{raised: f"^{plain}" for raised, plain in POWERS.items()},
    "Σ": "sum ",
    "Π": "prod ",
}
"""How each letter and sign of the field is typed on a plain keyboard."""

RAISED = re.compile(f"[{''.join(POWERS)}]+")


def to_ascii(text: str) -> str:
    """Return a text in ASCII: spelled out where there is a spelling, else ``?``."""
    if text.isascii():
        return text
    text = RAISED.sub(lambda power: "^" + "".join(map(POWERS.__getitem__, power[0])), text)
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
    """What a page is drawn for: ``width`` columns, whether it shows more than ASCII, the lines that
    the answer may take, and whether all numbers are wanted (``full``).
    """

    width: int = 80
    unicode: bool = True
    height: int = HEIGHT
    full: bool = False

    def say(self, text: str) -> str:
        """Return one line of text as this screen can show it."""
        line = printable(text)
        return line if self.unicode else to_ascii(line)
