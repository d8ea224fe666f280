"""Who computes the cells of a sweep: this process, processes of this machine, or a dask cluster.

All stand behind ``concurrent.futures.Executor``, and a cell comes to the same bits on each, given
the same versions and one BLAS thread. Worker processes are spawned, not forked, so that nothing of
the parent leaks into them; they inherit the number of BLAS threads through their environment, since
it must be set before NumPy is imported; Ctrl-C is the parent's, and they end when it is killed.
"""

import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gradscope.errors import SettingError, WorkerError, install_line
from gradscope.machine import THREAD_VARIABLES, keep_freed_memory
from gradscope.model.activations import word_of
from gradscope.names import ExecutorName

P = ParamSpec("P")
T = TypeVar("T")

CONNECTION_PATIENCE = 20.0
"""Seconds to wait for a dask scheduler to answer."""

LOST_WORKERS_ALLOWED = 2
"""Workers that may die under one cell before the cell is to blame: it is tried three times."""


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class SerialExecutor(Executor):
    """Computes in this process, when submitted."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function now; return a future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (a future carries it to whoever asks)
            future.set_exception(error)
        return future


class WorkerPool:
    """An executor, how many cells to keep in flight on it, and its end; itself, this process."""

    def __init__(self) -> None:
        self.executor: Executor = SerialExecutor()

    def in_flight(self, each: int) -> int:  # noqa: ARG002 (a cell handed out is done)
        """Return how many cells to keep in flight, with ``each`` of them for every worker."""
        return 1

    def absence(self) -> float:
        """Return for how many seconds no worker has been there."""
        return 0.0

    def close(self) -> None:
        """End at once; what still runs is given up."""


class _Pool(ProcessPoolExecutor):
    """A process pool whose workers, started on demand, inherit one environment."""

    def __init__(self, count: int, threads: int | None) -> None:
        spawn = multiprocessing.get_context("spawn")
        super().__init__(count, mp_context=spawn, initializer=_prepare_worker)
        self._threads = threads

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with inherited_by_workers(self._threads):
            return super().submit(fn, *args, **kwargs)


class ProcessPool(WorkerPool):
    """Processes of this machine."""

    def __init__(self, count: int, threads: int | None) -> None:
        self._strangers = set(multiprocessing.active_children())
        self._count = count
        self.executor = _Pool(count, threads)
        try:
            self.executor.submit(os.getpid).result()
        except BrokenExecutor as error:
            self.close()
            fault = "is memory short, or is the script without an `if __name__ == '__main__':`?"
            text = f"worker processes end as soon as they start; {fault} Try --executor serial"
            raise WorkerError(text) from error

    def in_flight(self, each: int) -> int:
        """Return the cells for all processes."""
        return each * self._count

    def close(self) -> None:
        """Kill the workers; they hold nothing that is not computed again."""
        for process in set(multiprocessing.active_children()) - self._strangers:
            process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    """Keep freed memory, leave Ctrl-C to the parent, and end when the parent does."""
    keep_freed_memory()

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def inherited_by_workers(threads: int | None) -> Iterator[None]:
    """Within, processes start with this many BLAS threads (None: as the environment says) and with
    Ctrl-C blocked; afterwards all is restored, and a Ctrl-C that came meanwhile is delivered.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    os.environ.update({} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name in THREAD_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class DaskPool(WorkerPool):
    """The workers of a dask scheduler, or of a local cluster on loopback."""

    def __init__(self, scheduler: str | None, count: int, threads: int | None) -> None:
        self._open = ExitStack()
        self._counted, self._seen = (0.0, 0), time.monotonic()
        try:
            import distributed  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise SettingError(f"--executor dask needs dask; {install_line('dask')}") from error
        try:
            client = self._connect(distributed, scheduler, count, threads)
            self._client = self._open.enter_context(client)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            # A type where certificates are missing, a runtime error where encryption is required.
            self._open.close()
            with suppress(ValueError):
                # A client that failed to start would end when it is collected: while another one
                # starts that waits for it forever.
                failed = distributed.default_client()
                if failed.status == "connecting":
                    failed.close()
            where = scheduler or "a local cluster"
            remedy = "check the address and dask's configuration, or start one: dask scheduler"
            fault = f"no dask scheduler answers at {where} ({error})"
            raise WorkerError(f"{fault}; {remedy}") from error
        self.executor = self._client.get_executor(pure=False, retries=LOST_WORKERS_ALLOWED)

    def _connect(
        self, distributed: Any, scheduler: str | None, count: int, threads: int | None
    ) -> Any:
        if scheduler is None:
            local = {"host": "127.0.0.1", "dashboard_address": None}
            with inherited_by_workers(threads):
                cluster = distributed.LocalCluster(n_workers=count, threads_per_worker=1, **local)
            return distributed.Client(self._open.enter_context(cluster))
        address = scheduler
        if "://" not in scheduler:
            try:
                with Path(scheduler).open("rb") as file:
                    address = str(json.loads(file.read(2**16))["address"])
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                fault = "is no address and no file that holds one"
                remedy = "give tcp://HOST:PORT, or FILE of: dask scheduler --scheduler-file FILE"
                raise SettingError(f"--scheduler {scheduler} {fault}; {remedy}") from error
        return distributed.Client(address, timeout=CONNECTION_PATIENCE)

    def absence(self) -> float:
        """Return the seconds since a worker was there, or the scheduler answered first."""
        self.in_flight(1)
        return time.monotonic() - self._seen

    def in_flight(self, each: int) -> int:
        """Return the cells for all worker threads; workers may join and leave."""
        when, threads = self._counted
        if time.monotonic() - when > 1.0:
            try:
                threads = sum(self._client.nthreads().values())
            except OSError as error:
                raise workers_gone(error) from error
            self._counted = (time.monotonic(), threads)
        self._seen = self._counted[0] if threads else self._seen
        return each * max(threads, 1)

    def close(self) -> None:
        """Cancel what was submitted and leave the scheduler as it was."""
        self.executor.shutdown(wait=False)
        self._open.close()


@dataclass(frozen=True, eq=False, slots=True)
class Workers:
    """Which executor computes, and on how many ``workers``: processes, by default the available
    cores; a scheduler brings its own. ``scheduler`` is the address (``tcp://…``) or scheduler file
    of a dask cluster, by default a local one; ``threads`` are the BLAS threads of each process,
    None those of this one's environment. ``patience`` are the seconds to wait where a scheduler has
    no worker.
    """

    name: ExecutorName = ExecutorName.PROCESS
    workers: int | None = None
    scheduler: str | None = None
    threads: int | None = 1
    patience: float = 120.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", word_of(ExecutorName, self.name))
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"--workers is {self.workers}; choose 1 or more")
        if not 0.0 <= self.patience < math.inf:
            raise SettingError(f"--patience is {self.patience}; choose 0 seconds or more")

    def open(self) -> WorkerPool:
        """Start the workers. SettingError if the fields contradict each other, or dask is not
        installed; WorkerError if no worker starts or no scheduler answers.
        """
        if self.scheduler is not None and self.name is not ExecutorName.DASK:
            raise SettingError(f"--scheduler is for --executor dask, but --executor is {self.name}")
        if self.name is ExecutorName.SERIAL:
            return WorkerPool()
        count = self.workers or available_cores()
        if self.name is ExecutorName.PROCESS:
            return ProcessPool(count, self.threads)
        if self.scheduler is not None and self.workers is not None:
            raise SettingError("--workers is for workers of this machine; a scheduler has its own")
        return DaskPool(self.scheduler, count, self.threads)


Crew = Workers
"""The name of ``Workers`` in version 0.1, as ``crew`` is that of ``workers``."""


def workers_gone(error: BaseException) -> WorkerError:
    """Say that the workers, or their scheduler, can be asked no more, and what to do."""
    fault = f"the workers are gone or cannot run a cell ({type(error).__name__}: {error})"
    remedy = "start them again with the same gradscope and run the same command"
    return WorkerError(f"{fault}; what ended is kept; {remedy}")
