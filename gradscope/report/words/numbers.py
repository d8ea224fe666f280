"""Numbers, step counts and rates as text."""

import math

STEADY_RATE = 1e-4
"""Growth rates closer to zero than this (a factor 2 in 7000 steps) are called steady."""


NEGLIGIBLE = 1e-9
"""Logarithms and rates closer to zero than this are rounding errors, and read 0."""

MAX_DENOMINATOR = 1e6
"""Thresholds below one part in this are written as a decimal number."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as people write it; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"  # and not −0
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        few = 0 < int(exponent) < 6
        text = f"{float(text):.0f}" if few else f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def level(value: float | None) -> str:
    """Return a logarithm, or a rate of one, as people write it; rounding errors read 0."""
    return number(0.0 if value is not None and abs(value) < NEGLIGIBLE else value)


RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: float) -> str:
    """Return 10 to a power, written out where it is short.

    >>> power_of_ten(2.5), power_of_ten(-9.0), power_of_ten(18.35)
    ('316', '10⁻⁹', '2.2·10¹⁸')
    """
    if exponent == -math.inf:
        return "exactly 0"
    if abs(exponent) < 4:
        return number(10.0**exponent)
    whole = math.floor(exponent + 0.02)
    lead = f"{10.0 ** (exponent - whole):.1f}·".removeprefix("1.0·")
    return f"{lead}10{str(whole).translate(RAISED)}"


def steps(count: float) -> str:
    """Return a number of steps, without needless digits."""
    text = _digits(count)
    return f"{text} step" if text == "1" else f"{text} steps"


def _digits(count: float) -> str:
    return number(count, 2) if count < 100 else f"{count:.0f}"


def count(many: int, thing: str) -> str:
    """Return a number of things, with the plural of their word."""
    return f"{many} {thing}" if many == 1 else f"{many} {thing}s"


def interval(low: float | None, high: float | None, form: str = " ({} … {})") -> str:
    """Return the ends of a rate's interval, in brackets; empty where there is none."""
    return "" if low is None or high is None else form.format(level(low), level(high))


def over_steps(many: int, burn_in: int) -> str:
    """Return over which steps a rate is taken; without a burn-in over which lags."""
    if burn_in:
        return f"{count(many, 'step')} after {burn_in}"
    return f"last {count(many, 'lag')}, no burn-in" if many else "–"


def pace(rate: float, *, marginal: bool | None = False, short: bool = False) -> str:
    """Return a growth rate in words, or ``short`` ones: how soon it halves or doubles."""
    if math.isinf(rate):
        return "zero" if short else "becomes exactly zero"
    if marginal:
        return "marginal" if short else "neither grows nor shrinks measurably"
    if abs(rate) < STEADY_RATE:
        return "steady" if short else "neither grows nor shrinks"
    time = math.log(2.0) / abs(rate)
    if short:
        return f"{'½' if rate < 0 else '×2'} in {_digits(time)}"
    return f"{'halves' if rate < 0 else 'doubles'} every {steps(time)}"


def fraction(threshold: float) -> str:
    """Return a threshold as a fraction where that is shorter."""
    whole = round(1.0 / threshold) if threshold * MAX_DENOMINATOR >= 1.0 else 0
    if whole >= 2 and math.isclose(whole * threshold, 1.0, rel_tol=1e-9):
        return f"1/{whole}"
    return number(threshold)


def percent(part: float) -> str:
    """Return a part of a whole in percent, without needless digits."""
    return f"{number(100.0 * part)} %"
