"""Hooks: how gradient travels through the recurrent layers of a PyTorch model in training.

Every so often a forward hook copies a few of the sequences that a layer is given (``reading``; of a
Cell, ``cell_sequences``), with their initial states and the current weights, and ``watch.replay``
runs our cells on them: PyTorch's graph is not kept, its random numbers are not drawn, and no
gradient is requested. Gradient norms are taken when a backward pass has added to a parameter's
gradient, before any clipping, and count when the optimizer has stepped. Source: PyTorch 2.13,
``torch.nn.modules.rnn``; ``Module.register_forward_hook``,
``Tensor.register_post_accumulate_grad_hook``, ``torch.optim.optimizer``.
"""

import inspect
import threading
import weakref
from collections.abc import Callable
from functools import partial
from math import hypot, isfinite
from time import perf_counter
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.optim.optimizer import register_optimizer_step_post_hook

from gradscope.diagnosis.verdict import Thresholds
from gradscope.errors import SettingError
from gradscope.torch.cell_sequences import CellSequences
from gradscope.torch.reading import (
    CELLS,
    Call,
    first_sequences,
    is_compiled,
    layer_sample,
    layer_titles,
    not_finite,
    recurrent_kind,
    refusal_of,
    sizes_of,
    state_size,
)
from gradscope.watch.journal import Journal, NonFinite, Quantity, Refusal, TimeBudget, Unit
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
        Training steps, which are steps of the optimizer, from one snapshot of a layer to the next;
        more where ``share`` requires it. ``close`` takes a last one.
    max_lag : int
        Longest lag, in steps of the sequence.
    log : callable, logging.Logger, path or None
        Where first verdicts, changes, values that are not finite and, at the end, the report go:
        a function such as ``print``, a logger, a file to append to. None (the default): nowhere;
        see ``report()``.
    sequences : int
        Sequences per snapshot, the longest of a packed batch, else the first; fewer where
        ``share`` requires it, and one in the first snapshot.
    share : float or None
        Largest fraction of the time since the first step that snapshots may take, apart from a
        tenth of a second. None: no limit, and every snapshot has all its sequences. Between
        snapshots the hooks cost some tenths of a millisecond per step, which the report states.
    thresholds : Thresholds, optional
        The thresholds of the verdict.
    scaler : torch.amp.GradScaler, optional
        The scaler of the loss, by whose factor recorded gradient norms are divided; needed only
        where the optimizer is not stepped by ``scaler.step``.

    Returns
    -------
    Watch
        A context manager; ``close()`` removes every hook.

    Raises
    ------
    SettingError
        If there is no recurrent layer in the module, or an argument is outside its limits.
    TypeError
        If the module is none, or the scaler no scaler.
    OutputError
        If the log is a file that cannot be written.

    Notes
    -----
    Layers in evaluation mode are ignored, and in training calls without a gradient. The gradient
    norm is that of the parameters that an optimizer steps, as the last backward pass left it: before
    any clipping. Before an optimizer has stepped, steps are counted in passes. A scripted module and
    a Cell within ``torch.compile`` run no hooks, and gradscope has no Jacobian for an LSTM with
    ``proj_size``: they are not watched, and log and report say so. An error within the watch is reported once, with its
    reason; its layer is ignored from then on, and the training goes on.
    """
    for name, value, kind in (
        ("module", module, nn.Module),
        ("scaler", scaler, torch.amp.GradScaler),
    ):
        if not isinstance(value, kind) and (value is not None or name == "module"):
            raise TypeError(f"{name} is {value!r}; give a {kind.__module__}.{kind.__qualname__}")
    writer = WatchLog(log)
    journal = Journal(TimeBudget(share), writer)
    steps = Steps(journal, every, max_lag, sequences, thresholds or Thresholds())
    return Watch(module, steps, writer, scaler)


class _Hook:
    """A hook that is not copied: deep and saved copies of its module are not watched. Nor is it
    traced by ``torch.compile``, whose graphs end where it is called.
    """

    def __init__(self, run: Callable[..., None] | None = None) -> None:
        self._run = run

    @_disable_dynamo
    def __call__(self, *given: Any) -> None:
        if self._run is not None:
            self._run(*given)

    def __reduce__(self) -> tuple[type["_Hook"], tuple[()]]:
        return _Hook, ()


class _EagerHook(_Hook):
    """A hook that graphs leave out: an end in each step of a Cell, or of the optimizer, would slow
    them down, and ``fullgraph=True`` forbids it.
    """

    def __call__(self, *given: Any) -> None:
        if not torch.compiler.is_compiling():
            super().__call__(*given)


class Watch:
    """A watch over a model, made by ``watch``; ``journal`` holds what it has recorded."""

    def __init__(
        self, module: nn.Module, steps: Steps, log: WatchLog, scaler: "torch.amp.GradScaler | None"
    ) -> None:
        self.journal = steps.journal
        self._steps, self._log, self._scaler = steps, log, scaler
        steps.end_last = self._end_step
        self._lock, self._busy = threading.RLock(), False
        self._ignored: set[str] = set()
        self._sequences = CellSequences(steps)
        self._layers: dict[str, Call] = {}
        self._norms: dict[str, Tensor] = {}
        self._stepped: dict[str, Tensor] = {}
        self._unseen: set[str] = set()
        self._titles: dict[int, str] = {}
        self._unread: list[Callable[[], None]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._attach_to_layers(module)
        parameters = dict(module.named_parameters())
        for title, name in unwrapped(parameters).items():
            if parameters[name].requires_grad:
                hook = _Hook(partial(self._on_gradient, title))
                handle = parameters[name].register_post_accumulate_grad_hook(hook)
                self._handles.append(handle)
                self._titles[id(parameters[name])] = title
        # The optimizers outlive a watch that nobody closes.
        on_step = weakref.WeakMethod(self._on_step)

        def call_on_step(*given: Any) -> None:
            if (run := on_step()) is not None:
                run(*given)

        self._handles.append(register_optimizer_step_post_hook(_EagerHook(call_on_step)))

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
        self._steps.closing = True
        self._guarded("the end", self._end_step)
        if not self._steps.stepped:
            # A training that ends on such a gradient never steps.
            bad = [name for name, norm in self._norms.items() if not isfinite(norm)]
            for name in bad[:1] if self.journal.unit is Unit.STEP else ():
                self.journal.not_finite(NonFinite(self._steps.now, name, Quantity.GRADIENT))
        for name in self._layers:
            self._guarded(name, partial(self._look, name))
        self._layers.clear()
        self._scaler = None
        self.journal.budget.stop()
        for title in sorted(self._unseen) if self.journal.steps else ():
            self.journal.refuse(title, Refusal.UNSEEN)
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
            cell = isinstance(each, CELLS)
            within = is_compiled(module) or f"{name}.".startswith(tuple(compiled))
            refusal = Refusal.COMPILED if within and cell else refusal_of(each)
            if refusal is not None:
                self.journal.refuse(title, refusal)
                continue
            self._unseen.add(title)
            check = self._follow_cell if cell else self._check_layer
            hook = (_EagerHook if cell else _Hook)(partial(self._on_call, title, check))
            self._handles.append(each.register_forward_hook(hook, with_kwargs=True))
        self.journal.n_modules = max(1, len(self._unseen))

    def _on_call(
        self, name: str, check: Check, module: nn.Module, given: Any, named: Any, output: Any
    ) -> None:
        # A checkpoint recomputes the forward pass within the backward pass.
        if not module.training or torch._C._current_graph_task_id() != -1:  # noqa: SLF001
            return
        self._unseen.discard(name)
        graded = torch.is_grad_enabled() and bool(self._titles)
        if not graded and self.journal.unit is not Unit.FORWARD:
            return
        if name in self._ignored and graded:
            # Its calls still mark where a training step begins.
            self._guarded("the steps", partial(self._steps.begin, name, graded=True))

        def examine() -> None:
            values = dict(zip(("input", "hx"), given, strict=False)) | named
            with torch.no_grad():
                check(name, Call(module, values["input"], values.get("hx"), output, graded))

        self._guarded(name, examine)

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """Do something that must never end the training; after an error, never again."""
        with self._lock:
            if name in self._ignored:
                return
            outermost, self._busy = not self._busy, True
            started, spent = perf_counter(), self.journal.budget.spent
            try:
                act()
            except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
                self._ignored.add(name)
                self._sequences.forget(name)
                self.journal.fail(name, error)
            finally:
                if outermost:
                    self._busy, budget = False, self.journal.budget
                    budget.hooks += perf_counter() - started - (budget.spent - spent)

    def _on_gradient(self, name: str, parameter: Tensor) -> None:
        def keep_norm() -> None:
            if not self._steps.now:
                self._steps.begin("", graded=True)
            self._steps.saw(Unit.BACKWARD)
            if parameter.grad is None:
                return
            gradient = parameter.grad.detach()
            values = gradient.coalesce().values() if gradient.is_sparse else gradient
            self._norms[name] = torch.linalg.vector_norm(values, dtype=torch.float64)

        self._guarded(name, keep_norm)

    def _on_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        held = [id(each) for group in optimizer.param_groups for each in group["params"]]
        names = [name for key in held if (name := self._titles.get(key, "")) in self._norms]

        def keep_norms() -> None:
            if self.journal.unit is not Unit.STEP:
                self._read()
            if not self._steps.now or not self._stepped.keys().isdisjoint(names):
                # No call was seen since this optimizer stepped last.
                self._steps.begin("", graded=True)
            self._steps.saw(Unit.STEP)
            scaler = self._scaler or _calling_scaler()
            self._stepped |= _unscaled({name: self._norms.pop(name) for name in names}, scaler)

        if names:
            self._guarded("the optimizer's step", keep_norms)

    def _end_step(self) -> None:
        for name in self._sequences:
            self._guarded(name, partial(self._sequences.finish, name))
        norms = self._stepped
        if self.journal.unit is Unit.BACKWARD:
            norms = _unscaled(self._norms, self._scaler)
        if norms:
            self._unread.append(partial(self._read_norms, self._steps.now, norms))
        # Reading makes a GPU wait; a CPU has the numbers already.
        on_cpu = all(norm.device.type == "cpu" for norm in norms.values())
        if on_cpu or self._steps.now % self._steps.every == 0:
            self._read()
        self._stepped = {}

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for each in unread:
            each()

    def _read_norms(self, step: int, norms: dict[str, Tensor]) -> None:
        values = {name: float(norm) for name, norm in norms.items()}
        bad = [name for name, value in values.items() if not isfinite(value)]
        self.journal.gradient(step, hypot(*values.values()), bad[0] if bad else "")

    def _read_bad(
        self, name: str, step: int, time_step: int, bad: dict[Quantity | None, Tensor]
    ) -> None:
        """Report the first cause of what is not finite."""
        for quantity, where in bad.items():
            for at, sequence in where.nonzero()[:1].tolist():
                at_step = None if quantity is Quantity.INITIAL_STATE else time_step + at
                if quantity is not None:
                    found = NonFinite(step, name, quantity, at_step, sequence + 1)
                    self.journal.not_finite(found)
                return

    def _check_layer(self, name: str, call: Call) -> None:
        steps = self._steps
        steps.begin(name, graded=call.graded)
        if bad := not_finite(call):
            self._unread.append(partial(self._read_bad, name, steps.now, 1, bad))
        self._layers[name] = first_sequences(call, min(steps.sequences, sizes_of(call)[1]))
        self._look(name)

    def _look(self, name: str) -> None:
        """Take a snapshot of a layer's last call, where one is due."""
        started, steps, call = perf_counter(), self._steps, self._layers[name]
        titles = layer_titles(name, call.module)
        n_steps, available = sizes_of(call)
        count, lags = steps.due(name, available, state_size(call.module), n_steps, len(titles))
        if count:
            few = first_sequences(call, count)
            sample = layer_sample(titles, steps.now, few, current=not steps.closing)
            steps.examine(name, sample, lags, started)

    def _follow_cell(self, name: str, call: Call) -> None:
        time_step = self._sequences.follow(name, call)
        if time_step is None:
            self._ignored.add(name)
        elif bad := not_finite(call, begins=time_step == 1):
            self._unread.append(partial(self._read_bad, name, self._steps.now, time_step, bad))


def _calling_scaler() -> torch.amp.GradScaler | None:
    """Return the scaler whose ``step`` is running, if any: it unscales, and tells no hook."""
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), torch.amp.GradScaler):
            return caller
        frame = frame.f_back
    return None


def _unscaled(norms: dict[str, Tensor], scaler: torch.amp.GradScaler | None) -> dict[str, Tensor]:
    """Divide by the factor of the scaler: as a tensor, to read it would make a GPU wait."""
    if scaler is None:
        return norms
    return {name: norm / scaler.scale(torch.ones_like(norm)) for name, norm in norms.items()}
