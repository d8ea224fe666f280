"""Hooks: how gradient travels through the recurrent layers of a PyTorch model in training.

Every so often a forward hook copies a few of the sequences that a layer is given (``reading``; of a
Cell, ``cell_sequences``), with their initial states and the current weights, and ``watch.replay``
runs our cells on them: PyTorch's graph is not kept, its random numbers are not drawn, and no
gradient is requested. Source: PyTorch 2.13, ``torch.nn.modules.rnn``;
``Module.register_forward_hook``, ``Tensor.register_post_accumulate_grad_hook``.
"""

import threading
from collections.abc import Callable
from functools import partial
from math import hypot, isfinite
from time import perf_counter
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from gradscope.arrays import FloatArray
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.errors import SettingError
from gradscope.torch.cell_sequences import CellSequences
from gradscope.torch.reading import (
    CELLS,
    Call,
    is_compiled,
    layer_sample,
    layer_titles,
    n_sequences,
    output_sizes,
    recurrent_kind,
    refusal_of,
    state_size,
)
from gradscope.watch.journal import Journal, NonFinite, Quantity, Refusal, TimeBudget
from gradscope.watch.page import Log, WatchLog, watch_report
from gradscope.watch.schedule import Steps
from gradscope.weights.layers.torch_names import unwrapped

Check = Callable[[str, Call], None]


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
        Training steps from one snapshot of a layer to the next; more where ``share`` requires it.
    max_lag : int
        Longest lag, in steps of the sequence.
    log : callable, logging.Logger, path or None
        Where first verdicts, changes, values that are not finite and, at the end, the report go:
        a function such as ``print``, a logger, a file to append to. None (the default): nowhere;
        see ``report()``.
    sequences : int
        Sequences per snapshot, the longest of a packed batch, else the first; fewer where
        ``share`` requires it.
    share : float or None
        Largest fraction of the time since the first step that snapshots may take, apart from a
        tenth of a second. None: no limit, and every snapshot has all its sequences. Between
        snapshots the hooks cost some tenths of a millisecond per step.
    thresholds : Thresholds, optional
        The thresholds of the verdict.
    scaler : torch.amp.GradScaler, optional
        The scaler of the loss, by whose factor recorded gradient norms are divided.

    Returns
    -------
    Watch
        A context manager; ``close()`` removes every hook.

    Raises
    ------
    SettingError
        If there is no recurrent layer in the module, or a number is outside its limits.
    OutputError
        If the log is a file that cannot be written.

    Notes
    -----
    Layers in evaluation mode are ignored. The gradient norm is that over all parameters that
    require a gradient, after the backward pass and before any clipping. A scripted or compiled
    module runs no hooks, and gradscope has no Jacobian for an LSTM with ``proj_size``: they are
    not watched, and log and report say so. An error within the watch is reported once, with its
    reason; its layer is ignored from then on, and the training goes on.
    """
    writer = WatchLog(log)
    journal = Journal(TimeBudget(share), writer)
    steps = Steps(journal, every, max_lag, sequences, thresholds or Thresholds())
    return Watch(module, steps, writer, scaler)


class _Hook:
    """A hook that is not copied: deep and saved copies of its module are not watched."""

    def __init__(self, run: Callable[..., None] | None = None) -> None:
        self._run = run

    def __call__(self, *given: Any) -> None:
        if self._run is not None:
            self._run(*given)

    def __reduce__(self) -> tuple[type["_Hook"], tuple[()]]:
        return _Hook, ()


class Watch:
    """A watch over a model, made by ``watch``; ``journal`` holds what it has recorded."""

    def __init__(
        self, module: nn.Module, steps: Steps, log: WatchLog, scaler: "torch.amp.GradScaler | None"
    ) -> None:
        self.journal = steps.journal
        self._steps, self._log, self._scaler = steps, log, scaler
        steps.end_last = self._end_step
        self._lock = threading.RLock()
        self._ignored: set[str] = set()
        self._sequences = CellSequences(steps)
        self._norms: dict[str, Tensor] = {}
        self._unread: list[Callable[[], None]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._attach_to_layers(module)
        parameters = dict(module.named_parameters())
        for title, name in unwrapped(parameters).items():
            if parameters[name].requires_grad:
                hook = _Hook(partial(self._on_gradient, title))
                handle = parameters[name].register_post_accumulate_grad_hook(hook)
                self._handles.append(handle)

    def report(self) -> str:
        """Return what was recorded so far, as text."""
        self._guarded("the report", self._read)
        return watch_report(self.journal, log_error=self._log.error)

    def close(self) -> None:
        """Remove every hook and write the report to the log; a second call does nothing."""
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
            check = self._follow_cell if isinstance(each, CELLS) else self._check_layer
            hook = _Hook(partial(self._on_call, title, check))
            self._handles.append(each.register_forward_hook(hook, with_kwargs=True))

    def _on_call(
        self, name: str, check: Check, module: nn.Module, given: Any, named: Any, output: Any
    ) -> None:
        # A checkpoint recomputes the forward pass within the backward pass.
        if not module.training or torch._C._current_graph_task_id() != -1:  # noqa: SLF001
            return
        if name in self._ignored and torch.is_grad_enabled():
            # Its calls still mark where a training step begins.
            self._guarded("the steps", partial(self._steps.begin, name, graded=True))

        def examine() -> None:
            values = dict(zip(("input", "hx"), given, strict=False)) | named
            trained = any(each.requires_grad for each in module.parameters())
            graded = torch.is_grad_enabled() and trained
            with torch.no_grad():
                check(name, Call(module, values["input"], values.get("hx"), output, graded))

        self._guarded(name, examine)

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """Do something that must never end the training; after an error, never again."""
        with self._lock:
            if name in self._ignored:
                return
            try:
                act()
            except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
                self._ignored.add(name)
                self._sequences.forget(name)
                self.journal.fail(name, error)

    def _on_gradient(self, name: str, parameter: Tensor) -> None:
        self._steps.backward_seen = True

        def keep_norm() -> None:
            if parameter.grad is None:
                return
            gradient = parameter.grad.detach()
            values = gradient.coalesce().values() if gradient.is_sparse else gradient
            norm = torch.linalg.vector_norm(values, dtype=torch.float64)
            if self._scaler is not None:
                # As a tensor: to read the number would make a GPU wait.
                norm = norm / self._scaler.scale(torch.ones_like(norm))
            self._norms[name] = norm

        self._guarded(name, keep_norm)

    def _end_step(self) -> None:
        for name in self._sequences:
            self._guarded(name, partial(self._sequences.finish, name))
        if self._norms:
            self._unread.append(partial(self._read_norms, self._steps.now, self._norms))
        # Reading makes a GPU wait; a CPU has the numbers already.
        on_cpu = all(norm.device.type == "cpu" for norm in self._norms.values())
        if on_cpu or self._steps.now % self._steps.every == 0:
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

    def _check_layer(self, name: str, call: Call) -> None:
        steps, module = self._steps, call.module
        steps.begin(name, graded=call.graded)
        at, sizes = output_sizes(call)
        if sizes is not None:
            self._unread.append(partial(self._read_sizes, name, steps.now, at, sizes))
        titles = layer_titles(name, module)
        size, last = state_size(module), int(at[-1])
        count = steps.due(name, n_sequences(call), size, last, len(titles))
        if count:
            started = perf_counter()
            steps.examine(name, layer_sample(titles, steps.now, call, count), started)

    def _follow_cell(self, name: str, call: Call) -> None:
        followed = self._sequences.follow(name, call)
        if followed is None:
            self._ignored.add(name)
            return
        at, size = np.array([followed[0]]), followed[1][None]
        self._unread.append(partial(self._read_sizes, name, self._steps.now, at, size))
