"""Hooks: how gradient travels through the recurrent layers of a PyTorch model in training.

Every so often a forward hook copies a few of the sequences that a layer is given (``reading``; of a
Cell or another step, ``cell_sequences``), with their initial states and the current weights, and
``watch.replay`` runs our cells on them, or the step itself is called: the training's graph, random
numbers and gradients are left alone. Source: PyTorch 2.13, ``torch.nn.modules.rnn``;
``Module.register_forward_hook``, ``Tensor.register_post_accumulate_grad_hook``.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from time import perf_counter
from typing import Any, Self

import torch
from torch import nn
from torch.compiler import set_stance

from gradscope.diagnosis.thresholds import Thresholds
from gradscope.torch import reading
from gradscope.torch.cell_sequences import CellSequences
from gradscope.torch.custom_steps import CustomStep, followed_as, measure_projected, undisturbed
from gradscope.torch.gradients import EagerHook, GradientNorms, Hook, Scaler, read_norms
from gradscope.torch.mixers import listened
from gradscope.torch.reading import CELLS, LAYERS, Call, findings, not_finite, read_bad
from gradscope.watch.instrument import Instrument, OnSnapshot
from gradscope.watch.journal import Journal, Refusal, TimeBudget
from gradscope.watch.page import Log, WatchLog
from gradscope.watch.schedule import Steps
from gradscope.weights.layers.torch_names import unwrapped

Step = Callable[..., Any]


def watch(  # noqa: PLR0913 (each is an option)
    module: nn.Module,
    every: int = 100,
    max_lag: int = 200,
    log: Log = None,
    *,
    sequences: int = 4,
    share: float | None = 0.04,
    thresholds: Thresholds | None = None,
    scaler: "torch.amp.GradScaler | None" = None,
    cells: Sequence[nn.Module | type] = (),
    required_lag: int | None = None,
    on_snapshot: OnSnapshot = None,
    live: bool = False,
) -> "Watch":
    """Watch the recurrent layers of a model in training: a context manager whose ``close()``
    removes every hook.

    Watched are ``nn.RNN``, ``GRU``, ``LSTM`` and their Cells anywhere in ``module``, and modules
    that are given (x, state) and return the next state, alone or after an output, nests of tensors
    (B,…): found by their calls, or ``cells``, by themselves or their classes; ``Watch.step`` takes
    the step of a loop. A snapshot of each is taken ``every`` so many steps of the optimizer, less
    often where ``share`` requires it, and by ``close`` (not of what is within ``torch.compile``);
    it has ``sequences`` sequences (the longest of a packed batch, else the first; one at first, and
    fewer where ``share`` requires it) and lags up to ``max_lag`` steps. ``share`` is the largest
    fraction of the time since the first step that snapshots may take, apart from two tenths of a
    second (None: no limit); between them the hooks cost some tenths of a millisecond per call.
    ``log`` gets first verdicts, changes, values that are not finite and, at the end, the report: a
    function such as ``print``, a ``logging.Logger``, or a file to append to; a logger of numbers (a
    run of W&B, ``SummaryWriter``, ``mlflow``, ``(MlflowClient(), run_id)``, one of Lightning) gets
    those of each snapshot; a list is of such. ``scaler`` is the ``GradScaler`` of the loss, only
    needed where the optimizer is stepped without ``scaler.step``. ``required_lag`` is how many
    steps back the gradient has to reach, which ``max_lag`` is at least. ``on_snapshot`` is called
    with each snapshot when its training step has ended; what it raises ends the training. With
    ``live`` verdict and reach are drawn anew with each snapshot, in a terminal or a notebook.

    Layers in evaluation mode are ignored, and in training calls without a gradient. The gradient
    norm is over the parameters that the optimizer steps, as the last backward pass left them,
    before any clipping. What ``torch.compile`` returned is called once more without its graph for a
    snapshot; modules compiled in place and scripted ones are not watched, and log and report say
    so. An error within the watch is reported once; its layer is ignored from then on, and the
    training goes on. Raises SettingError if a number is outside its limits, TypeError if module or
    scaler is none, OutputError if the log cannot be written.
    """
    for value, kind in ((module, nn.Module), (scaler, torch.amp.GradScaler | None)):
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} was given where watch needs a {kind}; give one")
    writer = WatchLog(log)
    journal = Journal(TimeBudget(share), writer, every)
    steps = Steps(journal, every, max_lag, sequences, thresholds or Thresholds(), required_lag)
    watching = Watch(module, tuple(cells), steps, writer, scaler, on_snapshot)
    if live:
        watching.show_live()
    return watching


class Watch(Instrument):
    """A watch over a model, made by ``watch``; ``journal`` holds what it has recorded."""

    def __init__(
        self,
        module: nn.Module,
        cells: Sequence[Any],
        steps: Steps,
        log: WatchLog,
        scaler: Scaler,
        on_snapshot: OnSnapshot,
    ) -> None:
        super().__init__(steps, log, on_snapshot)
        self._model, self._again = weakref.ref(module), False
        steps.end_last = self._end_step
        self._lock, self._busy, self._trained = threading.RLock(), False, False
        self._ignored, self._recomputed, self._unseen = set[str](), set[str](), set[str]()
        self._sequences = CellSequences(steps)
        steps.before_backward = partial(self._at_sequences, self._sequences.look)
        self._layers, self._seen_at = dict[str, Call](), dict[str, int]()
        self._unread: list[Callable[[], None]] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._attach_to_layers(module, cells)
        self._norms = GradientNorms(steps, scaler, self._guarded, self._read)
        self._handles += self._norms.attach(module)

    def _catch_up(self) -> None:
        self._guarded("the report", self._read)

    def close(self) -> None:
        """Remove every hook and write the report to the log; a second call does nothing."""
        if not self._handles:
            return
        while self._handles:
            self._handles.pop().remove()
        self._steps.closing = True
        self._guarded("the end", self._end_step)
        for name, call in self._layers.items():
            # Since its outputs the weights have changed.
            self._guarded(name, partial(self._look, name, replace(call, output=None)))
        for title in sorted(self._unseen) if self.journal.steps else ():
            self.journal.refuse(title, Refusal.UNSEEN)
        self._layers.clear()
        self.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self, name: str, step: Step | None = None) -> Step:
        """Watch a loop written by hand, which stays as it is: a decorator of its step, a function
        of (state, input), nests of tensors (B,…), to the next state, or to an output and it. Of
        a method: ``model.step = watching.step("layer", model.step)``.
        """
        if step is None:
            return partial(self.step, name)
        run, owner = step, self._model() or nn.Module()
        hook = self._hook(name, CustomStep(lambda x, state: run(state, x), owner, sure=True))

        @wraps(run)
        def watched(*given: Any, **named: Any) -> Any:
            result = run(*given, **named)
            hook(owner, (*given, *named.values())[::-1], {}, result)
            return result

        return watched

    def _hook(self, title: str, kind: Any) -> Hook:
        """Return what looks at the calls of a layer, a Cell, or another step."""
        custom, layer = isinstance(kind, CustomStep), isinstance(kind, LAYERS)
        if not custom or kind.sure:
            self._unseen.add(title)
            self.journal.n_modules = len(self._unseen)
        read = kind.call if custom else partial(reading.call_of, kind)
        check = self._check_layer if layer else self._follow_cell
        return (Hook if layer else EagerHook)(partial(self._on_call, title, check, read))

    def _attach_to_layers(self, module: nn.Module, cells: Sequence[Any]) -> None:
        modules, roots = dict(module.named_modules()), dict[str, nn.Module]()
        kinds = {name: kind for name, each in modules.items() if (kind := followed_as(each, cells))}
        for bare, name in unwrapped(kinds).items():
            each, (outer, compiled, inner) = modules[name], name.partition("_orig_mod")
            title = bare or (reading.recurrent_kind(each) or type(each).__name__).lower()
            if isinstance(each, torch.jit.ScriptModule):
                self.journal.refuse(title, Refusal.SCRIPTED)
                continue
            if compiled and not isinstance(each, LAYERS):
                root = modules[outer.removesuffix(".")]
                roots |= {f"{outer}(compiled)": root} if inner else {}
                each = each if inner else root
            hook = self._hook(title, kinds[name])
            self._handles.append(each.register_forward_hook(hook, with_kwargs=True))
        for title, root in roots.items():
            again = partial(self._on_call, title, self._call_again, partial(Call, root))
            self._handles.append(root.register_forward_hook(Hook(again), with_kwargs=True))
        for name, mixer, look in listened(module, self._steps, self._handles):
            self._unseen.add(name)
            self.journal.n_modules = len(self._unseen)
            seen = EagerHook(partial(self._on_call, name, look, partial(Call, mixer)))
            self._handles.append(mixer.register_forward_hook(seen, with_kwargs=True))

    def _on_call(
        self, name: str, check: Step, read: Step, module: Any, given: Any, named: Any, output: Any
    ) -> None:
        # A checkpoint recomputes the forward pass within the backward pass; a reentrant one makes
        # the call before that, which is part of the training, without a gradient.
        recomputes = torch._C._current_graph_task_id() != -1  # noqa: SLF001
        self._recomputed |= {name} if recomputes and not self._sequences.measuring else set()
        graded = torch.is_grad_enabled() or name in self._recomputed
        graded = self._again or (graded and bool(self._norms.titles))
        ours = self._sequences.measuring or (self._again and check != self._follow_cell)
        ignored = recomputes or ours or (self._trained and not graded) or not self._handles
        if ignored or not module.training:
            return
        self._trained |= graded
        if name in self._ignored and graded:
            # Its calls still mark where a training step begins.
            self._guarded("the steps", partial(self._steps.begin, name, graded=True))

        @torch.no_grad()
        def examine() -> None:
            if (call := read(given, named, output, graded=graded)) is not None:
                self._unseen.discard(name)
                check(name, call)

        self._guarded(name, examine)
        self.tell_snapshots()

    def _call_again(self, name: str, call: Call) -> None:
        """Call a compiled module without its graph, so that what is within is seen."""
        started = perf_counter()
        self._steps.begin(name, graded=call.graded)
        if not self._steps.due(name, 1, 1, 1)[0]:
            return
        self._again = True
        with undisturbed(call.module), set_stance("force_eager"):
            call.module(*call.inputs, **call.state)
        self._again = False
        self.journal.charge(name, perf_counter() - started, 1)

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """Do something that must never end the training; after an error, never again."""
        with self._lock:
            if name in self._ignored:
                return
            outermost, self._busy, budget = not self._busy, True, self.journal.budget
            started = perf_counter() - budget.spent
            try:
                act()
            except Exception as error:  # noqa: BLE001 (whatever it is, the training goes on)
                self._ignored.add(name)
                self._sequences.forget(name)
                self._again = self._sequences.measuring = False
                self.journal.fail(name, error)
            finally:
                if outermost:
                    budget.hooks += perf_counter() - budget.spent - started
                    self._busy = False

    def _at_sequences(self, act: Callable[[str], None]) -> None:
        for name in self._sequences:
            self._guarded(name, partial(act, name))

    def _end_step(self) -> None:
        self._at_sequences(self._sequences.finish)
        norms = self._norms.take()
        if norms:
            self._unread.append(partial(read_norms, self.journal, self._steps.now, norms))
        # Reading makes a GPU wait; a CPU has the numbers already.
        on_cpu = all(norm.device.type == "cpu" for norm in norms.values())
        if on_cpu or self._steps.now % self._steps.every == 0:
            self._read()

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for each in unread:
            each()

    def _check_layer(self, name: str, call: Call) -> None:
        self._steps.begin(name, graded=call.graded)
        if found := not_finite(call):
            self._unread.append(partial(read_bad, self.journal, name, self._steps.now, 1, found))
        earlier = self._seen_at.get(name) != self._steps.now
        for each, of in findings(call, self._layers.get(name) if earlier else None).items():
            self.journal.find(name, each, *of)
        self._look(name, call)
        self._layers[name], self._seen_at[name] = call, self._steps.now

    def _look(self, name: str, call: Call) -> None:
        started, steps, (n_steps, available) = perf_counter(), self._steps, reading.sizes_of(call)
        titles, size = reading.layer_titles(name, call.module), reading.state_size(call.module)
        count, lags = steps.due(name, available, size, n_steps, len(titles))
        if count:
            sample = reading.layer_sample(titles, steps.now, call, count)
            if call.module.proj_size:
                sample = replace(sample, measure=partial(measure_projected, call.module))
            steps.examine(name, sample, lags, started)

    def _follow_cell(self, name: str, call: Call) -> None:
        time_step = self._sequences.follow(name, call)
        if time_step is None:
            self._ignored.add(name)
        elif isinstance(call.module, CELLS) and (found := not_finite(call)):
            now = self._steps.now
            self._unread.append(partial(read_bad, self.journal, name, now, time_step, found))
