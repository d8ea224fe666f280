"""The HTML page as a person uses it in Chromium: keys, clicks, the pointer, the address."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import gradscope
from gradscope.analysis.details import first_sequences
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.report.html import analysis_html
from gradscope.report.provenance.recipe import command_line
from tests.report.browser import Browser, browser

STATE = "({ ...state, hash: location.hash, said: document.getElementById('lag').ariaValueText })"

# The heights of 1000, of 1 and of the dot on the profile, and where dot and line stand.
DOT = """(() => {
  const chart = document.querySelector("[data-figure=profile] svg");
  const height = (word) => {
    const at = [...chart.querySelectorAll("text")].find((each) => each.textContent === word);
    return +at.previousSibling.getAttribute("y1");
  };
  const [dot, line] = [chart.querySelector(".at"), chart.querySelector(".lag")];
  return [height("1000"), height("1"), ...["cy", "cx"].map((each) => +dot.getAttribute(each)),
    +line.getAttribute("x1")];
})()"""

COPIED = """new Promise((done) => {
  const look = () => document.querySelector("#again ~ pre button").textContent === "Copied"
    ? navigator.clipboard.readText().then(done) : requestAnimationFrame(look);
  look();
})"""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    settings = gradscope.Settings(
        cell="gru", hidden=5, steps=20, sequences=3, batch=4, updates=2, shares=True
    )
    found: Analysis = gradscope.analyze(settings)
    return found


@pytest.fixture(scope="module")
def page(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(analysis_html(analysis, {"saturation": "slopes near 0"}), "utf-8")
    return path


def used(found: Browser, page: Path, analysis: Analysis) -> None:
    """Use every control of a page and hold what it shows against the analysis."""
    found.open(page, "#lag=7&stage=0")
    assert (state := found.run(STATE))["lag"] == 7
    assert state["stage"] == 0

    found.run("document.getElementById('lag').focus()")
    for _ in range(3):
        found.press("ArrowRight", 39)
    found.press("ArrowLeft", 37)
    assert (state := found.run(STATE))["lag"] == 9
    assert state["hash"] == "#lag=9&stage=0"
    assert state["said"].startswith("9 ")
    _check_dot(found.run(DOT), analysis, 0, 9)

    found.click("[name=stage][value='1']")
    assert found.run(STATE)["hash"] == "#lag=9&stage=1"
    _check_dot(found.run(DOT), analysis, 1, 9)
    found.press("Home", 36)  # Of the radio buttons, which keep the lag.
    assert found.run(STATE)["lag"] == 9
    found.run("new Promise((done) => { onhashchange = done; location.hash = 'lag=4&stage=0'; })")
    assert [found.run(STATE)[name] for name in ("lag", "stage")] == [4, 0]

    found.run("document.querySelector('dfn').focus()")
    tip = "getComputedStyle(document.querySelector('dfn'), '::after').content"
    assert found.run(tip) != "none"
    assert found.run("document.querySelector('dfn').dataset.says") == "slopes near 0"
    found.point("[data-figure=profile] svg")
    assert found.run("document.querySelector('[data-figure=profile] .readout').textContent")
    found.click("[data-figure=profile] svg")
    assert found.run(STATE)["lag"] not in {4, 1, 20}


def _check_dot(places: list[float], analysis: Analysis, stage: int, lag: int) -> None:
    thousand, one, dot, across, line = places
    expected = float(analysis.stages[stage].profile.median[lag - 1]) / LN_10
    assert 3.0 * (one - dot) / (one - thousand) == pytest.approx(expected, rel=1e-6)
    assert across == line


def copied(found: Browser, analysis: Analysis) -> None:
    found.click("#again ~ pre button")
    assert found.run(COPIED) == command_line(analysis.settings)


def saved(found: Browser, name: str, folder: Path) -> list[dict[str, str]]:
    """Return the rows of the file that a figure's button saves."""
    found.run(f"document.querySelector('[data-figure={name}]').parentNode.id = 'chosen'")
    found.click("#chosen figcaption button")
    begun = found.wait("Browser.downloadWillBegin")
    assert begun["suggestedFilename"] == f"{name}.csv"
    found.wait("Browser.downloadProgress", guid=begun["guid"], state="completed")
    found.run("document.getElementById('chosen').removeAttribute('id')")
    return list(csv.DictReader((folder / f"{name}.csv").read_text("utf-8").splitlines()))


def test_keys_clicks_and_the_address_move_it_and_its_buttons_give_the_numbers(
    analysis: Analysis, page: Path, tmp_path: Path
) -> None:
    with browser(tmp_path) as found:
        used(found, page, analysis)
        copied(found, analysis)
        profile = saved(found, "profile", tmp_path)
        singular = saved(found, "values", tmp_path)
        assert found.complaints == []

    medians = [float(row["log10_median"]) for row in profile]
    expected = np.concatenate([each.profile.median for each in analysis.stages]) / LN_10
    np.testing.assert_allclose(medians, expected, rtol=1e-6)
    chain = cell_chain(
        analysis.params, first_sequences(analysis.params, analysis.trajectory, slice(1))
    )
    lags = sorted({int(row["lag"]) for row in singular})
    values = gradscope.singular_values(chain, lags).log_values[:, 0] / LN_10
    found_values = [float(row["log10_singular_value"]) for row in singular]
    np.testing.assert_allclose(found_values, values.ravel(), rtol=1e-6, atol=1e-6)


def test_a_long_page_is_small_and_says_that_it_holds_every_nth_row(tmp_path: Path) -> None:
    analysis = gradscope.analyze(gradscope.Settings(steps=1700, updates=0, hidden=3, sequences=2))
    text = analysis_html(analysis)
    page = tmp_path / "long.html"
    page.write_text(text, "utf-8")

    with browser(tmp_path) as found:
        found.open(page, "#lag=1699")
        assert found.run(STATE)["lag"] == 1699
        slopes = saved(found, "slopes", tmp_path)
        captions = found.run("[...document.querySelectorAll('figcaption')].map((e) => e.innerText)")

    assert [int(row["step"]) for row in slopes] == list(range(1, 1701, 3))
    found_medians = [float(row["median"]) for row in slopes]
    np.testing.assert_allclose(found_medians, analysis.last.slopes.median[::3], rtol=1e-6)
    assert sum("1 row in 3" in each for each in captions) == 4
    assert json.loads(text.partition('id="island">')[2].partition("</script>")[0])["every"]
