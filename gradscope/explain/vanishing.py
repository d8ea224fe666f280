"""σ_max of the running product J_T J_{T−1} ⋯, factor by factor, beside what bounds it.

    σ_max(∂h_T/∂h_{T−ℓ}) ≤ Π σ_max(J_t) ≤ (γ σ_max(W))^ℓ,

and the lag at which the same product, multiplied directly in float64, is exactly zero. Source:
Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 2.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import LN_10, FloatArray, IntArray, plain
from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.theory import log_spectral_norm
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, elman_chain
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName
from gradscope.report.formats import Document, head, named
from gradscope.report.terminal.table import Page, scientific, table_lines
from gradscope.report.words.numbers import NEGLIGIBLE, fraction, level, number, pace

MAX_STEPS, MAX_UNITS, MAX_GAIN = 1000, 32, 100.0
"""Limits that keep the lesson under a second."""

THRESHOLD = 1e-3
"""σ_max below which a state hardly depends on the earlier one, as in ``diagnosis.verdict``."""


@dataclass(frozen=True, eq=False, slots=True)
class ProductLesson:
    """One network's product of Jacobians, lag by lag.

    ``lags`` (L,) in steps; ``log_factors`` (L,) is log σ_max(J_{T−ℓ+1}), the factor that joins at
    lag ℓ; ``log_norms`` (L,) log σ_max of the product, ``log_factor_products`` (L,) the sum of the
    factors' logarithms, ``log_bound`` (L,) that of the bound, all in nats. ``horizon`` is the first
    lag at which σ_max is below ``THRESHOLD``; ``zero_lag`` and ``infinite_lag`` the first at which
    the product in float64 is exactly zero, or no longer finite; None where there is none.
    """

    activation: ActivationName
    slope_ceiling: float
    log_weight_norm: float
    lags: IntArray
    log_factors: FloatArray
    log_norms: FloatArray
    log_factor_products: FloatArray
    log_bound: FloatArray
    rate: float
    horizon: int | None
    zero_lag: int | None
    infinite_lag: int | None


def check_lesson(steps: int, hidden: int, seed: int, most: tuple[int, int]) -> None:
    """Raise SettingError if a lesson with ``most`` so many steps and units cannot be drawn."""
    for flag, value, limit in (("steps", steps, most[0]), ("hidden", hidden, most[1])):
        if not 1 <= value <= limit:
            raise SettingError(f"--{flag} is {value}; choose 1 to {limit}")
    if seed < 0:
        raise SettingError(f"--seed is {seed}; choose 0 or more")


def draw_network(
    steps: int, hidden: int, gain: float, seed: int, name: ActivationName = ActivationName.TANH
) -> tuple[ElmanParameters, FloatArray]:
    """Return an orthogonal network and its inputs (T,1,1), the same for every activation."""
    rng, scheme = np.random.default_rng(seed), InitializerName.ORTHOGONAL
    params = initialize(rng, (1, hidden, 1), activation=name, scheme=scheme, gain=gain)
    return params, rng.standard_normal((steps, 1, 1))


def product_lessons(
    steps: int = 600, hidden: int = 8, gain: float = 1.0, seed: int = 0
) -> tuple[ProductLesson, ...]:
    """Multiply the Jacobians of two networks, tanh and sigmoid, that have the same weights.

    ``steps`` in 1 … 1000, ``hidden`` in 1 … 32, else SettingError. W is orthogonal times ``gain``
    in (0, 100], so that σ_max(W) is the gain; the one sequence of inputs is N(0, 1).
    """
    check_lesson(steps, hidden, seed, (MAX_STEPS, MAX_UNITS))
    if not 0.0 < gain <= MAX_GAIN:
        raise SettingError(f"--gain is {gain}; choose a number above 0, at most {MAX_GAIN:g}")
    lessons = []
    for name in (ActivationName.TANH, ActivationName.SIGMOID):
        params, inputs = draw_network(steps, hidden, gain, seed, name)
        chain = elman_chain(params, unroll(params, inputs))
        found = diagnose(chain)
        factors = np.array([log_spectral_norm(chain.jacobian(t)[0]) for t in range(steps, 0, -1)])
        lesson = ProductLesson(
            name,
            ACTIVATIONS[name].slope_ceiling,
            log_spectral_norm(params.recurrent_weights),
            found.norms.lags,
            factors,
            found.norms.log_norms[:, 0],
            np.cumsum(factors),
            found.log_bound,
            found.verdict.rate,
            found.verdict.horizon,
            *_float64_range(chain),
        )
        lessons.append(lesson)
    return tuple(lessons)


def _float64_range(chain: Chain) -> tuple[int | None, int | None]:
    """Return the first lags, if any, at which the product in float64 is zero, or not finite."""
    product: FloatArray = np.eye(chain.state_size)
    with np.errstate(over="ignore", invalid="ignore"):
        for lag in range(1, chain.n_steps + 1):
            product = product @ chain.jacobian(chain.n_steps - lag + 1)[0]
            if not product.any():
                return lag, None
            if not np.isfinite(product).all():
                return None, lag
    return None, None


def vanishing_document(lessons: Sequence[ProductLesson], settings: Mapping[str, Any]) -> Document:
    """Return every network's factors, products and bounds by lag, as log10."""
    networks = [
        {
            **named(each, "activation", "slope_ceiling", "lags", rate_nats_per_step="rate"),
            "log10_weight_norm": each.log_weight_norm / LN_10,
            "first_lag_below_threshold": each.horizon,
            "first_lag_of_exact_zero_in_float64": each.zero_lag,
            "first_lag_of_overflow_in_float64": each.infinite_lag,
            "log10_factor": each.log_factors / LN_10,
            "log10_norm": each.log_norms / LN_10,
            "log10_factor_product": each.log_factor_products / LN_10,
            "log10_bound": each.log_bound / LN_10,
        }
        for each in lessons
    ]
    return {**head("explain.vanishing", settings), "networks": plain(networks)}


LESSON_LAGS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lags whose factor and product are shown, as far as the run has them."""


def vanishing_page(lessons: Sequence[ProductLesson]) -> Page:
    """Return the running products side by side, and what each column means."""
    last = int(lessons[0].lags[-1])
    titles = ["lag"]
    for each in lessons:
        titles += [f"{each.activation}: J", "product", "bound"]
    curves = [
        curve for each in lessons for curve in (each.log_factors, each.log_norms, each.log_bound)
    ]
    rows = [
        [str(lag), *(scientific(float(curve[lag - 1])) for curve in curves)]
        for lag in (*(lag for lag in LESSON_LAGS if lag < last), last)
    ]
    legend = (
        "J: σ_max of the factor J_T−ℓ+1 that joins the product at this lag, diag(φ′(a)) W.",
        "product: σ_max(∂h_T/∂h_T−ℓ), of all factors so far. bound: (γ σ_max(W))^ℓ.",
    )
    parts = [f"{each.activation}'s product {pace(each.rate)}" for each in lessons]
    texts = {
        "One more factor at each lag": (*table_lines(titles, rows), "", *legend),
        **{f"What {each.activation} does": _product_lines(each) for each in lessons},
    }
    return Page(f"The same W, two activations: {', '.join(parts)}.", texts.items())


def _product_lines(lesson: ProductLesson) -> tuple[str, ...]:
    bound, last = float(lesson.log_bound[0]), int(lesson.lags[-1])
    if abs(bound) < NEGLIGIBLE:
        what = "forbids exploding and says no more"
    else:
        what = "forces vanishing" if bound < 0 else "allows exploding, but does not force it"
    in_float64 = "the product stays within range."
    if lesson.zero_lag is not None:
        log10 = level(float(lesson.log_norms[lesson.zero_lag - 1]) / LN_10)
        zero = f"the product is exactly 0 from lag {lesson.zero_lag} on"
        in_float64 = f"{zero}; by logarithms σ_max is 10^{log10} there."
    elif lesson.infinite_lag is not None:
        in_float64 = f"the product overflows at lag {lesson.infinite_lag}."
    gamma, size = number(lesson.slope_ceiling), scientific(lesson.log_weight_norm)
    limit, rate, line = scientific(bound), level(lesson.rate), fraction(THRESHOLD)
    reach = f"from lag {lesson.horizon} on" if lesson.horizon else f"at none of the {last} lags"
    ends = (lesson.log_norms, lesson.log_factor_products, lesson.log_bound)
    norm, factors, log10_limit = (level(float(curve[-1]) / LN_10) for curve in ends)
    return (
        f"γ = max φ′ = {gamma} and σ_max(W) = {size}: the bound is {limit} per step, which {what}.",
        f"σ_max is below {line} {reach}; over the later half it changes by {rate} nats per step.",
        (
            f"At lag {last} log10 is {norm} for the product, {factors} for the factors' norms "
            f"multiplied, {log10_limit} for the bound."
        ),
        f"Multiplied directly in float64, {in_float64}",
    )
