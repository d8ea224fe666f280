"""Networks side by side: every kind of cell, activation and length over several seeds, all else
alike; or the networks in some files.

Each is one analysis, and they are handed to the executors of a sweep. It comes to the same bits on
each, since a worker process has as many BLAS threads as this one.
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
from gradscope.names import ActivationName, CellName, ExecutorName
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Grid
from gradscope.weights.readers import ENDINGS

QUICK = 30_000
"""Steps of all trainings together up to which worker processes take longer to start than to save:
they take about a second each, and so do these steps at 32 hidden units."""

LOOK = 20
"""Updates that examining a network before and after training costs about."""


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
        raise SettingError(
            f"the network in {settings.weights} is given, not drawn; compare it with others from "
            "files: gradscope compare FILE FILE"
        )
    kinds, activations = tuple(kinds or (settings.cell,)), tuple(activations)
    axes = {"cell": kinds, "activation": activations, "steps": tuple(steps)}
    shared = {name: value for name, value in settings.as_dict().items() if name not in axes}
    grid = Grid(shared, axes, seeds)
    cells = tuple(settings.with_changes(each) for each in grid.combinations())
    for cell in cells:
        problem_within_memory(cell, read_table)
    return cells


def compare(
    settings: Settings | Sequence[Mapping[str, Any]],
    activations: Iterable[ActivationName] = (ActivationName.TANH, ActivationName.SIGMOID),
    steps: Iterable[int] = (10, 50, 100, 200),
    *,
    kinds: Iterable[CellName] | None = None,
    watch: Callable[[int, Settings], Watcher | None] | None = None,
    seeds: int = 1,
    workers: Workers | None = None,
    ended: Callable[[], None] | None = None,
) -> Comparison:
    """Analyze every kind of cell with every activation at every length and seed, all else alike; or
    the networks in files.

    Parameters
    ----------
    settings : Settings, or sequence of mappings
        What the cells share; or the settings by name of each network, as ``cells_of_files`` makes
        them of weight files, saved runs and folders.
    activations, steps, kinds : iterables
        What is set side by side; of the kinds of cell, that of the settings by default.
    watch : callable, optional
        Called with the number (from 0) and the settings of each cell; returns what watches its
        training in this process, or None. Worker processes have no watcher.
    seeds : int
        Seeds of each cell, counted from that of the settings.
    workers : Workers, optional
        Who computes; this process by default, and where others would take longer to start.
    ended : callable, optional
        Called when an analysis has ended, in any thread.

    Returns
    -------
    Comparison
        The finished analyses in order, seeds fastest; Ctrl-C keeps those that are done.

    Raises
    ------
    SettingError, DataError, ArchiveError, WeightsError
        If a cell contradicts its task or data, before anything is computed; if a file cannot be
        read.
    WorkerError
        If a worker process dies.
    """
    read_once = cache(read_table)
    cells: Sequence[Any] = (
        comparison_cells(settings, activations, steps, kinds, read_once, seeds)
        if isinstance(settings, Settings)
        else list(settings)
    )
    if not cells:
        raise SettingError("there is nothing to compare; name an activation and a number of steps")
    prepared = partial(prepare, read_run=cache(load_run), read_table=read_once)

    def here(number: int, cell: Any) -> Analysis:
        found = analyze(prepared(cell), watch=watch(number, cell) if watch else None)
        if found.training is not None and found.training.stop is Stop.INTERRUPTED:
            raise KeyboardInterrupt
        return found

    quick = not isinstance(settings, Settings) or _cost(cells) < QUICK
    chosen = Workers(ExecutorName.SERIAL) if workers is None or quick else workers
    run = here if chosen.name is ExecutorName.SERIAL else _in_worker
    futures: list[Future[Analysis]] = []
    pool, interrupted = chosen.open(), False
    try:
        for number, cell in enumerate(cells):
            futures.append(pool.executor.submit(run, number, cell))
            futures[-1].add_done_callback(lambda _: ended() if ended else None)
            if futures[-1].done():  # In this process: an error ends the comparison at once.
                futures[-1].result()
        for each in wait(futures, return_when=FIRST_EXCEPTION).done:
            each.result()
    except KeyboardInterrupt:
        interrupted = True
    except BrokenExecutor as error:
        raise WorkerError(
            f"a worker process died ({error}); is memory short? Choose fewer --workers"
        ) from error
    finally:
        done = tuple(each.result() for each in futures if each.done() and not each.exception())
        pool.close()
    return Comparison(done, interrupted)


def cells_of_files(paths: Iterable[str | Path], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what to analyze of each file, and of the files of each folder in natural order."""
    found: list[Path] = []
    for path in map(Path, paths):
        within = [each for each in path.glob("*") if each.name.endswith(tuple(ENDINGS))]
        found += sorted(within, key=_natural) if path.is_dir() else [path]
    if len(set(found)) < max(len(found), 2):
        named = ", ".join(map(str, found)) or "none"
        raise SettingError(
            f"the networks to compare are {named}; name two files or more, each once"
        )
    return [{**given, "load" if holds_run(each) else "weights": str(each)} for each in found]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what to sort names by: step-2 before step-10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(each), "") if each.isdecimal() else (0, each) for each in parts]


def _cost(cells: Iterable[Settings]) -> float:
    """Return the steps of all trainings together, those of wide networks counted several times."""
    return sum(
        each.steps * (each.updates + LOOK) * max(each.hidden / 100.0, 1.0) ** 2 for each in cells
    )


_read_once = cache(read_table)
"""A worker process reads a series once; it lives no longer than its comparison."""


def _in_worker(_number: int, cell: Settings) -> Analysis:
    return analyze(prepare(cell, read_table=_read_once))
