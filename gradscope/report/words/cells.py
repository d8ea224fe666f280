"""Names of networks, and of the causes of a growth rate, which depend on the cell."""

from collections.abc import Mapping
from types import MappingProxyType

from gradscope.analysis.settings import Settings, span
from gradscope.names import ActivationName, CellName, PerUnit, StateName, network_name

_CAUSES = {
    "weights": ("weights, log σ_max(W)", "weights", "the size of W"),
    "slope_ceiling": (
        "slope ceiling, log γ", "slope ceiling γ", "the activation's largest slope γ",
    ),
    "misalignment": (
        "misalignment", "misalignment",
        "misalignment: the gradient is not aligned with W's strongest direction",
    ),
    "saturation": ("saturation", "saturation", "saturation: slopes φ′ below their largest"),
    "direct": (
        "kept by the gate alone", "gate alone",
        "the gate that keeps the state: what it passes by itself",
    ),
    "recurrent_weights": (
        "recurrent weights", "recurrent W",
        "the recurrent weights beside the gate that keeps the state",
    ),
    "candidate_saturation": (
        "candidate saturated", "candidate flat", "saturation: the candidate's φ′ below its largest",
    ),
    "closed_gates": (
        "gates closed", "gates closed", "closed gates: they block what the recurrent weights carry",
    ),
    "gate_slopes": ("gates that move", "gates move", "the gates that move with the state"),
}  # fmt: skip
"""Each cause in a row of a table, in a narrow picture, and after "The main cause is"."""

SLOW = 10.0
"""Seconds; a time constant as long is rather one in milliseconds."""

CAUSE_TITLES: Mapping[str, str] = MappingProxyType({k: v for k, (v, _, _) in _CAUSES.items()})
CAUSE_LABELS: Mapping[str, str] = MappingProxyType({k: v for k, (_, v, _) in _CAUSES.items()})
MAIN_CAUSES: Mapping[str, str] = MappingProxyType({k: v for k, (_, _, v) in _CAUSES.items()})


def model_name(settings: Settings) -> str:
    """Return what kind of network it is: "tanh RNN", "leaky tanh RNN (α = 0.2)", "GRU"."""
    if settings.cell is CellName.ELMAN:
        name = f"{settings.activation} RNN"
        notes = [f"α = {span(settings.leak)}"] if settings.leak != 1.0 else []
        notes += [f"noise σ = {settings.noise:g}"] if settings.noise else []
        if settings.state is StateName.PRE:
            notes.append("state before φ")
        leaky = "leaky " if settings.leak != 1.0 else ""
        return leaky + name + (f" ({', '.join(notes)})" if notes else "")
    if settings.cell is None:
        return "a step of your own"
    name = settings.cell.upper()
    return name if settings.activation is ActivationName.TANH else f"{settings.activation} {name}"


def clock_note(dt: float | None, tau: PerUnit | None) -> str:
    """Return what to give where a step and time constants look like milliseconds."""
    times = tau if isinstance(tau, tuple) else (tau or 0.0,)
    if dt is None or max(times) < SLOW:
        return ""
    seconds = span(tuple(each / 1000.0 for each in times))
    return f"; if τ = {span(times)} s is in ms, give --dt {dt / 1000.0:g} --tau {seconds}"


def short_name(settings: Settings) -> str:
    """Return how a comparison calls a network: one from a file by the file."""
    return (
        settings.load
        or settings.weights
        or network_name(str(settings.cell), str(settings.activation))
    )


def has_textbook_bound(settings: Settings) -> bool:
    """Whether the bound is (γ σ_max(W))^ℓ; a leak and gates have others."""
    return settings.cell is CellName.ELMAN and settings.leak == 1.0


def step_bound(settings: Settings, slope: str = "γ·") -> str:
    """Return the formula of what no step of a vanilla RNN exceeds; of slopes up to 1 with no γ."""
    if settings.leak == 1.0:
        return f"{slope}σ_max(W)"
    one = isinstance(settings.leak, float)
    return f"1−α+α·{slope}σ_max(W)" if one else f"max(1−α)+max(α)·{slope}σ_max(W)"


def cause_titles(settings: Settings) -> Mapping[str, str]:
    """Return each cause as a row of a table has it; with a leak two have other formulas."""
    if settings.leak == 1.0:
        return CAUSE_TITLES
    leaky = {
        "weights": f"weights, log({step_bound(settings, '')})",
        "slope_ceiling": CAUSE_LABELS["slope_ceiling"],
    }
    return {**CAUSE_TITLES, **leaky}
