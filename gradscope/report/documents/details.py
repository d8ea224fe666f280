"""The detailed measurements as parts of a document: null where they were not asked for."""

from typing import Any

from gradscope.analysis.details import Spectrum
from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, ComplexArray, plain
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.shares import GradientShares
from gradscope.report.documents.rows import SHARE_COLUMNS, median_map, share_columns
from gradscope.report.formats import Document
from gradscope.report.words.theory import objection_sentence


def details_document(analysis: Analysis) -> Document:
    """Return map, shares, spectrum and verification of the last stage."""
    details, allowed = analysis.details, analysis.settings.truncation_error
    return {
        "map": None if details.map is None else _map(details.map),
        "shares": None if details.shares is None else _shares(details.shares, allowed),
        "spectrum": None if details.spectrum is None else _spectrum(details.spectrum),
        "verification": None
        if details.verification is None
        else {
            "lags": plain(details.verification.lags),
            "worst_deviation": plain(details.verification.worst),
        },
    }


def _map(found: LagMap) -> Document:
    middle = median_map(found.log_norms) / LN_10
    return {
        "times": plain(found.times),
        "log10_norm_median": [plain(row[: place + 1]) for place, row in enumerate(middle)],
        "rows": "one a later state, from the earliest state to itself",
        "null_because": ZERO_PRODUCT if found.times.size > 1 else None,
        "certificate": float(found.certificate.max()),
    }


def _shares(shares: GradientShares, allowed: float) -> Document:
    length = shares.truncation_length(allowed)
    return {
        **dict(zip(SHARE_COLUMNS, plain(share_columns(shares)), strict=True)),
        "null_because": "nothing arrives at that lag",
        "truncation": {
            "error": allowed,
            "length": length,
            "null_because": "no lag here keeps the error so small" if length is None else None,
        },
    }


def _spectrum(spectrum: Spectrum) -> Document:
    singular, lyapunov = spectrum.singular, spectrum.lyapunov
    return {
        "singular_values": {
            "lags": plain(singular.lags),
            "log10_values": plain(singular.log_values / LN_10),
            "log10_condition": plain(singular.log_condition / LN_10),
            "stable_rank": plain(singular.stable_rank),
            "participation_ratio": plain(singular.participation_ratio),
            "null_because": "the direction is dead: its singular value is exactly zero",
        },
        "lyapunov": {
            "exponents_nats_per_step": plain(lyapunov.exponents),
            "standard_errors": plain(lyapunov.standard_errors),
            "trusted": plain(lyapunov.trusted),
            "sum_rule_residual": plain(lyapunov.sum_rule_residual),
            "kaplan_yorke_dimension": plain(lyapunov.kaplan_yorke_dimension),
            "entropy_rate_nats_per_step": plain(lyapunov.entropy_rate),
            "null_because": "a direction is dead, or there is too little to tell",
        },
        "eigenvalues": _complex(spectrum.eigenvalues),
        "jacobian_eigenvalues": {
            "steps": plain(spectrum.sampled_steps),
            "values": [_complex(each) for each in spectrum.jacobian_eigenvalues],
        },
        "theory": [
            {
                "name": str(each.name),
                "rate_nats_per_step": plain(each.rate),
                "depth_scale": plain(each.depth_scale),
                "applies": each.applies,
                "objection": objection_sentence(each.objection) or None,
                "source": each.source,
            }
            for each in spectrum.theory
        ],
    }


def _complex(values: ComplexArray) -> list[Any]:
    """Return complex numbers as pairs of real and imaginary part."""
    return [[value.real, value.imag] for value in values.tolist()]
