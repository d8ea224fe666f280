"""How many of the 95 % intervals of the growth rate hold the true rate.

``python -m tests.benchmarks.coverage [NETS] [STEPS …]``, 200 networks a cell and T = 100, 300, 1000
by default: about half an hour. The truth is λ_1 of the same network on fresh inputs, from tangents
propagated here by formulas of their own (float32; each step is renormalised, so that rounding does
not add up): 64 sequences, 4000 steps after 1000. The bounds: coverage in
[0.91, 0.985], the median width at most twice that of an ideal interval, and at most 5 % of all
intervals without 0 on the wrong side.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import past_transient
from gradscope.diagnosis.growth import NORMAL_975, GrowthRate
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll

Array = Any
"""Of float32, in the truth."""

Moved = tuple[Array, Array]
"""State and tangent after a step."""

FAMILIES: dict[str, dict[str, Any]] = {
    **{f"tanh, gain {g}": {"init": "gaussian", "gain": g} for g in (0.9, 1.2, 1.5, 3.0)},
    "LSTM": {"cell": "lstm"},
    "GRU": {"cell": "gru"},
}
LENGTHS = (100, 300, 1000)
SEQUENCES, TRUE_STEPS, TRUE_BURN_IN, NETS_AT_ONCE = 64, 4000, 1000, 10
COVERAGE, MAX_WIDTH, MAX_WRONG = (0.91, 0.985), 2.0, 0.05


@dataclass(frozen=True)
class Cover:
    """Of a family at one length: estimates (N,), intervals (N,2), and the truth (N,)."""

    rates: Array
    intervals: Array
    truth: Array

    @property
    def coverage(self) -> float:
        """The fraction of the intervals that hold the truth."""
        low, high = self.intervals.T
        return float(np.mean((low <= self.truth) & (self.truth <= high)))

    @property
    def width(self) -> float:
        """The median width in those of an ideal interval: of normal scatter with the median error,
        so that a few nets of another kind do not make the others look narrow.
        """
        scatter = 1.4826 * np.median(np.abs(self.rates - self.truth))
        return float(np.median(np.diff(self.intervals)) / (2 * NORMAL_975 * scatter))

    @property
    def signs(self) -> tuple[int, int]:
        """How many intervals lie wholly on the wrong side of 0, and how many exclude it."""
        low, high = self.intervals.T
        wrong = ((low > 0) & (self.truth < 0)) | ((high < 0) & (self.truth > 0))
        return int(wrong.sum()), int(((low > 0) | (high < 0)).sum())


def settings(family: str, steps: int, seed: int) -> Settings:
    """Return the settings of one network; its weights are the same at every length."""
    return Settings(hidden=64, updates=0, steps=steps, seed=seed, **FAMILIES[family])


def estimate(asked: Settings) -> GrowthRate:
    """Return the growth rate of a network as ``analyze`` measures it."""
    prepared = prepare(asked)
    batch = prepared.batch.batch
    trajectory = unroll(prepared.network, batch.inputs)
    found = past_transient(asked, prepared.network, trajectory, batch)
    assert found is not None
    return found.growth


def true_rates(
    networks: Sequence[Cell],
    rng: np.random.Generator,
    steps: int = TRUE_STEPS,
    burn_in: int = TRUE_BURN_IN,
) -> Array:
    """Return λ_1 of networks of one kind on the inputs of the recall task, nats per step."""

    def weights(name: str) -> Array:
        return np.stack([getattr(each, name) for each in networks]).astype(np.float32)

    step = STEPS[type(networks[0]).__name__]
    size = networks[0].state_size
    names = ("input_weights", "recurrent_weights", "hidden_bias", "candidate_bias")
    arrays = [weights(name) for name in names if hasattr(networks[0], name)]
    arrays = [each[:, None] if each.ndim == 2 else each.swapaxes(1, 2) for each in arrays]
    state = np.zeros((len(networks), SEQUENCES, size), np.float32)
    tangent = rng.standard_normal(state.shape, np.float32)
    logs = np.zeros(len(networks))
    for done in range(burn_in + steps):
        inputs = rng.standard_normal((len(networks), SEQUENCES, 1), np.float32)
        state, tangent = step(inputs, state, tangent, *arrays)
        length = np.sqrt(np.einsum("nbs,nbs->nb", tangent, tangent))
        tangent /= length[..., None]
        if done >= burn_in:
            logs += np.log(length).mean(axis=1)
    return logs / steps


def _tanh(x: Array, h: Array, v: Array, u: Array, w: Array, b: Array) -> Moved:
    h = np.tanh(x * u + h @ w + b)
    return h, (1 - h * h) * (v @ w)


def _gate(a: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def _lstm(x: Array, s: Array, v: Array, u: Array, w: Array, b: Array) -> Moved:
    size = w.shape[1]
    i, f, g, o = np.split(x * u + s[..., :size] @ w + b, 4, axis=-1)
    di, df, dg, do = np.split(v[..., :size] @ w, 4, axis=-1)
    i, f, g, o = _gate(i), _gate(f), np.tanh(g), _gate(o)
    c, dc = s[..., size:], v[..., size:]
    dc = f * dc + c * f * (1 - f) * df + g * i * (1 - i) * di + i * (1 - g * g) * dg
    c = f * c + i * g
    shown = np.tanh(c)
    dh = shown * o * (1 - o) * do + o * (1 - shown * shown) * dc
    return np.concatenate([o * shown, c], -1), np.concatenate([dh, dc], -1)


def _gru(x: Array, h: Array, v: Array, u: Array, w: Array, b: Array, inner: Array) -> Moved:
    fed, driven, moved = x * u + b, h @ w, v @ w
    size = w.shape[1]
    r, z = np.split(_gate(fed[..., : 2 * size] + driven[..., : 2 * size]), 2, axis=-1)
    dr, dz = np.split(moved[..., : 2 * size], 2, axis=-1)
    candidate = driven[..., 2 * size :] + inner
    n = np.tanh(fed[..., 2 * size :] + r * candidate)
    dn = (1 - n * n) * (r * moved[..., 2 * size :] + candidate * r * (1 - r) * dr)
    dz = z * (1 - z) * dz
    return (1 - z) * n + z * h, (1 - z) * dn + z * v + (h - n) * dz


STEPS: dict[str, Callable[..., Moved]] = {
    "ElmanParameters": _tanh,
    "LstmParameters": _lstm,
    "GruParameters": _gru,
}


def measure(family: str, lengths: Sequence[int], nets: int) -> dict[int, Cover]:
    """Return what the intervals of a family hold, by length."""
    truth = []
    for start in range(0, nets, NETS_AT_ONCE):
        seeds = range(start, min(start + NETS_AT_ONCE, nets))
        networks = [prepare(settings(family, 1, seed)).network for seed in seeds]
        truth.append(true_rates(networks, np.random.default_rng(start)))
    found = {}
    for steps in lengths:
        growths = [estimate(settings(family, steps, seed)) for seed in range(nets)]
        intervals = np.array([[each.low, each.high] for each in growths])
        rates = np.array([each.rate for each in growths])
        found[steps] = Cover(rates, intervals, np.concatenate(truth))
    return found


def line(family: str, steps: int, found: Cover) -> str:
    """Return a row of the table."""
    wrong, away = found.signs
    low, high = COVERAGE
    met = low <= found.coverage <= high and found.width <= MAX_WIDTH
    bias = float(np.mean(found.rates - found.truth))
    return (
        f"{family:<16}{steps:>6}{found.coverage:>10.3f}{found.width:>8.2f}{bias:>+10.5f}"
        f"{wrong:>7} of {away:<4}{'' if met else ' OUT OF BOUNDS'}"
    )


def main(arguments: Sequence[str]) -> int:
    """Print the table; exit code 1 where a bound is not kept."""
    nets, *lengths = (int(each) for each in arguments) if arguments else (200, *LENGTHS)
    sys.stdout.write(
        f"{'network':<16}{'T':>6}{'coverage':>10}{'width':>8}{'bias':>10}  wrong sign\n"
    )
    kept, signs = True, np.zeros(2)
    for family in FAMILIES:
        for steps, found in measure(family, lengths or LENGTHS, nets).items():
            shown = line(family, steps, found)
            kept, signs = kept and not shown.endswith("BOUNDS"), signs + found.signs
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()
    wrong, away = signs
    sys.stdout.write(f"wrong sign: {wrong:.0f} of {away:.0f} intervals without 0\n")
    return 0 if kept and wrong <= MAX_WRONG * away else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
