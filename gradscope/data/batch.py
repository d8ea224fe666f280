"""A batch of sequences: inputs x_t at ``inputs[t - 1]``, and targets of the steps that have one.

E = Σ_t E_t runs over the steps that have a target; where that differs from sequence to sequence,
what has none adds 0, so that E is the mean over the sequences of what each has by itself.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.model.activations import word_of
from gradscope.names import ErrorName
from gradscope.notebook_repr import CompactRepr

WORTHWHILE = 0.99
"""Part of the best constant's error below which a readout counts as better (convention)."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Targets(CompactRepr):
    """The wanted outputs: ``values`` (T,B,O) are A_t, one-hot classes or probabilities for
    cross-entropy (with O = 1 that of a logistic output), unused where ``at_step``, (T,) or (T,B)
    where sequences differ, says that there is no target.
    """

    values: FloatArray
    at_step: BoolArray
    error: ErrorName = ErrorName.SQUARED

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", word_of(ErrorName, self.error))
        shape = self.values.shape[: min(self.at_step.ndim, 2)]
        if self.values.ndim != 3 or self.at_step.shape != shape:
            raise ShapeError(
                f"targets have shape {self.values.shape} and their steps {self.at_step.shape}; "
                "give (T,B,O) values and (T,) or (T,B) steps"
            )

    @property
    def held(self) -> BoolArray:
        """Which step of which sequence has a target: (T,B), or (T,1) where all have the same."""
        return self.at_step.reshape(len(self.at_step), -1)

    @property
    def count(self) -> float:
        """Number of steps that have a target, the mean over the sequences."""
        return float(self.held.sum() / self.held.shape[1])

    def of(self, places: slice | IntArray, steps: int | None = None) -> "Targets":
        """Return those of some of the sequences, and of their first steps."""
        held = self.at_step if self.at_step.ndim == 1 else self.at_step[:, places]
        return Targets(self.values[:steps, places], held[:steps], self.error)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Batch(CompactRepr):
    """Inputs (T,B,D), the targets that belong to them, and what is added to the pre-activations
    (T,B,H) as noise (None: nothing).

    ``further`` (N,B,D) are inputs of the same law that follow, None where there are no more. Every
    ``stride``-th sequence shares no input with another: 1, unless windows of a series overlap.
    Of padded sequences ``lengths`` (B,) are the steps that count; the longest has all T.
    """

    inputs: FloatArray
    targets: Targets
    noise: FloatArray | None = None
    further: FloatArray | None = None
    stride: int = 1
    lengths: IntArray | None = None

    def __post_init__(self) -> None:
        if self.inputs.shape[:2] != self.targets.values.shape[:2]:
            raise ShapeError(
                f"inputs have shape {self.inputs.shape} but targets {self.targets.values.shape}; "
                "the first two sizes (steps, sequences) must agree"
            )

    def first(self, steps: int) -> "Batch":
        """Return the first steps of every sequence; what follows is dropped where they are cut."""
        targets = self.targets.of(slice(None), steps)
        noise = None if self.noise is None else self.noise[:steps]
        further = self.further if steps >= self.n_steps else None
        lengths = None if self.lengths is None else np.minimum(self.lengths, steps)
        return Batch(self.inputs[:steps], targets, noise, further, self.stride, lengths)

    def of(self, places: slice | IntArray) -> "Batch":
        """Return some of the sequences."""
        noise, more = (None if a is None else a[:, places] for a in (self.noise, self.further))
        lengths = None if self.lengths is None else self.lengths[places]
        targets = self.targets.of(places)
        return Batch(self.inputs[:, places], targets, noise, more, self.stride, lengths)

    def whole(self, count: int | None = None) -> slice | IntArray:
        """Return the places of the first sequences, or of all, that have all T steps."""
        if self.lengths is None:
            return slice(count)
        return np.flatnonzero(self.lengths == self.n_steps)[:count]

    @property
    def all_inputs(self) -> FloatArray:
        """The inputs and those that follow, (T+N,B,D)."""
        return self.inputs if self.further is None else np.concatenate([self.inputs, self.further])

    @property
    def n_steps(self) -> int:
        """T, the number of steps."""
        return self.inputs.shape[0]

    @property
    def n_sequences(self) -> int:
        """B, the number of sequences."""
        return self.inputs.shape[1]


@dataclass(frozen=True, eq=False, slots=True)
class Baseline:
    """Mean step error of the best predictor that needs no memory, and the words for it.

    ``constant`` is the error of the best one that ignores the inputs, ``memoryless`` that of the
    best linear readout of x_t (for cross-entropy, its softmax); None where neither is known.
    """

    error: float
    meaning: str
    constant: float | None = None
    memoryless: float | None = None

    @classmethod
    def of(cls, constant: float, meaning: str, memoryless: float | None) -> "Baseline":
        """Return the better of the best constant, with its meaning, and the best readout."""
        if memoryless is None or memoryless >= WORTHWHILE * constant:
            return cls(constant, meaning, constant, memoryless)
        return cls(memoryless, "the best linear readout of x_t alone", constant, memoryless)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class TaskInfo(CompactRepr):
    """What is known of a problem before training; ``required_lag`` in steps, None if unknown, and
    of a series what it follows from: ``lag_errors`` (L,), see ``data.series``; ``columns`` are
    the names of the inputs (empty: none), None where another layer's states enter;
    ``lag_is_longest``: many sequences need less than the required lag.
    """

    description: str
    error: ErrorName
    required_lag: int | None
    baseline: Baseline | None
    columns: tuple[str, ...] | None = ()
    lag_errors: FloatArray | None = None
    lag_is_longest: bool = False
