"""Labels with a formula name what was computed: each is evaluated with NumPy beside its value."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

import gradscope
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.theory import TheoryName
from gradscope.report.figures.panels import PANELS
from gradscope.report.figures.style import MATHEMATICS
from gradscope.report.terminal.analysis import stage_rows
from gradscope.report.words.cells import cause_titles
from gradscope.report.words.theory import theory_sentence, theory_words
from tests.present import present

GAMMA = 0.25
"""The largest slope of a sigmoid."""

EACH_UNIT = np.array([0.2, 0.9, 0.4, 0.3, 0.5, 0.6])

Formula = Callable[[FloatArray, FloatArray], float]


def norm(weights: FloatArray) -> float:
    return float(np.linalg.svd(weights, compute_uv=False)[0])


def radius(weights: FloatArray, leak: FloatArray) -> float:
    step = np.diag(1.0 - leak) + leak[:, None] * GAMMA * weights
    return float(np.abs(np.linalg.eigvals(step)).max())


FORMULAS: dict[str, Formula] = {
    "σ_max(W)": lambda w, _: norm(w),
    "γ·σ_max(W)": lambda w, _: GAMMA * norm(w),
    "1−α+α·σ_max(W)": lambda w, a: 1.0 - a[0] + a[0] * norm(w),
    "1−α+α·γ·σ_max(W)": lambda w, a: 1.0 - a[0] + a[0] * GAMMA * norm(w),
    "max(1−α)+max(α)·σ_max(W)": lambda w, a: 1.0 - a.min() + a.max() * norm(w),
    "max(1−α)+max(α)·γ·σ_max(W)": lambda w, a: 1.0 - a.min() + a.max() * GAMMA * norm(w),
    "ρ(γ·W)": radius,
    "ρ((1−α)I+α·γ·W)": radius,
}


def value_of(label: str, analysis: Analysis) -> float:
    """Return what the formula in a label comes to, without the logarithm."""
    weights: FloatArray = dict(analysis.params.weights())["recurrent_weights"]
    leak = np.broadcast_to(np.asarray(analysis.settings.leak, np.float64), (len(weights),))
    (found,) = (name for name in FORMULAS if label.endswith((f"({name})", f"log {name}")))
    return FORMULAS[found](weights, leak)


@pytest.fixture(scope="module", params=["plain", "leaky", "each unit"])
def analysis(request: pytest.FixtureRequest) -> Analysis:
    leak = {"plain": 1.0, "leaky": 0.3, "each unit": EACH_UNIT.tolist()}[request.param]
    settings = gradscope.Settings.from_dict(
        {"hidden": 6, "steps": 12, "sequences": 3, "updates": 0, "leak": leak, "gain": 3.0}
        | {"activation": "sigmoid", "init": "gaussian", "spectrum": request.param != "each unit"}
    )
    found: Analysis = gradscope.analyze(settings)
    return found


def test_the_rows_of_causes_and_bound_have_the_values_of_their_formulas(analysis: Analysis) -> None:
    titles, causes = cause_titles(analysis.settings), analysis.last.causes
    assert isinstance(causes, CauseRates)
    weights, ceiling = present(causes.weights), present(causes.slope_ceiling)
    rows = dict(stage_rows(analysis))
    (bound,) = (title for title in rows if title.startswith("  its bound "))

    of_weights = np.log(value_of(titles["weights"], analysis))
    of_step = np.log(value_of(bound.removesuffix("^ℓ"), analysis))

    assert weights == pytest.approx(of_weights, rel=1e-12)
    assert weights + ceiling == pytest.approx(of_step, rel=1e-12)
    assert float(rows[f"  {titles['weights']}"][0].replace("−", "-")) == pytest.approx(
        of_weights, rel=5e-3
    )
    assert float(rows[bound][0].replace("−", "-")) == pytest.approx(
        12 * of_step / np.log(10.0), rel=5e-3
    )
    assert ("log γ" in titles["slope_ceiling"]) == (analysis.settings.leak == 1.0)
    assert analysis.settings.leak != 1.0 or ceiling == pytest.approx(np.log(GAMMA))


def test_bound_and_radius_of_the_spectrum_have_the_values_of_their_formulas(
    analysis: Analysis,
) -> None:
    if analysis.details.spectrum is None:
        return  # Where the leaks of units differ there is no theory.
    axes = Figure().add_subplot()
    PANELS["theory"].draw(axes, analysis)
    drawn = " | ".join(text.get_text() for text in axes.texts)
    for symbol, typeset in MATHEMATICS.items():
        drawn = drawn.replace(typeset, symbol)

    theory = {each.name: each for each in present(analysis.details.spectrum).theory}

    for name in (TheoryName.BOUND, TheoryName.SPECTRAL_RADIUS):
        words = theory_words(name, analysis.settings)
        value = np.log(value_of(words, analysis))
        assert theory[name].rate == pytest.approx(value, rel=1e-9)
        assert words in drawn
        assert theory_sentence(theory[name], analysis.settings).startswith(f"{words}: ")
