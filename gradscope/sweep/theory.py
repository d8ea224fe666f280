"""What theory has at the places of a phase diagram: rates whose zeros are lines over it.

The bound of each cell stands in the store. The mean field is that of the networks as drawn, of
infinite width (``diagnosis.mean_field``); its rate is smooth, so that a few places are enough.
"""

import numpy as np

from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.diagnosis.mean_field import mean_field
from gradscope.errors import GradscopeError
from gradscope.names import ActivationName, CellName
from gradscope.sweep import summary
from gradscope.sweep.query import Rows
from gradscope.sweep.summary import Axis, GridOfValues

COVERED = {"updates": 0, "noise": 0.0, "load": None, "weights": None, "cell": CellName.ELMAN}
"""Settings as they must be: those of a drawn network, before training."""

FEW = 7
"""Values of an axis at which the mean field is taken: each place takes some 50 ms."""


def theory_grids(rows: Rows, shown: GridOfValues) -> dict[str, GridOfValues]:
    """Return what has the sign of a growth rate over the axes of a field: log10 of the bound at the
    last lag, and the rate of the mean field, which is left out where no cell is covered or those
    of one place are not alike.
    """
    bounds = summary.grid_of_values(rows, shown.x.name, shown.y.name, "log10_bound")
    few = [np.linspace(0, len(a.values) - 1, min(len(a.values), FEW)) for a in (shown.x, shown.y)]
    x, y = (
        Axis(axis.name, tuple(axis.values[round(at)] for at in places))
        for axis, places in zip((shown.x, shown.y), few, strict=True)
    )
    alike = all(each.endswith(" seeds") or each == "steps" for each in shown.mixed)
    fields, known = dict[str, FloatArray](), dict[str, float]()
    for network, places in summary.done_by_network(rows, {x.name, y.name}):
        fields[network] = np.full((len(y.values), len(x.values)), np.nan)
        for (up, across), here in summary.cells_by(rows, (y.name, x.name), places):
            if alike and up in y.values and across in x.values:
                one = Rows(rows.columns, (rows.values[here[0]],))
                settings = {**summary.shared_settings(one), "required_lag": None}
                key = str({**settings, "seed": None, "steps": None})
                known[key] = known.get(key) or _mean_field_rate(settings)
                fields[network][y.place(up), x.place(across)] = known[key]
    found = {"bound": bounds}
    if np.isfinite([*known.values()]).any():
        found["mean field"] = GridOfValues("mean_field", x, y, fields, 1, ())
    return found


def _mean_field_rate(settings: dict[str, object]) -> float:
    """Return ½ log χ of a network, NaN where it is not covered, or its data are gone."""
    known = settings["activation"] in (ActivationName.TANH, ActivationName.SIGMOID)
    if not known or any(settings[name] != value for name, value in COVERED.items()):
        return np.nan
    try:
        prepared = prepare(Settings.from_dict(settings))
        return mean_field(prepared.network, prepared.batch.batch.inputs).growth_rate
    except GradscopeError:
        return np.nan
