"""The map, the shares, the spectrum and the verification of an analysis as a document."""

import numpy as np

from gradscope.analysis import fields
from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.arrays import LN_10, ComplexArray, FloatArray, plain
from gradscope.diagnosis.motion import STEPS_ALONE, Motion
from gradscope.diagnosis.theory import Prediction
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.shares import GradientShares
from gradscope.report.documents import rows as tables
from gradscope.report.formats import Document, named
from gradscope.report.words.theory import objection_sentence


def details_document(analysis: Analysis) -> Document:
    """Return the measurements of the last stage, null where not asked for."""
    details, settings = analysis.details, analysis.settings
    memory, depth = details.memory, details.depth
    adjoints = None if depth is None else depth.log_adjoints
    checked = details.verification
    verification = checked and {
        **named(checked, "lags", "swept_lag", worst_deviation="worst"),
        "swept_lag_null_because": None if checked.swept_lag else "too much work",
    }
    document: Document = plain(
        {
            "map": details.map and _map(details.map),
            "shares": details.shares and _shares(details.shares, settings.truncation_error),
            "spectrum": details.spectrum and _spectrum(details.spectrum, settings),
            "memory": memory
            and {
                **named(memory, "delays", "capacity", "units", "steps_for_half"),
                "r_squared": memory.explained,
                "sharp": memory.sharp(analysis.last.verdict.regime),
                "sensitivity": {**memory.sensitivity, "null_because": fields.OVERFLOWS},
                "null_because": "the state overflows",
            },
            "verification": verification,
            "depth": depth
            and {
                **named(depth, "layers", "certificate"),
                "log10_norm_median_by_lag": tables.median_map(depth.log_norms) / LN_10,
                "log10_adjoint_by_step": adjoints if adjoints is None else adjoints / LN_10,
                "null_because": "nothing arrives; without targets no adjoints",
            },
        }
    )
    return document


def _map(found: LagMap) -> Document:
    middle = tables.median_map(found.log_norms) / LN_10
    return {
        "times": found.times,
        "log10_norm_median": [row[: place + 1] for place, row in enumerate(middle)],
        "rows": "one per later state, from the earliest state to itself",
        "null_because": fields.ZERO_PRODUCT if found.times.size > 1 else None,
        "certificate": float(found.certificate.max()),
    }


def _shares(shares: GradientShares, allowed: float) -> Document:
    length = shares.truncation_length(allowed)
    return {
        **tables.share_columns(shares),
        "null_because": "nothing arrives at that lag",
        "truncation": {
            "error": allowed,
            "length": length,
            "null_because": "no lag here keeps the error so small" if length is None else None,
        },
    }


def _spectrum(spectrum: Spectrum, settings: Settings) -> Document:
    singular, expected = spectrum.singular, spectrum.expected
    return {
        "singular_values": {
            "lags": singular.lags,
            "sequences": singular.log_values.shape[1],
            "log10_values": singular.log_values / LN_10,
            "log10_condition": singular.log_condition / LN_10,
            **named(singular, "stable_rank", "participation_ratio"),
            "null_because": "zero, or too far below the others for double precision",
        },
        "lyapunov": _lyapunov(spectrum, settings),
        "motion": _motion(spectrum.motion),
        "alone": {"steps": STEPS_ALONE // 2, **_motion(spectrum.alone)},
        "wide_network": expected
        and {
            "exponents_nats_per_step": expected.exponents[0],
            "kaplan_yorke_dimension": expected.kaplan_yorke_dimension[0],
            "entropy_rate_nats_per_step": expected.entropy_rate[0],
            "applies": spectrum.against_expected is None,
            "objection": objection_sentence(spectrum.against_expected) or None,
            "null_because": "units of slope 0 kill the direction",
        },
        "eigenvalues": pairs(spectrum.eigenvalues),
        "jacobian_eigenvalues": {
            "steps": spectrum.sampled_steps,
            "values": pairs(spectrum.jacobian_eigenvalues),
        },
        "theory": [_prediction(each) for each in spectrum.theory],
    }


def _lyapunov(spectrum: Spectrum, settings: Settings) -> Document:
    found, stays = spectrum.lyapunov, spectrum.motion.on_attractor
    none = [None] * found.exponents.shape[0]
    return {
        "sequences": found.exponents.shape[0],
        "burn_in": found.warm_up,
        "steps": found.n_steps,
        "exponents_nats_per_step": found.exponents,
        **{
            f"exponents_nats_per_{unit}": found.exponents * count
            for unit, count in settings.steps_per.items()
        },
        **named(found, "standard_errors", "trusted", "sum_rule_residual"),
        "kaplan_yorke_dimension": found.kaplan_yorke_dimension if stays else none,
        "entropy_rate_nats_per_step": found.entropy_rate if stays else none,
        "null_because": "a direction is dead, there is too little to tell, or the state stays "
        "at a point that it would leave, or grows without bound",
    }


def _prediction(found: Prediction) -> Document:
    numbers = ("depth_scale", "correlation", "correlation_depth")
    return {
        **named(found, "name", *numbers, "applies", "source", rate_nats_per_step="rate"),
        "objection": objection_sentence(found.objection) or None,
    }


def _motion(motion: Motion) -> Document:
    return {
        **named(motion, "standard_error", "period", what="code", exponent_nats_per_step="exponent"),
        "null_because": "no cycle, no batches of steps to tell an error from, or a dead direction",
    }


def pairs(values: ComplexArray) -> FloatArray:
    """Return complex numbers (…) as pairs of real and imaginary part (…,2)."""
    return np.stack([values.real, values.imag], axis=-1)
