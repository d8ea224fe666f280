"""The page, the document and the picture of ``inspect``."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gradscope.analysis.inspect import Inspection, inspect
from gradscope.report.documents.inspection import COLUMNS, inspection_document, inspection_rows
from gradscope.report.figures.eigenvalues import MAX_ROWS, eigenvalue_picture
from gradscope.report.formats import to_json
from gradscope.report.screen import Screen
from gradscope.report.terminal.inspection import analyze_command, headline, inspection_page


def layer(gates: int, name: str = "", suffix: str = "_l0") -> dict[str, Any]:
    prefix = f"{name}." if name else ""
    rng = np.random.default_rng(gates)
    return {
        f"{prefix}weight_ih{suffix}": rng.normal(size=(4 * gates, 2)),
        f"{prefix}weight_hh{suffix}": rng.normal(size=(4 * gates, 4)),
    }


def look(path: Path, *arrays: dict[str, Any], mapping: tuple[str, ...] = ()) -> Inspection:
    everything: dict[str, Any] = {}
    for each in arrays:
        everything |= each
    np.savez(path, **everything)
    return inspect(path, mapping)


def page_of(inspection: Inspection, *, unicode: bool = True) -> str:
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    console.print(inspection_page(inspection, Screen(80, unicode)), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_names_layers_gates_and_what_the_file_does_not_say(tmp_path: Path) -> None:
    output = {"head.weight": np.ones((3, 4)), "note": "text"}

    text = page_of(look(tmp_path / "net.npz", layer(1, "rnn"), layer(3, "gru"), output))

    assert text.startswith("2 recurrent layers: 1 vanilla RNN, 1 GRU.")
    for part in ("rnn[0]", "gru[0]", "σ_max", "the activation φ (", "--activation NAME"):
        assert part in text
    assert "Output layers that fit the state: head (3, 4)." in text
    assert "Left out: note (text)." in text


def test_the_state_that_a_file_starts_from_is_named(tmp_path: Path) -> None:
    weights = {"W_in": np.ones((4, 2)), "W_rec": np.eye(4), "b_rec": np.zeros(4)}
    without = look(tmp_path / "net.npz", weights)
    found = look(tmp_path / "net.npz", weights, {"init_state": np.ones((1, 4))})

    sentence = "an h_0 that sequences start from"
    assert sentence in " ".join(page_of(found).split())
    assert sentence not in " ".join(page_of(without).split())
    assert inspection_document(found)["layers"][0]["initial_state"] is True
    assert inspection_document(without)["layers"][0]["initial_state"] is False


def test_a_long_command_is_one_to_a_shell(tmp_path: Path) -> None:
    path = tmp_path / ("long name " * 12 + ".npz")

    text = page_of(look(path, layer(1, "rnn")))

    typed = "gradscope" + text.partition("  gradscope")[2]
    assert shlex.split(typed.replace("\\\n", "")) == [
        *("gradscope", "analyze", str(path), "--data", "FILE", "--activation", "NAME")
    ]


def test_the_page_without_layers_says_how_to_name_them(tmp_path: Path) -> None:
    arrays = {"h2h": np.eye(3), "i2h": np.ones((3, 2)), "x y": np.ones(2)}

    text = page_of(look(tmp_path / "net.npz", arrays))

    assert "No recurrent layer under a known name." in text
    assert "--weight-map W=h2h --weight-map U=i2h" in text
    assert "3 × 2" in text


def test_a_page_in_ascii_has_no_other_letters(tmp_path: Path) -> None:
    assert page_of(look(tmp_path / "net.npz", layer(4)), unicode=False).isascii()


@pytest.mark.parametrize(
    ("arrays", "mapping", "options"),
    [
        ([layer(4)], (), "--data FILE"),
        ([layer(1)], (), "--data FILE --activation NAME"),
        ([layer(1, "a"), layer(4, "b")], (), "--layer a --data FILE --activation NAME"),
        ([layer(1, "a"), layer(1, "a", "_l0_reverse")], (), "--data FILE --activation NAME"),
        (
            [{"W x": np.eye(2), "U": np.ones((2, 1))}],
            ("W=W x", "U=U"),
            (
                "--weight-map 'W=W x' --weight-map U=U --data FILE --activation NAME "
                "--leak ALPHA --state pre / --state post"
            ),
        ),
    ],
)
def test_the_command_leaves_blank_only_what_the_user_knows(
    tmp_path: Path, arrays: list[dict[str, Any]], mapping: tuple[str, ...], options: str
) -> None:
    path = tmp_path / "net.npz"

    command = analyze_command(look(path, *arrays, mapping=mapping))

    assert command == f"gradscope analyze {path} {options}"


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_bound_of_one_step_is_in_the_document(tmp_path: Path, scale: float) -> None:
    arrays = {
        "input_weights": np.ones((2, 1)),
        "recurrent_weights": scale * np.eye(2),
        "settings": json.dumps({"activation": "tanh"}),
    }

    (found,) = inspection_document(look(tmp_path / "net.npz", arrays))["layers"]
    assert found["log_bound_nats_per_step"] == pytest.approx(np.log(scale), abs=1e-15)


def test_one_kind_is_counted_in_a_short_headline(tmp_path: Path) -> None:
    assert headline(look(tmp_path / "net.npz", layer(4))) == "1 LSTM layer"


def test_the_document_holds_every_number_and_no_other_than_finite_ones(tmp_path: Path) -> None:
    inspection = look(tmp_path / "net.npz", layer(3, "gru"))

    document = json.loads(to_json(inspection_document(inspection)))

    assert list(document)[:2] == ["schema", "version"]
    assert document["schema"] == "gradscope.inspection"
    (found,) = document["layers"]
    assert (found["kind"], found["hidden_size"], found["parameters"]) == ("gru", 4, 72)
    assert found["reset_after"] is True
    weights = inspection.layers[0].layer.gate("z")
    moduli = np.abs(np.array(found["gates"]["z"]["eigenvalues"]) @ [1.0, 1.0j])
    np.testing.assert_allclose(np.prod(moduli), abs(np.linalg.det(weights)), rtol=1e-10)
    assert found["gates"]["z"]["sigma_max"] == pytest.approx(np.linalg.norm(weights, 2), rel=1e-12)
    assert document["arrays"][0] == {
        "name": "gru.weight_ih_l0",
        "shape": [12, 2],
        "stored_as": "float64",
    }


def test_rows_are_one_for_each_gate(tmp_path: Path) -> None:
    _, rows = inspection_rows(look(tmp_path / "net.npz", layer(4), layer(1, "b")))

    assert [dict(zip(COLUMNS, row, strict=True))["gate"] for row in rows] == [
        "i",
        "f",
        "g",
        "o",
        "h",
    ]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("gates", [1, 4])
def test_the_same_file_gives_the_same_picture(tmp_path: Path, suffix: str, gates: int) -> None:
    inspection = look(tmp_path / "net.npz", layer(gates))

    content = eigenvalue_picture(inspection, suffix)

    assert content == eigenvalue_picture(inspection, suffix)
    assert content.startswith((b"\x89PNG", b"<?xml", b"%PDF"))


def test_a_picture_of_many_layers_says_how_many_it_shows(tmp_path: Path) -> None:
    layers = [layer(1, f"rnn{number}") for number in range(MAX_ROWS + 2)]

    content = eigenvalue_picture(look(tmp_path / "net.npz", *layers), ".svg").decode()

    assert content.count("Re ") == MAX_ROWS
    assert f"the first {MAX_ROWS} drawn" in content


@pytest.mark.parametrize("name", [r"a$\frac$", "$x$", "a_b^c"])
def test_the_name_of_a_layer_is_not_read_as_mathematics(tmp_path: Path, name: str) -> None:
    inspection = look(tmp_path / "a\udcff$net$.npz", layer(1, name))

    content = eigenvalue_picture(inspection, ".svg").decode()

    assert content.count(f">{name}[0], W</text>") == 1


def test_each_panel_of_a_gated_layer_says_of_which_matrix_it_is(tmp_path: Path) -> None:
    inspection = look(tmp_path / "net.npz", layer(4, "lstm"), layer(3, "gru"), layer(1, "rnn"))

    content = eigenvalue_picture(inspection, ".svg").decode()

    named = ("W of gate i", "W of gate f", "W of candidate g", "W of gate o", "W of gate r")
    for words in (*named, "W of gate z", "W of candidate n", "lstm[0]", "gru[0]", "rnn[0], W"):
        assert content.count(f">{words}</text>") == 1
