"""What a stack from a file says of its depth: closed forms of stacks of scaled identities."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, plain
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.errors import SettingError
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.documents.rows import depth_rows
from gradscope.report.figures.panels import PANELS, View
from gradscope.report.terminal.analysis import layers_title
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch writes the files")
pytestmark = pytest.mark.torch

H, T = 3, 20
DEPTH = {ReasonCode.MAINLY_IN_DEPTH, ReasonCode.MAINLY_IN_TIME}


def analysis_of(
    folder: Path, n_layers: int, down: float, back: float, *, both: bool = False, **values: Any
) -> Analysis:
    """Analyze linear layers h_t = back · h_{t−1} + down · x_t."""
    rnn = torch.nn.RNN(H, H, n_layers, bidirectional=both, dtype=torch.float64)
    rnn.fc = torch.nn.Linear(H, 2, dtype=torch.float64)
    with torch.no_grad():
        for name, each in rnn.named_parameters():
            if name.startswith("weight_ih"):
                each.copy_(down * torch.eye(*each.shape, dtype=torch.float64))
            elif name.startswith("weight_hh"):
                each.copy_(back * torch.eye(H, dtype=torch.float64))
    torch.save(rnn.state_dict(), folder / "net.pt")
    asked = {"weights": str(folder / "net.pt"), "activation": "identity", "steps": T, **values}
    return analyze(settings_of_weights(asked))


def reasons(analysis: Analysis) -> list[Reason]:
    return [each for each in analysis.last.verdict.reasons if each.code in DEPTH]


def paths(lags: np.ndarray[Any, Any], down: float, back: float) -> np.ndarray[Any, Any]:
    """Return σ_max from the top of three layers to the lowest: C(ℓ + 2, 2) paths of one weight."""
    found: np.ndarray[Any, Any] = down**2 * back**lags * (lags + 1.0) * (lags + 2.0) / 2.0
    return found


@pytest.mark.parametrize(
    ("down", "back", "code", "from_lag"),
    [
        (1e-2, 0.1, ReasonCode.MAINLY_IN_DEPTH, 0),  # 10⁻⁴ at lag 0, and never more.
        (0.15, 0.2, ReasonCode.MAINLY_IN_TIME, 0),  # .0225 at lag 0; time alone takes .008 by then.
        (0.05, 0.2, ReasonCode.MAINLY_IN_DEPTH, 0),  # .0025 at lag 0; time alone takes .04 by then.
        (0.5, 0.1, ReasonCode.MAINLY_IN_TIME, 0),  # A quarter at lag 0.
        (0.2, 0.55, ReasonCode.MAINLY_IN_TIME, 2),  # It grows first: .04 at lag 0, .073 at lag 2.
        (0.01, 0.7, ReasonCode.MAINLY_IN_DEPTH, 4),  # It grows first, but not to 1/1000.
        (40.0, 0.5, ReasonCode.MAINLY_IN_DEPTH, 0),  # 1600 at lag 0.
        (1.0, 2.0, ReasonCode.MAINLY_IN_TIME, 0),  # 1 at lag 0, beyond 1000 soon.
    ],
)
def test_the_reason_names_what_takes_more_of_the_way_to_the_threshold(
    down: float, back: float, code: ReasonCode, from_lag: int, tmp_path: Path
) -> None:
    (found,) = reasons(analysis_of(tmp_path, 3, down, back))

    sizes, numbers = paths(np.arange(T), down, back), found.numbers
    outside = sizes > 1000.0 if sizes.max() > 1000.0 else sizes < 1e-3
    assert (found.code, numbers["from_lag"]) == (code, from_lag)
    assert numbers["lag"] == int(np.argmax(outside))
    assert numbers["log10_norm"] == pytest.approx(np.log10(sizes[from_lag]), abs=1e-9)
    assert (numbers["layer"], numbers["top"]) == ("rnn[0]", "rnn[2]")


def test_a_stack_that_carries_has_no_such_reason_but_its_map(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, 3, 1.0, 1.0)

    depth = present(analysis.details.depth)
    expected = np.log(paths(np.arange(T), 1.0, 1.0))
    np.testing.assert_allclose(depth.log_norms[0, :-1], np.tile(expected[:, None], 2), atol=1e-9)
    assert reasons(analysis) == []


def test_the_gradient_is_not_fine_where_the_lowest_layer_gets_none_of_it(tmp_path: Path) -> None:
    given: dict[str, Any] = {"data": str(tmp_path / "x.npy"), "sequences": 2}
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(T, 2, H)))

    fine, lost = (analysis_of(tmp_path, 3, down, 1.0, **given) for down in (1.0, 1e-3))

    assert fine.last.verdict.reason(ReasonCode.GRADIENT_FINE) is not None
    assert lost.last.verdict.reason(ReasonCode.GRADIENT_FINE) is None


def test_with_targets_the_adjoints_of_every_layer_are_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(T, 4, H)))
    np.save(tmp_path / "y.npy", rng.normal(size=(T, 4, 2)))
    given: dict[str, Any] = {
        name: str(tmp_path / f"{at}.npy") for name, at in (("data", "x"), ("targets", "y"))
    }

    analysis = analysis_of(tmp_path, 2, 0.5, 0.8, readout="fc", **given)

    adjoints = present(present(analysis.details.depth).log_adjoints)
    top = present(analysis.last.gradient).log_by_step
    np.testing.assert_allclose(adjoints[1], top, atol=1e-12)
    # δ^1_t = ½ δ^2_t + .8 δ^1_{t+1}; here every δ of a step is a row of the same linear sweep.
    assert adjoints.shape == (2, T + 1)
    assert adjoints[0, T] == pytest.approx(adjoints[1, T] + np.log(0.5))
    document = analysis_document(analysis)["depth"]
    np.testing.assert_allclose(document["log10_adjoint_by_step"], adjoints / LN_10)


def test_the_document_and_the_rows_hold_the_map(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, 2, 1.0, 0.5, max_lag=6)

    depth, document = present(analysis.details.depth), analysis_document(analysis)["depth"]
    columns, rows = depth_rows(depth)
    assert document["layers"] == ["rnn[0]", "rnn[1]"]
    assert [len(row) for row in document["log10_norm_median_by_lag"]] == [7, 7]
    assert document["log10_adjoint_by_step"] is None
    assert columns == ("layer", "lag", "log10_norm")
    assert [row[:2] for row in rows[:8]] == [*(["rnn[0]", k] for k in range(7)), ["rnn[1]", 0]]
    assert [row[2] for row in rows[:7]] == document["log10_norm_median_by_lag"][0]


@pytest.mark.parametrize("n_layers", [1, 2])
def test_one_layer_and_layers_of_two_directions_have_no_map(n_layers: int, tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, n_layers, 1.0, 0.5, both=n_layers == 2)

    assert analysis.details.depth is None
    assert ("each way by itself" in layers_title(analysis)) == (n_layers == 2)
    with pytest.raises(SettingError, match="depth"):
        View(("depth",)).require(analysis)


def test_a_stack_that_overflows_and_one_that_is_trained_have_no_map(tmp_path: Path) -> None:
    assert analysis_of(tmp_path, 2, 1e40, 1e9).details.depth is None
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(T, 8, H)))
    np.save(tmp_path / "y.npy", rng.normal(size=(T, 8, 2)))
    given: dict[str, Any] = {
        name: str(tmp_path / f"{at}.npy") for name, at in (("data", "x"), ("targets", "y"))
    }

    trained = analysis_of(tmp_path, 2, 1e-3, 0.5, readout="fc", start="given", updates=1, **given)

    assert trained.details.depth is None
    assert reasons(trained) == []


def test_a_saved_run_keeps_the_reason_and_not_the_map(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, 3, 1e-2, 0.5)
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(analysis))

    again = analyze(prepare({"load": str(path)}))

    assert [plain(asdict(each)) for each in reasons(again)] == [
        plain(asdict(each)) for each in reasons(analysis)
    ]
    assert not PANELS["depth"].shown(again)
