"""The panels of a report by name: what draws each, how to read it for one run, its numbers.

The figure of a page, ``--panel`` and the HTML report all choose from ``PANELS``. Each is drawn by
``figures_panels``, ``figures_course`` or ``figures_spectra``, and put into words by ``readings``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.analysis.results import SLOPE_EDGES, Analysis
from gradscope.diagnosis.growth import terms_of
from gradscope.names import PanelName
from gradscope.report.documents import rows as detail_rows
from gradscope.report.documents.rows import PROFILE_COLUMNS, profile_rows
from gradscope.report.figures import profile_panels as draw
from gradscope.report.figures import spectra_panels as draw_closer
from gradscope.report.figures import time_panels as draw_course
from gradscope.report.words import captions
from gradscope.report.words.numbers import LN_10

Rows = tuple[tuple[str, ...], list[list[Any]]]


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """One picture of a report.

    ``title(analysis)`` names what it shows, ``draw(axes, analysis)`` draws it,
    ``reading(analysis)`` says in one sentence how to read it for this run, ``rows(analysis)`` gives
    its numbers, ``shown(analysis)`` whether the analysis has what it needs.
    """

    title: Callable[[Analysis], str]
    draw: Callable[[Any, Analysis], None]
    reading: Callable[[Analysis], str]
    rows: Callable[[Analysis], Rows]
    shown: Callable[[Analysis], bool] = lambda _analysis: True


def _always(title: str) -> Callable[[Analysis], str]:
    return lambda _analysis: title


def _cause_rows(analysis: Analysis) -> Rows:
    names = (*terms_of(analysis.last.causes), "total")
    rows = [
        [str(stage.name), *(getattr(stage.causes, name) for name in names)]
        for stage in analysis.stages
    ]
    return ("stage", *(f"{name}_nats_per_step" for name in names)), rows


def _gradient_rows(analysis: Analysis) -> Rows:
    rows = [
        [str(stage.name), step, value if np.isfinite(value) else None]
        for stage in analysis.stages
        if stage.gradient is not None
        for step, value in enumerate((stage.gradient.log_by_step / LN_10).tolist())
    ]
    return ("stage", "step", "log10_norm"), rows


def _slope_rows(analysis: Analysis) -> Rows:
    rows = [
        [str(stage.name), step, *values]
        for stage in analysis.stages
        for step, values in enumerate(
            np.stack([stage.slopes.p05, stage.slopes.median, stage.slopes.p95], axis=1).tolist(), 1
        )
    ]
    return ("stage", "step", "p05", "median", "p95"), rows


def _saturation_rows(analysis: Analysis) -> Rows:
    slopes = analysis.last.slopes
    columns = tuple(f"up_to_{edge:.2f}_of_ceiling" for edge in SLOPE_EDGES[1:])
    rows = [[step, *row] for step, row in enumerate(slopes.histogram.tolist(), 1)]
    return ("step", *columns), rows


def _training_rows(analysis: Analysis) -> Rows:
    history = analysis.training
    if history is None:
        return ("update", "error_per_step", "gradient_norm", "clipped"), []
    columns = (history.error_per_step, history.gradient_norm, history.clipped)
    rows = [
        [update, *values]
        for update, values in enumerate(zip(*(c.tolist() for c in columns), strict=True), 1)
    ]
    return ("update", "error_per_step", "gradient_norm", "clipped"), rows


def _has_spectrum(analysis: Analysis) -> bool:
    return analysis.details.spectrum is not None


def _has_theory(analysis: Analysis) -> bool:
    return analysis.details.spectrum is not None and bool(analysis.details.spectrum.theory)


PANELS: Mapping[PanelName, Panel] = MappingProxyType(
    {
        PanelName.PROFILE: Panel(
            _always("How much of the gradient arrives, by lag"),
            draw.profile_panel,
            captions.profile_caption,
            lambda analysis: (PROFILE_COLUMNS, profile_rows(analysis)),
        ),
        PanelName.CAUSES: Panel(
            _always("Why: what makes the growth rate"),
            draw.causes_panel,
            captions.causes_caption,
            _cause_rows,
        ),
        PanelName.GRADIENT: Panel(
            _always("Gradient norm by time step"),
            draw_course.gradient_panel,
            captions.gradient_caption,
            _gradient_rows,
            lambda analysis: analysis.last.gradient is not None,
        ),
        PanelName.SLOPES: Panel(
            _always("Saturation: slopes over time"),
            draw_course.slopes_panel,
            captions.slopes_caption,
            _slope_rows,
        ),
        PanelName.SATURATION: Panel(
            _always("Saturation: all slopes over time"),
            draw_course.saturation_panel,
            captions.saturation_caption,
            _saturation_rows,
        ),
        PanelName.TRAINING: Panel(
            _always("Training"),
            draw_course.training_panel,
            captions.training_caption,
            _training_rows,
            lambda analysis: analysis.training is not None,
        ),
        PanelName.MAP: Panel(
            _always("Every state against every earlier one"),
            draw_closer.map_panel,
            captions.map_caption,
            detail_rows.map_rows,
            lambda analysis: analysis.details.map is not None,
        ),
        PanelName.SINGULAR: Panel(
            _always("Singular values, a curve per lag"),
            draw_closer.singular_panel,
            captions.singular_caption,
            detail_rows.singular_rows,
            _has_spectrum,
        ),
        PanelName.SHARES: Panel(
            _always("The gradient by lag"),
            draw_closer.shares_panel,
            captions.shares_caption,
            detail_rows.share_rows,
            lambda analysis: analysis.details.shares is not None,
        ),
        PanelName.LYAPUNOV: Panel(
            _always("Lyapunov exponents"),
            draw_closer.lyapunov_panel,
            captions.lyapunov_caption,
            detail_rows.lyapunov_rows,
            _has_spectrum,
        ),
        PanelName.EIGENVALUES: Panel(
            captions.eigenvalues_title,
            draw_closer.eigenvalues_panel,
            captions.eigenvalues_caption,
            detail_rows.eigenvalue_rows,
            _has_spectrum,
        ),
        PanelName.THEORY: Panel(
            _always("Theory beside measurement"),
            draw_closer.theory_panel,
            captions.theory_caption,
            detail_rows.theory_rows,
            _has_theory,
        ),
    }
)
