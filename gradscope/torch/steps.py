"""The chain of any step function in PyTorch: whatever has a state and a step.

Source: PyTorch 2.13, ``torch.overrides.TorchFunctionMode``, ``torch.utils._pytree``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.step_chain import step_chain
from gradscope.model.steps import NO_DROPOUT, PROMOTED, Leaves, Steps

Step = Callable[[Any, Any], Any]

WIDE = dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float64)
WIDE |= {torch.complex32: torch.complex128, torch.complex64: torch.complex128}
"""What each kind of floating-point number becomes."""

DROPPING = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
"""How the names of the functions begin that drop units of their first argument."""


def chain(step: Step, initial_state: Any, inputs: Any, *, dense: bool | None = None) -> Chain:
    """Return the chain of Jacobians of any recurrence, for ``lag_norms`` and all that takes one.

    ``step(state, x)`` returns the next state, or a pair of an output and the next state: what has
    the nest of ``initial_state`` is the state. ``initial_state`` is any nest of tensors (B,…),
    ``inputs`` of tensors (T,B,…). Everything is computed in float64, the weights that the step
    brings along too, and without dropout; integers in the state are carried and have no Jacobian; a
    complex number counts as two. ``dense`` says whether all Jacobians are made at once; by default
    where the state is small, else rows are carried through the step, and none is ever made.

    The step must treat each sequence by itself, without random numbers, and keep the sizes of its
    state. Raises SettingError where it does not, ShapeError where shapes do not fit or a number is
    not finite.
    """
    return step_chain(TorchSteps(step, initial_state, inputs), dense)


class Wide(TorchFunctionMode):
    """Calculates with 64 bits whatever weights a step brings along, those in ``place`` of others by
    the ``id`` of these, and without dropout.
    """

    def __init__(self, place: Mapping[int, Tensor], changed: set[str]) -> None:
        super().__init__()
        self._place, self._changed = place, changed

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch on wide numbers, to a wide result."""
        del types
        if getattr(func, "__name__", "").startswith(DROPPING):
            self._changed.add(NO_DROPOUT)
            return args[0]
        given = pytree.tree_map_only(
            Tensor, lambda each: self._place.get(id(each), each), (args, kwargs or {})
        )
        tensors = (each for each in pytree.tree_leaves(given) if isinstance(each, Tensor))
        if any(each.dtype in WIDE for each in tensors):
            self._changed.add(PROMOTED)
        args, kwargs = widened(given)
        return widened(func(*args, **kwargs))


def widened(nest: Any) -> Any:
    """Return a nest of tensors, those of floating-point numbers with 64 bits."""
    return pytree.tree_map_only(
        Tensor, lambda each: each.to(WIDE.get(each.dtype, each.dtype)), nest
    )


class TorchSteps(Steps):
    """A step of PyTorch along its trajectory, on the device of its initial state."""

    @torch.inference_mode(mode=False)
    def __init__(
        self,
        step: Step,
        initial_state: Any,
        inputs: Any,
        readout: Callable[[Any], Tensor] | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> None:
        of = (parameters or {}).items()
        wide = {name: widened(each.detach()).clone().requires_grad_() for name, each in of}
        self._wide = list(wide.values())
        self._place = {id(each): wide[name] for name, each in of}
        values = {name: each.numpy(force=True) for name, each in wide.items()}
        super().__init__(step, initial_state, inputs, readout, values)
        if any(each.dtype in WIDE for _, each in of):
            self.changed.add(PROMOTED)

    def read(self, state: Leaves) -> FloatArray:
        """Return what the readout makes of states, (N,O)."""
        with torch.no_grad():
            return np.asarray(self._read(self._tensors(state)).numpy(force=True))

    def read_back(self, state: Leaves, errors: FloatArray) -> list[Any]:
        """Return what arrives at the tensors of states from errors (N,O) of what is read."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            before = self._tensors(state)
            moving = [each.requires_grad_() for each in before if _moves(each)]
            ends, rows = _with_gradient([self._read(before)], self._tensors([errors]))
        found = torch.autograd.grad(ends, moving, rows, materialize_grads=True)
        return [each.numpy(force=True) for each in found]

    def parameters_back(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[FloatArray]:
        """Return what arrives at each of the parameters from the tensors of next states, summed."""
        _, after = self._recorded(state, given)
        ends, rows = _with_gradient(after, self._tensors(cotangents))
        found = torch.autograd.grad(ends, self._wide, rows, materialize_grads=True)
        return [each.numpy(force=True) for each in found]

    def _read(self, state: Sequence[Tensor]) -> Tensor:
        with Wide(self._place, self.changed):
            shown: Tensor = self._readout(pytree.tree_unflatten(state, self._spec))
        return shown.reshape(len(shown), -1)

    def leaves_of(self, nest: Any) -> dict[str, Any]:
        """Return a nest's leaves as they are, by the way to each."""
        return {pytree.keystr(path): leaf for path, leaf in pytree.tree_flatten_with_path(nest)[0]}

    def flatten(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a nest as NumPy arrays, wide ones of floating-point numbers, and its form."""
        leaves, spec = pytree.tree_flatten(widened(pytree.tree_map(torch.as_tensor, nest)))
        self._device = leaves[0].device if leaves else None
        return [each.numpy(force=True) for each in leaves], spec

    def candidates(self, found: Any) -> tuple[Any, ...]:
        """Return the result, and of a pair the second, then the first."""
        pair = isinstance(found, tuple | list) and len(found) == 2
        return (found, found[1], found[0]) if pair else (found,)

    def following(self, state: Leaves, given: Leaves) -> list[Any]:
        """Return the next state as arrays."""
        with torch.no_grad():
            after = self._call(self._tensors(state), given)
        return [each.numpy(force=True) for each in after]

    def pullback(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        """Return what arrives at the floating-point tensors of a state from those of the next."""
        moving, after = self._recorded(state, given)
        ends, rows = _with_gradient(after, self._tensors(cotangents))
        found = torch.autograd.grad(ends, moving, rows, materialize_grads=True)
        return [each.numpy(force=True) for each in found]

    @torch.inference_mode(mode=False)
    def pushforward(self, state: Leaves, given: Leaves, tangents: Leaves) -> list[Any]:
        """Return where a step carries changes of the floating-point tensors of a state: what it
        pulls back is linear in the rows, and its derivative by them is J_t v.
        """
        moving, after = self._recorded(state, given)
        ends, rows = _with_gradient(after, [torch.zeros_like(each) for each in after])
        rows = [each.requires_grad_() for each in rows]
        make: dict[str, bool] = {"materialize_grads": True, "create_graph": True}
        pulled = torch.autograd.grad(ends, moving, rows, **make)
        both = zip(pulled, self._tensors(tangents), strict=True)
        linear = [pair for pair in both if pair[0].requires_grad]
        whole = {id(each): torch.zeros_like(each) for each in after}
        if linear:
            of, along = zip(*linear, strict=True)
            found = torch.autograd.grad(of, rows, along, materialize_grads=True)
            whole |= {id(end): each for end, each in zip(ends, found, strict=True)}
        return [whole[id(each)].numpy(force=True) for each in after]

    def _recorded(self, state: Leaves, given: Leaves) -> tuple[list[Tensor], list[Tensor]]:
        """Return the floating-point tensors of a state, and those of the next, with a graph."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            before = self._tensors(state)
            moving = [each.requires_grad_() for each in before if _moves(each)]
            after = self._call([each.clone() for each in before], given)  # Free to be changed.
            return moving, [each for each in after if _moves(each)]

    def _tensors(self, arrays: Leaves) -> list[Tensor]:
        return [torch.tensor(each, device=self._device) for each in arrays]

    def _call(self, state: Sequence[Tensor], given: Leaves) -> list[Tensor]:
        x = pytree.tree_unflatten(self._tensors(given), self._inputs_spec)
        with Wide(self._place, self.changed):
            found = self._step(pytree.tree_unflatten(state, self._spec), x)
        return self.next_state(found, state)


def _with_gradient(after: list[Tensor], along: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return those of the next state that have a gradient, with what belongs to them."""
    pairs = [pair for pair in zip(after, along, strict=True) if pair[0].requires_grad]
    if not pairs:
        raise SettingError("the next state has no gradient: it is detached in the step")
    ends, rows = map(list, zip(*pairs, strict=True))
    return ends, rows


def _moves(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
