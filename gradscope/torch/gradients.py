"""The unclipped gradient norm of each training step, and the kind of hook that measures it.

The norm of a parameter's gradient is taken when a backward pass has added to it, before any
clipping, and counts once its optimizer has stepped. Norms stay tensors: to read one would make a
GPU wait. Source: PyTorch 2.13, ``torch.optim.optimizer``, ``torch.amp.GradScaler.step``.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from gradscope.watch.schedule import Steps

Norms = dict[str, Tensor]


class Hook:
    """A hook that is not copied: deep and saved copies of its module are not watched. Nor does
    ``torch.compile`` trace it: a graph ends before it.
    """

    def __init__(self, run: Callable[..., object] | None = None) -> None:
        self._run = run

    @_disable_dynamo
    def __call__(self, *given: Any) -> None:
        """Run it."""
        if self._run is not None:
            self._run(*given)

    def __reduce__(self) -> tuple[type["Hook"], tuple[()]]:
        return Hook, ()


class EagerHook(Hook):
    """A hook that graphs go on without: to end before it at every time step would be slow, and with
    ``fullgraph=True`` an error.
    """

    def __call__(self, *given: Any) -> None:
        """Run it, but not in a graph."""
        if not torch.compiler.is_compiling():
            super().__call__(*given)


class GradientNorms:
    """The norms of the gradients by the name of the parameter; ``titles`` has it by ``id``."""

    def __init__(self, steps: Steps, scaler: torch.amp.GradScaler | None) -> None:
        self.titles: dict[int, str] = {}
        self._steps, self._scaler = steps, scaler
        self._last: Norms = {}
        self._stepped: Norms = {}

    def keep(self, name: str, parameter: Tensor) -> None:
        """Keep the norm that a backward pass has left."""
        if parameter.grad is not None:
            gradient = parameter.grad.detach()
            values = gradient.coalesce().values() if gradient.is_sparse else gradient
            self._last[name] = torch.linalg.vector_norm(values, dtype=torch.float64)

    def of(self, optimizer: torch.optim.Optimizer) -> list[str]:
        """Return the parameters with a new gradient that an optimizer steps."""
        held = [id(each) for group in optimizer.param_groups for each in group["params"]]
        return [name for key in held if (name := self.titles.get(key, "")) in self._last]

    def step(self, names: list[str]) -> None:
        """Count the gradients with which an optimizer has just stepped."""
        if not self._steps.now or not self._stepped.keys().isdisjoint(names):
            # No call was seen since this optimizer stepped last.
            self._steps.begin("", graded=True)
        self._steps.end()
        self._stepped |= self._unscaled({name: self._last.pop(name) for name in names})

    def take(self) -> Norms:
        """Return the norms of the training step that ends; of passes until an optimizer stepped."""
        optimized = self._steps.journal.optimized
        taken, self._stepped = self._stepped if optimized else self._unscaled({**self._last}), {}
        return taken

    def _unscaled(self, norms: Norms) -> Norms:
        """Divide by the factor of the scaler: the one given, else the one that steps just now."""
        scaler, frame, step = self._scaler, inspect.currentframe(), torch.amp.GradScaler.step
        while frame is not None and frame.f_code is not step.__code__:
            frame = frame.f_back
        if scaler is None and frame is not None:
            # Of no other frame: it would keep all its locals alive.
            scaler = frame.f_locals["self"]
        if scaler is None:
            return norms
        return {name: norm / scaler.scale(torch.ones_like(norm)) for name, norm in norms.items()}
