"""The panels of a report, one row each: what draws it, how to read it for one run, its numbers.

To add a panel, write ``NAME_panel``, ``NAME_caption``, ``NAME_rows`` and add its row; modules are
imported when a panel of theirs is used, so that help pages need no NumPy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from gradscope.errors import SettingError
from gradscope.names import CellName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.rows import Rows


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One picture of a report, by the ``name`` that ``--panel`` has for it.

    ``words`` is its title, ``gated_words`` that for a gated cell, where it differs. ``needs`` is a
    setting that measures what it shows, "" for what every analysis has; ``present`` says whether an
    analysis has it all the same, ``why_empty`` what to do where it has not. ``drawn_in`` is the
    module in ``figures`` that draws it, ``term`` the glossary's entry on it where that has another
    name.
    """

    name: str
    words: str
    drawn_in: str
    needs: str = ""
    why_empty: str = ""
    present: "Callable[[Analysis], bool]" = lambda _analysis: True
    gated_words: str = ""
    term: str = ""

    def title(self, analysis: "Analysis") -> str:
        """Return what it shows; a gated cell has no one W."""
        gated = analysis.settings.cell is not CellName.ELMAN
        return self.gated_words if gated and self.gated_words else self.words

    def shown(self, analysis: "Analysis") -> bool:
        """Whether the analysis has what it needs."""
        measured = not self.needs or getattr(analysis.details, self.needs) is not None
        return measured and self.present(analysis)

    def draw(self, axes: "Axes", analysis: "Analysis") -> None:
        """Draw what is ``shown`` under its title."""
        from gradscope.report.figures.style import set_title, typeset

        set_title(axes, typeset(self.title(analysis)))
        drawing = resolve_name(f"gradscope.report.figures.{self.drawn_in}.{self.name}_panel")
        drawing(axes, analysis, *self._measured(analysis))

    def reading(self, analysis: "Analysis") -> str:
        """Return how to read it for this run, or that it was not measured."""
        measured = self._measured(analysis)
        if None in measured:
            return f"{self.words}: not requested."
        caption = resolve_name(f"gradscope.report.words.captions.{self.name}_caption")
        return str(caption(analysis, *measured))

    def rows(self, analysis: "Analysis") -> "Rows":
        """Return the columns and rows of numbers of what is ``shown``."""
        rows = resolve_name(f"gradscope.report.documents.rows.{self.name}_rows")
        found: Rows = rows(*self._measured(analysis) or (analysis,))
        return found

    def _measured(self, analysis: "Analysis") -> tuple[Any, ...]:
        return (getattr(analysis.details, self.needs),) if self.needs else ()


def checked_panel(name: str | None) -> str | None:
    """Return the name of a panel, None for none; SettingError if there is no such panel."""
    if name is None or name in PANELS:
        return name
    raise SettingError(f"--panel is {name!r}; choose one of {', '.join(PANELS)}")


ROWS = (
    Panel("profile", "How much of the gradient arrives, by lag", "profile_panels"),
    Panel("parameters", "How much the parameters of one step change the last state, by lag",
          "profile_panels", term="parameter profile"),
    Panel("causes", "Why: causes of the growth rate", "profile_panels"),
    Panel("gradient", "Gradient norm by time step", "time_panels",
          why_empty="there are no targets; give --readout NAME and --targets FILE",
          present=lambda analysis: analysis.last.gradient is not None),
    Panel("slopes", "Saturation: slopes over time", "time_panels"),
    Panel("saturation", "Saturation: all slopes over time", "time_panels"),
    Panel("training", "Training", "time_panels", why_empty="nothing was trained; give --updates N",
          present=lambda analysis: analysis.training is not None, term="loss"),
    Panel("map", "Every state against every earlier one", "spectra_panels", needs="map"),
    Panel("singular", "Singular values, a curve per lag", "spectra_panels", needs="spectrum"),
    Panel("shares", "The gradient by lag", "spectra_panels", needs="shares"),
    Panel("memory", "Past inputs that can be read out",
          "spectra_panels", needs="memory", term="memory function"),
    Panel("sensitivity", "The price of memory: sensitivity to θ", "spectra_panels", needs="memory"),
    Panel("lyapunov", "Lyapunov exponents", "spectra_panels", needs="spectrum"),
    Panel("eigenvalues", "Eigenvalues of W and of J_t", "spectra_panels", needs="spectrum",
          gated_words="Eigenvalues of J_t"),
    Panel("theory", "Theory beside measurement", "spectra_panels", needs="spectrum",
          why_empty="no theory applies to this cell; choose --panel lyapunov",
          present=lambda analysis: bool(getattr(analysis.details.spectrum, "theory", None))),
)  # fmt: skip

PANELS: Mapping[str, Panel] = {each.name: each for each in ROWS}
"""In the order of a report."""
