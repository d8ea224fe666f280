"""The numbers of a watch in each logger, read back from its own files, offline."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what is watched")
pytestmark = pytest.mark.torch

LOSSES = 7


def train(log: Any, before: Callable[[int], object] = lambda _: None) -> Any:
    """Train for seven steps, with a snapshot of both layers at steps 1, 4 and 7."""
    from gradscope.torch import watch

    torch.manual_seed(0)
    model = torch.nn.LSTM(1, 4, num_layers=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, every=3, log=log, share=None, required_lag=10) as watching:
        for step in range(1, LOSSES + 1):
            before(step)
            loss = model(torch.randn(30, 3, 1))[0].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert watching._log.error is None
    return watching


def expected(watching: Any) -> dict[str, dict[int, float]]:
    """Return the numbers of all snapshots by name and step."""
    from gradscope.watch.numbers import numbers

    found: dict[str, dict[int, float]] = {}
    for each in watching.snapshots:
        for name, value in numbers(each).items():
            found.setdefault(name, {})[each.step] = value
    assert set(found["gradscope/lstm.1/reach_steps"]) == {1, 4, 7}
    return found


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is what is written")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        watching = train(writer)

    events = EventAccumulator(str(tmp_path))
    events.Reload()
    wanted = expected(watching)
    assert set(events.Tags()["scalars"]) == set(wanted)
    for name, by_step in wanted.items():
        found = {each.step: each.value for each in events.Scalars(name)}
        assert found == pytest.approx(by_step, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by_client", [False, True])
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_client: bool) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is what is written")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        watching = train((client, run.info.run_id) if by_client else mlflow)

    for name, by_step in expected(watching).items():
        found = client.get_metric_history(run.info.run_id, name)
        assert {each.step: each.value for each in found} == pytest.approx(by_step)


def records(log: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB's format, after W&B's header of seven bytes: blocks of
    32 KiB, of pieces with checksum, length and kind (1: a whole record, 4: the last of several).
    """
    at, record = 7, b""
    while at + 7 <= len(log):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = struct.unpack_from("<HB", log, at + 4)
        record += log[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield record
            record = b""


@pytest.mark.filterwarnings("ignore")
def test_wandb_beside_the_rows_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="W&B is what is written")
    from wandb.proto import wandb_internal_pb2

    for name in ("WANDB_SILENT", "WANDB_CONSOLE"):
        monkeypatch.setenv(name, "true" if name == "WANDB_SILENT" else "off")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="watched")
    watching = train(run, lambda step: run.log({"mine": step}, step=step))
    run.finish()
    wandb.teardown()  # Its process writes the file.

    rows = []
    for data in records(next(tmp_path.rglob("*.wandb")).read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({"/".join(i.nested_key) or i.key: i.value_json for i in items})
    assert [row["mine"] for row in rows if "mine" in row] == [str(n + 1) for n in range(LOSSES)]
    wanted = expected(watching)
    for name, by_step in wanted.items():
        found = {int(r["gradscope/step"]): float(r[name]) for r in rows if name in r}
        assert found == pytest.approx(by_step)
