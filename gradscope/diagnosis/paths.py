"""What carries the gradient of any recurrence, whose weights and slopes are not known.

Along the leading right singular vector of P each step maps v to J v = Σ_ab J_ab v_b, over the
blocks a, b of the state (h and c of an LSTM). With u = J v/‖J v‖ the parts ⟨u_a, J_ab v_b⟩/‖J v‖
add up to 1, and share out what the step adds, log(‖J v‖/‖v‖): over all steps the paths b → a add
up to log σ_max(P) exactly. One whose part is negative works against the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import leading_directions, lengths_of
from gradscope.diagnosis.growth import PathRates, tail_lags
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.notebook_repr import CompactRepr

CONCENTRATED, MIN_STEPS = 0.1, 20
"""Fraction of the steps up to which it is said that they make half of what is lost or gained, and
how many steps that takes (convention)."""

TELLING, CHANCE = 0.5, 0.025
"""Correlation with what a step adds from which on an input is named (convention), where chance
would bring it about less often than this, all inputs considered (Fisher's z)."""

ROUNDING = 1e-9
"""Nats per step that are nothing."""

Blocks = Mapping[str, slice]
"""The parts of a state (S,) by name."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Paths(CompactRepr):
    """The paths of log σ_max(P_ℓ) between blocks of the state, by lag and sequence.

    ``lags`` (K,) in steps; ``terms`` (K,B) in nats by path, "h → c" from h at one step to c at the
    next; ``total`` (K,B) is log σ_max; ``by_step`` (L,B) what each of the last L steps adds to it
    at the longest lag, the earliest first, NaN once the product is zero.
    """

    lags: IntArray
    terms: Mapping[str, FloatArray]
    total: FloatArray
    by_step: FloatArray

    @property
    def rates(self) -> PathRates:
        """The mean over sequences whose product is not zero, nats per step between the lags."""
        alive = np.isfinite(self.total[-1])
        if not alive.any():
            return PathRates(dict.fromkeys(self.terms), None)
        span = np.diff(self.lags, prepend=0)[-1]
        found = {
            name: float(np.diff(term[:, alive], axis=0, prepend=0.0)[-1].mean() / span)
            for name, term in {**self.terms, "": self.total}.items()
        }
        total = found.pop("")
        return PathRates(found, total)


def paths(
    chain: Chain, blocks: Blocks, lags: IntArray | None = None, *, norms: LagNorms | None = None
) -> Paths:
    """Split log σ_max(∂s_T/∂s_{T−ℓ}) by the paths between ``blocks`` of the state.

    ``lags`` (K,) are in steps, ascending, by default those between which a growth rate is taken;
    ``norms`` as for ``causes``, which says what errors are raised.
    """
    tail = tail_lags(chain.n_steps)
    lags, directions = leading_directions(chain, tail[tail > 0] if lags is None else lags, norms)
    total = np.zeros(directions.shape[:2])
    terms = {f"{b} → {a}": np.zeros(total.shape) for b in blocks for a in blocks}
    longest = int(lags[-1])
    by_step, vectors = np.full((longest, chain.n_sequences), np.nan), np.zeros_like(directions)
    for index in range(longest):
        step = chain.n_steps - longest + 1 + index
        starting = chain.n_steps - lags + 1 == step
        vectors[starting] = directions[starting]
        here = np.flatnonzero(lags > chain.n_steps - step)
        before = vectors[here].swapaxes(0, 1)
        split = np.zeros((len(blocks), *before.shape))
        for one, part in zip(split, blocks.values(), strict=True):
            one[..., part] = before[..., part]
        many = split.swapaxes(0, 1).reshape(chain.n_sequences, -1, chain.state_size)
        images = chain.jvp(many, step).reshape(chain.n_sequences, len(blocks), *before.shape[1:])
        image = images.sum(axis=1)
        length, old = lengths_of(image), lengths_of(before)
        alive = (length > 0.0) & (old > 0.0)
        gain = np.log(np.where(alive, length, 1.0) / np.where(alive, old, 1.0))
        image /= np.where(alive, length, 1.0)[..., None]
        images /= np.where(alive, length, 1.0)[:, None, :, None]
        for b, of in enumerate(blocks):
            for a, part in blocks.items():
                share = np.einsum("nks,nks->nk", image[..., part], images[:, b, :, part])
                terms[f"{of} → {a}"][here] += (share * gain * alive).T
        total[here] += np.where(alive, gain, -np.inf).T
        by_step[index] = np.where(alive[:, -1], gain[:, -1], np.nan)
        vectors[here] = image.swapaxes(0, 1)
    return Paths(lags, terms, total, by_step)


def step_reasons(found: Paths, inputs: FloatArray) -> Iterator[Reason]:
    """Yield that few steps make half of what is lost (or gained, where the gradient grows), and the
    input with which what a step adds goes most closely; ``inputs`` are (T,B,D).
    """
    by_step, entered = found.by_step, inputs[-len(found.by_step) :]
    alive = ~np.isnan(by_step).any(axis=0)
    if len(by_step) < MIN_STEPS or not alive.any():
        return
    added = by_step[:, alive]
    sign = 1.0 if added.sum() >= 0.0 else -1.0
    sizes = -np.sort(-np.maximum(sign * added, 0.0), axis=0).cumsum(axis=0)
    sizes = sizes[:, sizes[-1] > ROUNDING * len(added)]  # Of nothing there is no half.
    counts = np.argmax(2.0 * sizes >= sizes[-1:], axis=0) + 1
    few = int(np.median(counts)) if counts.size else len(added)
    if few <= CONCENTRATED * len(added):
        numbers = {"steps": few, "of": len(added), "grows": int(sign > 0.0)}
        yield Reason(ReasonCode.FEW_STEPS, numbers)
    entering = entered[:, alive].reshape(added.size, -1)
    columns, steps = entering - entering.mean(axis=0), added.ravel() - added.mean()
    spread = np.linalg.norm(steps) * np.linalg.norm(columns, axis=0)
    if not spread.size:
        return
    r = np.clip(steps @ columns / np.where(spread > 0.0, spread, np.inf), -1.0, 1.0)
    best = int(np.argmax(np.abs(r)))
    with np.errstate(divide="ignore"):
        surely = np.abs(np.arctanh(r[best])) * np.sqrt(added.size - 3.0)
    if abs(r[best]) >= TELLING and surely**2 >= 2.0 * np.log(2.0 * r.size / CHANCE):
        of = {"column": best + 1, "correlation": float(r[best])}
        yield Reason(ReasonCode.GROWTH_FOLLOWS_INPUT, of)
