"""``gradscope explain`` as a student uses it."""

import csv
import io
import json
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

LESSONS = (
    ("backprop",),
    ("bptt",),
    ("bptt", "--steps", "8", "--hidden", "4", "--activation", "sigmoid"),
    ("vanishing",),
    ("memory", "horizon"),
    ("store",),
    ("cluster",),
    ("integrations",),
    (),
)
WITHOUT_ROWS = ("backprop", "bptt", "vanishing", "cluster", "integrations")


@pytest.mark.parametrize("words", LESSONS, ids=" ".join)
def test_a_lesson_fits_80_columns_in_every_alphabet(
    shown: Run, run: Run, words: tuple[str, ...]
) -> None:
    done = shown("explain", *words)
    ascii_only = run("explain", *words, env={"PYTHONIOENCODING": "ascii"})

    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert ascii_only.stdout.isascii()
    assert "?" not in ascii_only.stdout


@pytest.mark.parametrize("words", LESSONS, ids=" ".join)
def test_a_lesson_has_a_document_and_a_list_has_rows(call: Run, words: tuple[str, ...]) -> None:
    document = json.loads(call("explain", *words, "--json").stdout)
    as_csv = call("explain", *words, "--format", "csv")
    as_markdown = call("explain", *words, "--format", "md")

    assert list(document)[:2] == ["schema", "version"]
    assert document["schema"].startswith("gradscope.explain.")
    if words and words[0] in WITHOUT_ROWS:
        for refused in (as_csv, as_markdown):
            assert (refused.returncode, refused.stdout) == (2, "")
            assert refused.stderr.count("\n") == 1
            assert "choose table, json or jsonl" in refused.stderr
        return
    rows = list(csv.reader(io.StringIO(as_csv.stdout)))
    markdown = as_markdown.stdout.splitlines()
    assert len(rows) >= 2
    assert len({len(row) for row in rows}) == 1
    assert len(markdown) == len(rows) + 1
    assert all(line.startswith("| ") for line in markdown)


def test_backprop_takes_x_to_3_7_and_f_from_9_to_8_1(call: Run) -> None:
    page = call("explain", "backprop").stdout

    assert "its gradient is (3, −3, 3)." in page
    assert "x ← 4 − 0.1 · 3 = 3.7" in page
    assert "f falls from 9 to 8.1." in page


def test_backprop_takes_ones_own_numbers(call: Run) -> None:
    leaves = ("--x", "-2", "--y", "0.5", "--z", "-1", "--learning-rate", "1")
    document = json.loads(call("explain", "backprop", *leaves, "--json").stdout)

    assert document["values"]["f"] == 2.5
    assert document["gradient"] == {"x": -1.0, "y": 1.0, "z": -2.5}
    assert document["x_moved"] == {"x": -1.0, "y": 0.5, "z": -1.0, "f": 1.5}


def test_bptt_shows_every_term_with_every_factor_and_the_general_formula(call: Run) -> None:
    page = call("explain", "bptt", "--steps", "3").stdout

    for k in (3, 2, 1):
        assert page.count(f"\nk = {k}, ") == 2  # once for W, once for U
        assert f"∂⁺h_{k}/∂W = φ′(a_{k}) h_{k - 1}ᵀ = [" in page
        assert f"∂⁺h_{k}/∂U = φ′(a_{k}) x_{k}ᵀ = [" in page
    assert "∂h_3/∂h_1 = J_3 J_2 = [" in page
    assert page.count("∂y_3/∂h_3 = V = [") == 3
    for weights in "VWU":
        assert f"\n  ∂E_3/∂{weights} = [" in page
        assert f"BPTT's sweep,   ∂E/∂{weights} = [" in page
    assert "∂E/∂W = Σ_t ∂E_t/∂W = Σ_t Σ_k≤t" in page


def test_bptt_opens_with_the_net_over_time_and_the_weight_of_each_path(call: Run) -> None:
    lines = call("explain", "bptt").stdout.splitlines()
    document = json.loads(call("explain", "bptt", "--json").stdout)

    states = next(line for line in lines if line.strip().startswith("states"))
    assert re.findall(r"[hE]_\d", states) == ["h_0", "h_1", "h_2", "h_3", "E_3"]
    assert lines.index(states) < 6
    (weights,) = (line for line in lines if line.startswith("  weight  "))
    shown = [int(each) for each in re.findall(r"(\d+) %", weights)]
    parts = [term["part_of_gradient"] for term in document["steps"][-1]["terms"]]
    assert shown == [round(100 * part) for part in parts[::-1]] == [0, 9, 91]
    # Each number stands below its state.
    assert [weights[states.index(f"h_{k}")] for k in (1, 2, 3)] == ["0", "9", "9"]


@pytest.mark.parametrize("lesson", ["backprop", "bptt", "vanishing"])
def test_a_lesson_is_drawn_and_says_how_to_draw_it_again(
    call: Run, lesson: str, tmp_path: Path
) -> None:
    files = {"--png": "l.png", "--svg": "l.svg", "--pdf": "l.pdf", "--html": "l.html"}
    steps = () if lesson == "backprop" else ("--steps", "4")
    asked = ("explain", lesson, *steps, *(word for pair in files.items() for word in pair))
    done = call(*asked)

    assert (done.returncode, done.stderr.count("wrote ")) == (0, 4)
    assert done.stdout == call("explain", lesson, *steps).stdout
    for name in files.values():
        again = call("rerun", name)
        assert (again.returncode, again.stderr.count("\n")) == (2, 1)
        command = again.stderr.split("is run again by: gradscope ")[1].split()
        assert command[:2] == ["explain", lesson]
        assert call(*command, "--json").stdout == call("explain", lesson, *steps, "--json").stdout
    refused = call(*asked)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert call(*asked, "--force").returncode == 0
    assert len(list(tmp_path.glob("l.*"))) == 4


def test_bptt_in_json_multiplies_out(call: Run) -> None:
    document = json.loads(call("explain", "bptt", "--steps", "4", "--json").stdout)

    assert document["largest_relative_difference"] <= 1e-12
    assert all(document["initial_state"])
    assert all(any(map(any, t["share"]["W"])) for s in document["steps"] for t in s["terms"])
    for step in document["steps"]:
        for i in range(2):
            for j in range(2):
                total = sum(
                    term["adjoint"][i] * term["immediate"]["W"][i][j] for term in step["terms"]
                )
                assert step["gradient"]["W"][i][j] == pytest.approx(total, abs=1e-15)
    assert document["settings"] == {"steps": 4, "hidden": 2, "activation": "tanh", "seed": 0}


def test_the_seed_decides_and_nothing_else(run: Run) -> None:
    first, again, other = (
        run("explain", "bptt", "--seed", seed).stdout for seed in ("1", "1", "2")
    )

    assert first == again != other


def test_vanishing_sets_tanh_against_sigmoid(call: Run) -> None:
    page = " ".join(call("explain", "vanishing").stdout.split())
    document = json.loads(call("explain", "vanishing", "--json").stdout)

    assert "What tanh does" in page
    assert "What sigmoid does" in page
    assert "forces vanishing" in page
    tanh, sigmoid = document["networks"]
    assert tanh["first_lag_of_exact_zero_in_float64"] is None
    zero = sigmoid["first_lag_of_exact_zero_in_float64"]
    assert f"exactly 0 from lag {zero} on" in page
    assert sigmoid["log10_norm"][zero - 1] < -322


@pytest.fixture
def saved(call: Run, small: tuple[str, ...], tmp_path: Path) -> Path:
    arguments = (*small, "--activation", "sigmoid", "--save", "run.npz", "-o", "run.json")
    assert call("analyze", *arguments).returncode == 0
    return tmp_path


def test_a_verdict_is_explained_from_a_saved_run(run: Run, saved: Path) -> None:
    done = run("explain", "verdict", "run.npz")
    document = json.loads((saved / "run.json").read_text(encoding="utf-8"))
    verdict = document["stages"][-1]["verdict"]

    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "steps after 300 of burn-in" in " ".join(done.stdout.split())
    assert verdict["rate_from"]["burn_in"] == 300
    explained = json.loads(run("explain", "verdict", "run.npz", "--json").stdout)
    # The file keeps the inputs that follow: the same rate, to the last bit.
    assert explained["rate_nats_per_step"] == verdict["rate_nats_per_step"]
    assert explained["rate_from"] == verdict["rate_from"]
    assert explained["rate_between"]["lags"] == verdict["rate_between"]["lags"] == [3, 6]
    assert f"Memory horizon: {verdict['horizon']} steps" in done.stdout
    assert "their sum" in done.stdout
    assert "Schoenholz et al. 2017" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("settings", "cause", "bound"),
    [
        (("--cell", "gru"), "kept by the gate alone", "gates and weights along this trajectory"),
        (("--leak", "0.5"), "weights, log(1−α+α·σ_max(W))", "α = 0.5, γ = 1."),
    ],
)
def test_a_verdict_speaks_of_the_causes_and_the_bound_of_its_cell(
    call: Run, small: tuple[str, ...], settings: tuple[str, ...], cause: str, bound: str
) -> None:
    assert call("analyze", *small, *settings, "--save", "run.npz").returncode == 0

    page = call("explain", "verdict", "run.npz").stdout
    document = json.loads(call("explain", "verdict", "run.npz", "--json").stdout)

    assert cause in page
    assert bound in page
    assert "γσ_max(W)" not in page
    assert document["log_weight_norm"] is None
    assert document["log_weight_norm_null_because"] == "the bound has other terms: a leak, or gates"


def test_a_horizon_that_was_not_reached_is_beyond_the_lags_and_not_none(
    call: Run, small: tuple[str, ...]
) -> None:
    assert call("analyze", *small, "--init", "identity", "--save", "run.npz").returncode == 0

    page = " ".join(call("explain", "verdict", "run.npz").stdout.split())

    assert "memory horizon beyond 6 steps. How" in page
    assert "Memory horizon: beyond 6 steps" in page


def test_an_explanation_of_a_verdict_is_a_page_or_a_document(call: Run, saved: Path) -> None:
    assert saved.is_dir()
    document = json.loads(call("explain", "verdict", "run.npz", "--json").stdout)

    assert document["schema"] == "gradscope.explain.verdict"
    assert document["settings"]["activation"] == "sigmoid"
    assert document["regime"] == "vanishing"
    assert call("explain", "verdict", "run.npz", "--format", "csv").returncode == 2


def test_of_a_document_the_saved_run_is_asked_for(call: Run, saved: Path) -> None:
    assert (saved / "run.json").exists()
    done = call("explain", "verdict", "run.json")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "gradscope rerun run.json --save run.npz" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("memory", "horizn"), "there is no term 'memory horizn'; did you mean memory horizon"),
        (("xqzzq",), "there is no term 'xqzzq'; gradscope explain lists all"),
        (("bptt", "--steps", "9"), "--steps is 9; choose 1 to 8"),
        (("bptt", "--steps", "x"), "'x' is not a valid int"),
        (("bptt", "--seed", "-1"), "--seed is -1; choose 0 or more"),
        (("vanishing", "--gain", "nan"), "--gain is nan; choose a number above 0"),
        (("vanishing", "--hidden", "0"), "--hidden is 0; choose 1 to 32"),
        (("backprop", "--x", "inf"), "--x is inf; choose a number"),
        (("verdict",), "Missing argument 'RUN'"),
        (("verdict", "nowhere.npz"), "nowhere.npz does not exist"),
        (("lag", "--format", "word"), "word"),
        (("store", "--html", "store.html"), "No such option: --html"),
        (("lag", "--png", "lag.png"), "No such option: --png"),
        (("bptt", "--png", "net.txt"), "the picture net.txt ends in .txt"),
        (("bptt", "--html", "a", "--png", "a.png", "-o", "a.png"), "named for two outputs"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    call: Run, words: tuple[str, ...], said: str
) -> None:
    done = call("explain", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert done.stderr.startswith("error: ")


def test_the_list_fits_a_screen(shown: Run) -> None:
    assert len(shown("explain").stdout.splitlines()) <= 40


def test_the_list_names_every_topic_of_the_help_page(shown: Run) -> None:
    listed, page = shown("explain").stdout, shown("explain", "--help").stdout

    for topic in ("backprop", "bptt", "vanishing", "verdict", "store", "cluster", "integrations"):
        assert f" {topic}" in listed
        assert f" {topic} " in page
    assert "memory horizon" in " ".join(listed.split())


def test_the_answer_goes_to_a_file_and_never_over_one(run: Run, tmp_path: Path) -> None:
    first = run("explain", "lag", "-o", "lag.md")
    second = run("explain", "lag", "-o", "lag.md")

    assert (first.returncode, first.stdout, first.stderr) == (0, "", "wrote lag.md\n")
    assert (tmp_path / "lag.md").read_text(encoding="utf-8").startswith("| term |")
    assert second.returncode == 2
    assert "already exists" in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", LESSONS, ids=" ".join)
def test_a_lesson_takes_about_a_second_of_computing(run: Run, words: tuple[str, ...]) -> None:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("explain", *words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime

    assert min(once() for _ in range(3)) < 1.5


def test_a_required_lag_beyond_those_measured_is_said_to_be_unknown(call: Run) -> None:
    few = ("--hidden", "3", "--steps", "20", "--updates", "0", "--max-lag", "2")
    page = call("analyze", *few, "--save", "run.npz").stdout
    lesson = call("explain", "verdict", "run.npz").stdout
    document = json.loads(call("analyze", *few, "--json").stdout)

    codes = [each["code"] for each in document["stages"][-1]["verdict"]["reasons"]]
    assert "required-lag-not-measured" in codes
    assert not {"horizon-reaches-required-lag", "gradient-fine"} & set(codes)
    for each in (page, lesson):
        assert "the gradient arrives." not in " ".join(each.split())
