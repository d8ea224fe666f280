"""Any step s_t = F(s_{t−1}, x_t) that a framework can differentiate, along its trajectory.

Rows and vectors are carried by the framework's own products with Jacobians, on as many copies of a
sequence as there are rows, so that each is a full GEMM.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Self

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import GradscopeError, SettingError, ShapeError

Leaves = Sequence[Any]
"""The NumPy arrays of a nest, (B,…) each."""

PROMOTED, NO_DROPOUT = "in float64 (the step's own numbers have fewer bits)", "without dropout"

MAX_COPIES = 2**13
"""Copies of sequences that go through a step at once."""

SAME = 1e-9
"""Relative difference of two calls of a step on the same numbers that rounding explains."""


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Say in one line what a framework refuses."""
    try:
        yield
    except (GradscopeError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        kind, said = type(error).__name__, str(error).strip().partition("\n")[0]
        raise SettingError(f"a step from this state and input fails with {kind}: {said}") from error


class Steps(ABC):
    """A step along its trajectory, for ``step_chain``: what is the same in every framework.

    ``states`` (T+1,B,S) are what a step is differentiated by: the floating-point numbers of its
    state, a complex one as two; ``shown`` (T+1,B,O) what a ``readout`` makes of them, and
    ``parameters`` the arrays that a gradient is asked for, by name. Raises what
    ``gradscope.torch.chain`` does.
    """

    changed: set[str]
    """What was done to the step to calculate with it: numbers made wide, dropout left out."""

    @_in_one_line()
    def __init__(
        self,
        step: Callable[..., Any],
        initial_state: Any,
        inputs: Any,
        readout: Callable[..., Any] | None = None,
        parameters: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self._step, self.parameters, self.changed = step, dict(parameters or {}), set()
        self._readout: Callable[..., Any] = readout or (lambda state: state)
        self.entered, self._inputs_spec = self.flatten(inputs)
        leaves, self._spec = self.flatten(initial_state)
        self._paths = list(self.leaves_of(initial_state))
        sizes = {each.shape[:2] for each in self.entered if 0 not in each.shape[:2]}
        if len(sizes) != 1 or {each.shape[:1] for each in leaves} != {next(iter(sizes))[1:]}:
            found = [each.shape for each in (*self.entered, *leaves)]
            raise ShapeError(f"inputs and state have shapes {found}; give (T,B,…) and (B,…)")
        if not any(each.size and moves(each) for each in leaves):
            raise SettingError("the state has no floating-point number, so no Jacobian")
        (n_steps, n_sequences), states = next(iter(sizes)), [leaves]
        for t in range(n_steps):
            given = self._given(np.full(n_sequences, t), np.arange(n_sequences))
            states.append(self.following(states[-1], given))
        kinds, after = ([each.dtype.kind for each in state] for state in states[:2])
        if kinds != after:
            raise SettingError(
                f"a step turns numbers of kinds {kinds} into {after}; start from these"
            )
        self.leaves = [np.stack(each) for each in zip(*states, strict=True)]
        self.states = np.stack(list(map(_vector, states)))
        finite = np.isfinite(self.states).all(axis=(1, 2))
        if not finite.all():
            raise ShapeError(f"the state after step {int(np.argmin(finite))} is not finite")
        self._check()
        shape = self.states.shape[:2]
        self.shown = np.empty((*shape, 0))
        if readout is not None:
            every = [each.reshape(-1, *each.shape[2:]) for each in self.leaves]
            self.shown = self.read(every).reshape(*shape, -1)

    @property
    def inputs(self) -> FloatArray:
        """The inputs as numbers (T,B,D), a complex one as two."""
        shape = self.states[1:].shape[:2]
        each = [leaf.reshape(-1, *leaf.shape[2:]) for leaf in self.entered]
        wide = [x.astype(np.complex128 if np.iscomplexobj(x) else np.float64) for x in each]
        return _vector(wide).reshape(*shape, -1)

    @property
    def continuous(self) -> bool:
        """Whether all inputs are numbers of which there is more or less, no ids."""
        return all(map(moves, self.entered))

    @property
    def state_size(self) -> int:
        """S."""
        return int(self.states.shape[2])

    @property
    def blocks(self) -> dict[str, slice]:
        """Which of the S numbers of a state belongs to which part of its nest."""
        found, at = {}, 0
        for path, leaf in zip(self._paths, self.leaves, strict=True):
            if moves(leaf):
                size = (1 + np.iscomplexobj(leaf)) * int(np.prod(leaf.shape[2:]))
                found[path_name(path)], at = slice(at, at + size), at + size
        return found

    def of(self, places: slice | IntArray) -> Self:
        """Return the steps of some of the sequences."""
        some = copy(self)
        some.leaves = [each[:, places] for each in self.leaves]
        some.entered = [each[:, places] for each in self.entered]
        some.states, some.shown = self.states[:, places], self.shown[:, places]
        return some

    @abstractmethod
    def read(self, state: Leaves) -> FloatArray:
        """Return what the readout makes of states, (N,O)."""

    @abstractmethod
    def read_back(self, state: Leaves, errors: FloatArray) -> list[Any]:
        """Return what arrives at the arrays of states from errors (N,O) of what is read of them."""

    @abstractmethod
    def parameters_back(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[FloatArray]:
        """Return what arrives at each of the parameters from the arrays of next states, summed."""

    def enter(self, errors: FloatArray) -> FloatArray:
        """Turn errors (T,B,O) of what is read of s_1 … s_T into those of the states, (T,B,S)."""
        state = [each[1:].reshape(-1, *each.shape[2:]) for each in self.leaves]
        found = _vector(self.read_back(state, errors.reshape(-1, errors.shape[2])))
        return found.reshape(self.states[1:].shape)

    def parameter_gradients(
        self, rows: FloatArray, steps: IntArray, sequences: IntArray
    ) -> dict[str, FloatArray]:
        """Rows (N,S) · ∂⁺s_t/∂θ by parameter, summed over the steps t (N,) of sequences (N,)."""
        found = {name: np.zeros(each.shape) for name, each in self.parameters.items()}
        for start in range(0, len(rows), MAX_COPIES):
            some = slice(start, start + MAX_COPIES)
            at = steps[some] - 1, sequences[some]
            state, cut = [each[at] for each in self.leaves], self._split(rows[some])
            parts = self.parameters_back(state, self._given(*at), cut)
            for name, part in zip(found, parts, strict=True):
                found[name] += part
        return found

    @abstractmethod
    def flatten(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a nest as NumPy arrays, wide ones of floating-point numbers, and its form."""

    @abstractmethod
    def following(self, state: Leaves, given: Leaves) -> list[Any]:
        """Return the next state as arrays."""

    @abstractmethod
    def pullback(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        """Return what arrives at the floating-point arrays of a state from those of the next."""

    @abstractmethod
    def candidates(self, found: Any) -> tuple[Any, ...]:
        """Return what of a step's result may be the next state, the likeliest first."""

    @abstractmethod
    def pushforward(self, state: Leaves, given: Leaves, tangents: Leaves) -> list[Any]:
        """Return where a step carries changes of the floating-point arrays of a state."""

    def pull(self, rows: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        """Rows (N,r,S) · J_t at the steps t (N,) of sequences (N,)."""
        return self._carried(self.pullback, rows, steps, sequences)

    def push(self, vectors: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        """J_t v for vectors (N,r,S) at the steps t (N,) of sequences (N,)."""
        try:
            return self._carried(self.pushforward, vectors, steps, sequences)
        except SettingError:  # An operation of the step has a rule for rows alone.
            unit = np.eye(self.state_size)[None]
            places = zip(vectors, steps[:, None], sequences[:, None], strict=True)
            return np.stack([each @ self.pull(unit, *at)[0].T for each, *at in places])

    @_in_one_line()
    def _carried(
        self,
        carry: Callable[[Leaves, Leaves, Leaves], list[Any]],
        rows: FloatArray,
        steps: IntArray,
        sequences: IntArray,
    ) -> FloatArray:
        out, (count, many, size) = np.empty(rows.shape), rows.shape
        at_once = max(1, MAX_COPIES // many)
        for start in range(0, count, at_once):
            some = slice(start, start + at_once)
            at = np.repeat(steps[some] - 1, many), np.repeat(sequences[some], many)
            state = [each[at] for each in self.leaves]
            along = self._split(rows[some].reshape(-1, size))
            found = carry(state, self._given(*at), along)
            out[some] = _vector(found).reshape(-1, many, size)
        return out

    def next_state(self, found: Any, like: Leaves) -> list[Any]:
        """Return the arrays of the next state, of the framework's kind, in a step's result."""
        for each in self.candidates(found):
            by_path = self.leaves_of(each)
            leaves: list[Any] = [by_path.get(path) for path in self._paths]
            if len(by_path) == len(leaves) and all(hasattr(leaf, "shape") for leaf in leaves):
                break
        else:
            raise SettingError(
                "the step returns nothing that is nested like the initial state; "
                "return the next state, or a pair of it and an output"
            )
        before, after = ([tuple(leaf.shape) for leaf in each] for each in (like, leaves))
        if before != after:
            raise ShapeError(
                f"a step turns a state of shapes {before} into {after}; "
                "only a state that keeps its shape has Jacobians"
            )
        return leaves

    @abstractmethod
    def leaves_of(self, nest: Any) -> dict[str, Any]:
        """Return a nest's leaves as they are, by the way to each."""

    def _given(self, before: IntArray, sequences: IntArray) -> list[Any]:
        return [each[before, sequences] for each in self.entered]

    def _split(self, vector: FloatArray) -> list[Any]:
        """Return rows (N,S) as the floating-point arrays of a state."""
        parts, at = [], 0
        for leaf in filter(moves, self.leaves):
            two = 1 + np.iscomplexobj(leaf)
            size = two * int(np.prod(leaf.shape[2:]))
            part = np.ascontiguousarray(vector[:, at : at + size])
            part = part.view(np.complex128) if two == 2 else part
            parts.append(part.reshape(-1, *leaf.shape[2:]))
            at += size
        return parts

    def _check(self) -> None:
        """Refuse a step that draws random numbers, mixes sequences, or has no gradient."""
        # Two copies at the first and two at the last step: zeros may hide what is wrong at either.
        at = np.repeat([0, len(self.states) - 2], 2), np.zeros(4, dtype=np.int64)
        state, wanted = [each[at] for each in self.leaves], self.states[at[0] + 1, 0]
        once, again = (_vector(self.following(state, self._given(*at))) for _ in range(2))
        scale = SAME * (1.0 + np.abs(wanted).max())
        if np.abs(once - again).max() > scale:
            raise SettingError("the step draws random numbers; fix them, or call eval() on modules")
        if np.abs(once - wanted).max() > scale:
            raise SettingError("the step mixes the sequences of a batch; treat each by itself")
        self.pull(np.zeros((1, 1, self.state_size)), at[0][:1] + 1, at[1][:1])


def path_name(key: str) -> str:
    """Return the name of a part of a state from the way to it in its nest.

    >>> [path_name(each) for each in ("", "[1]", "['h']", ".c", "[0]['h']")]
    ['s', 's[1]', 'h', 'c', 's[0] h']
    """
    words = [f"[{each}]" if each.isdigit() else each for each in re.findall(r"\w+", key)]
    return ("s" if key[1:2].isdigit() or not key else "") + " ".join(words)


def moves(array: Any) -> bool:
    """Return whether an array has floating-point numbers, which have a derivative."""
    return bool(np.issubdtype(array.dtype, np.inexact))


def _vector(leaves: Leaves) -> FloatArray:
    """Return the floating-point numbers of a state (B,S), a complex one as two."""
    moving = [np.ascontiguousarray(each).reshape(len(each), -1) for each in leaves if moves(each)]
    return np.concatenate([each.view(np.float64) for each in moving], axis=1)
