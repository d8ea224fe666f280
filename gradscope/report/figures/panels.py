"""The panels of a report, one row each: what draws it, how to read it for one run, its numbers.

Pages, ``--panel``, the HTML report and ``explain`` all choose from ``PANELS``. To add a panel,
write its drawing and add its row; rows name functions by where they are, so that help pages need no
NumPy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradscope.errors import SettingError
from gradscope.names import CellName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradscope.analysis.results import Analysis

Rows = tuple[tuple[str, ...], list[list[Any]]]

CAPTIONS, NUMBERS = "words.captions", "documents.rows"
PROFILES, TIMES = "figures.profile_panels", "figures.time_panels"
SPECTRA = "figures.spectra_panels"


def _gated(analysis: "Analysis") -> bool:
    return analysis.settings.cell is not CellName.ELMAN


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One picture of a report.

    Parameters
    ----------
    name : str
        As ``--panel`` spells it.
    words : str
        The title; ``title`` has that of one run.
    drawing, caption, numbers : str
        Functions of ``gradscope.report``, as "package.module.function": ``drawing(axes, analysis)``
        draws, ``caption(analysis)`` says in a sentence or two how to read it for this run,
        ``numbers(analysis)`` returns columns and rows.
    needs : str
        The setting that measures what it shows, "" for what every analysis has.
    why_empty : str
        Why a run may have nothing to show all the same, and what to do about it.
    present : callable
        Whether an analysis has it, beyond ``needs``.
    term : str
        The glossary's entry on it, "" where that has the name of the panel.
    """

    name: str
    words: str
    drawing: str
    caption: str
    numbers: str
    needs: str = ""
    why_empty: str = ""
    present: "Callable[[Analysis], bool]" = lambda _analysis: True
    gated_words: str = ""
    term: str = ""

    def title(self, analysis: "Analysis") -> str:
        """Return what it shows; a gated cell has no one W."""
        return self.gated_words if self.gated_words and _gated(analysis) else self.words

    def shown(self, analysis: "Analysis") -> bool:
        """Whether the analysis has what it needs."""
        measured = not self.needs or getattr(analysis.details, self.needs) is not None
        return measured and self.present(analysis)

    def draw(self, axes: "Axes", analysis: "Analysis") -> None:
        """Draw it under its title."""
        function_at("figures.style.set_title")(axes, self.title(analysis))
        function_at(self.drawing)(axes, analysis)

    def reading(self, analysis: "Analysis") -> str:
        """Return how to read it for this run."""
        return str(function_at(self.caption)(analysis))

    def rows(self, analysis: "Analysis") -> Rows:
        """Return its columns and rows of numbers."""
        found: Rows = function_at(self.numbers)(analysis)
        return found


def function_at(place: str) -> Callable[..., Any]:
    """Return a function of ``gradscope.report`` by where it is."""
    module, _, name = place.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(f"gradscope.report.{module}"), name)
    return found


def checked_panel(name: str | None) -> str | None:
    """Return the name of a panel, None for none.

    Raises
    ------
    SettingError
        If there is no such panel.
    """
    if name is None or name in PANELS:
        return name
    raise SettingError(f"--panel is {name!r}; choose one of {', '.join(PANELS)}")


ROWS = (
    Panel(
        "profile", "How much of the gradient arrives, by lag",
        f"{PROFILES}.profile_panel", f"{CAPTIONS}.profile_caption", f"{NUMBERS}.profile_table",
    ),
    Panel(
        "causes", "Why: what makes the growth rate",
        f"{PROFILES}.causes_panel", f"{CAPTIONS}.causes_caption", f"{PROFILES}.cause_rows",
    ),
    Panel(
        "gradient", "Gradient norm by time step",
        f"{TIMES}.gradient_panel", f"{CAPTIONS}.gradient_caption", f"{TIMES}.gradient_rows",
        why_empty="there are no targets; give --readout NAME and --targets FILE",
        present=lambda analysis: analysis.last.gradient is not None,
    ),
    Panel(
        "slopes", "Saturation: slopes over time",
        f"{TIMES}.slopes_panel", f"{CAPTIONS}.slopes_caption", f"{TIMES}.slope_rows",
    ),
    Panel(
        "saturation", "Saturation: all slopes over time",
        f"{TIMES}.saturation_panel", f"{CAPTIONS}.saturation_caption", f"{TIMES}.saturation_rows",
    ),
    Panel(
        "training", "Training",
        f"{TIMES}.training_panel", f"{CAPTIONS}.training_caption", f"{TIMES}.training_rows",
        why_empty="nothing was trained; give --updates N",
        present=lambda analysis: analysis.training is not None, term="loss",
    ),
    Panel(
        "map", "Every state against every earlier one",
        f"{SPECTRA}.map_panel", f"{CAPTIONS}.map_caption", f"{NUMBERS}.map_rows",
        needs="map",
    ),
    Panel(
        "singular", "Singular values, a curve per lag",
        f"{SPECTRA}.singular_panel", f"{CAPTIONS}.singular_caption", f"{NUMBERS}.singular_rows",
        needs="spectrum",
    ),
    Panel(
        "shares", "The gradient by lag",
        f"{SPECTRA}.shares_panel", f"{CAPTIONS}.shares_caption", f"{NUMBERS}.share_rows",
        needs="shares",
    ),
    Panel(
        "lyapunov", "Lyapunov exponents",
        f"{SPECTRA}.lyapunov_panel", f"{CAPTIONS}.lyapunov_caption", f"{NUMBERS}.lyapunov_rows",
        needs="spectrum",
    ),
    Panel(
        "eigenvalues", "Eigenvalues of W and of J_t",
        f"{SPECTRA}.eigenvalues_panel", f"{CAPTIONS}.eigenvalues_caption",
        f"{NUMBERS}.eigenvalue_rows",
        needs="spectrum", gated_words="Eigenvalues of J_t",
    ),
    Panel(
        "theory", "Theory beside measurement",
        f"{SPECTRA}.theory_panel", f"{CAPTIONS}.theory_caption", f"{NUMBERS}.theory_rows",
        needs="spectrum", why_empty="no theory applies to this cell; choose --panel lyapunov",
        present=lambda analysis: bool(getattr(analysis.details.spectrum, "theory", None)),
    ),
)  # fmt: skip

PANELS: Mapping[str, Panel] = MappingProxyType({each.name: each for each in ROWS})
"""In the order of a report."""
