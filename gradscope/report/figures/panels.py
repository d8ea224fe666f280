"""The panels of a report, one row each: what draws it, how to read it for one run, its numbers.

To add a panel, write ``NAME_panel``, ``NAME_caption``, ``NAME_rows`` and add its row; modules are
imported when a panel of theirs is used, so that help pages need no NumPy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from gradscope.errors import SettingError
from gradscope.names import CellName, ColumnWidth, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.rows import Rows


class Band(StrEnum):
    """What a panel is about: the parts of a sheet."""

    WHETHER = "Whether"
    WHY = "Why"
    DEPTH = "In depth"


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One picture of a report, by the ``name`` that ``--panel`` has for it.

    ``words`` is its title, ``gated_words`` that for a gated cell, where it differs. ``needs`` is a
    setting that measures what it shows, "" for what every analysis has; ``present`` says whether an
    analysis has it all the same, ``why_empty`` what to do where it has not. ``drawn_in`` is the
    module in ``figures`` that draws it, ``band`` the part of a sheet and ``across``
    how many columns it has there, ``term`` the glossary's entry on it where that has another name.
    """

    name: str
    words: str
    drawn_in: str
    band: Band = Band.DEPTH
    needs: str = ""
    why_empty: str = ""
    present: "Callable[[Analysis], bool]" = lambda _analysis: True
    gated_words: str = ""
    across: int = 1
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


SUFFIXES = (".png", ".svg", ".pdf")


def picture_suffix(path: Path) -> str:
    """Return the ending of a picture's name; SettingError if no picture ends so."""
    if path.suffix.lower() not in SUFFIXES:
        fault = f"ends in {path.suffix or 'nothing'}; choose {', '.join(SUFFIXES)}"
        raise SettingError(f"the picture {path} {fault}")
    return path.suffix.lower()


HERO = "hero"
"""What ``--panel`` calls the picture that leads a report."""


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn of an analysis, and in which form: these ``panels`` alone, as wide as ``width``
    says; or a ``sheet`` of all, or a ``card`` for a web page; in a ``theme``, with so many ``dpi``.
    """

    panels: tuple[str, ...] = ()
    width: ColumnWidth = ColumnWidth.DOUBLE
    sheet: bool = False
    card: bool = False
    theme: Theme = Theme.PAPER
    dpi: int | None = None

    @property
    def chosen(self) -> str:
        """What asks for anything but the report; empty for that."""
        if self.panels:
            return f"--panel is {self.panels[0]}"
        return "--sheet is given" if self.sheet else "--card is given" if self.card else ""

    @property
    def needs(self) -> dict[str, Any]:
        """The settings that measure what the panels show."""
        asked = (PANELS[name].needs for name in self.panels if name not in (HERO, "depth"))
        return dict.fromkeys(filter(None, asked), True)

    def require(self, analysis: "Analysis") -> None:
        """Raise SettingError if an analysis has nothing that one of the panels could show."""
        for name in self.panels:
            if name != HERO and not PANELS[name].shown(analysis):
                raise SettingError(f"--panel is {name}, but {PANELS[name].why_empty}")

    def files(self, paths: Sequence[Path] | None) -> list[tuple[str, Path]]:
        """Return the panel ("" for a page) of each file; several panels lend theirs their names."""
        names = self.panels or ("",)
        several = len(names) > 1
        return [
            (name, path.with_stem(f"{path.stem}-{name}") if several else path)
            for name in names
            for path in paths or ()
        ]


REPORT = View()


def checked_panels(names: Sequence[str] | None) -> list[str]:
    """Return names of panels, each once; SettingError if one is of no panel."""
    for name in names or ():
        if name not in (HERO, *PANELS):
            raise SettingError(f"--panel is {name!r}; choose one of {HERO}, {', '.join(PANELS)}")
    return list(dict.fromkeys(names or ()))


NOT_KNOWN = "of a step of your own it is not known; choose --panel profile"

ROWS = (
    Panel("profile", "Gradient that arrives, by lag", "profile_panels", Band.WHETHER, across=2),
    Panel("parameters", "Effect of the parameters, by lag",
          "profile_panels", Band.WHETHER, term="parameter profile", why_empty=NOT_KNOWN,
          present=lambda analysis: analysis.last.parameter_profile.lags.size > 0),
    Panel("causes", "Why: causes of the growth rate", "profile_panels", Band.WHY),
    Panel("gradient", "Gradient norm by time step", "time_panels", Band.WHETHER,
          why_empty="there are no targets; give --readout NAME and --targets FILE",
          present=lambda analysis: analysis.last.gradient is not None),
    Panel("slopes", "Saturation: slopes over time", "time_panels", Band.WHY,
          why_empty=NOT_KNOWN, present=lambda analysis: analysis.last.slopes.median.size > 0),
    Panel("saturation", "All slopes over time", "time_panels", Band.WHY,
          why_empty=NOT_KNOWN, present=lambda analysis: analysis.last.slopes.median.size > 0),
    Panel("training", "Training", "time_panels", Band.WHETHER, term="loss",
          why_empty="nothing was trained; give --updates N",
          present=lambda analysis: analysis.history is not None),
    Panel("map", "Every state against earlier ones", "spectra_panels", Band.WHETHER, needs="map"),
    Panel("depth", "What arrives at each layer, by lag", "spectra_panels", Band.WHETHER,
          needs="depth", why_empty="there is no stack of one direction", term="lag map"),
    Panel("singular", "Singular values, a curve per lag", "spectra_panels",
          needs="spectrum"),
    Panel("shares", "The gradient by lag", "spectra_panels", needs="shares"),
    Panel("memory", "Past inputs that can be read out",
          "spectra_panels", needs="memory", term="memory function"),
    Panel("sensitivity", "Sensitivity to θ", "spectra_panels",
          needs="memory"),
    Panel("lyapunov", "Lyapunov exponents", "spectra_panels", needs="spectrum"),
    Panel("eigenvalues", "Eigenvalues of W and of J_t", "spectra_panels", Band.WHY,
          needs="spectrum", gated_words="Eigenvalues of J_t"),
    Panel("theory", "Theory beside measurement", "spectra_panels", Band.WHY, needs="spectrum",
          why_empty="no theory applies to this cell; choose --panel lyapunov",
          present=lambda analysis: bool(getattr(analysis.details.spectrum, "theory", None))),
)  # fmt: skip

PANELS: Mapping[str, Panel] = {each.name: each for each in ROWS}
"""In the order of a report."""
