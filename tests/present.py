"""What a test knows to be there, told to the type checker too."""

from typing import TypeVar

Thing = TypeVar("Thing")


def present(thing: Thing | None) -> Thing:
    """Return a thing that may be missing in general, but not here."""
    assert thing is not None
    return thing
