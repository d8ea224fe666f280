"""Reasons as values: a code and its numbers. Words: ``report.words.reasons``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ReasonCode(StrEnum):
    """Why a verdict is what it is."""

    NOTHING_WRITTEN = "nothing-is-written"
    UNITS_DEAD = "units-dead"
    UNITS_SATURATED = "units-saturated"
    INPUTS_UNSCALED = "inputs-unscaled"
    SHARE_LOST = "gradient-share-lost"
    BELOW_THRESHOLD = "below-vanishing-threshold"
    ABOVE_THRESHOLD = "above-exploding-threshold"
    WITHIN_THRESHOLDS = "within-thresholds"
    GROWS_FIRST = "grows-before-it-vanishes"
    SEQUENCES_DISAGREE = "sequences-disagree"
    EXACT_ZERO = "exactly-zero"
    STATE_OVERFLOWS = "state-overflows"
    HORIZON_SHORT = "horizon-short-of-required-lag"
    HORIZON_REACHES = "horizon-reaches-required-lag"
    HORIZON_UNKNOWN = "required-lag-not-measured"
    BOUND_FORCES_VANISHING = "bound-forces-vanishing"
    BOUND_ALLOWS_EXPLODING = "bound-allows-exploding"
    BOUND_IS_ONE = "bound-is-one"
    MAIN_CAUSE = "main-cause"
    FEW_STEPS = "few-steps-make-half"
    GROWTH_FOLLOWS_INPUT = "growth-follows-input"
    GRADIENT_FINE = "gradient-fine"
    AT_BASELINE = "no-better-than-baseline"
    BEATS_BASELINE = "better-than-baseline"
    MAINLY_IN_DEPTH = "mainly-in-depth"
    MAINLY_IN_TIME = "mainly-in-time"
    TRAINING_SHORTENED = "training-shortened-the-reach"


@dataclass(frozen=True, eq=False, slots=True)
class Reason:
    """One reason and the numbers that make it."""

    code: ReasonCode
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
