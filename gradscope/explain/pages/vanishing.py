"""Vanishing products of Jacobians, in words; the numbers come from ``explain.vanishing``."""

from collections.abc import Sequence

from gradscope.arrays import LN_10
from gradscope.explain.pages.page import Page, Section, scientific, table_lines
from gradscope.explain.vanishing import THRESHOLD, ProductLesson
from gradscope.report.words.numbers import NEGLIGIBLE, fraction, level, number, pace

LESSON_LAGS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lags whose factor and product are shown, as far as the run has them."""


def vanishing_page(lessons: Sequence[ProductLesson]) -> Page:
    """Return the running products side by side, and what each column means."""
    last = int(lessons[0].lags[-1])
    titles = ["lag"]
    for each in lessons:
        titles += [f"{each.activation}: J", "product", "bound"]
    rows = [
        [
            str(lag),
            *(
                scientific(float(curve[lag - 1]))
                for each in lessons
                for curve in (each.log_factors, each.log_norms, each.log_bound)
            ),
        ]
        for lag in (*(lag for lag in LESSON_LAGS if lag < last), last)
    ]
    legend = (
        "J: σ_max of the factor J_T−ℓ+1 that joins the product at this lag, diag(φ′(a)) W.",
        "product: σ_max(∂h_T/∂h_T−ℓ), of all factors so far. bound: (γ σ_max(W))^ℓ.",
    )
    parts = [f"{each.activation}'s product {pace(each.rate)}" for each in lessons]
    return Page(
        f"The same W, two activations: {', '.join(parts)}.",
        (
            Section("One factor more at each lag", (*table_lines(titles, rows), "", *legend)),
            *(Section(f"What {each.activation} does", _product_lines(each)) for each in lessons),
        ),
    )


def _product_lines(lesson: ProductLesson) -> tuple[str, ...]:
    gamma, last = number(lesson.slope_ceiling), int(lesson.lags[-1])
    bound = float(lesson.log_bound[0])
    if abs(bound) < NEGLIGIBLE:
        consequence = "forbids exploding and says no more"
    elif bound < 0:
        consequence = "forces vanishing"
    else:
        consequence = "allows exploding, but does not force it"
    reach = f"from lag {lesson.horizon} on" if lesson.horizon else f"at none of the {last} lags"
    ends = (lesson.log_norms, lesson.log_factor_products, lesson.log_bound)
    norm, factors, limit = (level(float(curve[-1]) / LN_10) for curve in ends)
    if lesson.zero_lag is not None:
        log10 = float(lesson.log_norms[lesson.zero_lag - 1]) / LN_10
        in_float64 = (
            f"the product is exactly 0 from lag {lesson.zero_lag} on; by logarithms σ_max is "
            f"10^{level(log10)} there."
        )
    elif lesson.infinite_lag is not None:
        in_float64 = f"the product overflows at lag {lesson.infinite_lag}."
    else:
        in_float64 = "the product stays within range."
    return (
        (
            f"γ = max φ′ = {gamma} and σ_max(W) = {scientific(lesson.log_weight_norm)}: the "
            f"bound is {scientific(bound)} per step, which {consequence}."
        ),
        (
            f"σ_max is below {fraction(THRESHOLD)} {reach}; over the later half it changes by "
            f"{level(lesson.rate)} nats per step."
        ),
        (
            f"At lag {last} log10 is {norm} for the product, {factors} for the factors' norms "
            f"multiplied, {limit} for the bound."
        ),
        f"Multiplied directly in float64, {in_float64}",
    )
