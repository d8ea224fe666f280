"""``gradscope rerun``: whatever a run left behind gives its numbers again, as it promises."""

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gradscope import machine
from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.settings import Settings
from gradscope.names import ActivationName, CellName
from gradscope.report.documents.analysis import (
    analysis_document,
    comparison_document,
    spectrum_document,
)
from gradscope.report.figures.analysis import analysis_picture
from gradscope.report.figures.comparison import comparison_picture
from gradscope.report.formats import to_json
from gradscope.sweep.compare import compare

Run = Callable[..., "subprocess.CompletedProcess[str]"]

DRAWN = ("png", "svg", "pdf")
SUFFIXES = ("png", *(pytest.param(each, marks=pytest.mark.slow) for each in DRAWN[1:]))


@pytest.fixture(scope="session")
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Give commands as many BLAS threads as this process has, whose results they make again."""
    threads = str(machine.environment()["threads"] or 1)
    return {**environment, **dict.fromkeys(machine.THREAD_VARIABLES, threads)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an analysis, a spectrum and a comparison in every form."""
    folder = tmp_path_factory.mktemp("made")
    settings = Settings(hidden=4, steps=6, updates=2, sequences=2, seed=3)
    analysis = analyze(settings)
    activations, kinds = (
        (ActivationName.SIGMOID, ActivationName.TANH),
        (CellName.LSTM, CellName.ELMAN),
    )
    comparison = compare(settings, activations, (7, 4), kinds=kinds, seeds=2)
    spectrum = analyze(settings.with_changes({"updates": 0, "spectrum": True}))
    spectrum_of = partial(analysis_picture, spectrum, command="spectrum")
    for suffix in DRAWN:
        (folder / f"made.{suffix}").write_bytes(analysis_picture(analysis, f".{suffix}"))
        (folder / f"spectrum.{suffix}").write_bytes(spectrum_of(f".{suffix}"))
        (folder / f"cells.{suffix}").write_bytes(comparison_picture(comparison, f".{suffix}"))
    (folder / "made.npz").write_bytes(archive_bytes(analysis))
    (folder / "made.json").write_text(to_json(analysis_document(analysis)), encoding="utf-8")
    (folder / "spectrum.json").write_text(to_json(spectrum_document(spectrum)), encoding="utf-8")
    (folder / "cells.json").write_text(to_json(comparison_document(comparison)), encoding="utf-8")
    return folder


PROMISE = "reproducible: bit for bit: the same NumPy, BLAS, kernel, threads and platform\n"
PROMISED = {
    "same_machine_type": True,
    "relative_tolerance": 0.0,
    "because": PROMISE.removeprefix("reproducible: ").strip(),
}


def assert_same_document(again: str, first: Path | str, promised: object = PROMISED) -> None:
    """Hold a document that was made again against the first, to the last digit."""
    found = json.loads(again)
    before = first if isinstance(first, str) else first.read_text(encoding="utf-8")

    assert found.pop("reproducible") == promised
    assert to_json(found) == before


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_an_analysis_is_made_again_from_each_of_its_files(
    run: Run, made: Path, suffix: str
) -> None:
    done = run("rerun", f"made.{suffix}", "--json", cwd=made)

    assert (done.returncode, done.stderr) == (0, PROMISE)
    assert_same_document(done.stdout, made / "made.json")


def test_a_spectrum_is_made_again_as_a_spectrum(run: Run, made: Path) -> None:
    done = run("rerun", "spectrum.json", "--json", cwd=made)

    assert (done.returncode, done.stderr) == (0, PROMISE)
    assert_same_document(done.stdout, made / "spectrum.json")


def test_a_comparison_is_made_again_with_all_its_cells(run: Run, made: Path) -> None:
    done = run("rerun", "cells.json", "--json", cwd=made)

    assert (done.returncode, done.stderr) == (0, PROMISE)
    assert_same_document(done.stdout, made / "cells.json")


@pytest.mark.parametrize("name", ["made", "cells", "spectrum"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_from_a_picture_come_its_document_and_the_picture_byte_for_byte(
    run: Run, made: Path, name: str, suffix: str, tmp_path: Path
) -> None:
    picture, again = made / f"{name}.{suffix}", tmp_path / f"again.{suffix}"

    done = run("rerun", str(picture), "--json", "--png", str(again))

    assert (done.returncode, done.stderr) == (0, f"{PROMISE}wrote {again}\n")
    assert_same_document(done.stdout, made / f"{name}.json")
    assert again.read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("width", ["single", "double"])
def test_a_panel_alone_is_made_again_as_that_panel(
    call: Run, small: tuple[str, ...], suffix: str, width: str, tmp_path: Path
) -> None:
    panel = ("--panel", "map", "--width", width)
    assert call("analyze", *small, *panel, "--png", f"panel.{suffix}").returncode == 0

    assert call("rerun", f"panel.{suffix}", "--png", f"again.{suffix}").returncode == 0

    again, first = (tmp_path / f"{name}.{suffix}" for name in ("again", "panel"))
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("command", ["compare", "spectrum"])
def test_a_picture_of_one_column_is_made_again_as_wide(
    call: Run, tmp_path: Path, command: str
) -> None:
    narrow = ("--width", "single", "--png", "narrow.png")
    words = ("--hidden", "3", "--steps", "5", "--updates", "0")
    assert call(command, *words, *narrow).returncode == 0

    assert call("rerun", "narrow.png", "--png", "again.png").returncode == 0

    again, first = ((tmp_path / f"{name}.png").read_bytes() for name in ("again", "narrow"))
    assert again == first
    assert int.from_bytes(first[16:20], "big") == 1050


@pytest.mark.parametrize("command", ["compare", "forecast", "try", "rerun narrow.png"])
def test_a_panel_is_refused_where_there_is_one_picture(call: Run, command: str) -> None:
    done = call(*command.split(), "--panel", "hero", "--png", "one.png")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--panel is hero" in done.stderr


@pytest.fixture
def sweep(call: Run, tmp_path: Path) -> Path:
    """Return the store of a sweep, named as a person names it: from the folder they are in."""
    grid = ("-P", "gain=1,2", "-P", "hidden=3,4", "-P", "seed=0,1", "--executor", "serial")
    assert call("sweep", *grid, "--steps", "4", "--updates", "0", "-o", "s.db").returncode == 0
    return tmp_path / "s.db"


LOOKS = {
    "phase": (),
    "quantiles": ("--kind", "quantiles", "--value", "horizon", "--x", "hidden"),
    "turned": ("--x", "hidden", "--y", "gain", "--where", "seed = 0"),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_of_a_sweep_is_drawn_again_byte_for_byte_where_its_store_is(
    call: Run, sweep: Path, suffix: str, look: str
) -> None:
    first, again = (sweep.with_name(f"{name}.{suffix}") for name in ("first", "again"))
    shown = call("report", "s.db", *LOOKS[look], "--json", "--png", first.name)

    done = call("rerun", first.name, "--json", "--png", again.name)

    assert (done.returncode, done.stdout) == (0, shown.stdout)
    assert done.stderr == f"wrote {again.name}\n"
    assert again.read_bytes() == first.read_bytes()


def test_a_picture_of_a_sweep_whose_store_has_gone_is_refused_in_one_line(
    call: Run, sweep: Path
) -> None:
    assert call("report", "s.db", "--png", "s.png").returncode == 0
    sweep.unlink()

    done = call("rerun", "s.png", "--png", "again.png")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: s.db does not exist or is not a file; name a sweep's store\n")
    assert not sweep.with_name("again.png").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_of_a_weight_file_is_drawn_again_byte_for_byte(
    call: Run, small: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    assert call("analyze", *small, "--save", "run.npz").returncode == 0
    first, again = (f"{name}.{suffix}" for name in ("first", "again"))
    named = ("--weight-map", "W=recurrent_weights", "--weight-map", "U=input_weights")
    shown = call("inspect", "run.npz", *named, "--png", first)
    assert shown.returncode == 0

    done = call("rerun", first, "--png", again)

    assert (done.returncode, done.stdout, done.stderr) == (0, shown.stdout, f"wrote {again}\n")
    assert (tmp_path / again).read_bytes() == (tmp_path / first).read_bytes()
    assert call("show-config", first).stdout == (
        "# gradscope inspect run.npz --weight-map W=recurrent_weights "
        "--weight-map U=input_weights\n"
    )
    (tmp_path / "run.npz").unlink()
    gone = call("rerun", first)
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
    assert gone.stderr.startswith("error: run.npz does not exist")


def test_show_config_tells_what_a_picture_of_a_sweep_shows(call: Run, sweep: Path) -> None:
    assert call("report", sweep.name, *LOOKS["turned"], "--png", "s.png").returncode == 0

    said = call("show-config", "s.png").stdout

    assert said.splitlines()[0] == (
        "# gradscope report s.db --where 'seed = 0' --kind phase --value rate --x hidden --y gain"
    )
    assert "steps = 4\n" in said


PAGES = {
    "analyze": (),
    "train": (),
    "spectrum": ("--updates", "0"),
    "compare": ("--steps", "5,6", "--seeds", "2"),
}


@pytest.mark.parametrize("command", [*PAGES, "report"])
def test_a_page_is_made_again_byte_for_byte(
    call: Run, sweep: Path, small: tuple[str, ...], command: str
) -> None:
    made_by = ("s.db", *LOOKS["turned"]) if command == "report" else (*small, *PAGES[command])
    first, again = (sweep.with_name(f"{name}.html") for name in ("first", "again"))
    assert call(command, *made_by, "--html", first.name).returncode == 0

    done = call("rerun", first.name, "--html", again.name)

    assert done.returncode == 0
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("made", "option"), [("report", "--save"), ("inspect", "--save"), ("inspect", "--html")]
)
def test_what_only_an_analysis_has_is_refused_for_what_was_drawn_from_a_file(
    call: Run, sweep: Path, small: tuple[str, ...], made: str, option: str
) -> None:
    assert call("analyze", *small, "--save", "run.npz").returncode == 0
    source = sweep.name if made == "report" else "run.npz"
    assert call(made, source, "--png", "p.png").returncode == 0

    done = call("rerun", "p.png", option, "other.npz")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{option} is asked for (other.npz), but what {made} makes has none" in done.stderr


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_show_config_reads_every_picture(run: Run, made: Path, suffix: str) -> None:
    shown = json.loads(run("show-config", f"made.{suffix}", "--json", cwd=made).stdout)

    document = json.loads((made / "made.json").read_text(encoding="utf-8"))
    assert shown == {
        "schema": "gradscope.settings",
        **{k: document[k] for k in ("version", "gradscope", "settings", "environment")},
    }
    assert list(shown)[:3] == ["schema", "version", "gradscope"]
    assert "seed = 3\n" in run("show-config", f"made.{suffix}", cwd=made).stdout


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_course_of_training_and_a_check_are_made_again(
    run: Run, small: tuple[str, ...], command: str
) -> None:
    settings = small if command == "train" else ("--hidden", "3", "--steps", "4", "--seed", "5")
    assert run(command, *settings, "-o", "made.json").returncode == 0
    document = run(command, *settings, "--json").stdout

    assert_same_document(run("rerun", "made.json", "--json").stdout, document)


def test_a_file_of_another_version_is_run_with_a_warning(
    run: Run, made: Path, tmp_path: Path
) -> None:
    text = (made / "made.json").read_text(encoding="utf-8")
    old = {**json.loads(text), "gradscope": "0.0.1"}
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")

    done = run("rerun", "old.json", "--json")

    promised = {
        "same_machine_type": True,
        "relative_tolerance": None,
        "because": "gradscope 0.0.1 made the file, and this is 0.1.0",
    }
    assert_same_document(done.stdout, text, promised)
    assert done.stderr == "warning: old.json was made by gradscope 0.0.1; numbers may differ\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.png",), "nowhere.png does not exist"),
        (("made.json", "-o", "made.json"), "already exists"),
        (("made.json", "--png", "made.gif"), "choose .png, .svg, .pdf"),
        (("notes.txt",), "notes.txt has no gradscope settings"),
        (("cells.json", "--save", "x.npz"), "--save is asked for (x.npz), but what compare"),
        (("spectrum.json", "--save", "x.npz"), "--save is asked for (x.npz), but what spectrum"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    call: Run, made: Path, words: tuple[str, ...], said: str
) -> None:
    (made / "notes.txt").write_text("hello", encoding="utf-8")

    done = call("rerun", *words, cwd=made)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize("gain", [0.5, 30.0])
def test_another_machine_is_told_how_well_its_numbers_can_agree(
    call: Run, tmp_path: Path, gain: float
) -> None:
    study = ("--activation", "identity", "--gain", str(gain), "--steps", "40", "--updates", "0")
    assert call("analyze", *study, "-o", "first.json").returncode == 0
    document = json.loads((tmp_path / "first.json").read_text(encoding="utf-8"))
    document["environment"]["kernel"] = "another"
    (tmp_path / "first.json").write_text(to_json(document), encoding="utf-8")

    done = call("rerun", "first.json", "--json")

    found = json.loads(done.stdout)["reproducible"]
    assert (done.returncode, done.stderr) == (0, f"reproducible: {found['because']}\n")
    assert not found["same_machine_type"]
    assert found["relative_tolerance"] == (1e-6 if gain < 1 else None)


def test_a_run_that_does_not_name_its_machine_is_not_promised_the_same_bits(
    call: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    assert call("analyze", *small, "--save", "new.npz").returncode == 0
    with np.load(tmp_path / "new.npz") as arrays:
        np.savez(
            tmp_path / "old.npz",
            allow_pickle=False,
            **{name: arrays[name] for name in arrays if name != "environment"},
        )

    done = call("rerun", "old.npz", "--json")

    assert json.loads(done.stdout)["reproducible"]["same_machine_type"] is False
    assert call("show-config", "old.npz").returncode == 0
