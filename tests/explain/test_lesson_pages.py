"""The lessons as pages and pictures: the page computes what the library does, and lights a path."""

import json
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import LN_10
from gradscope.diagnosis.theory import log_spectral_norm
from gradscope.explain.backprop import backprop_lesson, backprop_page
from gradscope.explain.bptt import BpttLesson, bptt_lesson, bptt_page, draw_bptt_lesson
from gradscope.explain.shown import lesson_file
from gradscope.explain.vanishing import product_lessons, vanishing_page
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName
from tests.report.test_html import LOOK, WIDTHS, read, shown

LEAVES = {"command": "explain backprop", "x": 4.0, "y": 1.0, "z": 3.0, "learning-rate": 0.1}
NET = {"command": "explain bptt", "steps": 3, "hidden": 3, "activation": "tanh", "seed": 4}
PRODUCTS = {"command": "explain vanishing", "steps": 300, "hidden": 5, "gain": 1.2, "seed": 1}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    leaves, net = backprop_lesson(), draw_bptt_lesson(3, 3, seed=4)
    products = product_lessons(300, 5, 1.2, seed=1)
    made = {
        "backprop": (backprop_page(leaves), leaves, LEAVES),
        "bptt": (bptt_page(net), net, NET),
        "vanishing": (vanishing_page(products), products, PRODUCTS),
    }
    return {name: lesson_file(*each, ".html").decode() for name, each in made.items()}


def with_gain(lesson: BpttLesson, gain: float) -> BpttLesson:
    """Return the lesson of the same sequence with a factor on W."""
    params, run = lesson.params, lesson.trajectory
    weights = {**dict(params.weights()), "recurrent_weights": gain * params.recurrent_weights}
    scaled = params.with_weights(weights)
    return bptt_lesson(scaled, unroll(scaled, run.inputs, run.hidden[0]), lesson.targets)


def chosen(pages: dict[str, str], wanted: dict[str, tuple[list[Any], str]], folder: Path) -> Any:
    """Return of each page, for each choice of its sliders, what an expression then is."""
    scripts = {
        name: (700, pages[name], f"{json.dumps(choices)}.map((each) => (choose(each), {found}))")
        for name, (choices, found) in wanted.items()
    }
    return shown(scripts, folder)


def test_a_page_computes_what_the_library_does_to_nine_digits(
    pages: dict[str, str], tmp_path: Path
) -> None:
    leaves: list[dict[str, Any]] = [
        {"x": x, "y": y, "z": 0.5 - x} for x, y in product((-2.5, 0.1, 9.0), (-7.0, 0.3))
    ]
    kinds = list(ActivationName)
    nets: list[dict[str, Any]] = [
        {"T": steps, "phi": phi, "gain": gain}
        for steps, phi, gain in product((1, 3, 8), range(len(kinds)), (0.5, 1.7))
    ]
    products: list[dict[str, Any]] = [
        {"T": steps, "gain": gain} for steps, gain in ((1, 3.0), (60, 1.2), (300, 0.8))
    ]
    wanted: dict[str, tuple[list[Any], str]] = {
        "backprop": (leaves, "[found.values, found.adjoints, found.paths.map((p) => p.text)]"),
        "bptt": (
            nets, "[found.whole, found.paths.map(({ term, weight, size }) => [term, weight, size])]"
        ),
        "vanishing": (products, "[TABLES.profile, stages.map(({ mark }) => mark && mark[0])]"),
    }  # fmt: skip

    found = chosen(pages, wanted, tmp_path)

    for choice, (values, adjoints, texts) in zip(leaves, found["backprop"], strict=True):
        lesson = backprop_lesson(**choice)
        assert values == pytest.approx(dict(lesson.values), rel=1e-9)
        assert adjoints == pytest.approx(dict(lesson.adjoints), rel=1e-9)
        assert len(texts) == 3
    for choice, (whole, paths) in zip(nets, found["bptt"], strict=True):
        drawn = draw_bptt_lesson(choice["T"], 3, kinds[choice["phi"]], 4)
        net = with_gain(drawn, choice["gain"]).steps[-1]
        rows = np.hstack([net.gradients["W"], net.gradients["U"]]).ravel()
        largest = np.abs(rows).max() or 1.0
        np.testing.assert_allclose(whole, rows, atol=1e-9 * largest)
        assert [weight for _, weight, _ in paths[::-1]] == pytest.approx(net.weights, abs=1e-9)
        for term, (entries, _, size) in zip(net.terms, paths[::-1], strict=True):
            share = np.hstack([term.share["W"], term.share["U"]]).ravel()
            np.testing.assert_allclose(entries, share, atol=1e-9 * largest)
            log = log_spectral_norm(term.transport) / LN_10
            assert size == (pytest.approx(log, abs=1e-9) if np.isfinite(log) else None)
    for choice, (profile, marks) in zip(products, found["vanishing"], strict=True):
        lessons = product_lessons(choice["T"], 5, choice["gain"], seed=1)
        for name, curve in (("median", "log_norms"), ("bound", "log_bound")):
            expected = np.concatenate([getattr(each, curve) for each in lessons]) / LN_10
            np.testing.assert_allclose(profile[f"log10_{name}"], expected, atol=1e-9)
        assert marks == [each.horizon for each in lessons]


USE = """(() => {
  const lit = () => document.querySelectorAll(".way.lit").length;
  const slider = document.querySelector("#sliders input");
  const all = () => [...document.querySelectorAll("#paths button")];
  const found = { lit: lit(), pressed: [] };
  for (const at of [1, 0]) {
    all()[at].click();
    found.pressed.push(all().findIndex((each) => each.ariaPressed === "true"));
  }
  all()[1].click();
  Object.assign(found, { then: lit(), lag: state.lag, focus: document.activeElement.value });
  found.still = document.body.classList.contains("moved");
  slider.value = 2;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  found.moved = document.body.classList.contains("moved");
  return Object.assign(found, { hash: location.hash });
})()"""


def test_a_button_lights_its_path_and_the_address_keeps_what_was_chosen(
    pages: dict[str, str], tmp_path: Path
) -> None:
    found = shown({name: (700, page, USE) for name, page in pages.items()}, tmp_path)

    for each in found.values():
        assert each["pressed"] == [1, 0]
        assert (each["still"], each["moved"], each["focus"]) == (False, True, "1")
    # Of x and of y through p; from E through h_3 to x_1, and to x_2.
    assert (found["backprop"]["lit"], found["backprop"]["then"]) == (2, 2)
    assert (found["bptt"]["lit"], found["bptt"]["then"]) == (4, 3)
    assert found["vanishing"]["lag"] == 2
    assert found["backprop"]["hash"] == "#x=2&y=1&z=3&path=1"
    assert found["bptt"]["hash"] == "#T=2&phi=0&gain=1&path=1"
    assert found["vanishing"]["hash"] == "#T=2&gain=1.2&path=1&lag=2&stage=0"


def test_an_address_that_makes_no_sense_leaves_the_lesson_as_it_starts(
    pages: dict[str, str], tmp_path: Path
) -> None:
    wild = [{"T": None, "phi": 99, "gain": -3.0, "path": 2.5}, {"T": 1.4, "path": -1}]
    script = f"""{json.dumps(wild)}.map((each) => {{
      choose(mapped(each, (value) => value ?? NaN));
      return [state.T, state.phi, state.gain, state.path];
    }})"""

    found: Any = shown({"bptt": (700, pages["bptt"], script)}, tmp_path)["bptt"]

    assert found == [[3, 11, 0.1, 2], [1, 11, 0.1, 0]]


@pytest.mark.parametrize("dark", [(), ("--force-dark-mode",)])
def test_a_lesson_is_read_at_any_width_without_requests(
    pages: dict[str, str], dark: tuple[str, ...], tmp_path: Path
) -> None:
    looked = {
        f"{name}-{width}": (width, page, LOOK) for name, page in pages.items() for width in WIDTHS
    }

    found = shown(looked, tmp_path, *dark)

    for name, (width, page, _) in looked.items():
        assert found[name]["needed"] <= width, f"scrolls sideways: {name}"
        assert found[name]["smallest"] >= 11.0
        assert found[name]["dark"] == bool(dark)
        assert found[name]["drawn"] == page.count("data-figure=")
        assert found[name]["fetched"] == []


def test_without_scripts_a_lesson_has_its_formulas_and_every_number(pages: dict[str, str]) -> None:
    text = pages["bptt"]
    reader = read(text)

    assert len(reader.of("math")) == 3
    assert not [each for each in reader.of("script") if each.get("src")]
    page = bptt_page(draw_bptt_lesson(3, 3, seed=4))
    for title, lines in page.sections:
        assert all(escape(each) in text for each in (title, *lines))
