"""A closer look takes what was asked for, of the last network, and agrees with the profile."""

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.details import MAP_TIMES, NO_DETAILS, Memory
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.jacobians.parameter_profile import sensitivity
from gradscope.names import ActivationName, CellName, Regime
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.figures.panels import PANELS
from gradscope.report.words.numbers import number
from tests.present import present

SMALL = Settings(hidden=5, steps=14, updates=2, sequences=3, batch=4, burn_in=8)
LOOKS = ("map", "shares", "spectrum", "memory", "verify")


@pytest.fixture(scope="module", params=list(CellName))
def looked(request: pytest.FixtureRequest) -> Analysis:
    asked = dict.fromkeys(LOOKS, True)
    return analyze(SMALL.with_changes({"cell": request.param, **asked}))


def test_nothing_is_looked_at_unasked() -> None:
    assert analyze(SMALL).details is NO_DETAILS


@pytest.mark.parametrize("look", LOOKS)
def test_each_look_is_taken_alone(look: str) -> None:
    details = analyze(SMALL.with_changes({look: True})).details

    taken = {
        "map": details.map,
        "shares": details.shares,
        "spectrum": details.spectrum,
        "memory": details.memory,
        "verify": details.verification,
    }
    assert [name for name, found in taken.items() if found is not None] == [look]


def test_the_last_row_of_the_map_is_the_lag_profile(looked: Analysis) -> None:
    found, profile = looked.details.map, looked.last.profile

    assert found is not None
    np.testing.assert_allclose(
        found.log_norms[-1, :-1][::-1], profile.log_norms[:, : found.log_norms.shape[2]], atol=2e-6
    )


def test_the_largest_singular_values_are_those_of_the_profile(looked: Analysis) -> None:
    spectrum, profile = looked.details.spectrum, looked.last.profile

    assert spectrum is not None
    found = spectrum.singular
    expected = profile.log_norms[found.lags - 1, : found.log_values.shape[1]]
    np.testing.assert_allclose(found.log_values[:, :, 0], expected, atol=1e-8)


def test_the_profile_is_verified_within_its_certificate(looked: Analysis) -> None:
    verification = looked.details.verification

    assert verification is not None
    assert verification.worst <= looked.last.profile.certificate + 1e-13


def test_the_shares_reach_over_all_lags_and_lose_nothing_at_the_last(looked: Analysis) -> None:
    shares = looked.details.shares

    assert shares is not None
    assert shares.lags.tolist() == list(range(SMALL.steps))
    assert shares.truncation_errors[-1] <= 1e-10


def test_theory_and_the_eigenvalues_of_w_are_for_vanilla_nets_alone(looked: Analysis) -> None:
    spectrum, vanilla = looked.details.spectrum, looked.settings.cell is CellName.ELMAN

    assert spectrum is not None
    assert bool(spectrum.theory) is vanilla
    assert spectrum.eigenvalues.size == (SMALL.hidden if vanilla else 0)
    moduli = np.abs(spectrum.jacobian_eigenvalues)
    assert (np.diff(moduli, axis=1) <= 1e-12).all()


def test_a_leak_has_its_theory_but_no_spectrum_of_a_wide_network() -> None:
    spectrum = analyze(SMALL.with_changes({"spectrum": True, "leak": 0.5})).details.spectrum

    assert spectrum is not None
    assert [str(each.name) for each in spectrum.theory] == [
        "bound",
        "spectral-radius",
        "mean-field",
    ]
    assert (spectrum.expected, spectrum.against_expected) == (None, None)


def test_a_long_map_is_thinned_and_told_of_on_the_way() -> None:
    told: list[tuple[int, int]] = []
    long = SMALL.with_changes({"steps": 3 * MAP_TIMES, "sequences": 1, "updates": 0, "map": True})

    found = analyze(long, progress=lambda done, total: told.append((done, total))).details.map

    assert found is not None
    assert found.times.size == MAP_TIMES
    assert (found.times[0], found.times[-1]) == (0, 3 * MAP_TIMES)
    assert told[-1][0] == told[-1][1]


def price_of(squares: list[float]) -> Memory:
    curve = np.array(squares)
    return Memory(np.arange(curve.size), np.zeros(curve.size), 1, {"norm": curve})


def scalar_price(decay: float) -> Memory:
    """Return that of h_t = λ h_{t−1} + x_t, white x, as λ changes: Σ_ij λ^(i+j+|i−j|)."""
    place = np.arange(120)
    pairs = decay ** (place[:, None] + place + np.abs(place[:, None] - place))
    return price_of(pairs.cumsum(axis=0).cumsum(axis=1).diagonal().tolist())


@pytest.mark.parametrize("regime", list(Regime))
def test_a_state_is_sharp_by_memory_where_much_comes_from_far_and_nothing_explodes(
    regime: Regime,
) -> None:
    carried = regime in {Regime.STABLE, Regime.VANISHING}

    assert scalar_price(0.95).sharp(regime) is carried
    assert not scalar_price(0.9).sharp(regime)  # 50 times as much
    assert not price_of([1.0, *[200.0] * 50]).sharp(regime)  # by way of one step alone
    assert not price_of([0.0] * 50).sharp(regime)


def test_the_steps_for_half_of_it_are_counted_from_one() -> None:
    assert price_of([1.0, 3.0, 4.0, 6.0, 7.0]).steps_for_half == 3
    assert price_of([5.0]).steps_for_half == 1


def test_the_price_is_that_of_the_state_at_the_end_and_said_to_be_high_only_then() -> None:
    drive = {"activation": ActivationName.IDENTITY, "steps": 120, "updates": 0, "memory": True}
    far, near = (analyze(SMALL.with_changes({**drive, "gain": gain})) for gain in (1.0, 0.7))

    for analysis, sharp in ((far, True), (near, False)):
        document = analysis_document(analysis)["memory"]
        reading = PANELS["sensitivity"].reading(analysis)
        assert document["sharp"] is sharp
        assert ("sharp" in reading) is sharp
        squares = document["sensitivity"]["norm"]
        assert number(squares[0]) in reading
        assert number(squares[-1]) in reading
        columns, rows = PANELS["sensitivity"].rows(analysis)
        assert columns[:2] == ("last_steps", "norm")
        assert [row[:2] for row in rows] == [[at, s] for at, s in enumerate(squares, start=1)]
        found = sensitivity(analysis.params, analysis.trajectory, 120)
        np.testing.assert_allclose(squares, found["norm"], rtol=1e-12)


def test_memory_is_measured_of_a_state_that_overflows() -> None:
    changed = {"activation": ActivationName.IDENTITY, "gain": 1e14, "steps": 12, "updates": 0}

    found = present(analyze(SMALL.with_changes({**changed, "memory": True})).details.memory)

    assert np.isnan(found.capacity)
    assert np.isfinite(found.sensitivity["norm"][0])
