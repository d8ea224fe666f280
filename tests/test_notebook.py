"""Results show themselves in a notebook, and only there does a picture cost anything."""

import base64
import binascii
import dataclasses
import io
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import gradscope
from gradscope.report.html import analysis_html

SMALL: Mapping[str, Any] = {"hidden": 4, "steps": 8, "updates": 2, "sequences": 3, "batch": 4}

NOTEBOOK = (
    """
import gradscope
settings = gradscope.Settings(hidden=4, steps=8, updates=2, sequences=3, batch=4)
analysis = gradscope.analyze(settings)
analysis
""",
    """
gradscope.compare(settings, activations=("tanh", "sigmoid"), steps=(4, 8))
""",
    """
chain = gradscope.elman_chain(analysis.params, analysis.trajectory)
gradscope.lag_norms(chain)
""",
    """
gradscope.diagnose(chain, required_lag=4)
""",
)


EXPLORING = {"details", "summary", "iframe"}


class Page(HTMLParser):
    """A page read back: its words, its pictures, and whether its tags are in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.inside = ""
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.inside += dict(attrs).get("srcdoc") or ""
        if tag == "img":
            self.pictures.append(dict(attrs))
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def ink(picture: Mapping[str, str | None]) -> float:
    """Return how much of an inline PNG is dark."""
    kind, _, content = str(picture["src"]).partition(",")
    assert kind == "data:image/png;base64"
    try:
        image = imread(io.BytesIO(base64.b64decode(content, validate=True)))
    except binascii.Error:
        pytest.fail("the picture is no base64")
    return float((np.asarray(image)[..., :3].mean(axis=2) < 0.5).mean())


def run_cell(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as IPython does: its last line is an expression whose value is shown."""
    *lines, last = cell.strip().splitlines()
    exec("\n".join(lines), names)  # noqa: S102 (the cells stand above)
    return eval(last, names)  # noqa: S307 (same)


def test_every_cell_of_a_notebook_shows_a_verdict_and_a_picture() -> None:
    names: dict[str, Any] = {}

    for cell in NOTEBOOK:
        page = Page(run_cell(cell, names)._repr_html_())

        (picture,) = page.pictures
        assert ink(picture) > 0.002
        assert len(str(picture["alt"])) > 20
        assert str(picture["alt"]) not in page.text
        assert page.tags - EXPLORING <= {"div", "p", "strong", "img", "ul", "li"}


def test_the_page_of_an_analysis_says_what_the_terminal_says() -> None:
    analysis = gradscope.analyze(
        gradscope.Settings(**{**SMALL, "activation": "sigmoid", "updates": 0})
    )

    page = Page(analysis._repr_html_())

    assert page.text.startswith("The gradient vanishes: ")
    assert "Why" in page.words
    assert "What to do" in page.words
    assert page.inside == analysis_html(analysis)
    assert len(page.words) >= 4 + len(analysis.last.verdict.reasons) + len(analysis.remedies)


def test_a_diagnosis_speaks_of_the_thresholds_it_was_made_with() -> None:
    chain = gradscope.ElmanChain(np.full((9, 1, 1), 0.5), np.eye(1))

    kept, lost = (
        Page(
            gradscope.diagnose(chain, thresholds=gradscope.Thresholds(vanishing=line))._repr_html_()
        )
        for line in (1e-6, 0.2)
    )

    assert "reaches all 9 steps measured" in kept.text
    assert "reaches 3 steps back (1/5)" in lost.text


def test_what_comes_from_a_file_is_escaped() -> None:
    analysis = gradscope.analyze(gradscope.Settings(**SMALL))
    evil = '<script>alert("x")</script>'
    task_info = dataclasses.replace(analysis.task_info, description=evil)

    shown = dataclasses.replace(analysis, task_info=task_info)._repr_html_()

    assert "<script" not in shown
    assert evil in Page(shown).text


@pytest.mark.parametrize(
    "settings", [{"gain": 0.0, "activation": "relu"}, {"steps": 1, "task": "sine"}]
)
def test_odd_results_are_shown_without_a_warning(settings: dict[str, Any]) -> None:
    analysis = gradscope.analyze(gradscope.Settings(**{**SMALL, "updates": 0, **settings}))
    chain = gradscope.elman_chain(analysis.params, analysis.trajectory)

    for result in (analysis, gradscope.lag_norms(chain), gradscope.diagnose(chain)):
        assert ink(Page(result._repr_html_()).pictures[0]) > 0.002


def test_a_comparison_that_was_interrupted_at_once_has_a_page_too() -> None:
    page = Page(gradscope.Comparison((), interrupted=True)._repr_html_())

    assert "interrupted" in page.text
    assert not page.pictures


def test_results_are_wired_however_they_are_loaded_and_nothing_more_is() -> None:
    script = (
        "import sys\n"
        "from gradscope.analysis.results import Comparison\n"
        "assert callable(Comparison._repr_html_)\n"
        "from gradscope.jacobians.lag_norms import LagNorms\n"
        "assert callable(LagNorms._repr_html_)\n"
        "assert not {'matplotlib', 'gradscope.report'} & set(sys.modules), 'loaded too much'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_result_takes_no_new_attributes_for_all_that() -> None:
    norms = gradscope.LagNorms(np.arange(1, 3), np.zeros((2, 1)), np.zeros((2, 1)))

    assert not hasattr(norms, "__dict__")
    with pytest.raises((AttributeError, TypeError)):
        norms.more = 1
