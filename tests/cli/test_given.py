"""``gradscope analyze FILE`` and its cousins as processes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
RNG = np.random.default_rng(1)
W, U = 0.5 * RNG.normal(size=(4, 4)), RNG.normal(size=(4, 3))
ASKED = ("net.npz", "--data", "x.npy", "--activation", "tanh")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    upper = RNG.normal(size=(4, 4))
    np.savez(
        tmp_path / "net.npz",
        **{
            "rnn.weight_ih_l0": U,
            "rnn.weight_hh_l0": W,
            "rnn.weight_ih_l1": upper,
            "rnn.weight_hh_l1": W,
            "fc.weight": RNG.normal(size=(2, 4)),
        },  # type: ignore[arg-type]
    )
    np.savez(tmp_path / "cell.npz", h2h=W, i2h=U)
    np.save(tmp_path / "x.npy", RNG.normal(size=(8, 2, 3)))
    return tmp_path


def test_the_page_names_the_layer_lists_all_and_says_what_is_missing(run: Run) -> None:
    done = run("analyze", *ASKED, "--full")

    assert (done.returncode, done.stderr) == (0, "")
    assert "rnn[1] of net.npz; 8 steps; inputs from" in done.stdout.replace("\n", " ")
    assert "Layers of net.npz (studied: rnn[1])" in done.stdout
    assert "no targets, so no error and no gradient by step" in done.stdout
    assert "gradient norm" not in done.stdout


def test_the_document_has_the_network_and_reasons_for_what_is_null(run: Run) -> None:
    document = json.loads(run("analyze", *ASKED, "--layer", "0", "--json").stdout)

    network, (stage,) = document["network"], document["stages"]
    assert (document["schema"], document["version"]) == ("gradscope.analysis", 1)
    assert (network["file"], network["layer"], network["kind"]) == ("net.npz", "rnn[0]", "elman")
    assert (network["input_size"], network["hidden_size"]) == (3, 4)
    assert [each["layer"] for each in network["layers"]] == ["rnn[0]", "rnn[1]"]
    assert network["layers"][0]["rate_nats_per_step"] == stage["verdict"]["rate_nats_per_step"]
    assert stage["stage"] == "given"
    assert stage["gradient"] is None
    assert "no targets" in stage["gradient_null_because"]
    assert "no targets" in stage["error_null_because"]


def test_pictures_closer_looks_saved_runs_and_reruns(run: Run, folder: Path) -> None:
    made = run(
        "analyze", *ASKED, "--lag-map", "--spectrum", "--verify", "--png", "net.png",
        "--save", "run.npz", "--json", "-o", "run.json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    first = json.loads((folder / "run.json").read_text("utf-8"))
    assert first["verification"]["worst_deviation"] < 1e-9

    for again in (
        run("rerun", "run.json", "--json"),
        run("rerun", "net.png", "--json"),
        run("analyze", "--load", "run.npz", "--lag-map", "--spectrum", "--verify", "--json"),
    ):
        assert again.returncode == 0, again.stderr
        document = json.loads(again.stdout)
        assert document["stages"][0]["profile"] == first["stages"][0]["profile"]
        assert document["spectrum"]["lyapunov"] == first["spectrum"]["lyapunov"]


def test_a_saved_run_of_a_stack_lists_every_layer_as_the_first_run_did(
    run: Run, folder: Path
) -> None:
    with np.load(folder / "net.npz") as net:
        arrays = {**net, "other.weight_ih_l0": U, "other.weight_hh_l0": W}
    np.savez(folder / "net.npz", **arrays)
    asked = (*ASKED, "--layer", "rnn[1]")
    first = run("analyze", *asked, "--save", "run.npz", "--json")
    loaded = ("analyze", "--load", "run.npz")

    again = run(*loaded, "--save", "again.npz", "--json")
    third = run("analyze", "--load", "again.npz", "--json")

    expected = json.loads(first.stdout)["network"]
    assert [each["regime"] is None for each in expected["layers"]] == [False, False, True]
    assert json.loads(again.stdout)["network"] == expected
    assert json.loads(third.stdout)["network"] == expected
    for more in ((), ("--lag-map",)):
        table = (
            run("analyze", *asked, "--full").stdout.partition("Layers of")[2].partition("Why")[0]
        )
        assert table
        assert run(*loaded, "--full", *more).stdout.partition("Layers of")[2].startswith(table)


def test_a_saved_run_judged_otherwise_lists_no_layers_that_were_not_judged_so(run: Run) -> None:
    run("analyze", *ASKED, "--save", "run.npz")

    document = json.loads(
        run("analyze", "--load", "run.npz", "--vanishing", "0.1", "--json").stdout
    )

    assert document["network"]["layers"] is None


def test_what_to_do_about_a_network_from_elsewhere_survives_its_saved_run(run: Run) -> None:
    # Nobody's training script has our flags; a saved run is no reason to name them.
    def remedies(page: str) -> str:
        return page.partition("What to do")[2]

    first = run("analyze", *ASKED, "--vanishing", "0.1", "--full", "--save", "run.npz")
    again = run("analyze", "--load", "run.npz", "--vanishing", "0.1", "--full")

    assert "orthogonal" in remedies(first.stdout)
    assert remedies(again.stdout) == remedies(first.stdout)


def test_settings_come_from_a_file_or_the_environment_too(run: Run, folder: Path) -> None:
    (folder / "net.toml").write_text(
        'weights = "net.npz"\ndata = "x.npy"\nactivation = "relu"\nlayer = "0"\n'
    )

    document = json.loads(run("analyze", "--config", "net.toml", "--json").stdout)
    other = run(
        "analyze", "--json", env={"GRADSCOPE_WEIGHTS": "net.npz", "GRADSCOPE_ACTIVATION": "relu"}
    )

    assert document["settings"]["activation"] == "relu"
    assert document["settings"]["layer"] == "rnn[0]"
    assert json.loads(other.stdout)["network"]["layer"] == "rnn[1]"


def test_the_network_among_the_arguments_goes_before_that_of_the_environment(run: Run) -> None:
    done = run("analyze", *ASKED, "--json", env={"GRADSCOPE_WEIGHTS": "cell.npz"})
    same = run("analyze", *ASKED, "--weights", "net.npz", "--json")

    for each in (done, same):
        assert each.returncode == 0, each.stderr
        assert json.loads(each.stdout)["network"]["file"] == "net.npz"


def test_the_old_spelling_names_weights_before_a_pair_and_else_asks_for_the_heat_map(
    run: Run,
) -> None:
    given = ("analyze", "cell.npz", "--data", "x.npy", "--activation", "tanh", "--leak", "0.5",
             "--state", "post")  # fmt: skip
    pairs = ("--weight-map", "W=h2h", "--weight-map", "U=i2h")

    old = run(*given, "--map", "W=h2h", "--map=U=i2h", "--map", "--json")
    new = run(*given, *pairs, "--lag-map", "--json")

    assert (new.returncode, new.stderr) == (0, "")
    assert old.stdout == new.stdout
    assert json.loads(old.stdout)["map"] is not None
    assert old.stderr.count("\n") == 1
    assert "--lag-map" in old.stderr
    assert "--weight-map" in old.stderr
    assert json.loads(run(*given, *pairs, "--json").stdout)["map"] is None
    inspected = run("inspect", "cell.npz", "--map", "W=h2h", "--map", "U=i2h", "--json")
    assert inspected.stdout == run("inspect", "cell.npz", *pairs, "--json").stdout


def test_the_command_that_a_report_prints_makes_it_again(run: Run) -> None:
    said = ("cell.npz", "--data", "x.npy", "--activation", "tanh", "--leak", "1")
    first = run("analyze", *said, "--weight-map", "W=h2h", "--weight-map", "U=i2h", "--json")

    import shlex

    from gradscope.analysis.settings import Settings
    from gradscope.report.provenance.recipe import command_line

    line = command_line(Settings.from_dict(json.loads(first.stdout)["settings"]))
    again = run(*shlex.split(line)[1:], "--json")

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["stages"] == json.loads(first.stdout)["stages"]


def test_spectrum_takes_a_file(run: Run) -> None:
    document = json.loads(run("spectrum", *ASKED, "--json").stdout)

    assert document["stage"] == "given"
    assert len(document["spectrum"]["lyapunov"]["exponents_nats_per_step"]) == 2


def test_check_says_what_was_not_compared_where_pytorch_is_not_installed(
    run: Run, folder: Path, environment: dict[str, str]
) -> None:
    (folder / "torch.py").write_text("raise ImportError('not here')\n")
    paths = {"PYTHONPATH": f"{folder}:{environment['PYTHONPATH']}"}

    done = run("check", *ASKED, "--json", env=paths)

    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "not compared with PyTorch: it is not installed; "
        "pip install '.[torch]' in a clone of gradscope\n"
    )
    rows = json.loads(done.stdout)["checks"]
    assert [row["against"] for row in rows] == ["moving the first state", "its four causes"]


@pytest.mark.torch
def test_check_holds_states_and_jacobians_against_pytorch(run: Run) -> None:
    pytest.importorskip("torch", reason="PyTorch is the oracle")

    rows = json.loads(run("check", *ASKED, "--json").stdout)["checks"]
    pairs = ("--weight-map", "W=h2h", "--weight-map", "U=i2h")
    leaky = run("check", "cell.npz", *pairs, "--leak", "0.5",
                "--activation", "tanh", "--state", "pre")  # fmt: skip

    worst = {row["against"]: row["deviation"] for row in rows}
    assert worst["torch.nn.RNNCell"] < 1e-14
    assert worst["torch.func.jacrev"] < 1e-14
    assert leaky.stderr == "not compared with PyTorch: it has no layer of these equations\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("analyze net.npz", "give --activation NAME"),
        ("analyze absent.pt --activation tanh", "absent.pt does not exist"),
        ("analyze net.npz --activation tanh --data absent.npy", "absent.npy does not exist"),
        ("analyze net.npz --activation tanh --data wide.npy", "wide.npy has 5 inputs per step"),
        (
            "analyze net.npz --activation tanh --data nan.npy",
            "nan.npy at [0, 0, 0]: no value in this column",
        ),
        ("analyze net.npz --activation tanh --shares", "--shares split the gradient"),
        ("analyze net.npz --activation tanh --weight-map Q=x", "write LETTER=NAME"),
        (
            "analyze cell.npz --activation tanh --weight-map W=h2 --weight-map U=i2h",
            "did you mean 'h2h'?",
        ),
        ("analyze cell.npz --activation tanh", "has no recurrent layer"),
        ("analyze net.npz --load run.npz", "choose one network"),
        (
            "analyze net.npz --weights cell.npz",
            "FILE is net.npz and --weights is cell.npz, but one network is studied; leave",
        ),
        ("spectrum --weights cell.npz net.npz", "leave --weights out"),
        ("check net.npz --weights cell.npz", "leave --weights out"),
        ("analyze --layer 0", "--layer is for a network from a weight file"),
        ("spectrum net.npz", "give --activation NAME"),
        ("check net.npz", "give --activation NAME"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    run: Run, folder: Path, arguments: str, words: str
) -> None:
    np.save(folder / "wide.npy", np.ones((8, 2, 5)))
    np.save(folder / "nan.npy", np.full((8, 2, 3), np.nan))

    done = run(*arguments.split())

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
