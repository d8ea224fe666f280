"""A watch inside a real Trainer of transformers, on a tiny recurrent model with random weights."""

from pathlib import Path
from typing import Any

import pytest

from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is what the trainer trains")
transformers = pytest.importorskip("transformers", reason="its Trainer calls the callback")
pytest.importorskip("accelerate", reason="the Trainer of transformers asks for it")
pytestmark = pytest.mark.torch


class Recall(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
    """Says what came ten steps ago."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.readout = torch.nn.GRU(1, 8, batch_first=True), torch.nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        said = self.readout(self.gru(x)[0])
        return {"loss": (said[:, 10:] - x[:, :-10]).square().mean(), "logits": said}


@pytest.mark.filterwarnings("ignore")
def test_a_training_is_watched(tmp_path: Path) -> None:
    from gradscope.integrations.huggingface import GradscopeCallback

    torch.manual_seed(0)
    lines: list[str] = []
    callback = GradscopeCallback(required_lag=20, every=4, log=lines.append)
    trainer = transformers.Trainer(
        model=Recall(),
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            max_steps=10,
            gradient_accumulation_steps=2,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=[{"x": torch.randn(40, 1)} for _ in range(80)],
        callbacks=[callback],
    )
    trainer.train()

    watching = present(callback.watch)
    assert [each.step for each in watching.snapshots] == [1, 5, 9, 10]
    assert watching.journal.steps == trainer.state.global_step == 10
    told = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    assert [loss for _, loss in watching.journal.losses] == told
    assert lines[-1].splitlines()[0] == watching.report().splitlines()[0]
    assert not trainer.model.gru._forward_hooks
