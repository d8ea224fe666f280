"""Steps that are not PyTorch's own: any call that is given a state and returns the next.

Before the weights change, the step is called again in float64, with a few sequences of its last
states and inputs; its Jacobians are those of ``steps.chain``. So are those of projected LSTMs.
"""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from gradscope.arrays import FloatArray
from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.step_chain import step_chain
from gradscope.torch.reading import Call
from gradscope.torch.steps import TorchSteps, widened
from gradscope.watch.replay import Sample, Snapshot


class CustomStep:
    """A call ``run(x, state)``, or ``run(state, x)`` with ``state_at`` 0, of a module ``owner`` or
    in the loop of one; ``sure`` says that a person named it.
    """

    def __init__(self, run: Callable[..., Any], state_at: int, owner: nn.Module, *, sure: bool):
        self.run, self.state_at, self.owner, self.sure = run, state_at, owner, sure

    def call(
        self, given: Sequence[Any], named: Mapping[str, Any], result: Any, *, graded: bool
    ) -> Call | None:
        """Return a call as the tensors of input, state and next state; None of another form."""
        values = [each for each in (*given, *named.values()) if each is not None]
        if len(values) != 2:
            return None
        x, self._x_form = pytree.tree_flatten(values[1 - self.state_at])
        state, self._form = pytree.tree_flatten(values[self.state_at])
        after, leaves = self._next(result), (*x, *state)
        if not all(isinstance(each, Tensor) and each.ndim for each in (*leaves, *after)):
            return None
        if len({len(each) for each in leaves}) > 1 or _shapes(state) != _shapes(after):
            return None
        attached = any(s.requires_grad for s in state) or not any(a.requires_grad for a in after)
        tensors = (tuple(each.detach() for each in part) for part in (x, state, after))
        return Call(self, *tensors, graded, attached)

    def __call__(self, state: Sequence[Tensor], x: Sequence[Tensor]) -> tuple[Any, ...]:
        """Return the tensors of the next state."""
        values = [pytree.tree_unflatten(x, self._x_form), pytree.tree_unflatten(state, self._form)]
        return self._next(self.run(*values[:: 1 if self.state_at else -1]))

    def _next(self, result: Any) -> tuple[Any, ...]:
        """Return the leaves of what is nested like the state: a result, its last parts, or one."""
        parts = (result[1:], *reversed(result)) if isinstance(result, tuple) else ()
        nests = map(pytree.tree_flatten, (result, *parts))
        return next((tuple(leaves) for leaves, form in nests if form == self._form), ())


def _shapes(leaves: Sequence[Tensor]) -> list[torch.Size]:
    return [each.shape for each in leaves]


def custom_step(module: nn.Module, cells: Sequence[Any]) -> CustomStep | None:
    """Return a module as a step: one of ``cells`` (modules, classes), or of two or more arguments."""
    if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
        return None
    kinds = tuple(each for each in cells if isinstance(each, type))
    sure = isinstance(module, kinds) or any(each is module for each in cells)
    arguments = inspect.signature(module.forward).parameters.values()
    two = sum(each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for each in arguments) > 1
    return CustomStep(module, 1, module, sure=sure) if sure or two else None


def step_sample(now: int, title: str, step: Any, kept: Sequence[Any], at: int) -> Sample:
    """Return calls in a row, (input, state) each and from the ``at``th on, to be measured; the last
    has only the state.
    """
    seen = np.stack([vector(state) for _, state in kept])  # (T+1,B,S)
    inputs = tuple(torch.stack(each) for each in zip(*(x for x, _ in kept[:-1]), strict=True))
    finite = np.isfinite(seen).all(axis=(1, 2))
    sound = max(int(np.argmin([*finite, False])) - 1, 0)
    bad = at + sound if sound < len(kept) - 1 else None

    def measure(sample: Sample, _: int, thresholds: Thresholds) -> list[Snapshot]:
        if not sound:
            return [Snapshot(now, title, seen.shape[1], None, bad, None, 0.0)]
        steps = TorchSteps(step, kept[0][1], tuple(each[:sound] for each in inputs))
        found = diagnose(step_chain(steps, None), overflow_step=bad, thresholds=thresholds)
        scale, apart = float(np.abs(seen[: sound + 1]).max()) or 1.0, None
        if sample.outputs and not steps.drops:
            apart = float(np.abs(steps.states - seen[: sound + 1]).max()) / scale
        return [Snapshot(now, title, seen.shape[1], found, bad, apart, 0.0, steps.drops)]

    sequences = np.stack([vector(x) for x, _ in kept[:-1]], axis=1)
    return Sample(now, (title,), (), tuple(sequences), (), tuple(seen), measure=measure)


def vector(leaves: Sequence[Tensor]) -> FloatArray:
    """Return the floating-point numbers of tensors (B,…) as (B,S), a complex one as two."""
    wide = [torch.view_as_real(each) if each.is_complex() else each for each in widened(leaves)]
    rows = [each.reshape(len(each), -1) for each in wide if each.is_floating_point()]
    rows += [torch.empty(len(leaves[0]), 0, dtype=torch.float64, device=leaves[0].device)]
    return np.asarray(torch.cat(rows, dim=1).numpy(force=True))


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Leave random numbers, buffers and attributes as they were, whatever is called within."""
    own = [each for module in model.modules() for each in (vars(module), module._buffers)]  # noqa: SLF001
    held, buffers = (
        [(each, dict(each)) for each in own],
        [(each, each.clone()) for each in model.buffers()],
    )
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = {each.get_device() for each in model.parameters() if each.is_cuda}
    try:
        with torch.random.fork_rng(cuda), torch.inference_mode(mode=False):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for each, before in held:
            each.clear()
            each.update(before)
        for buffer, values in buffers:
            buffer.data.copy_(values)


def measure_projected(
    module: nn.LSTM, sample: Sample, lags: int, thresholds: Thresholds
) -> list[Snapshot]:
    """Measure a sample of an LSTM with a projection, on its longest sequences."""
    longest = [each for each in sample.sequences if len(each) == len(sample.sequences[0])]
    given, outputs = torch.tensor(np.stack(longest, axis=1)), list[Tensor]()  # (T,B,D)
    rng, found = np.random.default_rng(sample.step), list[Snapshot]()
    flat = [each.detach().to("cpu", torch.float64) for each in module._flat_weights]  # noqa: SLF001
    for title, first in zip(sample.titles, sample.initial_states, strict=True):
        own, flat = flat[: 3 + 2 * module.bias], flat[3 + 2 * module.bias :]

        def step(state: Sequence[Tensor], x: Any, own: Any = own) -> tuple[Tensor, ...]:
            before = [each[None] for each in state]
            more = (module.bias, 1, 0.0, True, False, False)
            return tuple(each[0] for each in torch.lstm(x[0][None], before, own, *more)[1:])

        state, kept = (
            torch.tensor(first[: len(longest)]).split([*own[-1].shape], dim=1),
            list[Any](),
        )
        back = bool(outputs)
        for x in given.flip(0) if back else given:
            kept.append(((x,), state))
            state = step(state, (x,))
        kept.append(((), state))
        hidden = torch.stack([each[0] for _, each in kept[1:]])
        outputs.append(hidden.flip(0) if back else hidden)
        part = step_sample(sample.step, title, step, kept[-lags - 1 :], len(given) - lags + 1)
        found += part.measure(replace(part, outputs=()), lags, thresholds)
        if len(outputs) == 1 + module.bidirectional:
            given, outputs = torch.cat(outputs, dim=2), []
            given *= torch.tensor(rng.random(given.shape) >= sample.dropout) / (
                1.0 - sample.dropout
            )
    return [replace(each, dropout=sample.dropout) for each in found]
