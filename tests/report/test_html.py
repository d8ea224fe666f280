"""The HTML report: verdict first, self-contained, escaped, readable at any width in a browser."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.results import Analysis
from gradscope.diagnosis.growth import terms_of
from gradscope.report.figures.panels import PANELS
from gradscope.report.html import analysis_html
from gradscope.report.provenance.records import read_provenance
from gradscope.report.words.headline import answer

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)
WIDTHS = (400, 800, 1400)

# Loads the report in a frame of each width and writes into the page what was found there.
FRAMES = """<!DOCTYPE html><html><body><script>
const report = {report};
const widths = {widths};
const found = [];
for (const width of widths) {{
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.style.height = "800px";
  frame.style.border = "0";
  frame.srcdoc = report;
  frame.onload = () => {{
    const inside = frame.contentDocument;
    found.push({{
      width: width,
      needed: inside.documentElement.scrollWidth,
      images: [...inside.images].filter((image) => image.naturalWidth > 0).length,
      fetched: frame.contentWindow.performance.getEntriesByType("resource")
        .map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
      scripts: inside.scripts.length,
    }});
    if (found.length === widths.length) {{
      document.body.setAttribute("data-found", btoa(JSON.stringify(found)));
    }}
  }};
  document.body.append(frame);
}}
</script></body></html>"""


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Analyze a series whose name would be markup, with every closer look."""
    series = tmp_path_factory.mktemp("data") / "<b>&amp;'quoted'.csv"
    series.write_text("\n".join(f"{np.sin(0.3 * t):.6f}" for t in range(120)))
    settings = gradscope.Settings(
        data=str(series), steps=12, hidden=6, sequences=3, batch=4, updates=3,
        map=True, shares=True, spectrum=True, memory=True, verify=True,
    )  # fmt: skip
    found: Analysis = gradscope.analyze(settings)
    return found


@pytest.fixture(scope="module")
def report(analysis: Analysis) -> str:
    return analysis_html(analysis)


class _Reader(HTMLParser):
    """Tags with their attributes, in order, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(report: str) -> _Reader:
    reader = _Reader()
    reader.feed(report)
    return reader


def test_the_verdict_is_the_title_and_the_only_first_heading(
    analysis: Analysis, report: str
) -> None:
    said = answer(analysis).replace("'", "&#x27;")

    assert re.search(r"<h1>(.*?)</h1>", report, re.DOTALL)[1] == said  # type: ignore[index]
    assert len(read(report).of("h1")) == 1
    assert report.index("<h1>") < report.index('id="why"') < report.index('id="profile"')


def test_nothing_is_fetched_and_nothing_runs(report: str) -> None:
    reader = read(report)

    assert not reader.of("script")
    addresses = [a.get(name) or "" for _, a in reader.tags for name in ("src", "href")]
    assert all(each.startswith("data:") for each in addresses if each)
    assert "http-equiv" not in report
    assert "url(" not in report


def test_every_panel_has_a_picture_with_words_for_those_who_do_not_see_it(report: str) -> None:
    images = read(report).of("img")

    assert len(images) == len(PANELS)
    assert all(len(image["alt"] or "") > 40 for image in images)


def test_the_numbers_behind_each_panel_can_be_downloaded(analysis: Analysis, report: str) -> None:
    links = {a["download"]: a["href"] for a in read(report).of("a")}

    assert set(links) == {f"{name}.csv" for name in PANELS}
    for name, panel in PANELS.items():
        content = base64.b64decode((links[f"{name}.csv"] or "").partition(",")[2]).decode()
        columns, rows = panel.rows(analysis)
        table = list(csv.reader(io.StringIO(content)))
        assert tuple(table[0]) == columns
        assert len(table) == 1 + len(rows) > 1


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_causes_of_a_gated_cell_are_downloaded_under_their_own_names(cell: str) -> None:
    settings = gradscope.Settings(cell=cell, steps=6, hidden=4, sequences=2, updates=0)
    analysis: Analysis = gradscope.analyze(settings)

    links = {a["download"]: a["href"] for a in read(analysis_html(analysis)).of("a")}

    content = base64.b64decode((links["causes.csv"] or "").partition(",")[2]).decode()
    (row,) = csv.DictReader(io.StringIO(content))
    terms = terms_of(analysis.last.causes)
    assert "direct" in terms
    assert list(row) == ["stage", *(f"{name}_nats_per_step" for name in (*terms, "total"))]
    added = sum(float(row[f"{name}_nats_per_step"]) for name in terms)
    assert added == pytest.approx(float(row["total_nats_per_step"]), abs=1e-9)


def test_what_comes_from_a_file_is_text_and_never_markup(report: str) -> None:
    assert not read(report).of("b")
    assert "&lt;b&gt;&amp;amp;&#x27;quoted&#x27;.csv" in report


def test_what_was_verified_and_the_baseline_are_said(report: str) -> None:
    assert "Verified by an exact SVD at" in report
    assert "baseline: " in report


@pytest.fixture(scope="module")
def of_a_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of a network from a file whose name would be markup."""
    saved = tmp_path_factory.mktemp("saved") / "<i>net&.npz"
    saved.write_bytes(archive_bytes(gradscope.analyze(gradscope.Settings(hidden=4, updates=0))))
    settings = settings_of_weights({"weights": str(saved), "steps": 9, "activation": "tanh"})
    return analysis_html(gradscope.analyze(settings))


def test_the_layers_of_a_network_from_a_file_stand_in_a_table_of_their_own(of_a_file: str) -> None:
    reader = read(of_a_file)

    assert "layers" in [heading.get("id") for heading in reader.of("h2")]
    assert '<th scope="row">run[0]</th><td>RNN</td><td>1</td><td>4</td>' in of_a_file
    assert "no targets, so no error and no gradient by step" in of_a_file
    assert "<i>" not in of_a_file


def test_the_report_carries_its_settings(analysis: Analysis, report: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report, encoding="utf-8")

    assert read_provenance(path)["settings"] == analysis.settings.as_dict()


def test_the_same_analysis_gives_the_same_report(analysis: Analysis, report: str) -> None:
    assert analysis_html(analysis) == report


@pytest.mark.parametrize("kind", ["report", "of_a_file"])
def test_a_browser_shows_it_at_any_width_without_scrolling_sideways_errors_or_requests(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    report: str = request.getfixturevalue(kind)
    page = tmp_path / "frames.html"
    # "</" would end the script that holds the report as a string.
    text = json.dumps(report).replace("</", "<\\/")
    page.write_text(FRAMES.format(report=text, widths=list(WIDTHS)), encoding="utf-8")

    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000",
         "--window-size=1500,900", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip

    encoded = re.search(r'data-found="([^"]+)"', done.stdout)
    assert encoded is not None
    found = json.loads(base64.b64decode(encoded[1]))
    assert sorted(each["width"] for each in found) == list(WIDTHS)
    for each in found:
        assert each["needed"] <= each["width"], f"scrolls sideways at {each['width']} pixels"
        assert (each["images"], each["scripts"], each["fetched"]) == (report.count("<img "), 0, [])
    assert "CONSOLE" not in done.stderr
