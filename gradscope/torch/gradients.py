"""The unclipped gradient norm of each training step, and the kind of hook that measures it.

The norm of a parameter's gradient is taken when a backward pass has added to it, before any
clipping, and counts once its optimizer has stepped. Norms stay tensors: to read one would make a
GPU wait. Source: PyTorch 2.13, ``torch.optim.optimizer``, ``torch.amp.GradScaler.step``.
"""

import inspect
import weakref
from collections.abc import Callable
from functools import partial
from math import hypot, isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from gradscope.watch.journal import Journal
from gradscope.watch.schedule import Steps
from gradscope.weights.layers.torch_names import unwrapped

Norms = dict[str, Tensor]
Scaler = torch.amp.GradScaler | None
Act = Callable[[], None]
Guard = Callable[[str, Act], None]


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
    """A hook that graphs leave out: a break at each step is slow, with ``fullgraph`` an error."""

    def __call__(self, *given: Any) -> None:
        """Run it, but not in a graph."""
        if not torch.compiler.is_compiling():
            super().__call__(*given)


def read_norms(journal: Journal, step: int, norms: Norms) -> None:
    """Read the norms of a training step."""
    values = {name: float(norm) for name, norm in norms.items()}
    bad = next((name for name, value in values.items() if not isfinite(value)), "")
    journal.gradient(step, hypot(*values.values()), bad)


class GradientNorms:
    """The norms of the gradients by name of the parameter; ``titles`` has the names by ``id``,
    ``guarded`` runs what must not end the training, ``read`` reads what waits to be read.
    """

    def __init__(self, steps: Steps, scaler: Scaler, guarded: Guard, read: Act) -> None:
        self.titles: dict[int, str] = {}
        self._steps, self._scaler, self._guarded, self._read_all = steps, scaler, guarded, read
        self._last: Norms = {}
        self._stepped: Norms = {}

    def attach(self, module: nn.Module) -> list[RemovableHandle]:
        """Register the hooks of a model's parameters, and that of all optimizers."""
        parameters, handles = dict(module.named_parameters()), []
        for title, name in unwrapped(parameters).items():
            if parameters[name].requires_grad:
                hook = Hook(partial(self._on_gradient, title))
                handles.append(parameters[name].register_post_accumulate_grad_hook(hook))
                self.titles[id(parameters[name])] = title
        # PyTorch keeps the hook longer than a watch that nobody closes.
        run = weakref.WeakMethod(self._on_step)
        hook = EagerHook(lambda *given: (alive := run()) and alive(*given))
        return [*handles, register_optimizer_step_post_hook(hook)]

    def _on_gradient(self, name: str, parameter: Tensor) -> None:
        if not self._steps.backward_seen:
            self._steps.before_backward()
        self._steps.backward_seen = True

        def keep_norm() -> None:
            if parameter.grad is not None:
                gradient = parameter.grad.detach()
                values = gradient.coalesce().values() if gradient.is_sparse else gradient
                real = values.abs() if values.is_complex() else values
                self._last[name] = torch.linalg.vector_norm(real, dtype=torch.float64)

        self._guarded(name, keep_norm)

    def _on_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        held = [id(each) for group in optimizer.param_groups for each in group["params"]]
        names = [name for key in held if (name := self.titles.get(key, "")) in self._last]

        def count_norms() -> None:
            if not self._steps.now or not self._stepped.keys().isdisjoint(names):
                # No call was seen since this optimizer stepped last.
                self._steps.begin("", graded=True)
            if not self._steps.journal.optimized:
                self._read_all()
            self._steps.end()
            self._stepped |= self._unscaled({name: self._last.pop(name) for name in names})

        if names:
            self._guarded("the gradient norm", count_norms)

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
