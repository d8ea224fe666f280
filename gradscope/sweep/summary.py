"""Many cells as few numbers: groups, fields over two settings, curves over one.

Quantiles are taken over the cells that share a place: seeds, and any other setting that is swept
but not shown. A rate of −∞ and a horizon beyond the lags count as the smallest and the largest.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.analysis.settings import setting_kinds
from gradscope.arrays import FloatArray, IntArray, quantiles
from gradscope.errors import SettingError
from gradscope.names import ActivationName, CellName, network_name
from gradscope.sweep.cell import Status, setting_columns
from gradscope.sweep.query import Rows

MEASURES: Mapping[str, float] = {
    "rate_nats_per_step": -np.inf,
    "horizon": np.inf,
    "lyapunov_exponent": -np.inf,
    "lags": np.nan,
    "log10_bound": -np.inf,
}
"""What a field shows, and the value that a cell without a number stands for."""

NETWORK = ("weights", "cell", "activation")
"""What makes a network another one: never mixed in one panel, unless shown as an axis."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_GROUPS = 24


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Cells that share some settings. The medians, None where no cell is done: ``rate`` in nats per
    step (−inf: exactly zero), ``horizon`` in steps (inf: beyond the lags measured), and where they
    were measured the largest Lyapunov ``exponent``, nats per step.
    """

    values: tuple[str, ...]
    cells: int
    failed: int
    regimes: Mapping[str, int]
    rate: float | None
    horizon: float | None
    exponent: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Summary:
    """The cells of a sweep in groups by the settings ``names``, and how often each error came."""

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    errors: Mapping[str, int]


@dataclass(frozen=True, eq=False, slots=True)
class Axis:
    """A swept setting and its values in order; ``places`` are numbers to draw them at."""

    name: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return all(isinstance(each, int | float) for each in self.values)

    @property
    def places(self) -> FloatArray:
        """Where to draw the values: numbers at themselves, words at 0, 1, 2 and so on."""
        return np.asarray(self.values if self.numeric else range(len(self.values)), np.float64)

    def place(self, value: Any) -> int:
        """Return where a value of a row stands; None is the word none."""
        return self.values.index("none" if value is None else value)


@dataclass(frozen=True, eq=False, slots=True)
class GridOfValues:
    """A measure over two settings: ``panels`` holds (y,x) medians by network, NaN where no cell is
    done; ``cells`` is the largest number of cells in a place, ``mixed`` what they differ in.
    """

    measure: str
    x: Axis
    y: Axis
    panels: Mapping[str, FloatArray]
    cells: int
    mixed: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class QuantileCurves:
    """A measure over one setting: for each network the quantiles (``LEVELS``, x) and the number
    of cells (x,), NaN and 0 where none is done.
    """

    measure: str
    x: Axis
    curves: Mapping[str, FloatArray]
    counts: Mapping[str, IntArray]
    mixed: tuple[str, ...]


def swept_axes(rows: Rows) -> dict[str, Axis]:
    """Return the settings that take more than one value in these rows, the seed left out."""
    axes = {}
    for name in setting_columns():
        values = set(rows.column(name))
        if len(values) > 1 and name != "seed":
            # None (no such limit) comes last, as the largest.
            ordered = sorted(values, key=lambda each: (each is None, each))
            axes[name] = Axis(name, tuple("none" if each is None else each for each in ordered))
    return axes


def shared_settings(rows: Rows) -> dict[str, Any]:
    """Return the settings that have one value in all of these rows."""
    shared = {}
    for name, kind in setting_kinds().items():
        value, *others = set(rows.column(name)) or (None, None)
        if kind == tuple[str, ...] and value is not None:
            value = json.loads(value)
        if not others:  # Switches are stored as 0 or 1.
            shared[name] = bool(value) if kind is bool else value
    return shared


def summarize(rows: Rows, keys: Collection[str] | None = None) -> Summary:
    """Return cells in groups by what was swept (those with these keys, or all)."""
    if keys is not None:
        named = zip(rows.column("key"), rows.values, strict=True)
        rows = Rows(rows.columns, tuple(row for key, row in named if key in keys))
    axes = swept_axes(rows)
    names = list(axes)
    while len(cells_by(rows, names)) > MAX_GROUPS:
        # What takes the most values is left to pictures, numbers before words.
        names.remove(max(names, key=lambda name: (axes[name].numeric, len(axes[name].values))))
    names = names or ["activation"]
    groups = tuple(_group(values, rows, places) for values, places in cells_by(rows, names))
    errors = Counter(each for each in rows.column("error") if each is not None)
    return Summary(tuple(names), groups, dict(errors.most_common()))


def _group(values: Sequence[Any], rows: Rows, places: Sequence[int]) -> Group:
    status, regime = rows.column("status"), rows.column("regime")
    done = [place for place in places if status[place] == Status.DONE]
    measured = [place for place in done if rows.column("spectrum")[place]]
    shown = tuple("none" if each is None else str(each) for each in values)
    regimes = dict(Counter(regime[place] for place in done).most_common())
    rate, horizon = (_median(rows, name, done) for name in ("rate_nats_per_step", "horizon"))
    exponent = _median(rows, "lyapunov_exponent", measured)
    failed = len(places) - len(done)
    return Group(shown, len(places), failed, regimes, rate, horizon, exponent)


def _median(rows: Rows, measure: str, places: Sequence[int]) -> float | None:
    chosen = _measured(rows, measure)[list(places)]
    return float(quantiles(chosen, (0.5,))[0]) if places else None


def grid_of_values(rows: Rows, x: str | None, y: str | None, measure: str) -> GridOfValues:
    """Return a measure over two swept settings, by default the first two swept numbers.
    SettingError if a named setting is not swept, or there are no two.
    """
    axes = swept_axes(rows)
    if x is not None and x == y:
        raise SettingError(f"--x and --y are both {x}; choose two settings")
    across = _axis(axes, x, taken=(y,))
    up = _axis(axes, y, taken=(across.name,))
    shown = {across.name, up.name}
    panels, most = {}, 0
    for network, places in done_by_network(rows, shown):
        grid = np.full((len(up.values), len(across.values)), np.nan)
        for (at_y, at_x), here in cells_by(rows, (up.name, across.name), places):
            grid[up.place(at_y), across.place(at_x)] = _median(rows, measure, here)
            most = max(most, len(here))
        panels[network] = grid
    return GridOfValues(measure, across, up, panels, most, _mixed(rows, axes, shown))


def quantile_curves(rows: Rows, x: str | None, measure: str) -> QuantileCurves:
    """Return the quantiles of a measure over one swept setting; over the steps where none is named
    and they are swept. SettingError if the setting is not swept, or none is.
    """
    axes = swept_axes(rows)
    across = _axis(axes, x or ("steps" if "steps" in axes else None), taken=())
    curves, counts = {}, {}
    for network, places in done_by_network(rows, {across.name}):
        curve = np.full((len(LEVELS), len(across.values)), np.nan)
        count = np.zeros(len(across.values), dtype=np.int64)
        for (at_x,), here in cells_by(rows, (across.name,), places):
            column = across.place(at_x)
            curve[:, column] = quantiles(_measured(rows, measure)[here], LEVELS)
            count[column] = len(here)
        curves[network], counts[network] = curve, count
    return QuantileCurves(measure, across, curves, counts, _mixed(rows, axes, {across.name}))


def _axis(axes: Mapping[str, Axis], name: str | None, taken: Collection[str | None]) -> Axis:
    """Return the axis of that name; else the first swept number, else the first swept word."""
    if name is not None and name in axes:
        return axes[name]
    found = ", ".join(axes)
    if name is not None:
        known = name in setting_kinds()
        why = f"{name} takes one value in this store" if known else f"{name} is no setting"
        if name == "seed":
            why = "seed is what medians and quantiles are taken over"
        raise SettingError(f"{why}; choose from {found or 'none'}")
    free = [axis for each, axis in axes.items() if each not in taken]
    if not free:
        fault = f"a picture needs more swept settings than this store has ({found or 'none'})"
        raise SettingError(f"{fault}; sweep over another, loosen --where, or add --kind quantiles")
    return min(free, key=lambda axis: (not axis.numeric, axis.name == "activation"))


def done_by_network(rows: Rows, shown: Collection[str]) -> list[tuple[str, list[int]]]:
    """Return the done cells of every network by its name or file, without what is an axis."""
    done = [at for at, status in enumerate(rows.column("status")) if status == Status.DONE]
    names = [name for name in NETWORK if name not in shown]

    def title(values: Sequence[Any]) -> str:
        of = dict(zip(names, values, strict=True))
        file = of.pop("weights", None)
        if file is not None:
            return str(file)
        if len(of) > 1 or of.get("cell") in (CellName.GRU, CellName.LSTM):
            return network_name(**{"activation": ActivationName.TANH, **of})
        return str(*of.values()) or "all networks"

    return [(title(values), places) for values, places in cells_by(rows, names, done)]


def cells_by(
    rows: Rows, names: Sequence[str], places: Sequence[int] | None = None
) -> list[tuple[tuple[Any, ...], list[int]]]:
    """Return the places of the rows, grouped by the values of some columns, in order of place."""
    columns = [rows.column(name) for name in names]
    groups: defaultdict[tuple[Hashable, ...], list[int]] = defaultdict(list)
    for place in range(len(rows.values)) if places is None else places:
        groups[tuple(column[place] for column in columns)].append(place)
    return list(groups.items())


def _measured(rows: Rows, measure: str) -> FloatArray:
    stand_in = MEASURES[measure]
    return np.array([stand_in if each is None else each for each in rows.column(measure)], float)


def _mixed(rows: Rows, axes: Mapping[str, Axis], shown: Collection[str]) -> tuple[str, ...]:
    """Return what the quantiles are taken over: the seeds, and swept settings not shown."""
    seeds = len(set(rows.column("seed")))
    over = (f"{seeds} seeds",) if seeds > 1 else ()
    hidden = (name for name in axes if name not in shown and name not in NETWORK)
    return (*over, *hidden)
