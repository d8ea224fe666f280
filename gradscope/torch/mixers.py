"""The recurrences inside a running model: its state-space layers on a person's own inputs.

A mixer, known by the name of its class, multiplies its state by factors that its weights make of
its inputs, which are heard in one pass: exp(Δ_t A) per channel and state in Mamba
(arXiv:2312.00752), per head in Mamba-2 (2405.21060); a_t = exp(−8 r_t softplus(Λ)) per channel in
an RG-LRU (2402.19427); α_t (I − β_t k_t k_tᵀ) per head in a gated delta rule (2412.06464).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from textwrap import fill
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, functional

from gradscope.arrays import FloatArray, plain, quantiles
from gradscope.diagnosis.diagnose import Diagnosis, diagnose
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.errors import SettingError
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.rank_one import DiagonalPlusRankOneChain
from gradscope.notebook_repr import CompactRepr
from gradscope.report.terminal.table import table_lines
from gradscope.report.words.headline import reach
from gradscope.report.words.numbers import number, percent, steps
from gradscope.torch.gradients import EagerHook
from gradscope.torch.reading import Call
from gradscope.watch.replay import Sample, Snapshot
from gradscope.watch.schedule import Steps

HOLDS = 1e-3
"""The vanishing threshold; how close to 0 a factor forgets all in one step, or to 1 keeps all."""


@dataclass(frozen=True, eq=False, slots=True)
class Decays:
    """exp(Δ_t A), (T,B,D·N), made as it is read: ``widths`` Δ (T,B,D), ``rates`` A (D,N)."""

    widths: FloatArray
    rates: FloatArray

    @property
    def shape(self) -> tuple[int, ...]:
        """(T,B,D·N)."""
        return (*self.widths.shape[:2], self.rates.size)

    def __getitem__(self, key: Any) -> FloatArray:
        widths = self.widths[key]
        return np.asarray(np.exp(widths[..., None] * self.rates).reshape(*widths.shape[:-1], -1))


def _mamba(mixer: Any, heard: Any) -> DiagonalChain:
    low, project = _wide(heard[0][-1])[..., : mixer.time_step_rank], mixer.dt_proj
    widths = functional.softplus(low @ _wide(project.weight).T + _wide(project.bias))
    return DiagonalChain(Decays(_from_second(widths), -_wide(mixer.A_log).exp().numpy()))


def _mamba_2(mixer: Any, heard: Any) -> DiagonalChain:
    raw = _wide(heard[0][-1])[..., -mixer.num_heads :] + _wide(mixer.dt_bias)
    widths = functional.softplus(raw).clamp(*mixer.time_step_limit)
    return DiagonalChain(_from_second(torch.exp(-_wide(mixer.A_log).exp() * widths)))


def _rg_lru(mixer: Any, heard: Any) -> DiagonalChain:
    values, begins = _wide(heard[0][0]), heard[0][1].cpu() == 0
    weight, bias = _wide(mixer.recurrent_gate_weight), _wide(mixer.recurrent_gate_bias)
    raw = torch.einsum("bthi,hij->bthj", values.unflatten(-1, weight.shape[:2]), weight) + bias
    rate = torch.sigmoid(raw).flatten(2) * functional.softplus(_wide(mixer.recurrent_param))
    return DiagonalChain(_from_second(torch.exp(-8.0 * rate) * ~begins[..., None]))


def _gated_delta_rule(mixer: Any, heard: Any) -> DiagonalPlusRankOneChain:
    given, own = (_wide(each[-1]) for each in heard), slice(mixer.key_dim, 2 * mixer.key_dim)
    _, key, *_, beta, gate = mixer.fix_query_key_value_ordering(*given)
    past = functional.pad(key.flatten(2).mT, (mixer.conv_kernel_size - 1, 0))
    mixed = functional.conv1d(past, _wide(mixer.conv1d.weight)[own], groups=mixer.key_dim)
    keys = getattr(functional, mixer.activation)(mixed).mT.unflatten(-1, key.shape[2:])
    keys = keys * torch.rsqrt(keys.square().sum(-1, keepdim=True) + 1e-6)  # Its l2norm.
    keys = keys.repeat_interleave(mixer.num_v_heads // mixer.num_k_heads, dim=2)
    decay = torch.exp(-_wide(mixer.A_log).exp() * functional.softplus(gate + _wide(mixer.dt_bias)))
    a, b, k = map(_from_second, (decay[..., None], beta.sigmoid()[..., None], keys))
    return DiagonalPlusRankOneChain(a, -a * b * k, k)


MIXERS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "MambaMixer": (_mamba, ("x_proj",)),
    "Mamba2Mixer": (_mamba_2, ("in_proj",)),
    "RecurrentGemmaRglru": (_rg_lru, ("",)),
    "Qwen3NextGatedDeltaNet": (_gated_delta_rule, ("in_proj_qkvz", "in_proj_ba")),
}
"""What makes a mixer's chain of which submodules, by the name of its class in transformers 5."""


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()


def _from_second(tensor: Tensor) -> FloatArray:
    """Return (B,T,…,S) as (T−1,B·…,S): the first step multiplies a state in which nothing is."""
    if tensor.shape[1] < 2:
        raise SettingError("the inputs have one step; give at least two")
    return np.asarray(tensor.transpose(0, 1)[1:]).reshape(tensor.shape[1] - 1, -1, tensor.shape[-1])


def mixers_of(model: Module) -> dict[str, Module]:
    """Return the mixers in a model that are known, by their names, in the order of the model."""
    return {name: each for name, each in model.named_modules() if type(each).__name__ in MIXERS}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class MixerLayer(CompactRepr):
    """What one mixer remembers.

    ``chain`` has its factors from the second step on, heads of a gated delta rule as sequences.
    ``half_lives``, in steps, are each channel's (B,N) on average over the inputs, a head's that of
    the root mean square over its directions. ``held`` is the share of channels (directions) that
    hold 1/1000 at the required lag; ``shut``, ``full`` of factors within 1/1000 of 0 and of 1.
    """

    title: str
    chain: DiagonalChain | DiagonalPlusRankOneChain
    diagnosis: Diagnosis
    half_lives: FloatArray
    held: float
    shut: float
    full: float

    @property
    def half_life(self) -> list[float]:
        """The median of the half-lives, their 10 % and 90 % quantiles."""
        return list(map(float, quantiles(self.half_lives.ravel(), (0.5, 0.1, 0.9))))


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class MixerStudy:
    """What the state-space layers of a model hold at the ``required_lag``, layer by layer."""

    layers: tuple[MixerLayer, ...]
    required_lag: int

    @property
    def answer(self) -> str:
        """Which layer forgets first, and what of it reaches the required lag, in one sentence."""
        found = min(self.layers, key=lambda each: (each.held, each.half_life[0]))
        unit = "channels" if isinstance(found.chain, DiagonalChain) else "directions"
        held = f"{percent(found.held)} of its {unit} hold 1/1000 after {steps(self.required_lag)}"
        return f"{found.title}{' forgets first' if self.layers[1:] else ''}: {held}"

    @property
    def table(self) -> tuple[tuple[str, ...], list[list[Any]]]:
        """Columns and a row for each layer; half-lives and reach in steps, null beyond them."""
        lives = ("half_life", "half_life_p10", "half_life_p90")
        columns, rows = ("layer", *lives, "held", "shut", "full", "regime", "horizon"), []
        for each in self.layers:
            verdict, shares = each.diagnosis.verdict, (each.held, each.shut, each.full)
            ends = str(verdict.regime), verdict.horizon
            rows.append([each.title, *each.half_life, *shares, *ends])
        return columns, plain(rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer, the required lag and the layers as plain values."""
        columns, rows = self.table
        layers = [dict(zip(columns, row, strict=True)) for row in rows]
        return {"answer": self.answer, "required_lag": self.required_lag, "layers": layers}

    def __repr__(self) -> str:
        titles = ("half-life", "10 %", "90 %", "held", "a<.001", "a>.999", "reach")
        rows: list[tuple[str, ...]] = [(f"{'layer':20}", *titles)]
        for each in self.layers:
            lives = (number(life, 2) for life in each.half_life)
            shares, verdict = np.round((each.held, each.shut, each.full), 3), each.diagnosis.verdict
            far = reach(verdict.regime, verdict.horizon, verdict.max_lag)
            name = re.sub(r"^.*?(?=[^.]+\.\d)", "", each.title, count=1)
            rows.append((f"{name:20.20}", *lives, *map(percent, shares), far))
        return "\n".join((fill(f"{self.answer}.", 80), "", *table_lines(rows[0], rows[1:])))


def study_mixers(model: Module, inputs: Any, *, required_lag: int | None = None) -> MixerStudy:
    """Study the state-space layers of a model on its own inputs.

    ``inputs`` is what the model takes, (B,T) or (B,T,…), or a dictionary of it by name, without
    padding. The model runs once, without gradient and dropout, in its own precision; the factors
    are made of that in float64. ``required_lag`` is what the task needs, T − 1 by default. Raises
    SettingError if no mixer is known, one was not run once, or the lag is not in 1 … T − 1.
    """
    mixers, named = mixers_of(model), inputs if isinstance(inputs, Mapping) else {}
    if not mixers:
        raise SettingError(f"the model has no mixer of {', '.join(MIXERS)}; give a step function")
    if (mask := named.get("attention_mask")) is not None and not mask.all():
        raise SettingError("the sequences are padded; give sequences of one length")
    if isinstance(inputs, np.ndarray):
        inputs = torch.from_numpy(np.ascontiguousarray(inputs))
    heard: dict[str, list[Any]] = {name: [] for name in mixers}
    with ExitStack() as after, torch.no_grad():
        for each in model.modules():
            # It keeps its mode, and a state that it keeps in itself, as they were.
            after.callback(vars(each).update, dict(vars(each)))
        for name, each in mixers.items():
            for part in MIXERS[type(each).__name__][1]:
                hook, module = partial(_hear, heard[name]), each.get_submodule(part)
                after.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
        model.eval()
        model(**named) if named else model(inputs)
    layers = [_studied(name, mixers[name], heard.pop(name), required_lag) for name in mixers]
    return MixerStudy(tuple(layers), required_lag or layers[0].chain.n_steps)


def _hear(heard: list[Any], _: Module, args: Any, kwargs: Any, found: Any) -> None:
    heard.append([*args, *kwargs.values(), found])


def listened(model: Module, steps: Steps, handles: list[Any]) -> Iterator[tuple[str, Module, Any]]:
    """Yield the mixers of a model in training with their names and what looks at a call of theirs,
    whose submodules are heard by hooks that ``handles`` remove.
    """
    for name, mixer in mixers_of(model).items():
        heard: dict[str, Any] = {}
        for part in MIXERS[type(mixer).__name__][1]:
            hook = EagerHook(partial(_keep_last, heard, part))
            inner = mixer.get_submodule(part)
            handles.append(inner.register_forward_hook(hook, with_kwargs=True))
        yield name, mixer, partial(_look, steps, heard)


def _keep_last(heard: dict[str, Any], part: str, _: Module, args: Any, kwargs: Any, y: Any) -> None:
    last = (*args, *kwargs.values(), y)
    heard[part] = [each.detach() if isinstance(each, Tensor) else each for each in last]


def _look(steps: Steps, heard: dict[str, Any], name: str, call: Call) -> None:
    """Take a snapshot of a mixer's call, where one is due."""
    started, parts = perf_counter(), list(heard.values())
    heard.clear()
    steps.begin(name, graded=call.graded)
    available, n_steps = parts[0][-1].shape[:2]
    count, lags = steps.due(name, available, 1, n_steps)
    if count:
        few = [[x[:count] if isinstance(x, Tensor) else x for x in part] for part in parts]
        steps.examine(name, _sample(steps.now, name, call.module, few), lags, started)


def _sample(now: int, title: str, mixer: Module, few: list[list[Any]]) -> Sample:
    """Return what a mixer's submodules were given and returned, to be measured."""
    outputs = [np.asarray(each) for each in _wide(few[0][-1])]

    def measure(sample: Sample, lags: int, thresholds: Thresholds) -> list[Snapshot]:
        chain = MIXERS[type(mixer).__name__][0](mixer, few)
        lags, lag = min(lags, chain.n_steps), sample.required_lag
        found = diagnose(chain, lags, required_lag=lag, thresholds=thresholds)
        return [Snapshot(now, title, len(outputs), found, None, None, 0.0)]

    return Sample(now, (title,), (), outputs, measure=measure)


def _studied(title: str, module: Module, heard: Any, required_lag: int | None) -> MixerLayer:
    """Return what one mixer remembers, from what each of its submodules was given and returned."""
    title = title or type(module).__name__
    chain_of, parts = MIXERS[type(module).__name__]
    if len(heard) != len(parts):
        raise SettingError(f"{title} was not run once, or by a fused kernel; run it once on a CPU")
    chain = chain_of(module, heard)
    lag = chain.n_steps if required_lag is None else required_lag
    if not 1 <= lag <= chain.n_steps:
        raise SettingError(f"the required lag is {lag}; choose 1 to {chain.n_steps}")
    diagnosis = diagnose(chain, required_lag=lag, tolerance=1e-6)
    if isinstance(chain, DiagonalChain):
        norms, every = channel_norms(chain, [lag, chain.n_steps]), np.arange(chain.n_sequences)
        half_lives, held = norms.half_lives, float(norms.share_above(HOLDS)[0].mean())
        blocks = chain.read(np.full(every.size, chain.n_steps), every, chain.n_steps)
    else:
        half_lives, held = _of_heads(chain, lag)
        blocks = iter([chain.diagonal[..., 0]])
    ends = [((each < HOLDS).sum(), (each > 1.0 - HOLDS).sum(), each.size) for each in blocks]
    shut, full, total = np.sum(ends, axis=0).tolist()
    return MixerLayer(title, chain, diagnosis, half_lives, held, shut / total, full / total)


def _of_heads(chain: DiagonalPlusRankOneChain, lag: int) -> tuple[FloatArray, float]:
    """Return the half-lives (N,) of heads, and the share of directions that hold at a lag, by the
    products themselves: no J_t is larger than 1, so rounding is far below what must be held.
    """
    size, many, sizes = chain.state_size, chain.n_sequences, []
    rows = np.broadcast_to(np.eye(size), (many, size, size))
    for step in range(chain.n_steps, chain.n_steps - lag, -1):
        rows = chain.vjp(rows, step)
        sizes.append(np.linalg.norm(rows, axis=(1, 2)) / np.sqrt(size))
    # Until it has halved, which it does once, or on average over the lag.
    at = np.minimum((np.array(sizes) > 0.5).sum(axis=0), lag - 1)
    with np.errstate(divide="ignore"):
        fall = -np.log(np.array(sizes)[at, np.arange(many)])
        half_lives = LOG_2 * (at + 1) / np.maximum(fall, 0.0)
    return half_lives, float((np.linalg.svd(rows, compute_uv=False) >= HOLDS).mean())
