"""Workers: one BLAS thread each, deaf to Ctrl-C, gone with their parent, and the same bits on all.

The dask tests start a real scheduler and real workers as processes on loopback.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gradscope.errors import SettingError, WorkerError
from gradscope.machine import THREAD_VARIABLES
from gradscope.names import ExecutorName
from gradscope.sweep import executors
from gradscope.sweep import run as run_module
from gradscope.sweep.cell import Outcome, Status
from gradscope.sweep.executors import (
    DaskPool,
    ProcessPool,
    SerialExecutor,
    Workers,
    inherited_by_workers,
)
from gradscope.sweep.run import Progress, run_sweep
from tests.sweeping import (
    PATIENCE,
    cells_of,
    environment,
    is_running,
    lasting_rows,
    wait_until,
)

SERIAL = Workers(ExecutorName.SERIAL)


def test_a_serial_executor_gives_futures_that_are_done() -> None:
    executor = SerialExecutor()

    assert executor.submit(divmod, 7, 2).result() == (3, 1)
    assert isinstance(executor.submit(divmod, 7, 0).exception(), ZeroDivisionError)


def test_processes_give_the_bits_that_one_process_gives(tmp_path: Path) -> None:
    cells = cells_of("gain=0.5,1,3", "activation=tanh,sigmoid,relu", seeds=2, updates=3, hidden=9)
    for name in (ExecutorName.SERIAL, ExecutorName.PROCESS):
        run_sweep(
            cells,
            tmp_path / f"{name}.db",
            workers=Workers(name, None if name == "serial" else 2),
        )

    rows = lasting_rows(tmp_path / "process.db")
    assert rows == lasting_rows(tmp_path / "serial.db")
    assert len(rows) == 18


def test_workers_have_one_blas_thread_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    pool = ProcessPool(1, threads=1)
    try:
        found = [pool.executor.submit(os.getenv, name).result() for name in THREAD_VARIABLES]
    finally:
        pool.close()

    assert found == ["1"] * 4
    assert os.environ["OMP_NUM_THREADS"] == "8"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_more_threads_are_given_where_asked_for() -> None:
    pool = ProcessPool(1, threads=2)
    try:
        assert pool.executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "2"
    finally:
        pool.close()


def test_an_interrupt_while_workers_start_is_heard_afterwards() -> None:
    reached = []

    def interrupted_start() -> None:
        with inherited_by_workers(1):
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted_start()
    assert reached == ["the end"]


def test_closing_a_team_leaves_no_process() -> None:
    pool = ProcessPool(2, threads=1)
    pids = {pool.executor.submit(os.getpid).result() for _ in range(20)}
    asleep = pool.executor.submit(time.sleep, 10 * PATIENCE)
    wait_until(asleep.running)

    pool.close()

    # It did not wait for what still ran, which then ends without a result.
    assert asleep.exception() is not None
    wait_until(lambda: not any(map(is_running, pids)))


def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = (
        "import os, time\n"
        "from gradscope.sweep.executors import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    team = ProcessPool(1, 1)\n"
        "    print(team.executor.submit(os.getpid).result(), flush=True)\n"
        "    team.executor.submit(time.sleep, 600)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment()
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.kill()

    wait_until(lambda: not is_running(worker))


@pytest.mark.parametrize(
    ("name", "workers", "scheduler", "part"),
    [
        (ExecutorName.PROCESS, 0, None, "--workers is 0"),
        (ExecutorName.PROCESS, None, "tcp://127.0.0.1:1", "--scheduler is for --executor dask"),
        (ExecutorName.DASK, 2, "tcp://127.0.0.1:1", "a scheduler has its own"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    name: ExecutorName, workers: int | None, scheduler: str | None, part: str
) -> None:
    with pytest.raises(SettingError, match=part):
        Workers(name, workers, scheduler).open()


def test_without_dask_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(SettingError) as caught:
        Workers(ExecutorName.DASK).open()

    assert "pip install '.[dask]'" in str(caught.value)


def test_a_scheduler_that_kills_workers_blames_the_cell() -> None:
    class KilledWorker(Exception):  # noqa: N818 (distributed's own name)
        pass

    (cell,) = cells_of()
    killed, failed = Future[Outcome](), Future[Outcome]()
    killed.set_exception(KilledWorker())
    failed.set_exception(RuntimeError())

    assert run_module._outcome_of(killed, cell).status is Status.FAILED
    with pytest.raises(WorkerError, match="workers are gone"):
        run_module._outcome_of(failed, cell)


# --- A real dask cluster --------------------------------------------------------------------------


@contextmanager
def dask(*words: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a dask command; its log goes into a file of the folder."""
    log = folder / f"{'-'.join(words[:2])}-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment(), cwd=folder) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers on loopback; gives the scheduler file and the workers."""
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    place = tmp_path / "scheduler.json"
    with ExitStack() as stack:
        start = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file")
        stack.enter_context(dask(*start, str(place), "--no-dashboard", folder=tmp_path))
        wait_until(lambda: place.exists() and place.stat().st_size > 0)
        join = ("worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-dashboard")
        workers = [
            stack.enter_context(dask(*join, "--no-nanny", folder=tmp_path)) for _ in range(2)
        ]
        yield place, workers


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_midway_gives_the_bits_of_one_process(
    cluster: tuple[Path, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    scheduler, workers = cluster
    cells = cells_of("gain=0.5:3:20", "activation=tanh,sigmoid", seeds=3, steps=30, updates=2)
    run_sweep(cells, tmp_path / "serial.db", workers=SERIAL)

    def watch(progress: Progress) -> None:
        if progress.ended >= 20 and workers[0].poll() is None:
            workers[0].kill()

    dask_pool = Workers(ExecutorName.DASK, scheduler=str(scheduler))
    end = run_sweep(cells, tmp_path / "dask.db", workers=dask_pool, watch=watch)

    assert (end.done, end.failed) == (120, 0)
    assert workers[0].wait(PATIENCE) != 0
    assert workers[1].poll() is None
    assert lasting_rows(tmp_path / "dask.db") == lasting_rows(tmp_path / "serial.db")


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_sweep_and_what_ended_is_kept(
    tmp_path: Path,
) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    place, store = tmp_path / "scheduler.json", tmp_path / "s.db"
    cells = cells_of("gain=0.5:3:100", seeds=3, steps=30, updates=2)
    start = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file")
    kept = []
    with dask(*start, str(place), "--no-dashboard", folder=tmp_path) as scheduler:
        wait_until(lambda: place.exists() and place.stat().st_size > 0)
        join = ("worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-dashboard")

        def watch(progress: Progress) -> None:
            kept.append(progress.ended)
            if progress.ended >= 10:
                scheduler.kill()

        workers = Workers(ExecutorName.DASK, scheduler=str(place))
        with (
            dask(*join, "--no-nanny", folder=tmp_path),
            pytest.raises(WorkerError, match="what ended is kept"),
        ):
            run_sweep(cells, store, workers=workers, watch=watch)

    assert kept[-1] >= 10
    assert len(lasting_rows(store)) == kept[-1]


@pytest.mark.slow
def test_a_scheduler_that_is_gone_when_its_workers_are_counted_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    pool = Workers(ExecutorName.DASK, workers=1).open()
    assert isinstance(pool, DaskPool)

    def closed() -> dict[str, int]:
        raise OSError("ConnectionPool closing.")

    monkeypatch.setattr(pool._client, "nthreads", closed)
    try:
        with pytest.raises(WorkerError, match=r"workers are gone .*: ConnectionPool closing"):
            pool.in_flight(2)
    finally:
        pool.close()


@pytest.mark.slow
def test_no_answer_from_a_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    dask_config = pytest.importorskip("dask.config")
    monkeypatch.setattr(executors, "CONNECTION_PATIENCE", 0.5)

    with pytest.raises(WorkerError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:1"):
        Workers(ExecutorName.DASK, scheduler="tcp://127.0.0.1:1").open()
    with pytest.raises(WorkerError, match=r"tls://127\.0\.0\.1:1 .*dask's configuration"):
        Workers(ExecutorName.DASK, scheduler="tls://127.0.0.1:1").open()  # without certificates
    with (
        dask_config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(WorkerError, match="encryption required"),
    ):
        Workers(ExecutorName.DASK, scheduler="tcp://127.0.0.1:1").open()
    with pytest.raises(SettingError, match="is no address and no file"):
        Workers(ExecutorName.DASK, scheduler="nowhere.json").open()


@pytest.mark.parametrize(
    "content",
    [b"", b"not JSON", b"[1, 2]", b"{}", b'{"address": ', b"\xff\xfe", b"[" * 100_000, None],
)
def test_a_bad_scheduler_file_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    place = tmp_path / "scheduler.json"
    if content is not None:
        place.write_bytes(content)

    with pytest.raises(SettingError, match="is no address and no file that holds one"):
        Workers(ExecutorName.DASK, scheduler=str(place)).open()


@pytest.mark.parametrize("address", ['"tcp://127.0.0.1:1"', '"nowhere"', "7", '"x://y"', '""'])
def test_an_address_in_a_scheduler_file_that_nobody_answers_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    reason = "dask is not installed: pip install '.[dask]'"
    distributed = pytest.importorskip("distributed", reason=reason)
    monkeypatch.setattr(executors, "CONNECTION_PATIENCE", 0.2)
    place = tmp_path / "scheduler.json"
    place.write_text(f'{{"address": {address}}}')

    with pytest.raises(WorkerError, match="no dask scheduler answers at") as caught:
        Workers(ExecutorName.DASK, scheduler=str(place)).open()

    assert "\n" not in str(caught.value)
    # One left over would end while another starts, which then waits for it forever.
    with pytest.raises(ValueError, match="No clients found"):
        distributed.default_client()


@pytest.mark.slow
def test_a_cluster_without_workers_is_said_and_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    monkeypatch.setattr(run_module, "LOOK", 0.01)
    monkeypatch.setattr(run_module, "SAY_AFTER", 0.0)
    place, seen = tmp_path / "scheduler.json", list[Progress]()
    start = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file")
    with dask(*start, str(place), "--no-dashboard", folder=tmp_path):
        wait_until(lambda: place.exists() and place.stat().st_size > 0)
        workers = Workers(ExecutorName.DASK, scheduler=str(place))

        def watch(progress: Progress) -> None:
            if progress.absence > 0.0:
                object.__setattr__(workers, "patience", 0.0)
            seen.append(progress)

        with pytest.raises(WorkerError, match="none for 0 s, --patience"):
            run_sweep(cells_of("gain=1,2"), tmp_path / "s.db", workers=workers, watch=watch)

    assert seen[-1].absence > 0.0


@pytest.mark.parametrize("patience", [-1.0, float("inf"), float("nan")])
def test_a_patience_that_is_none_is_refused(patience: float) -> None:
    with pytest.raises(SettingError, match="--patience is"):
        Workers(ExecutorName.DASK, patience=patience)


@pytest.mark.parametrize("name", [ExecutorName.SERIAL, ExecutorName.PROCESS])
def test_workers_of_this_machine_are_there_however_little_patience_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: ExecutorName
) -> None:
    monkeypatch.setattr(run_module, "LOOK", 1e-6)

    end = run_sweep(cells_of("gain=1,2"), tmp_path / "s.db", workers=Workers(name, 1, patience=0.0))

    assert (end.done, end.failed) == (2, 0)
