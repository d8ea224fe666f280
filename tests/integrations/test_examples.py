"""Each example of ``gradscope explain integrations`` runs, in the package that it is for."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.cli.app import run
from gradscope.explain.glossary import topic
from gradscope.integrations.pytest_plugin import gradscope_reaches  # noqa: F401 (a fixture)

torch = pytest.importorskip("torch", reason="PyTorch is what the examples train")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

EXAMPLES = dict(
    re.findall(
        r"^```python ?(\w*)\n(.*?)^```",
        topic("integrations")[1]["text"],
        re.MULTILINE | re.DOTALL,
    )
)


def train(model: Any) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        loss = model(torch.randn(60, 3, 1))[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the reader of an example has."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    found: dict[str, Any] = {"model": torch.nn.RNN(1, 8), "train": train}
    exec("from gradscope.torch import watch", found)  # noqa: S102 (the first example has it)
    return found


def test_pytorch(names: dict[str, Any], tmp_path: Path) -> None:
    exec(EXAMPLES[""], names)  # noqa: S102

    assert names["watching"].snapshots[0].verdict.required_lag == 48
    assert (tmp_path / "reach.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard(names: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the example writes its files")

    exec(EXAMPLES["tensorboard"], names)  # noqa: S102

    assert b"gradscope/rnn/reach_steps" in next(tmp_path.rglob("events*")).read_bytes()


def test_lightning(names: dict[str, Any]) -> None:
    lightning = pytest.importorskip("lightning", reason="the example is for its Trainer")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.RNN(1, 8)

        def training_step(self, batch: Any, _: int) -> Any:
            return self.rnn(batch.transpose(0, 1))[0].square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    rows = torch.utils.data.DataLoader(torch.randn(8, 60, 1), batch_size=4)
    quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
    options = {"max_epochs": 1, "accelerator": "cpu", **dict.fromkeys(quiet, False)}
    names |= {"Trainer": lightning.Trainer, "module": Module(), "rows": rows, "options": options}

    exec(EXAMPLES["lightning"], names)  # noqa: S102

    assert names["trainer"].callbacks[0].watch.snapshots


def test_hugging_face(names: dict[str, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the example is for its Trainer")
    pytest.importorskip("accelerate", reason="the Trainer of transformers asks for it")

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.RNN(1, 8, batch_first=True)

        def forward(self, x: Any) -> Any:
            return {"loss": self.rnn(x)[0].square().mean()}

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    rows = [{"x": torch.randn(60, 1)} for _ in range(16)]
    names |= {"Trainer": transformers.Trainer, "model": Model(), "arguments": arguments}

    exec(EXAMPLES["accelerate"], {**names, "rows": rows} | names | {"rows": rows})  # noqa: S102


def test_keras(names: dict[str, Any]) -> None:
    keras = pytest.importorskip("keras", reason="the example is for its models")
    model = keras.Sequential([keras.layers.Input((60, 1)), keras.layers.GRU(4)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    names |= {"model": model, "x": rng.standard_normal((8, 60, 1)), "y": np.zeros((8, 4))}

    exec(EXAMPLES["keras"], names)  # noqa: S102

    assert names["callback"].watch.snapshots[0].layer == model.layers[0].name


def test_optuna(names: dict[str, Any]) -> None:
    optuna = pytest.importorskip("optuna", reason="the example is for its studies")
    names["study"] = optuna.create_study()

    exec(EXAMPLES["optuna"], names)  # noqa: S102

    assert {each.state for each in names["study"].trials} == {optuna.trial.TrialState.PRUNED}


def test_pytest(names: dict[str, Any], gradscope_reaches: Any) -> None:  # noqa: F811
    torch.nn.init.orthogonal_(names["model"].weight_hh_l0)
    torch.nn.init.zeros_(names["model"].weight_ih_l0)
    names["inputs"] = torch.randn(60, 2, 1)

    exec(EXAMPLES["pytest"], names)  # noqa: S102

    names["test_memory"](gradscope_reaches)


def test_the_command_for_ci(
    names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(names["model"].state_dict(), "model.pt")
    np.save("inputs.npy", np.random.default_rng(0).standard_normal((60, 1)))
    (tmp_path / "summary.md").write_text("Tests passed.\n")
    text = topic("integrations")[1]["text"].replace("\\\n", "")
    line = re.search(r"^gradscope (analyze .*)$", text, re.MULTILINE)
    assert line is not None

    assert run(line[1].replace('"$GITHUB_STEP_SUMMARY"', "summary.md").split()) == 1

    before, heading, *rest = (tmp_path / "summary.md").read_text("utf-8").splitlines()
    assert before == "Tests passed."
    assert heading.startswith("### The gradient vanishes")
    assert {"**Why**", "**What to do**"} <= set(rest)
    capsys.readouterr()
