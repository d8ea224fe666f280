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
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.details import first_sequences
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import LN_10, plain
from gradscope.diagnosis.growth import terms_of
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.names import ExecutorName
from gradscope.report.figures.panels import PANELS
from gradscope.report.html import analysis_html
from gradscope.report.html_of_networks import comparison_html, store_html
from gradscope.report.provenance.records import read_provenance
from gradscope.report.words.headline import answer, look
from gradscope.sweep.executors import Workers
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import run_sweep
from gradscope.sweep.summary import summarize
from tests.stacks import with_depth
from tests.sweeping import cells_of

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
    "--allow-file-access-from-files",  # So that a page may look into the frames that it holds.
)
WIDTHS = (360, 800, 1400)

# Loads each page in a frame of its width, runs a script in it, and writes what that returns.
FRAMES = """<!DOCTYPE html><html><body><script>
const pages = {pages};
const found = {{}};
for (const [name, [width, address, script]] of Object.entries(pages)) {{
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.style.height = "800px";
  frame.style.border = "0";
  frame.src = address;
  frame.onload = () => {{
    found[name] = frame.contentWindow.eval(script);
    if (Object.keys(found).length === Object.keys(pages).length) {{
      document.body.setAttribute("data-found", btoa(encodeURIComponent(JSON.stringify(found))));
    }}
  }};
  document.body.append(frame);
}}
</script></body></html>"""

LOOK = """(() => {
  const texts = [...document.querySelectorAll("svg:not(.still) text")];
  return {
    needed: document.documentElement.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    drawn: hosts.filter((host) => host.querySelector("svg")).length,
    smallest: Math.min(...texts.map((each) => {
      const drawn = each.ownerSVGElement;
      const scale = drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width;
      return parseFloat(getComputedStyle(each).fontSize) * scale;
    })),
    fetched: performance.getEntriesByType("resource").map((each) => each.name)
      .filter((name) => !name.startsWith("data:")),
  };
})()"""

USE = """(() => {
  const slider = document.getElementById("lag");
  const found = { start: state.lag, stages: stages.length };
  slider.value = 3;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  Object.assign(found, { moved: state.lag, hash: location.hash, aria: slider.ariaValueText });
  found.marks = [...document.querySelectorAll("line.lag")].length;
  document.querySelectorAll("[name=stage]")[0]?.click();
  found.stage = state.stage;
  found.matrices = stages.map((_, at) => [1, 3, longest].map((lag) => {
    const tile = matrixAt(at, lag);
    return tile && [tile.exponent, [...tile.values]];
  }));
  found.csv = Object.fromEntries(Object.keys(TABLES).map((name) => [name, csvOf(name)]));
  found.buttons = document.querySelectorAll("button").length;
  found.terms = [...document.querySelectorAll("dfn")].map((each) => each.dataset.says);
  return found;
})()"""


def shown(
    pages: dict[str, tuple[int, str, str]], tmp_path: Path, *flags: str
) -> dict[str, dict[str, Any]]:
    """Load pages of these widths and return what a script finds in each; no console errors."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    frames, framed = tmp_path / "frames.html", {}
    for name, (width, page, script) in pages.items():
        (tmp_path / f"{name}.html").write_text(page, "utf-8")
        framed[name] = (width, f"{name}.html#lag=2", script)
    frames.write_text(FRAMES.format(pages=json.dumps(framed)), "utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=20000", "--window-size=1500,900", "--dump-dom", frames.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    encoded = re.search(r'data-found="([^"]+)"', done.stdout)
    assert encoded is not None
    found: dict[str, dict[str, Any]] = json.loads(unquote(base64.b64decode(encoded[1]).decode()))
    return found


def island(report: str) -> dict[str, Any]:
    """Return the numbers that a page holds."""
    found: dict[str, Any] = json.loads(
        re.search(r'id="island">(.*?)</script>', report)[1]  # type: ignore[index]
    )
    return found


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Analyze a series whose name would be markup, with every closer look."""
    series = tmp_path_factory.mktemp("data") / "<b>&amp;'quoted'.csv"
    series.write_text("\n".join(f"{np.sin(0.3 * t):.6f}" for t in range(120)))
    settings = gradscope.Settings(
        data=str(series), steps=12, hidden=6, sequences=3, batch=4, updates=3,
        map=True, shares=True, spectrum=True, memory=True, verify=True,
    )  # fmt: skip
    return with_depth(gradscope.analyze(settings))


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


def unpacked(column: Any) -> list[Any]:
    """Return a column as a list."""
    if "words" in column:
        return [column["words"][int(at)] for at in unpacked(column["at"])]
    ((kind, text),) = column.items()
    numbers: list[Any] = np.frombuffer(base64.b64decode(text), f"<{kind}").tolist()
    return numbers


def test_the_verdict_is_the_title_and_the_only_first_heading(
    analysis: Analysis, report: str
) -> None:
    said = answer(analysis).replace("'", "&#x27;")
    symbol = (
        f'<span class="{analysis.last.verdict.regime}">{look(analysis.last.verdict).symbol}</span>'
    )

    assert re.search(r"<h1>(.*?)</h1>", report, re.DOTALL)[1] == f"{symbol} {said}"  # type: ignore[index]
    assert len(read(report).of("h1")) == 1
    assert report.index("<h1>") < report.index('id="profile"') < report.index('id="why"')


def test_nothing_is_fetched(report: str) -> None:
    reader = read(report)

    assert [script.get("src") for script in reader.of("script")] == [None, None]
    addresses = [a.get(name) or "" for _, a in reader.tags for name in ("src", "href")]
    assert all(each.startswith(("data:", "#")) for each in addresses if each)
    assert "http-equiv" not in report


def test_every_panel_has_a_place_with_words_for_those_who_do_not_see_it(report: str) -> None:
    places = {
        a["data-figure"]: a["aria-label"] for a in read(report).of("div") if "aria-label" in a
    }

    assert {*PANELS, "strip", "matrix"} == set(places)
    assert all(len(places[name] or "") > 40 for name in PANELS)


def test_the_page_holds_the_numbers_of_each_panel_once(analysis: Analysis, report: str) -> None:
    tables = island(report)["tables"]

    assert set(tables) == set(PANELS)
    for name, panel in PANELS.items():
        columns, rows = panel.rows(analysis)
        assert tuple(tables[name]) == columns
        for at, column in enumerate(tables[name].values()):
            for held, row in zip(unpacked(column), rows, strict=True):
                if isinstance(row[at], str | bool):
                    assert held == str(row[at])
                elif plain(row[at]) is None:
                    assert plain(held) is None
                else:
                    assert held == pytest.approx(row[at], rel=1e-7)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_gated_cell_has_its_own_causes_and_singular_values_for_a_matrix(cell: str) -> None:
    settings = gradscope.Settings(cell=cell, steps=6, hidden=4, sequences=2, updates=0)
    analysis: Analysis = gradscope.analyze(settings)

    tables = island(analysis_html(analysis))["tables"]

    terms = terms_of(analysis.last.causes)
    assert "direct" in terms
    assert list(tables["causes"]) == ["stage", *(f"{n}_nats_per_step" for n in (*terms, "total"))]
    rates = {name: unpacked(column)[0] for name, column in tables["causes"].items()}
    added = sum(rates[f"{name}_nats_per_step"] for name in terms)
    assert added == pytest.approx(rates["total_nats_per_step"], abs=1e-6)
    found = {name: unpacked(column) for name, column in tables["values"].items()}
    pairs = zip(found["log10_singular_value"], found["rank"], strict=True)
    largest = [value for value, rank in pairs if rank == 1]
    lags = list(dict.fromkeys(found["lag"]))
    expected = analysis.last.profile.log_norms[np.array(lags, int) - 1, 0] / LN_10
    np.testing.assert_allclose(largest, expected, atol=1e-6)


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
    assert not reader.of("i")


def test_the_report_carries_its_settings(analysis: Analysis, report: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report, encoding="utf-8")

    assert read_provenance(path)["settings"] == analysis.settings.as_dict()


def test_the_same_analysis_gives_the_same_report(analysis: Analysis, report: str) -> None:
    assert analysis_html(analysis) == report


def test_a_browser_shows_every_kind_of_analysis(
    analyses: dict[str, Analysis], tmp_path: Path
) -> None:
    pages = {kind: (360, analysis_html(each), LOOK) for kind, each in analyses.items()}
    pages["all"] = (360, comparison_html(Comparison(tuple(analyses.values()))), LOOK)

    found = shown(pages, tmp_path)

    assert max(each["needed"] for each in found.values()) <= 360
    for name, (_, page, _) in pages.items():
        assert found[name]["drawn"] == page.count("data-figure=")


@pytest.mark.parametrize("dark", [(), ("--force-dark-mode",)])
def test_a_browser_shows_it_at_any_width_without_scrolling_sideways_errors_or_requests(
    report: str, of_a_file: str, dark: tuple[str, ...], tmp_path: Path
) -> None:
    kinds = {"report": report, "of_a_file": of_a_file}
    pages = {
        f"{kind} {width}": (width, page, LOOK) for kind, page in kinds.items() for width in WIDTHS
    }

    found = shown(pages, tmp_path, *dark)

    for name, (width, page, _) in pages.items():
        assert found[name]["needed"] <= width, f"scrolls sideways: {name}"
        assert found[name]["dark"] == bool(dark)
        assert found[name]["smallest"] >= 11.0
        assert found[name]["drawn"] == page.count("data-figure=")
        assert found[name]["fetched"] == []


def test_the_lag_moves_all_that_depends_on_it_and_the_address_keeps_it(
    analysis: Analysis, report: str, tmp_path: Path
) -> None:
    found = shown({"used": (800, report, USE)}, tmp_path)["used"]

    assert found["start"] == 2  # As its address says.
    assert (found["moved"], found["stage"], found["stages"]) == (3, 0, 2)
    assert found["hash"] == "#lag=3&stage=1"
    assert found["marks"] >= 8
    assert found["buttons"] > len(PANELS)
    assert found["aria"].startswith("3 ")
    for name, panel in PANELS.items():
        columns, rows = panel.rows(analysis)
        table = list(csv.reader(io.StringIO(found["csv"][name])))
        assert (tuple(table[0]), len(table)) == (columns, 1 + len(rows))
        for written, row in zip(table[1:], rows, strict=True):
            for text, value in zip(written, plain(row), strict=True):
                number = isinstance(value, float | int) and not isinstance(value, bool)
                expected = pytest.approx(value, rel=1e-7) if number else str(value or "")
                assert (float(text) if number else text) == expected or value is False


NETWORKS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "leaky": {"leak": 0.3},
    "before": {"leak": 0.3, "state": "pre"},
    "wide": {"hidden": 70, "steps": 8, "updates": 0},
}


def test_the_matrix_in_the_page_is_that_of_the_library(tmp_path: Path) -> None:
    few: dict[str, Any] = {
        "steps": 12,
        "hidden": 6,
        "sequences": 2,
        "batch": 2,
        "updates": 2,
        "burn_in": 0,
    }
    made = {
        name: gradscope.analyze(gradscope.Settings(**{**few, **settings}))
        for name, settings in NETWORKS.items()
    }
    pages = {name: (800, analysis_html(each), USE) for name, each in made.items()}

    found = shown(pages, tmp_path)

    for name, analysis in made.items():
        for stage, tiles in zip(analysis.stages, found[name]["matrices"], strict=True):
            chain = cell_chain(
                stage.params, first_sequences(stage.params, analysis.trajectory, slice(1))
            )
            for lag, (exponent, values) in zip((1, 3, chain.n_steps), tiles, strict=True):
                product = np.eye(chain.state_size)
                for step in range(chain.n_steps, chain.n_steps - lag, -1):
                    product = product @ chain.jacobian(step)[0]
                n = min(chain.state_size, 64)
                block = np.arange(chain.state_size) * n // chain.state_size
                mean = np.eye(n)[block] / np.bincount(block)
                expected = mean.T @ product @ mean
                tile = np.array(values).reshape(n, n) * 2.0**exponent
                np.testing.assert_allclose(tile, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.slow
def test_it_prints_on_six_pages_with_its_settings(tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(analysis_html(gradscope.analyze(gradscope.Settings())), "utf-8")
    assert page.stat().st_size <= 250_000

    subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=20000", f"--print-to-pdf={pdf}", page.as_uri()],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip

    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) <= 6


POINT = """(() => {
  const first = state.cell, rows = document.querySelectorAll("[data-row]"), curve = () =>
    document.querySelector("[data-figure=profiles] .curve:not(.pale)").getAttribute("d");
  const before = curve();
  if (rows.length) {
    rows[1].dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  } else {
    const drawn = document.querySelector("[data-figure=phase] svg");
    const { left, top, width, height } = drawn.getBoundingClientRect();
    const at = { clientX: left + 0.2 * width, clientY: top + 0.7 * height };
    drawn.dispatchEvent(new PointerEvent("pointermove", at));
  }
  const drawn = hosts.filter((host) => host.querySelector("svg")).length;
  const held = { then: state.cell, hash: location.hash };
  return { first, ...held, changed: before !== curve(), drawn, hosts: hosts.length };
})()"""


def test_pages_of_many_networks_show_the_profile_of_the_one_pointed_at(tmp_path: Path) -> None:
    few = gradscope.Settings(hidden=4, sequences=2, updates=0, burn_in=0)
    comparison = gradscope.compare(few, steps=(4, 8), seeds=2, workers=Workers(ExecutorName.SERIAL))
    run_sweep(
        cells_of("gain=0.5,2", "steps=4,6,8"),
        tmp_path / "s.db",
        workers=Workers(ExecutorName.SERIAL),
    )
    rows = read_rows(tmp_path / "s.db")
    made_by = {"command": "report", "x": None, "y": None}
    pages = {
        "compared": (800, comparison_html(comparison), POINT),
        "stored": (800, store_html(rows, summarize(rows), made_by), POINT),
    }

    found = shown(pages, tmp_path)

    assert [found[each]["drawn"] for each in pages] == [found[each]["hosts"] for each in pages]
    assert (found["compared"]["first"], found["compared"]["then"]) == (0, 2)
    assert found["stored"]["then"] == 5
    assert [found[each]["hash"] for each in pages] == ["#cell=2", "#cell=5"]
    assert all(each["changed"] for each in found.values())
    assert read_provenance(tmp_path / "compared.html")["settings"]["hidden"] == 4
