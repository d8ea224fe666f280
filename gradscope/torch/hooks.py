"""Hooks: how gradient travels through the recurrent layers of a PyTorch model in training.

``watch`` looks on from forward hooks. Every so often it takes a few of the sequences that a layer
is given (``reading``), with their initial states and the weights as they stand, to
``watch.replay``, which replays them with our cells: nothing is kept of PyTorch's graph, nothing
is drawn from its random numbers, and no gradient is asked of it. Whose turn it is, and when a
training step begins, is said by ``watch.schedule``; the steps of a Cell are put together to
sequences by ``cell_courses``. Source: PyTorch 2.13, ``torch.nn.modules.rnn``;
``Module.register_forward_hook``, ``Tensor.register_post_accumulate_grad_hook``.
"""

import threading
from collections.abc import Callable
from functools import partial
from math import hypot, isfinite
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from gradscope.arrays import FloatArray
from gradscope.diagnosis.verdict import Thresholds
from gradscope.errors import SettingError
from gradscope.torch.cell_sequences import CellCourses
from gradscope.torch.reading import (
    CELLS,
    Call,
    is_compiled,
    kind_of,
    layer_sample,
    n_sequences,
    output_sizes,
    recurrent_kind,
    refusal_of,
    time_steps,
)
from gradscope.watch.journal import Journal, NonFinite, Quantity, Refusal, TimeBudget
from gradscope.watch.page import Log, WatchLog, watch_report
from gradscope.watch.schedule import Limits, Steps, clock
from gradscope.weights.layers.torch_names import unwrapped


def watch(
    module: nn.Module,
    every: int = 100,
    max_lag: int = 200,
    log: Log = None,
    *,
    sequences: int = 4,
    share: float | None = 0.04,
    thresholds: Thresholds | None = None,
    scaler: "torch.amp.GradScaler | None" = None,
) -> "Watch":
    """Watch the recurrent layers of a model while it is trained.

    Parameters
    ----------
    module : torch.nn.Module
        A model with ``nn.RNN``, ``GRU``, ``LSTM`` or their Cells anywhere inside, or one itself.
    every : int
        Training steps from one look at a layer to the next; more where ``share`` asks for it.
    max_lag : int
        Longest lag, in steps of the sequence.
    log : callable, logging.Logger, path or None
        Where first verdicts, changes, numbers that are not finite and, in the end, the report go:
        a function such as ``print``, a logger, a file that is added to. None (the default):
        nowhere; see ``report()``.
    sequences : int
        Sequences in a look, the longest of a packed batch, else the first; fewer where ``share``
        asks for it.
    share : float or None
        Most of the time since the first step that looks may take, a tenth of a second aside. None:
        no limit, and every look has all its sequences. Between looks the hooks cost some tenths of
        a millisecond a step.
    thresholds : Thresholds, optional
        Where the verdict draws its lines.
    scaler : torch.amp.GradScaler, optional
        The scaler of the loss, by whose factor recorded gradient norms are divided.

    Returns
    -------
    Watch
        A context manager; ``close()`` takes every hook away.

    Raises
    ------
    SettingError
        If there is no recurrent layer in the module, or a number is outside its limits.
    OutputError
        If the log is a file that cannot be written.

    Notes
    -----
    Layers in evaluation mode are left alone. The gradient norm is that over all parameters which
    want a gradient, as the backward pass leaves them, before anything clips them. A scripted or
    compiled module runs no hooks, and gradscope has no Jacobian for an LSTM with ``proj_size``:
    they are passed over, and log and report say so. An error within the watch is told once, with
    its reason; the layer it happened at is left alone from then on, and the training goes on.
    """
    limits = Limits(every, max_lag, sequences, thresholds or Thresholds())
    writer = WatchLog(log)
    return Watch(module, Steps(Journal(TimeBudget(share), writer), limits), writer, scaler)


def _nothing(*_: object, **__: object) -> None:
    """Do nothing: the hook that a copy of a watched module has."""


def _stand_in() -> Callable[..., None]:
    return _nothing


class _Hook:
    """A hook that stays with its module: deep copies of it, and saved ones, are not watched."""

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run

    def __call__(self, *given: Any) -> None:
        self._run(*given)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return _stand_in, ()


class Watch:
    """A watch over a model, made by ``watch``; ``journal`` holds what it has seen."""

    def __init__(
        self,
        module: nn.Module,
        steps: Steps,
        log: WatchLog,
        scaler: "torch.amp.GradScaler | None" = None,
    ) -> None:
        self.journal = steps.journal
        self._steps, self._log, self._scaler = steps, log, scaler
        self._lock = threading.RLock()
        self._left_alone: set[str] = set()
        self._courses = CellCourses(steps)
        self._norms: dict[str, Tensor] = {}
        self._unread: list[Callable[[], None]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._attach_to_layers(module)
        self._attach_to_gradients(module)

    def report(self) -> str:
        """Return what was seen so far, as text."""
        self._guarded("the report", self._read)
        return watch_report(self.journal, log_error=self._log.error)

    def close(self) -> None:
        """Take every hook away and write the report to the log; a second time does nothing."""
        if not self._handles:
            return
        while self._handles:
            self._handles.pop().remove()
        self._guarded("the end", self._end_step)
        self._scaler = None
        self._log.write(self.report())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attach_to_layers(self, module: nn.Module) -> None:
        modules = dict(module.named_modules())
        kinds = {name: recurrent_kind(each) for name, each in modules.items()}
        recurrent = [name for name, kind in kinds.items() if kind is not None]
        if not recurrent:
            raise SettingError(
                f"there is nothing to watch: {type(module).__name__} holds no nn.RNN, GRU or LSTM "
                "and none of their Cells; watch the model that does"
            )
        compiled = [f"{name}." for name, each in modules.items() if name and is_compiled(each)]
        for bare, name in unwrapped(recurrent).items():
            each, title = modules[name], bare or str(kinds[name]).lower()
            within = is_compiled(module) or f"{name}.".startswith(tuple(compiled))
            refusal = Refusal.COMPILED if within else refusal_of(each)
            if refusal is not None:
                self.journal.refuse(title, refusal)
                continue
            saw = self._saw_cell if isinstance(each, CELLS) else self._saw_layer
            hook = _Hook(partial(self._on_call, title, saw))
            self._handles.append(each.register_forward_hook(hook, with_kwargs=True))

    def _attach_to_gradients(self, module: nn.Module) -> None:
        parameters = dict(module.named_parameters())
        for title, name in unwrapped(parameters).items():
            if parameters[name].requires_grad:
                hook = _Hook(partial(self._on_gradient, title))
                handle = parameters[name].register_post_accumulate_grad_hook(hook)
                self._handles.append(handle)

    def _on_call(
        self,
        name: str,
        saw: Callable[[str, Call], None],
        module: nn.Module,
        given: tuple[Any, ...],
        named: dict[str, Any],
        output: Any,
    ) -> None:
        # A checkpoint that computes forward anew does so within the backward pass.
        if not module.training or torch._C._current_graph_task_id() != -1:  # noqa: SLF001
            return
        if name in self._left_alone and torch.is_grad_enabled():
            # Its calls still say where a training step begins.
            begin = partial(self._steps.begin, name, graded=True, end_last=self._end_step)
            self._guarded("the steps", begin)
        self._guarded(name, partial(self._see, name, saw, module, given, named, output))

    def _see(
        self,
        name: str,
        saw: Callable[[str, Call], None],
        module: nn.Module,
        given: tuple[Any, ...],
        named: dict[str, Any],
        output: Any,
    ) -> None:
        values = dict(zip(("input", "hx"), given, strict=False)) | named
        graded = torch.is_grad_enabled() and any(each.requires_grad for each in module.parameters())
        call = Call(module, values["input"], values.get("hx"), output, graded)
        with torch.no_grad():
            saw(name, call)

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """Do something that must never end the training: it fails but once."""
        with self._lock:
            if name in self._left_alone:
                return
            try:
                act()
            except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
                self._left_alone.add(name)
                self._courses.forget(name)
                self.journal.fail(name, error)

    def _on_gradient(self, name: str, parameter: Tensor) -> None:
        self._steps.backward_seen = True
        self._guarded(name, partial(self._keep_norm, name, parameter))

    def _keep_norm(self, name: str, parameter: Tensor) -> None:
        if parameter.grad is None:
            return
        gradient = parameter.grad.detach()
        values = gradient.coalesce().values() if gradient.is_sparse else gradient
        norm = torch.linalg.vector_norm(values, dtype=torch.float64)
        if self._scaler is not None:
            # As a tensor: to ask for the number would make a GPU wait.
            norm = norm / self._scaler.scale(torch.ones_like(norm))
        self._norms[name] = norm

    def _end_step(self) -> None:
        for name in self._courses.names():
            self._guarded(name, partial(self._courses.finish, name))
        if self._norms:
            self._unread.append(partial(self._read_norms, self._steps.now, self._norms))
        # Reading makes a GPU wait; a CPU has the numbers already.
        on_cpu = all(norm.device.type == "cpu" for norm in self._norms.values())
        if on_cpu or self._steps.now % self._steps.limits.every == 0:
            self._read()
        self._norms = {}

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for each in unread:
            each()

    def _read_norms(self, step: int, norms: dict[str, Tensor]) -> None:
        values = {name: float(norm) for name, norm in norms.items()}
        bad = [name for name, value in values.items() if not isfinite(value)]
        self.journal.gradient(step, hypot(*values.values()), bad[0] if bad else "")

    def _read_sizes(self, name: str, step: int, time_steps: FloatArray, sizes: Tensor) -> None:
        bad = ~torch.isfinite(sizes)
        if bad.any():
            time_step = int(time_steps[int(bad.to(torch.uint8).argmax())])
            self.journal.not_finite(NonFinite(step, name, Quantity.OUTPUT, time_step))

    def _saw_layer(self, name: str, call: Call) -> None:
        steps, module = self._steps, call.module
        steps.begin(name, graded=call.graded, end_last=self._end_step)
        sizes, at = output_sizes(call), time_steps(call)
        if sizes is not None:
            self._unread.append(partial(self._read_sizes, name, steps.now, at, sizes))
        if not steps.has_turn(name):
            return
        titles = _titles(name, module)
        guess = steps.guess(kind_of(module), module.hidden_size, int(at[-1]), len(titles))
        count = steps.due(name, guess, n_sequences(call))
        if count:
            started = clock()
            steps.examine(name, layer_sample(titles, steps.now, call, count), started)

    def _saw_cell(self, name: str, call: Call) -> None:
        seen = self._courses.follow(name, call, self._end_step)
        if seen is None:
            self._left_alone.add(name)
            return
        time_step, size = seen
        read = partial(self._read_sizes, name, self._steps.now, np.array([time_step]), size[None])
        self._unread.append(read)


def _titles(name: str, module: Any) -> tuple[str, ...]:
    """Return a name for each part of a layer: ``rnn[0]``, ``rnn[0]_reverse``, ``rnn[1]`` and so on;
    the bare name where it has but one.
    """
    endings = ("", "_reverse") if module.bidirectional else ("",)
    parts = [f"{name}[{n}]{ending}" for n in range(module.num_layers) for ending in endings]
    return (name,) if len(parts) == 1 else tuple(parts)
