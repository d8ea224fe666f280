"""Results that show themselves in a notebook.

IPython asks an object for ``_repr_html_``. Pages and pictures belong to ``report``, which results
may not know, so a result inherits from ``Shown`` only the place for the method; the top floor
(``gradscope/__init__``, which always runs before any room is loaded) puts there a function that
loads ``report.notebook`` when a notebook first asks. Nothing is wired twice, and nothing is loaded
where no notebook asks.
"""

# As typing has it; importing typing would double the time of ``gradscope --version``.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar


class Shown:
    """A result that a notebook shows as a page."""

    __slots__ = ()

    _repr_html_: "ClassVar[Callable[[Shown], str]]"
