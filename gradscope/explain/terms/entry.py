"""What an entry of the glossary says."""

from dataclasses import dataclass

PASCANU = "Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063"


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """One entry; ``others`` are names that lead to it too."""

    name: str
    definition: str
    formula: str
    reading: str
    source: str
    others: tuple[str, ...] = ()
