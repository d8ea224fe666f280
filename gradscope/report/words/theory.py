"""Theories and the objections to them as words; the values come from ``diagnosis.theory``."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gradscope.diagnosis.theory import Objection, ObjectionCode, Prediction, TheoryName
from gradscope.report.words.numbers import number

THEORY_WORDS: Mapping[TheoryName, str] = MappingProxyType(
    {
        TheoryName.BOUND: "bound, log γσ_max(W)",
        TheoryName.SPECTRAL_RADIUS: "spectral radius, log γρ(W)",
        TheoryName.MEAN_FIELD: "mean field, ½ log χ",
        TheoryName.NEWMAN: "fresh Gaussian factors, λ_1",
    }
)

_OBJECTIONS: Mapping[ObjectionCode, Callable[[Mapping[str, float]], str]] = MappingProxyType(
    {
        ObjectionCode.SLOPES_VARY: lambda n: (
            f"slopes vary: the smallest is {number(n['smallest_slope'])} of γ"
        ),
        ObjectionCode.ACTIVATION: lambda _: "it holds for tanh and sigmoid only",
        ObjectionCode.NARROW: lambda n: (
            f"{n['units']:.0f} units are too few; it needs {n['fewest']:.0f} or more"
        ),
        ObjectionCode.OUTLIER: lambda _: "W has singular values that chance would not give",
        ObjectionCode.FEW_ENTRIES: lambda _: "few entries carry W",
        ObjectionCode.BIAS_FOLLOWS_WEIGHTS: lambda _: "the bias follows the rows of W",
        ObjectionCode.VARIANCE_DIFFERS: lambda _: "the measured variance is not the predicted one",
        ObjectionCode.WEIGHTS_REUSED: lambda _: "the same W is used at every step",
    }
)


def objection_sentence(objection: Objection | None) -> str:
    """Return why a theory does not apply; empty where it applies."""
    return "" if objection is None else _OBJECTIONS[objection.code](objection.numbers)


def theory_sentence(prediction: Prediction) -> str:
    """Return a prediction in one sentence: theory, rate, whether it applies, source."""
    depth = prediction.depth_scale
    reach = "" if depth is None else f", depth scale {number(depth)} steps"
    objection = objection_sentence(prediction.objection)
    applies = f"does not apply: {objection}" if objection else "applies"
    rate = number(prediction.rate)
    return f"{THEORY_WORDS[prediction.name]}: {rate}{reach}; {applies}. {prediction.source}"
