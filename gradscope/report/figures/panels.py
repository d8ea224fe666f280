"""The panels of a report, one row each: what draws it, how to read it for one run, its numbers.

Pages, ``--panel``, the HTML report and ``explain`` all choose from ``PANELS``. To add a panel,
write its drawing and add its row; rows import what they name when it is used, so that help pages
need no NumPy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from gradscope.errors import SettingError
from gradscope.names import CellName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.rows import Rows

Lazy = Callable[[], Callable[..., Any]]
"""Returns a function of a module that needs NumPy."""


def _profiles() -> ModuleType:
    from gradscope.report.figures import profile_panels

    return profile_panels


def _times() -> ModuleType:
    from gradscope.report.figures import time_panels

    return time_panels


def _spectra() -> ModuleType:
    from gradscope.report.figures import spectra_panels

    return spectra_panels


def _captions() -> ModuleType:
    from gradscope.report.words import captions

    return captions


def _rows() -> ModuleType:
    from gradscope.report.documents import rows

    return rows


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One picture of a report.

    Parameters
    ----------
    name : str
        As ``--panel`` spells it.
    words : str
        The title; ``gated_words`` that for a gated cell, where it differs.
    drawing, caption, numbers : callable
        Return the functions that draw it on axes, say in a sentence or two how to read it for this
        run, and return its columns and rows.
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
    drawing: Lazy
    caption: Lazy
    numbers: Lazy
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
        """Draw it under its title."""
        from gradscope.report.figures.style import set_title

        set_title(axes, self.title(analysis))
        self.drawing()(axes, analysis)

    def reading(self, analysis: "Analysis") -> str:
        """Return how to read it for this run."""
        return str(self.caption()(analysis))

    def rows(self, analysis: "Analysis") -> "Rows":
        """Return its columns and rows of numbers."""
        found: Rows = self.numbers()(analysis)
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
        lambda: _profiles().profile_panel,
        lambda: _captions().profile_caption,
        lambda: _rows().profile_table,
    ),
    Panel(
        "parameters", "How much the parameters of one step change the last state, by lag",
        lambda: _profiles().parameters_panel,
        lambda: _captions().parameters_caption,
        lambda: _rows().parameter_rows,
        term="parameter profile",
    ),
    Panel(
        "causes", "Why: causes of the growth rate",
        lambda: _profiles().causes_panel,
        lambda: _captions().causes_caption,
        lambda: _profiles().cause_rows,
    ),
    Panel(
        "gradient", "Gradient norm by time step",
        lambda: _times().gradient_panel,
        lambda: _captions().gradient_caption,
        lambda: _times().gradient_rows,
        why_empty="there are no targets; give --readout NAME and --targets FILE",
        present=lambda analysis: analysis.last.gradient is not None,
    ),
    Panel(
        "slopes", "Saturation: slopes over time",
        lambda: _times().slopes_panel,
        lambda: _captions().slopes_caption,
        lambda: _times().slope_rows,
    ),
    Panel(
        "saturation", "Saturation: all slopes over time",
        lambda: _times().saturation_panel,
        lambda: _captions().saturation_caption,
        lambda: _times().saturation_rows,
    ),
    Panel(
        "training", "Training",
        lambda: _times().training_panel,
        lambda: _captions().training_caption,
        lambda: _times().training_rows,
        why_empty="nothing was trained; give --updates N",
        present=lambda analysis: analysis.training is not None, term="loss",
    ),
    Panel(
        "map", "Every state against every earlier one",
        lambda: _spectra().map_panel, lambda: _captions().map_caption, lambda: _rows().map_rows,
        needs="map",
    ),
    Panel(
        "singular", "Singular values, a curve per lag",
        lambda: _spectra().singular_panel,
        lambda: _captions().singular_caption,
        lambda: _rows().singular_rows,
        needs="spectrum",
    ),
    Panel(
        "shares", "The gradient by lag",
        lambda: _spectra().shares_panel,
        lambda: _captions().shares_caption,
        lambda: _rows().share_rows,
        needs="shares",
    ),
    Panel(
        "lyapunov", "Lyapunov exponents",
        lambda: _spectra().lyapunov_panel,
        lambda: _captions().lyapunov_caption,
        lambda: _rows().lyapunov_rows,
        needs="spectrum",
    ),
    Panel(
        "eigenvalues", "Eigenvalues of W and of J_t",
        lambda: _spectra().eigenvalues_panel, lambda: _captions().eigenvalues_caption,
        lambda: _rows().eigenvalue_rows,
        needs="spectrum", gated_words="Eigenvalues of J_t",
    ),
    Panel(
        "theory", "Theory beside measurement",
        lambda: _spectra().theory_panel,
        lambda: _captions().theory_caption,
        lambda: _rows().theory_rows,
        needs="spectrum", why_empty="no theory applies to this cell; choose --panel lyapunov",
        present=lambda analysis: bool(getattr(analysis.details.spectrum, "theory", None)),
    ),
)  # fmt: skip

PANELS: Mapping[str, Panel] = MappingProxyType({each.name: each for each in ROWS})
"""In the order of a report."""
