"""A watch inside a real fit of Lightning, on a CPU."""

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is what Lightning trains")
lightning = pytest.importorskip("lightning", reason="Lightning is what calls the callback")
pytestmark = pytest.mark.torch

STEPS, LAG = 40, 20


class Recall(lightning.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
    """Says what came ten steps ago."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.readout = torch.nn.RNN(1, 8), torch.nn.Linear(8, 1)

    def training_step(self, batch: Any, _: int) -> Any:
        x = batch[0].transpose(0, 1)
        return (self.readout(self.rnn(x)[0])[10:] - x[:-10]).square().mean()

    def validation_step(self, batch: Any, number: int) -> None:
        self.training_step(batch, number)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def fit(folder: Path, *callbacks: Any) -> Any:
    from lightning.pytorch.loggers import CSVLogger

    torch.manual_seed(0)
    rows = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(40, STEPS, 1)), batch_size=4
    )
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=CSVLogger(folder),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    trainer.fit(Recall(), rows, rows)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_a_fit_is_watched_and_its_logger_has_the_numbers(tmp_path: Path) -> None:
    from gradscope.integrations.lightning import GradscopeCallback

    lines: list[str] = []
    callback = GradscopeCallback(required_lag=LAG, every=5, log=lines.append)
    trainer = fit(tmp_path, callback)

    watching = present(callback.watch)
    assert [each.step for each in watching.snapshots] == [1, 6, 11, 16, 20]
    assert watching.journal.steps == trainer.global_step == 20
    assert len(watching.journal.losses) == 20
    assert {each.layer for each in watching.snapshots} == {"rnn"}
    assert all(present(each.verdict).required_lag == LAG for each in watching.snapshots)
    assert lines[-1].splitlines()[0] == watching.report().splitlines()[0]
    with (Path(trainer.logger.log_dir) / "metrics.csv").open() as file:
        logged = {row["step"]: row["gradscope/rnn/reach_steps"] for row in csv.DictReader(file)}
    told = {str(each.step): str(float(present(each.reach))) for each in watching.snapshots}
    assert {step: reach for step, reach in logged.items() if reach} == told


@pytest.mark.filterwarnings("ignore")
def test_a_fit_that_fails_leaves_no_hook(tmp_path: Path) -> None:
    from gradscope.integrations.lightning import GradscopeCallback

    class Failing(lightning.Callback):  # type: ignore[misc, name-defined, unused-ignore]
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                modules.append(module)
                raise RuntimeError("the disk is full")

    modules: list[Any] = []
    callback = GradscopeCallback(every=1)
    with pytest.raises(RuntimeError, match="disk"):
        fit(tmp_path, callback, Failing())

    assert present(callback.watch).journal.steps == 3
    assert not modules[0].rnn._forward_hooks
