"""A recurrent layer as stored in a file, in one orientation and one order of gates.

U is (G·H,D) and W (G·H,H), whatever the file had: they multiply columns, ``U x + W h``. The G gates
stand one below the other, in PyTorch's order: GRU r, z, n; LSTM i, f, g, o. Two biases stay two,
because in a GRU with ``reset_after`` the reset gate acts on the second one alone:

    n = φ(U_n x + b_n + r ∘ (W_n h + b′_n))     reset_after (PyTorch, cuDNN, Keras since 2.1)
    n = φ(U_n x + b_n + W_n (r ∘ h))            before it (Cho et al. 2014, arXiv:1406.1078)
"""

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.model.activations import word_of
from gradscope.model.stack import LayerWeights
from gradscope.names import ActivationName, CellName, GateName, PerUnit, StateName
from gradscope.notebook_repr import CompactRepr
from gradscope.weights.files.contents import WeightFile


class Direction(StrEnum):
    """Which end of the sequence a layer starts from."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Unknown(StrEnum):
    """What an analysis needs and a file may not state."""

    ACTIVATION = "activation"
    GATE_ACTIVATION = "gate_activation"
    LEAK = "leak"
    STATE = "state"
    RESET_AFTER = "reset_after"


ASKED: Mapping[str, tuple[str, str]] = {
    Unknown.ACTIVATION: (f"the activation φ ({', '.join(ActivationName)})", "--activation NAME"),
    Unknown.GATE_ACTIVATION: (
        f"the activation of the gates ({', '.join(GateName)})", "--gate-activation NAME"
    ),
    Unknown.LEAK: ("the leak α, 1 for none, or else --dt and --tau", "--leak ALPHA"),
    Unknown.STATE: (
        "whether a leaky state is before φ, (1 − α) h + α (W φ(h) + …), or after it, α φ(W h + …)",
        "--state pre / --state post",
    ),
    Unknown.RESET_AFTER: (
        "whether the reset gate acts after W (PyTorch, Keras) or before it (Cho et al. 2014)",
        "--reset-after / --no-reset-after",
    ),
}  # fmt: skip
"""What each unknown is, and the option that answers it."""

GATES: Mapping[CellName, tuple[str, ...]] = {
    CellName.ELMAN: ("h",), CellName.GRU: ("r", "z", "n"), CellName.LSTM: ("i", "f", "g", "o")
}  # fmt: skip
"""Names of the blocks of U, W and b, from the top."""

MAX_PAIRS = 3_000_000
MAX_WEIGHT = 1e290
"""A sum of so many weights as a layer has, times an input, is finite still."""


def cell_of_size(size: int, hidden: int) -> CellName | None:
    """Return the cell of G gates whose W has G·H times H entries; None if there is no such cell."""
    return next((cell for cell, gates in GATES.items() if size == len(gates) * hidden > 0), None)


def kind_word(cell: CellName) -> str:
    """Return ``rnn``, ``gru`` or ``lstm``, as files, documents and messages call a layer's cell."""
    return "rnn" if cell is CellName.ELMAN else str(cell)


def check_pairs(layers: Sized, others: Sized) -> None:
    """Raise WeightsError where each layer would be looked at with too many other things."""
    if len(layers) * len(others) > MAX_PAIRS:
        held = f"{len(layers)} layers among {len(others)} names"
        raise WeightsError(f"it holds {held}; save the recurrent alone")


def other_cell(name: str, cell: CellName, why: str) -> WeightsError:
    """Return the error for what is like a plain cell of this kind but has other equations."""
    return WeightsError(
        f"{quoted(name)} is no plain {kind_word(cell).upper()}: {why}; take J (T,B,S,S) of the "
        "cell itself by torch.func.jacrev: gradscope.lag_norms(gradscope.DenseChain(J))"
    )


@dataclass(frozen=True, eq=False, repr=False, slots=True, kw_only=True)
class RecurrentLayer(LayerWeights):
    """One layer in one direction; None is what the file does not say, or does not have.

    ``name`` is that in the file, ``encoder.rnn``; ``layer`` its place in its stack, from 0 at the
    input, and ``below`` the name of the lowest there, where each has a name of its own; a backward
    one reads the sequence from its end. U (G·H,D) and W (G·H,H), b and b′ (G·H,) have their gates
    in the order of ``GATES``. ``activation`` φ and ``gate_activation`` are in our words where there
    is one; ``reset_after`` of a GRU is as above; ``leak`` is α of (1 − α) h + α φ(…), 1 for none,
    ``dt`` and ``tau`` the seconds per step and the time constants. ``state`` is what W multiplies:
    φ(a), or a in ``W φ(a)`` of a rate network; ``initial_state`` (S,) is s_0 of that kind, None for
    zero. ``inferred`` fields follow from names alone, as ``names_as`` says, and may be overridden.
    ``sequences_first``: whoever has such names keeps data as (B,T,D).
    Raises WeightsError if arrays do not fit together, or hold a number that is not finite.
    """

    cell: CellName
    name: str
    layer: int = 0
    direction: Direction = Direction.FORWARD
    activation: str | None = None
    gate_activation: str | None = None
    reset_after: bool | None = None
    leak: PerUnit | None = 1.0
    dt: float | None = None
    tau: PerUnit | None = None
    state: StateName | None = StateName.POST
    initial_state: FloatArray | None = None
    below: str = ""
    inferred: tuple[str, ...] = ()
    names_as: str = ""
    sequences_first: bool = False

    def compact_fields(self) -> dict[str, Any]:
        """Return what it is called, its kind and its sizes."""
        names = ("title", "kind", "input_size", "hidden_size", "activation")
        return {name: getattr(self, name) for name in names}

    def __post_init__(self) -> None:
        for name, kind in (("cell", CellName), ("direction", Direction), ("state", StateName)):
            if (word := getattr(self, name)) is not None:
                object.__setattr__(self, name, word_of(kind, word))
        if self.recurrent_weights.ndim != 2 or self.input_weights.ndim != 2:
            shapes = f"shapes {self.recurrent_weights.shape} and {self.input_weights.shape}"
            raise WeightsError(f"{quoted(self.name)} has weights of {shapes}; save matrices")
        rows = len(self.gates) * self.hidden_size
        wanted = {
            "input_weights": (rows, self.input_weights.shape[-1]),
            "recurrent_weights": (rows, self.hidden_size),
            "input_bias": (rows,),
            "recurrent_bias": (rows,),
            "initial_state": (self.hidden_size * (1 + (self.cell is CellName.LSTM)),),
        }
        for name, shape in wanted.items():
            if (array := getattr(self, name)) is None:
                continue
            title = f"the {name.replace('_', ' ')} of {quoted(self.title)}"
            if array.shape != shape:
                fault = f"has shape {array.shape}, but {shape} is needed"
                raise WeightsError(f"{title} {fault}; save the layer whole")
            unfit = np.argwhere(~(np.abs(array) <= MAX_WEIGHT)).tolist()
            if unfit:
                value, place = array[*unfit[0]], unfit[0]
                what = f"beyond {MAX_WEIGHT:g}" if np.isfinite(value) else "not finite"
                fault = f"{value:g} at {place} is {what}"
                raise WeightsError(f"{title}: {fault}; take an earlier checkpoint")

    @property
    def kind(self) -> str:
        """Its cell as ``rnn``, ``gru`` or ``lstm``."""
        return kind_word(self.cell)

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the G blocks of U, W and b."""
        return GATES[self.cell]

    @property
    def input_size(self) -> int:
        """D."""
        return int(self.input_weights.shape[-1])

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.recurrent_weights.shape[-1])

    @property
    def stack(self) -> str:
        """What the layers of one stack have in common."""
        return self.below or self.name

    @property
    def title(self) -> str:
        """Name, place in the stack and direction, as one word without blanks of its own."""
        ending = "_reverse" if self.direction is Direction.BACKWARD else ""
        return f"{self.name}[{self.layer}]{ending}"

    @property
    def n_parameters(self) -> int:
        """How many numbers the layer has."""
        arrays = (self.input_weights, self.recurrent_weights, self.input_bias, self.recurrent_bias)
        return sum(array.size for array in arrays if array is not None)

    @property
    def unknown(self) -> tuple[Unknown, ...]:
        """What the file does not say: it is asked for, never guessed."""
        settled = {
            Unknown.GATE_ACTIVATION: len(self.gates) == 1,
            Unknown.LEAK: self.dt is not None and self.tau is not None,
            Unknown.RESET_AFTER: self.cell is not CellName.GRU,
        }
        return tuple(n for n in Unknown if getattr(self, n) is None and not settled.get(n))

    @property
    def foreign(self) -> str:
        """Its functions that gradscope does not have, as the file calls them."""
        functions = (self.activation, ActivationName), (self.gate_activation, GateName)
        return ", ".join(quoted(each) for each, kind in functions if each and each not in [*kind])

    def gate(self, gate: str) -> FloatArray:
        """Return the (H,H) block of W that belongs to one gate."""
        top = self.gates.index(gate) * self.hidden_size
        return self.recurrent_weights[top : top + self.hidden_size]


def as_vector(array: FloatArray | None) -> FloatArray | None:
    """Return a bias (n,) that may have come as (n,1) or (1,n), as MATLAB keeps vectors."""
    if array is None or sum(n != 1 for n in array.shape) > 1:
        return array
    return array.reshape(-1)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Readout(CompactRepr):
    """A linear layer that may read the state: V (O,H) and c (O,), None where there is no bias."""

    name: str
    output_weights: FloatArray
    output_bias: FloatArray | None


def readout_sizes(layers: Iterable[RecurrentLayer]) -> set[int]:
    """Return how many inputs an output layer may have: the units of one direction or two."""
    return {n * layer.hidden_size for layer in layers for n in (1, 2)}


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Arrays that may be W or U of a hand-written cell, the likeliest first."""

    recurrent: tuple[str, ...]
    input: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class FoundNetwork(CompactRepr):
    """A weight file, and what was recognised in it: ``layers`` in the order of the file, within a
    stack from its input up, forward before backward; ``readouts`` that may belong to them.
    """

    file: WeightFile
    layers: tuple[RecurrentLayer, ...]
    readouts: tuple[Readout, ...]
    candidates: Candidates

    def embeddings(self, width: int) -> list[str]:
        """Return the names of the arrays (V,D) that are called embeddings, of so many inputs D."""
        named = {n: each for n, each in self.file.arrays.items() if "emb" in n.lower()}
        return [name for name, each in named.items() if each.shape[1:] == (width,)]
