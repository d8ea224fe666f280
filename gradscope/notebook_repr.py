"""Results that show themselves: as one line in a REPL, as a page in a notebook.

IPython asks an object for ``_repr_html_``. Pages and pictures belong to ``report``, which results
may not import, so a result inherits from ``NotebookResult`` only a slot for the method;
``gradscope/__init__`` sets it to what loads ``report.notebook`` when a notebook first asks.
"""

# As typing has it; importing typing would double the time of ``gradscope --version``.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar


class CompactRepr:
    """A dataclass whose ``repr`` is one line."""

    __slots__ = ()

    __dataclass_fields__: "ClassVar[dict[str, Any]]"

    def compact_fields(self) -> "Mapping[str, Any]":
        """Return what the line tells, by name: the fields, where a class does not say better."""
        shown = (name for name, each in self.__dataclass_fields__.items() if each.repr)
        return {name: getattr(self, name) for name in shown}

    def __repr__(self) -> str:
        parts = (f"{name}={_word(value)}" for name, value in self.compact_fields().items())
        return f"{type(self).__name__}({', '.join(parts)})"


class NotebookResult(CompactRepr):
    """A result that a notebook shows as a page."""

    __slots__ = ()

    _repr_html_: "ClassVar[Callable[[NotebookResult], str]]"


def _word(value: "Any") -> str:
    """Return a value in a few letters: an array as its shape, an object by its name or kind."""
    if getattr(value, "shape", ()):
        return f"array({', '.join(map(str, value.shape))})"
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # and not −0
    if value is None or isinstance(value, str | int):
        return str(value)
    if hasattr(value, "__len__"):
        return f"<{len(value)} items>"
    return f"<{getattr(value, 'name', type(value).__name__)}>"
