"""The analysis of any recurrence in PyTorch: a step function, or a cell as a module."""

from collections.abc import Callable, Mapping
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from gradscope.analysis.imported.steps import study_steps
from gradscope.analysis.results import Analysis
from gradscope.errors import SettingError
from gradscope.machine import held_threads
from gradscope.model.cells import Cell
from gradscope.torch.custom_steps import undisturbed
from gradscope.torch.mixers import MixerStudy, mixers_of, study_mixers
from gradscope.torch.reading import CELLS, LAYERS, cell_of
from gradscope.torch.steps import Step, TorchSteps, Wide


@overload
def study(step: Step | nn.Module, initial_state: Any, inputs: Any, **more: Any) -> Analysis: ...


@overload
def study(step: nn.Module, initial_state: Any, **more: Any) -> Any: ...


@held_threads()
def study(
    step: Step | nn.Module,
    initial_state: Any,
    inputs: Any = None,
    *,
    readout: Callable[[Any], Tensor] | None = None,
    targets: Any = None,
    parameters: nn.Module | Mapping[str, Tensor] | None = None,
    dense: bool | None = None,
    **settings: Any,
) -> Analysis | MixerStudy:
    """Return what ``analyze`` finds of a network, of any recurrence: profile, growth rate, paths
    between the parts of its state (of a cell of PyTorch's own its causes), verdict; with ``map``,
    ``spectrum`` or ``shares`` also these.

    ``step``, ``initial_state``, ``inputs`` and ``dense`` are those of ``chain``, with its errors. A
    module is called as PyTorch's cells are, ``module(x, state)``, and may be given with its inputs
    alone: it starts from zeros then, in the nest of what ``module(x)`` returns. Of a model with
    state-space layers of transformers, given so, each layer is studied: see ``study_mixers``.

    ``readout(state)`` returns (B,O); with ``targets`` (T,B,O), NaN where there is none, or classes
    (T,B), negative for none, the error is the mean square or the cross-entropy, shown as the mean
    over the steps; gradients are those of its sum, as everywhere here. ``parameters``, of
    a module or by name, are what the gradient and its ``shares`` are taken by; by default those of
    a step that is a module. ``settings`` are those of ``analyze`` that judge and that ask for
    details, as in ``required_lag=50`` or ``map=True``; SettingError for others out of place.
    """
    name, call = getattr(step, "__name__", type(step).__name__), step
    if inputs is None:
        inputs, initial_state = initial_state, None
        if isinstance(step, nn.Module) and mixers_of(step):
            if wrong := settings.keys() - {"required_lag"}:
                raise SettingError(f"{min(wrong)} is not for a model of layers; leave it out")
            return study_mixers(step, inputs, **settings)
    if isinstance(step, LAYERS):
        fault = f"{name} runs over all steps itself; give its Cell"
        raise SettingError(f"{fault}, or save its state_dict for gradscope analyze")
    inputs = pytree.tree_map_only(np.ndarray, torch.from_numpy, inputs)
    if initial_state is None:
        initial_state = _zeros(step, inputs)
    if isinstance(step, nn.Module):
        parameters = step if parameters is None else parameters
        call = _turned(step)
    named = parameters.named_parameters() if isinstance(parameters, nn.Module) else parameters
    wanted = targets.numpy(force=True) if isinstance(targets, Tensor) else targets
    of = {"weights": f"gradscope.torch.study({name})", **settings}
    with undisturbed(step if isinstance(step, nn.Module) else nn.Module()):
        steps = TorchSteps(call, initial_state, inputs, readout, dict(named or {}))
        return study_steps(steps, wanted, known=_known(step), dense=dense, **of)


def _known(step: Any) -> Cell | None:
    """Return a cell of PyTorch's own as ours, whose causes are known; None for others."""
    if type(step) not in CELLS:
        return None
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if step.bias else ()))
    return cell_of(step, [getattr(step, name) for name in names])


def _turned(module: nn.Module) -> Step:
    """Return a module as a step, which takes the state first."""
    return lambda state, x: module(x, state)


def _zeros(step: Any, inputs: Any) -> Any:
    """Return a state of zeros in the nest of what a module makes of its inputs alone."""
    first = pytree.tree_map(lambda each: each[0], inputs)
    try:
        with torch.no_grad(), Wide({}, set()):
            found = step(first)
    except TypeError as error:
        fault = f"the cell does not start by itself ({error})"
        raise SettingError(f"{fault}; give its initial state, too: (cell, state)") from error
    if isinstance(found, tuple) and len(found) == 2 and not isinstance(found[1], Tensor):
        found = found[1]  # An output and a nest of states.
    return pytree.tree_map(torch.zeros_like, found)
