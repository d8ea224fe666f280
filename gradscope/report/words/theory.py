"""Theories, the objections to them, and what a state does as words."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gradscope.analysis.details import Spectrum
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.motion import STEPS_ALONE, Motion, MotionCode
from gradscope.diagnosis.theory import Objection, ObjectionCode, Prediction, TheoryName
from gradscope.report.words.cells import step_bound
from gradscope.report.words.numbers import number

THEORY_WORDS: Mapping[TheoryName, str] = MappingProxyType(
    {
        TheoryName.BOUND: "bound, log({bound})",
        TheoryName.SPECTRAL_RADIUS: "spectral radius, log ρ({step})",
        TheoryName.MEAN_FIELD: "mean field",
        TheoryName.NEWMAN: "fresh Gaussian factors, λ_1",
    }
)

MOTION_WORDS: Mapping[MotionCode, str] = MappingProxyType(
    {
        MotionCode.FIXED_POINT: "the state rests at a fixed point",
        MotionCode.UNSTABLE_FIXED_POINT: "the state rests at an unstable fixed point, not chaos",
        MotionCode.CYCLE: "a cycle of {period} steps",
        MotionCode.UNSTABLE_CYCLE: "an unstable cycle of {period} steps, not chaos",
        MotionCode.CHAOS: "chaos",
        MotionCode.STABLE_RESPONSE: "a stable response, no chaos",
        MotionCode.UNSTABLE_RESPONSE: "an unstable response: chaos",
        MotionCode.DIVERGES: "the state grows without bound: it diverges, not chaos",
        MotionCode.UNDECIDED: "whether it is chaos is undecided",
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
        ObjectionCode.SYMMETRIC: lambda _: "W is nearly symmetric",
        ObjectionCode.NOT_GAUSSIAN: lambda _: (
            "the singular values of W are not those of independent entries"
        ),
        ObjectionCode.COMMON_DRIVE: lambda _: "the inputs are not Gaussian over the units",
        ObjectionCode.WEIGHTS_REUSED: lambda _: "the same W is used at every step",
    }
)


def objection_sentence(objection: Objection | None) -> str:
    """Return why a theory does not apply; empty where it applies."""
    return "" if objection is None else _OBJECTIONS[objection.code](objection.numbers)


def theory_words(name: TheoryName, settings: Settings) -> str:
    """Return the name of a theory, with the formula of its rate where it has a short one."""
    step = "γ·W" if settings.leak == 1.0 else "(1−α)I+α·γ·W"
    return THEORY_WORDS[name].format(bound=step_bound(settings), step=step)


def theory_sentence(prediction: Prediction, settings: Settings) -> str:
    """Return a prediction in one sentence: theory, rate, whether it applies, source."""
    depth = prediction.depth_scale
    reach = "" if depth is None else f", depth scale {number(depth)} steps"
    if prediction.correlation_depth is not None and (prediction.correlation or 0.0) < 1.0:
        together = f"{number(prediction.correlation)} over {number(prediction.correlation_depth)}"
        reach += f", two trajectories come to the correlation {together} steps"
    objection = objection_sentence(prediction.objection)
    applies = f"does not apply: {objection}" if objection else "applies"
    rate = number(prediction.rate)
    named = theory_words(prediction.name, settings)
    return f"{named}: {rate}{reach}; {applies}. {prediction.source}"


def motion_words(motion: Motion) -> str:
    """Return what the state does."""
    return MOTION_WORDS[motion.code].format(period=motion.period)


def motion_sentences(spectrum: Spectrum) -> list[str]:
    """Say what the state does on these inputs and without any, and where the two differ."""
    half = STEPS_ALONE // 2
    places = {
        "on these inputs": spectrum.motion,
        f"alone (inputs 0, steps {half} to {2 * half} from small random states)": spectrum.alone,
    }
    found = [
        f"{where}: λ_1 = {number(each.exponent)} (± {number(each.standard_error)} in one "
        f"sequence), {motion_words(each)}"
        for where, each in places.items()
    ]
    codes = spectrum.motion.code, spectrum.alone.code
    if codes == (MotionCode.STABLE_RESPONSE, MotionCode.CHAOS):
        found.append("chaotic alone, stable on these inputs: they suppress the chaos")
    return found
