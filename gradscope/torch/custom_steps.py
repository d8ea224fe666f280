"""Steps that are no Cells of PyTorch: calls that are given a state and return the next, and LSTMs
with a projection. Their Jacobians are those of ``steps.chain``, the step being called again with a
few sequences of its last states and inputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.step_chain import step_chain
from gradscope.model.steps import NO_DROPOUT
from gradscope.torch import reading
from gradscope.torch.reading import Call
from gradscope.torch.steps import TorchSteps, widened
from gradscope.watch.replay import Sample, Snapshot, take_snapshots

_sizes = partial(pytree.tree_map, lambda each: getattr(each, "shape", None))


class CustomStep:
    """A call ``run(x, state)`` of a module ``owner`` or in one; ``sure`` if a person named it."""

    def __init__(self, run: Callable[..., Any], owner: nn.Module, *, sure: bool) -> None:
        self.run, self.owner, self.sure = run, owner, sure

    def call(self, given: Any, named: Any, result: Any, *, graded: bool) -> Call | None:
        """Return a call, input, state and next state being nests of tensors (B,…); else None."""
        values = [each for each in (*given, *named.values()) if each is not None]
        after = self._next(result, values[-1]) if len(values) == 2 else None
        batches = {tuple(getattr(each, "shape", ()))[:1] for each in pytree.tree_leaves(values)}
        if after is None or len(batches) != 1 or () in batches:
            return None
        graphs = [any(t.requires_grad for t in pytree.tree_leaves(n)) for n in (values[1], after)]
        x, state, following = pytree.tree_map(Tensor.detach, (*values, after))
        return Call(self, x, state, following, graded, graphs[0] or not graphs[1])

    def __call__(self, state: Any, x: Any) -> Any:
        """Return the next state."""
        return self._next(self.run(x, state), state)

    def _next(self, result: Any, state: Any) -> Any:
        """Return what is like the state: a result, its last parts, or one of them; else None."""
        parts = (result[1:], *reversed(result)) if isinstance(result, tuple) else ()
        like = _sizes(state)
        return next((each for each in (result, *parts) if _sizes(each) == like), None)


def followed_as(module: nn.Module, cells: Sequence[Any]) -> Any:
    """Return a recurrent module of PyTorch, else a step: of ``cells``, or one of two arguments."""
    kind = reading.recurrent_kind(module)
    if kind or isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
        return module if kind else None
    sure = any(each in (module, *type(module).__mro__) for each in cells)
    kinds = [each.kind for each in signature(module.forward).parameters.values()]
    fits = sure or kinds.count(Parameter.POSITIONAL_OR_KEYWORD) > 1
    return CustomStep(module, module, sure=sure) if fits else None


def step_sample(now: int, title: str, step: Any, inputs: Any, states: Any, at: int) -> Sample:
    """Return inputs and states (T+1,B,…) of a step, from its ``at``th call on, to be measured."""
    leaves = pytree.tree_leaves(widened(states))
    finite = torch.stack([each.isfinite().flatten(1).all(1) for each in leaves]).all(0).tolist()
    sound = max([*finite, False].index(False) - 1, 0)
    bad, count = None if all(finite) else at + sound, leaves[0].shape[1]

    def measure(sample: Sample, _: int, thresholds: Thresholds) -> list[Snapshot]:
        if not sound:
            return [Snapshot(now, title, count, None, bad, None, 0.0)]
        first = pytree.tree_map(lambda each: each[0], states)
        steps = TorchSteps(step, first, pytree.tree_map(lambda each: each[:sound], inputs))
        found = diagnose(
            step_chain(steps, None),
            required_lag=sample.required_lag,
            overflow_step=bad,
            thresholds=thresholds,
        )
        theirs = [each[: sound + 1].numpy(force=True) for each in leaves]
        gaps = [np.abs(a - b).max() for a, b in zip(steps.leaves, theirs, strict=True)]
        apart = max(gaps) / (max(np.abs(each).max() for each in theirs) or 1.0)
        left_out = NO_DROPOUT in steps.changed
        deviation = apart if sample.outputs and not left_out else None
        return [Snapshot(now, title, count, found, bad, deviation, 0.0, left_out)]

    sequences = tuple(pytree.tree_leaves(inputs)[0].swapaxes(0, 1).numpy(force=True))
    return Sample(now, (title,), (), sequences, (), sequences, measure=measure)


def measure_projected(
    module: nn.LSTM, sample: Sample, lags: int, thresholds: Thresholds
) -> list[Snapshot]:
    """Measure an LSTM with a projection, on the longest sequences of a sample."""
    longest = [each for each in sample.sequences if len(each) == len(sample.sequences[0])]
    given, outputs = torch.tensor(np.stack(longest, axis=1)), list[Tensor]()  # (T,B,D)
    flat = widened([each.detach().cpu() for each in vars(module)["_flat_weights"]])
    found = list[Snapshot]()
    for title, first in zip(sample.titles, sample.initial_states, strict=True):
        own, flat, back = flat[: 3 + 2 * module.bias], flat[3 + 2 * module.bias :], bool(outputs)

        def step(state: Any, x: Tensor, own: list[Tensor] = own) -> Any:
            before, more = [each[None] for each in state], (module.bias, 1, 0.0, True, False, False)
            return tuple(each[0] for each in torch.lstm(x[None], before, own, *more)[1:])

        states = [torch.tensor(first[: len(longest)]).split([*own[-1].shape], dim=1)]
        inputs = given.flip(0) if back else given
        for x in inputs:
            states.append(step(states[-1], x))
        last = tuple(torch.stack(each[-lags - 1 :]) for each in zip(*states, strict=True))
        part = step_sample(sample.step, title, step, inputs[-lags:], last, 1)
        part = replace(part, outputs=(), required_lag=sample.required_lag)
        found += take_snapshots(part, lags, thresholds)
        hidden = torch.stack([h for h, _ in states[1:]])
        outputs.append(hidden.flip(0) if back else hidden)
        if len(outputs) == 1 + module.bidirectional:
            given, outputs = torch.cat(outputs, dim=2), []
    return [replace(each, left_out=sample.dropout > 0.0) for each in found]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Leave PyTorch's random numbers, buffers and attributes as they were, whatever is called."""
    owned = [own for each in model.modules() for own in (vars(each), vars(each)["_buffers"])]
    held = [(own, dict(own)) for own in owned]
    for own, before in held[1::2]:
        own.update({name: each.clone() for name, each in before.items() if each is not None})
    cuda = {each.get_device() for each in model.parameters() if each.is_cuda}
    try:
        with torch.random.fork_rng(cuda), torch.inference_mode(mode=False):
            yield
    finally:
        for own, before in held:
            own.clear()
            own.update(before)
