"""The lesson of vanishing products in words; its numbers come from ``explain.vanishing``."""

from collections.abc import Sequence

from gradscope.explain.pages.page import Section, scientific, table_lines
from gradscope.explain.vanishing import THRESHOLD, ProductLesson
from gradscope.report.words.numbers import LN_10, NEGLIGIBLE, fraction, level, number, pace

LESSON_LAGS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lags whose factor and product are shown, those that the run has."""


def vanishing_answer(lessons: Sequence[ProductLesson]) -> str:
    """Return in one sentence how fast each activation's product goes."""
    parts = [f"{each.activation}'s product {pace(each.rate)}" for each in lessons]
    return f"The same W, two activations: {', '.join(parts)}."


def vanishing_sections(lessons: Sequence[ProductLesson]) -> list[Section]:
    """Return the running products side by side, and what each column says."""
    first = lessons[0]
    shown = [lag for lag in LESSON_LAGS if lag < first.lags.size] + [int(first.lags[-1])]
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
        for lag in shown
    ]
    legend = (
        "J: σ_max of the factor J_T−ℓ+1 that joins the product at this lag, diag(φ′(a)) W.",
        "product: σ_max(∂h_T/∂h_T−ℓ), of all factors so far. bound: (γ σ_max(W))^ℓ.",
    )
    return [
        Section("One factor more at each lag", (*table_lines(titles, rows), "", *legend)),
        *(Section(f"What {each.activation} does", _product_lines(each)) for each in lessons),
    ]


def _product_lines(lesson: ProductLesson) -> tuple[str, ...]:
    gamma, last = number(lesson.slope_ceiling), int(lesson.lags[-1])
    bound = float(lesson.log_bound[0])
    reach = f"from lag {lesson.horizon} on" if lesson.horizon else f"at none of the {last} lags"
    ends = (lesson.log_norms, lesson.log_factor_products, lesson.log_bound)
    norm, factors, limit = (level(float(curve[-1]) / LN_10) for curve in ends)
    of_bound = (
        f"γ = max φ′ = {gamma} and σ_max(W) = {scientific(lesson.log_weight_norm)}: the bound is "
        f"{scientific(bound)} a step, which {_what_the_bound_does(bound)}."
    )
    of_norm = (
        f"σ_max is below {fraction(THRESHOLD)} {reach}; over the later half it changes by "
        f"{level(lesson.rate)} nats per step."
    )
    of_end = (
        f"At lag {last} log10 is {norm} for the product, {factors} for the factors' norms "
        f"multiplied, {limit} for the bound."
    )
    return of_bound, of_norm, of_end, _plain_product(lesson)


def _what_the_bound_does(log_bound: float) -> str:
    if abs(log_bound) < NEGLIGIBLE:
        return "forbids exploding and says no more"
    return "forces vanishing" if log_bound < 0 else "allows exploding, but does not force it"


def _plain_product(lesson: ProductLesson) -> str:
    """Return where a product without care leaves float64."""
    if lesson.zero_lag is not None:
        log10 = float(lesson.log_norms[lesson.zero_lag - 1]) / LN_10
        return (
            f"Multiplied plainly in float64 the product is exactly 0 from lag {lesson.zero_lag} "
            f"on; by logarithms σ_max is 10^{level(log10)} there."
        )
    if lesson.infinite_lag is not None:
        return f"Multiplied plainly in float64 it overflows at lag {lesson.infinite_lag}."
    return "Multiplied plainly in float64 it stays within range."
