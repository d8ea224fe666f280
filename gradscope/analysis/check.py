"""The numbers of gradscope against independent ones, on any network that the settings describe."""

from dataclasses import dataclass, fields

import numpy as np

from gradscope.analysis.prepare import Prepared, prepare
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.causes import cell_causes
from gradscope.jacobians import reference
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.progress import tracked

MAX_ENTRIES = 200
"""Entries of each weight array that are moved; more are sampled."""

TOLERANCE_OF_DIFFERENCES = 1e-6
"""Central differences themselves are good to about 1e-9; kinks in φ cost some of that."""

TOLERANCE_OF_SUMS = 1e-10
"""Sums of the same terms in another order differ by rounding alone."""

TOLERANCE_OF_PATHS = 1e-9
"""Two routes to log σ_max, in nats: that is, in relative terms of σ_max."""

NUMERALS = {4: "four", 5: "five"}

MAX_STEPS_MOVED = 4
"""Steps over which the state is moved: later a sigmoid net's changes by less than its rounding."""

MAX_FIRST_STATE = 0.1
"""The state that is moved is drawn this far about 0, not 0 itself: there ReLU has its kink where
the state is a pre-activation, and a difference across a kink is no slope."""


@dataclass(frozen=True, eq=False, slots=True)
class CheckRow:
    """One comparison: what, against what, the relative deviation and the most that is allowed."""

    quantity: str
    against: str
    deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance; NaN is not."""
        return self.deviation <= self.tolerance


def check(settings: Settings | Prepared) -> tuple[CheckRow, ...]:
    """Compare gradient, shares, transport and causes with independent computations."""
    prepared = settings if isinstance(settings, Prepared) else prepare(settings)
    network, batch = prepared.network, prepared.batch.batch
    trajectory = unroll(network, batch.inputs, noise=batch.noise)
    rows = [] if prepared.held_out is None else _gradient_rows(prepared, trajectory)
    inputs, rng = batch.inputs[:MAX_STEPS_MOVED], np.random.default_rng(prepared.resolved.seed)
    first = MAX_FIRST_STATE * rng.uniform(-1.0, 1.0, network.state_size)
    product = reference.product_transport(network, inputs, first)
    moved = reference.difference_transport(network, inputs, first)
    title, deviation = f"product of {len(inputs)}", reference.relative_deviation(product, moved)
    of = (f"{title} Jacobians", "moving the first state", deviation, TOLERANCE_OF_DIFFERENCES)
    lags = np.arange(1, trajectory.n_steps + 1)
    found = cell_causes(cell_chain(network, trajectory), lags)
    names = [each.name for each in fields(found) if each.name not in ("lags", "total")]
    terms = sum(getattr(found, name) for name in names)
    alive = np.isfinite(found.total)
    deviation = float(np.max(np.abs(terms[alive] - found.total[alive]), initial=0.0))
    against = f"its {NUMERALS[len(names)]} causes"
    path = CheckRow("σ_max at every lag", against, deviation, TOLERANCE_OF_PATHS)
    return *rows, CheckRow(*of), path


def _gradient_rows(prepared: Prepared, trajectory: Trajectory) -> list[CheckRow]:
    network, batch = prepared.network, prepared.batch.batch
    found = backpropagate(network, trajectory, batch.targets).weights
    rng = np.random.default_rng(prepared.resolved.seed)
    compared = []
    for name, array in tracked([*network.weights()], "gradients"):
        entries = rng.permutation(array.size)[:MAX_ENTRIES]
        numerical = reference.central_differences(network, batch, name, entries)
        deviation = reference.relative_deviation(found[name].flat[entries], numerical)
        compared.append((name, "central differences", deviation, TOLERANCE_OF_DIFFERENCES))
    for name, shares in gradient_shares(network, trajectory, batch.targets).total.items():
        deviation = reference.relative_deviation(found[name], shares)
        compared.append((name, "sum of shares by lag", deviation, TOLERANCE_OF_SUMS))
    return [
        CheckRow(f"gradient of {name.replace('_', ' ')}", against, deviation, allowed)
        for name, against, deviation, allowed in compared
    ]
