"""Networks side by side: every kind of cell, activation and length over several seeds, all else
alike; or the networks in some files.

Each is one analysis, of the same bits on every executor of a sweep, since a worker process has as
many BLAS threads as this one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, Future, wait
from functools import cache, partial
from pathlib import Path
from typing import Any

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import holds_run, load_run
from gradscope.analysis.prepare import ReadTable, prepare, problem_within_memory
from gradscope.analysis.results import Analysis, Comparison
from gradscope.analysis.settings import Settings
from gradscope.data.table import read_table
from gradscope.errors import SettingError, WorkerError
from gradscope.learning.history import Stop
from gradscope.learning.training import Watcher
from gradscope.machine import held_threads
from gradscope.names import ActivationName, CellName, ExecutorName
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Grid
from gradscope.weights.readers import ENDINGS

QUICK = 30_000
"""Steps times updates of all networks up to which worker processes take longer to start than to
save: about a second at 32 hidden units."""

LOOK = 20
"""Updates that it costs to examine a network, about."""


def comparison_cells(
    settings: Settings,
    activations: Iterable[ActivationName],
    steps: Iterable[int],
    kinds: Iterable[CellName] | None = None,
    read_table: ReadTable = read_table,
    seeds: int = 1,
) -> tuple[Settings, ...]:
    """Return the settings of every cell of a comparison, each checked against its task or data."""
    if settings.weights is not None:
        remedy = "compare it with others from files: gradscope compare FILE FILE"
        raise SettingError(f"the network in {settings.weights} is given, not drawn; {remedy}")
    kinds, activations = tuple(kinds or (settings.known_cell,)), tuple(activations)
    axes = {"cell": kinds, "activation": activations, "steps": tuple(steps)}
    shared = {name: value for name, value in settings.as_dict().items() if name not in axes}
    grid = Grid(shared, axes, seeds)
    cells = tuple(settings.with_changes(each) for each in grid.combinations())
    for cell in cells:
        problem_within_memory(cell, read_table)
    return cells


@held_threads()
def compare(
    settings: Settings | Sequence[Mapping[str, Any]],
    activations: Iterable[ActivationName] = (ActivationName.TANH, ActivationName.SIGMOID),
    steps: Iterable[int] = (10, 50, 100, 200),
    *,
    kinds: Iterable[CellName] | None = None,
    watch: Callable[[int, Settings], Watcher | None] | None = None,
    seeds: int = 1,
    workers: Workers | None = None,
    ended: Callable[[], None] = lambda: None,
) -> Comparison:
    """Analyze every kind of cell (by default that of the settings) with every activation at every
    length and seed, all else alike; or networks in files.

    ``settings`` are what the cells share, or those of each network by name (``cells_of_files``);
    ``seeds`` are counted from that of the settings. ``watch`` gets number (from 0) and settings of
    each cell and returns what watches its training in this process, or None; ``ended`` is called
    when an analysis has ended, in any thread. ``workers`` compute: this process by default, and
    where others would take longer to start. Returns the finished analyses in order, seeds fastest;
    Ctrl-C keeps those that are done. Raises SettingError, DataError, ArchiveError or WeightsError
    if a cell contradicts its task or data (before anything is computed) or a file is unfit,
    WorkerError if a worker process dies.
    """
    read_once = cache(read_table)
    cells: Sequence[Any] = settings if isinstance(settings, Sequence) else ()
    if isinstance(settings, Settings):
        cells = comparison_cells(settings, activations, steps, kinds, read_once, seeds)
    if not cells:
        raise SettingError("there is nothing to compare; name an activation and a number of steps")
    prepared = partial(prepare, read_run=cache(load_run), read_table=read_once)

    def here(number: int, cell: Any) -> Analysis:
        found = analyze(prepared(cell), watch=watch(number, cell) if watch else None)
        if found.training is not None and found.training.stop is Stop.INTERRUPTED:
            raise KeyboardInterrupt
        return found

    cost = sum(each.steps * (each.updates + LOOK) for each in cells if isinstance(each, Settings))
    chosen = Workers(ExecutorName.SERIAL) if workers is None or cost < QUICK else workers
    run = here if chosen.name is ExecutorName.SERIAL else _in_worker
    futures: list[Future[Analysis]] = []
    pool, interrupted = chosen.open(), False
    try:
        for number, cell in enumerate(cells):
            futures.append(pool.executor.submit(run, number, cell))
            futures[-1].add_done_callback(lambda _: ended())
            if futures[-1].done():  # In this process: an error ends the comparison at once.
                futures[-1].result()
        for each in wait(futures, return_when=FIRST_EXCEPTION).done:
            each.result()
    except KeyboardInterrupt:
        interrupted = True
    except BrokenExecutor as error:
        remedy = "is memory short? Choose fewer --workers"
        raise WorkerError(f"a worker process died ({error}); {remedy}") from error
    finally:
        done = tuple(each.result() for each in futures if each.done() and not each.exception())
        pool.close()
    return Comparison(done, interrupted)


def cells_of_files(paths: Iterable[str | Path], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of the network in each file, with those ``given`` for all; the files of a
    folder come in natural order (step-2 before step-10). SettingError for fewer than two.
    """
    found: list[Path] = []
    split = re.compile(r"(\d+)").split
    for path in map(Path, paths):
        names = [each.name for each in path.glob("*") if each.name.endswith(tuple(ENDINGS))]
        names.sort(key=lambda n: [p.zfill(9) if p.isdecimal() else p for p in split(n)])
        found += [path / name for name in names] if path.is_dir() else [path]
    if len(set(found)) < max(len(found), 2):
        named = ", ".join(map(str, found)) or "none"
        raise SettingError(f"the networks are {named}; name two files or more, each once")
    return [{**given, "load" if holds_run(each) else "weights": str(each)} for each in found]


_read_once = cache(read_table)
"""A worker process reads a series once; it lives no longer than its comparison."""


def _in_worker(_number: int, cell: Settings) -> Analysis:
    return analyze(prepare(cell, read_table=_read_once))
