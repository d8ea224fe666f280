"""What a verdict is made of: where it draws its lines, each with its source, and its reasons as
values, a code and its numbers. Words: ``report.words.reasons``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import inf

from gradscope.errors import SettingError


@dataclass(frozen=True, eq=False, slots=True)
class Thresholds:
    """Where the verdict draws its lines; the first four are settings.

    vanishing : σ_max below which a state hardly depends on the earlier one. 1e-3, seven e-folds:
        nets were found trainable to about six depth scales, e⁻⁶ = 2.5e-3 (Schoenholz et al. 2017,
        arXiv:1611.01232, section 5).
    exploding : σ_max above which the earlier state dominates the later one. 1e3, by symmetry in the
    logarithm.
    transient_growth : growth before vanishing that is worth reporting. 2, a doubling (convention).
    agreement : fraction of the sequences that must share a regime. 0.8 (convention).
    fine : σ_max at the required lag from which on the gradient is fine. 0.1, a tenth of the signal
    (convention).
    no_better : fraction of the baseline error above which nothing was learned. 0.95 (convention).
    """

    vanishing: float = 1e-3
    exploding: float = 1e3
    transient_growth: float = 2.0
    agreement: float = 0.8
    fine: float = 0.1
    no_better: float = 0.95

    def __post_init__(self) -> None:
        for each in fields(self):
            value, name = getattr(self, each.name), each.name.replace("_", "-")
            grows = each.name in ("exploding", "transient_growth")
            low, high = (1.0, inf) if grows else (0.0, 1.0)
            whole = name == "agreement"
            if not (low < value < high or (whole and value == high)):
                raise SettingError(
                    f"the {name if whole else f'{name} threshold'} is {value}; choose a number "
                    f"between {low} and {high}"
                )


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
    GRADIENT_FINE = "gradient-fine"
    AT_BASELINE = "no-better-than-baseline"
    BEATS_BASELINE = "better-than-baseline"
    TRAINING_SHORTENED = "training-shortened-the-reach"


@dataclass(frozen=True, eq=False, slots=True)
class Reason:
    """One reason and the numbers that make it."""

    code: ReasonCode
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
