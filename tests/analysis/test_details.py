"""A closer look takes what was asked for, of the last network, and agrees with the profile."""

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.details import MAP_TIMES, NO_DETAILS
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.names import CellName

SMALL = Settings(hidden=5, steps=14, updates=2, sequences=3, batch=4)
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
        found.log_norms[-1, :-1][::-1], profile.log_norms[:, : found.log_norms.shape[2]], atol=1e-8
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
