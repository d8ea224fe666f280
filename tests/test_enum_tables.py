"""Every table that is keyed by an enum has an entry for every member.

A member without its entry is a KeyError in front of a person, so the tables are found by importing
all of gradscope, not listed here: whoever adds a member is told of each table that lacks it.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import ModuleType
from typing import Any

import pytest

import gradscope

ABSENT: Mapping[tuple[str, str], str] = {
    ("TASKS", "recall"): "the one task that takes a delay is made by name, of any length",
    ("CELL_STYLES", "elman"): "an Elman network is drawn by its activation",
}
"""Members that a table leaves out, and why."""

OPTIONAL: Mapping[str, str] = {
    "DRAWN_AGAIN": "the commands whose pictures are drawn by another command",
    "REGIMES": "the choices of --fail-on that name regimes; shut and diverged name others",
    "_REMEDIES_ELSEWHERE": "the remedies that read otherwise for a network from a file",
}
"""Tables of exceptions, which are asked with a default."""


@dataclass(frozen=True, eq=False)
class Table:
    """A mapping at the top of a module, whose keys are members of one enum."""

    name: str
    entries: Mapping[Any, Any]
    enum: type[Enum]


def tables_of(module: ModuleType) -> Iterator[Table]:
    for name, value in vars(module).items():
        if isinstance(value, Mapping):
            kinds = {type(key) for key in value}
            if len(kinds) == 1 and issubclass(kind := kinds.pop(), Enum):
                yield Table(name, value, kind)


def missing(table: Table) -> list[str]:
    """Return the members that a table has no entry for, and no reason to leave out."""
    absent = [member for member in table.enum if member not in table.entries]
    return [str(each) for each in absent if (table.name, str(each)) not in ABSENT]


FOR_FRAMEWORKS = tuple(
    f"gradscope.{each}" for each in ("torch", "jax", "frameworks", "integrations")
)


def modules() -> Iterator[ModuleType]:
    """Yield every module of gradscope; those for a framework that is not installed are left out."""
    for found in pkgutil.walk_packages(gradscope.__path__, "gradscope.", onerror=lambda _: None):
        if found.name != "gradscope.__main__":
            try:
                yield importlib.import_module(found.name)
            except ImportError:
                assert found.name.startswith(FOR_FRAMEWORKS)


TABLES = {id(table.entries): table for module in modules() for table in tables_of(module)}

WHOLE = [table for table in TABLES.values() if table.name not in OPTIONAL]


def test_the_tables_are_found() -> None:
    assert {"ACTIVATIONS", "NEEDS", "OPTIMIZERS", "REGIME_WORDS"} <= {
        table.name for table in TABLES.values()
    }


@pytest.mark.parametrize("table", WHOLE, ids=lambda table: table.name)
def test_a_table_has_an_entry_for_every_member(table: Table) -> None:
    assert missing(table) == []


@pytest.mark.parametrize("table", WHOLE, ids=lambda table: table.name)
def test_a_member_that_is_added_without_its_entry_is_found(table: Table) -> None:
    members = {member.name: member.value for member in table.enum}
    make: Any = StrEnum  # Its functional form has no type where the members are not literals.
    grown = make("grown", {**members, "ADDED": "added"})

    assert missing(Table(table.name, table.entries, grown)) == ["added"]


def test_what_is_left_out_is_known_and_is_left_out() -> None:
    left_out = {
        (table.name, str(member))
        for table in TABLES.values()
        for member in table.enum
        if member not in table.entries
    }

    assert set(ABSENT) <= left_out
