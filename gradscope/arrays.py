"""Array aliases, the index convention that every module shares, and the cast of foreign numbers.

Time comes first, then sequences, then units: ``(T, B, H)``. Hidden states are counted from the
given ``h_0``, so ``hidden[t]`` is ``h_t`` for t = 0 … T and has T + 1 entries; whatever belongs to
a step (pre-activations, slopes, outputs, inputs, step errors) has T entries and step t stands at
``[t - 1]``. Lags count from 1, so lag ℓ stands at ``[ℓ - 1]``.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

import numpy as np

LN_10 = math.log(10.0)
"""Nats of a factor of ten."""

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
ComplexArray = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]


def as_float64(values: Any, order: Literal["K", "C"] = "K") -> FloatArray:
    """Return a float64 copy of real numbers from a file, without a warning whatever they are.

    A long double beyond float64 becomes ±inf; the caller judges inf and NaN. Multiplied by 1,
    which is exact, because a cast alone leaves a signalling NaN in float64 as it is, and the first
    arithmetic on it would warn. Raises TypeError for what is no real number: complex, text, dates.
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise TypeError(f"{numbers.dtype}, not real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(
            np.multiply(numbers, 1.0, dtype=np.float64, casting="unsafe", order=order)
        )


def quantiles(values: FloatArray, levels: Sequence[float] | FloatArray) -> FloatArray:
    """Return quantiles along the last axis, (levels,…): linear between the two nearest values, so
    that the median of an even number is the mean of the middle two (``np.quantile``'s default;
    Hyndman & Fan 1996, type 7). Between −∞ and a number lies −∞, between a number and ∞ lies ∞. Of
    a matrix each row counts without its NaNs, unless it has nothing else. ``np.quantile`` would
    load NumPy's masked arrays, some hundredths of a short run.
    """
    absent = np.isnan(values)
    if values.ndim == 2 and absent.any():
        own = (row if no.all() else row[~no] for row, no in zip(values, absent, strict=True))
        return np.stack([quantiles(row, levels) for row in own], axis=1)
    # Rounded, since 0.05 · 60 must be 3 itself: beside −∞ the last bit would decide.
    places = np.round(np.asarray(levels, np.float64) * (values.shape[-1] - 1), 9)
    ordered = np.moveaxis(np.sort(values, axis=-1), -1, 0)
    low, high = (ordered[f(places).astype(np.int64)] for f in (np.floor, np.ceil))
    share = (places % 1.0).reshape(-1, *[1] * (values.ndim - 1))
    with np.errstate(invalid="ignore"):
        between = (1.0 - share) * low + share * high
    return np.where(low == high, low, between)


def counted(lengths: IntArray | None, n_steps: int, n_sequences: int) -> BoolArray:
    """Return which steps count, (T,B), of padded sequences of ``lengths`` (B,); None: all."""
    ends = np.full(n_sequences, n_steps) if lengths is None else lengths
    return np.arange(n_steps)[:, np.newaxis] < ends


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: lists for arrays, None for NaN and infinities."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, StrEnum) else value
