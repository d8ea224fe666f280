"""Where a verdict draws its lines, each with its source."""

from dataclasses import dataclass, fields

import numpy as np

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
            low, high = (1.0, np.inf) if grows else (0.0, 1.0)
            whole = name == "agreement"
            if not (low < value < high or (whole and value == high)):
                raise SettingError(
                    f"the {name if whole else f'{name} threshold'} is {value}; choose a number "
                    f"between {low} and {high}"
                )
