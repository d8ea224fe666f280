"""The closer look as parts of a document: null where it was not taken."""

from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis, Stage
from gradscope.arrays import ComplexArray
from gradscope.diagnosis.growth import Tail
from gradscope.report.documents.rows import map_rows, median_map, share_rows
from gradscope.report.formats import Document, finite, head, numbers
from gradscope.report.words.numbers import LN_10
from gradscope.report.words.theory import objection_sentence


def details_document(analysis: Analysis) -> Document:
    """Return map, shares, spectrum and verification of the last stage."""
    details = analysis.details
    return {
        "map": None if details.map is None else _map(analysis),
        "shares": None if details.shares is None else _shares(analysis),
        "spectrum": None if details.spectrum is None else _spectrum(details.spectrum),
        "verification": None
        if details.verification is None
        else {
            "lags": details.verification.lags.tolist(),
            "worst_deviation": finite(details.verification.worst),
        },
    }


def spectrum_document(analysis: Analysis) -> Document:
    """Return the spectrum of the last stage beside the growth rate that was measured, and the
    certificate of the profile it was measured on.
    """
    spectrum = analysis.details.spectrum
    stage = analysis.last
    return {
        **head("spectrum", analysis.settings.as_dict()),
        "stage": str(stage.name),
        **rate_document(stage),
        "certificate": stage.profile.certificate,
        "spectrum": None if spectrum is None else _spectrum(spectrum),
    }


def rate_document(stage: Stage) -> Document:
    """Return the growth rate, nats per step: the interval that holds it at 95 % confidence, and the
    two points of the mean profile between which it was taken.
    """
    growth = stage.growth
    zero = None if growth.tail is not None else "the product is exactly zero"
    held = growth.low is not None
    return {
        "rate_nats_per_step": growth.rate,
        "rate_null_because": zero,
        "rate_interval_95": [growth.low, growth.high] if held else None,
        "rate_interval_null_because": None if held else zero or "too few sequences and lags",
        "rate_between": None if growth.tail is None else _between(growth.tail),
    }


def _between(tail: Tail) -> Document:
    return {
        "lags": list(tail.lags),
        "log10_norm": [each / LN_10 for each in tail.log_norms],
        "sequences": tail.sequences,
        "of": tail.of,
    }


def _map(analysis: Analysis) -> Document:
    found = analysis.details.map
    if found is None:
        return {}
    middle = median_map(found.log_norms) / LN_10
    return {
        "times": found.times.tolist(),
        "log10_norm_median": [numbers(row[: place + 1]) for place, row in enumerate(middle)],
        "rows": "one a later state, from the earliest state to itself",
        "null_because": "the product is exactly zero" if len(map_rows(analysis)[1]) else None,
        "certificate": float(found.certificate.max()),
    }


def _shares(analysis: Analysis) -> Document:
    shares, allowed = analysis.details.shares, analysis.settings.truncation_error
    columns, rows = share_rows(analysis)
    length = None if shares is None else shares.truncation_length(allowed)
    return {
        **{name: [row[place] for row in rows] for place, name in enumerate(columns)},
        "null_because": "nothing arrives at that lag",
        "truncation": {
            "error": allowed,
            "length": length,
            "null_because": "no lag here keeps the error so small" if length is None else None,
        },
    }


def _spectrum(spectrum: Spectrum) -> Document:
    singular, lyapunov = spectrum.singular, spectrum.lyapunov
    residual = lyapunov.sum_rule_residual
    return {
        "singular_values": {
            "lags": singular.lags.tolist(),
            "log10_values": [
                [numbers(values) for values in of_lag] for of_lag in singular.log_values / LN_10
            ],
            "log10_condition": [numbers(each) for each in singular.log_condition / LN_10],
            "stable_rank": [numbers(each) for each in singular.stable_rank],
            "participation_ratio": [numbers(each) for each in singular.participation_ratio],
            "null_because": "the direction is dead: its singular value is exactly zero",
        },
        "lyapunov": {
            "exponents_nats_per_step": [numbers(each) for each in lyapunov.exponents],
            "standard_errors": [numbers(each) for each in lyapunov.standard_errors],
            "trusted": lyapunov.trusted.tolist(),
            "sum_rule_residual": None if residual is None else numbers(residual),
            "kaplan_yorke_dimension": numbers(lyapunov.kaplan_yorke_dimension),
            "entropy_rate_nats_per_step": numbers(lyapunov.entropy_rate),
            "null_because": "a direction is dead, or there is too little to tell",
        },
        "eigenvalues": _complex(spectrum.eigenvalues),
        "jacobian_eigenvalues": {
            "steps": spectrum.sampled_steps.tolist(),
            "values": [_complex(each) for each in spectrum.jacobian_eigenvalues],
        },
        "theory": [
            {
                "name": str(each.name),
                "rate_nats_per_step": finite(each.rate),
                "depth_scale": finite(each.depth_scale),
                "applies": each.applies,
                "objection": objection_sentence(each.objection) or None,
                "source": each.source,
            }
            for each in spectrum.theory
        ],
    }


def _complex(values: ComplexArray) -> list[list[float]]:
    """Return complex numbers as pairs of real and imaginary part."""
    return [[value.real, value.imag] for value in values.tolist()]
