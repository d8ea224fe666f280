"""Networks side by side: every kind of cell, activation and length, all else alike."""

from collections.abc import Callable, Iterable
from functools import cache, partial

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import load_run
from gradscope.analysis.prepare import ReadTable, prepare, problem_within_memory
from gradscope.analysis.results import Analysis, Comparison
from gradscope.analysis.settings import Settings
from gradscope.data.table import read_table
from gradscope.errors import SettingError
from gradscope.learning.history import Stop
from gradscope.learning.training import Watcher
from gradscope.names import ActivationName, CellName
from gradscope.sweep.grid import Grid


def comparison_cells(
    settings: Settings,
    activations: Iterable[ActivationName],
    steps: Iterable[int],
    kinds: Iterable[CellName] | None = None,
    read_table: ReadTable = read_table,
) -> tuple[Settings, ...]:
    """Return the settings of every cell of a comparison, each checked against its task or data."""
    kinds, activations = tuple(kinds or (settings.cell,)), tuple(activations)
    axes = {"cell": kinds, "activation": activations, "steps": tuple(steps)}
    shared = {name: value for name, value in settings.as_dict().items() if name not in axes}
    cells = tuple(settings.with_changes(each) for each in Grid(shared, axes).combinations())
    for cell in cells:
        problem_within_memory(cell, read_table)
    return cells


def compare(
    settings: Settings,
    activations: Iterable[ActivationName] = (ActivationName.TANH, ActivationName.SIGMOID),
    steps: Iterable[int] = (10, 50, 100, 200),
    *,
    kinds: Iterable[CellName] | None = None,
    watch: Callable[[int, Settings], Watcher | None] | None = None,
) -> Comparison:
    """Analyse every kind of cell with every activation at every length, all else alike.

    Parameters
    ----------
    settings : Settings
        What the cells share.
    activations, steps, kinds : iterables
        What is set side by side; of the kinds of cell, that of the settings by default.
    watch : callable, optional
        Called with the number (from 0) and the settings of each cell; returns what watches its
        training, or None.

    Returns
    -------
    Comparison
        The finished analyses; Ctrl-C keeps those that are done.

    Raises
    ------
    SettingError, DataError
        Before anything is computed, if a cell contradicts its task or data.
    """
    read_once = cache(read_table)
    cells = comparison_cells(settings, activations, steps, kinds, read_once)
    if not cells:
        raise SettingError("there is nothing to compare; name an activation and a number of steps")
    prepared = partial(prepare, read_run=cache(load_run), read_table=read_once)
    done: list[Analysis] = []
    try:
        for number, cell in enumerate(cells):
            analysis = analyze(prepared(cell), watch=watch(number, cell) if watch else None)
            if analysis.training is not None and analysis.training.stop is Stop.INTERRUPTED:
                return Comparison(tuple(done), interrupted=True)
            done.append(analysis)
    except KeyboardInterrupt:
        return Comparison(tuple(done), interrupted=True)
    return Comparison(tuple(done))
