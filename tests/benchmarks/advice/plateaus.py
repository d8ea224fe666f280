"""What ``try`` says to help on tasks where nothing cheap can tell, tried again with other seeds.

Two of them are no drawn tasks and come from files: XOR, the product of two values that are marked,
one in each half, and the product of the inputs of 6 and of 12 steps ago. Help is false where the
error with the other seeds is no smaller.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.prepare import resolve
from gradscope.analysis.settings import Settings
from gradscope.remedy.trial import Outcome, try_remedies
from tests.benchmarks.advice.rows import Row, mapped

DRAWN: tuple[dict[str, Any], ...] = (
    {"task": "adding", "steps": 41},
    {"task": "adding", "steps": 41, "updates": 800},
    {"task": "temporal-order", "steps": 40, "updates": 400},
    {"task": "copy", "steps": 40, "updates": 400},
)
UPDATES = 400
"""Updates on the tasks from files."""

SEQUENCES, STEPS, UNITS = 600, 24, 32
LAGS = (6, 12)
FRESH = range(100, 105)
"""Seeds with which what is said to help is trained once more."""


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how much of what helps does not help again."""
    with TemporaryDirectory() as folder:
        files = [from_files(Path(folder), name) for name in ("xor", "product")]
        asked = [Settings(**each) for each in DRAWN] + files
        if quick:
            asked = [Settings(task="adding", steps=21, hidden=12, updates=150)]
        said = [again for each in asked for again in promised_again(each)]
    name = "try on plateau tasks: helps that did not help again"
    yield Row(name, f"{len(said) - sum(said)} of {len(said)}", "0", all(said))


def from_files(folder: Path, name: str) -> Settings:
    """Write sequences of a task and a network, and return settings that train one of its kind."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(STEPS, SEQUENCES))
    if name == "xor":
        places = rng.integers([[0], [STEPS // 2]], [[STEPS // 2], [STEPS - 1]], (2, SEQUENCES))
        marked = np.zeros_like(signs)
        marked[places, np.arange(SEQUENCES)] = 1.0
        inputs = np.stack([signs, marked], axis=2)
        targets = signs[places, np.arange(SEQUENCES)].prod(axis=0)[:, np.newaxis]
    else:
        inputs, targets = signs[..., np.newaxis], np.zeros((STEPS, SEQUENCES, 1))
        long = max(LAGS)
        targets[long:, :, 0] = np.prod([signs[long - d : STEPS - d] for d in LAGS], axis=0)
    weights = {
        "rnn.weight_ih_l0": rng.normal(size=(UNITS, inputs.shape[2])),
        "rnn.weight_hh_l0": rng.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS),
        "fc.weight": rng.normal(size=(1, UNITS)),
    }
    files = {each: str(folder / f"{name}-{each}") for each in ("net.npz", "x.npy", "y.npy")}
    np.savez(files["net.npz"], allow_pickle=False, **weights)
    np.save(files["x.npy"], inputs)
    np.save(files["y.npy"], targets)
    given = {"weights": files["net.npz"], "activation": "tanh", "readout": "fc", "start": "scratch"}
    data = {
        "data": files["x.npy"],
        "targets": files["y.npy"],
        "updates": UPDATES,
        "validation": 0.5,
    }
    return resolve({**given, **data})


def promised_again(settings: Settings) -> list[bool]:
    """Return of everything that ``try`` says helps whether it does with other seeds."""
    found = try_remedies(settings)
    helping = [each for each in found.tried if each.outcome is Outcome.HELPS]
    asked = [settings, *(settings.with_changes(each.candidate.changes) for each in helping)]
    seeded = [each.with_changes({"seed": seed}) for each in asked if helping for seed in FRESH]
    errors = np.array(mapped(error_of, seeded)).reshape(-1, len(FRESH)).mean(axis=1)
    return [bool(error < errors[0]) for error in errors[1:]]


def error_of(settings: Settings) -> float:
    """Return the error after training in parts of the baseline's, infinite where it failed."""
    error = analyze(settings, readout=False, advise=False).relative_error
    return np.inf if error is None else error
