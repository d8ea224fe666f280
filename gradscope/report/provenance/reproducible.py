"""What ``rerun`` can promise of a run: the same bits, a tolerance, or nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from gradscope.arrays import LN_10
from gradscope.data.columns import quoted
from gradscope.diagnosis.long_run import burn_in_steps
from gradscope.diagnosis.rounding import amplified_rounding, largest_rise, relative_tolerance
from gradscope.machine import ARITHMETIC, same_machine_type

Document = Mapping[str, Any]


def reproducible(made: Document, again: Document, version: str) -> dict[str, Any]:
    """Return how well the numbers of a run that was made again agree with those of the first.

    ``made`` is the environment of the first run, empty where its file does not name it, ``version``
    its gradscope, ``again`` the document of the run made again. In the result
    ``relative_tolerance`` is 0 for the same bits and None where no number of the trajectory can be
    compared; ``because`` is the reason.
    """
    now = again["environment"]
    same = same_machine_type(made, now)
    tolerance: float | None = None
    if version != again["gradscope"]:
        because = f"gradscope {version} made the file, and this is {again['gradscope']}"
    elif same:
        tolerance, because = 0.0, "bit for bit: the same NumPy, BLAS, kernel, threads and platform"
    elif "checks" in again:
        because = f"deviations of a check are rounding themselves; {_difference(made, now)}"
    else:
        runs = again.get("analyses", [again])
        rounding, accuracy = max((_rounding(each), each["settings"]["tolerance"]) for each in runs)
        tolerance = relative_tolerance(rounding, accuracy)
        size = f"10^{rounding / LN_10:.0f} of the value; {_difference(made, now)}"
        because = (
            f"the growth of this run amplifies rounding beyond comparison, to {size}"
            if tolerance is None
            else f"to a relative {tolerance:.0e}: this run amplifies rounding to {size}"
        )
    return {"same_machine_type": same, "relative_tolerance": tolerance, "because": because}


def _rounding(run: Document) -> float:
    settings = run["settings"]
    # Without targets there is no gradient, and a stage has none.
    gradients = ((stage["gradient"] or {}).get("log10_by_step") for stage in run.get("stages", []))
    return amplified_rounding(
        _rates(run),
        # The growth rate is taken over steps that follow.
        steps=settings["steps"] + burn_in_steps(settings.get("burn_in"), settings["leak"]),
        width=run.get("network", {}).get("hidden_size", settings["hidden"]),
        updates=settings["updates"],
        rise=max((largest_rise(each or []) for each in gradients), default=0.0) * LN_10,
    )


def _rates(value: Any) -> Iterator[float]:
    """Yield every growth rate that stands in a document, at whatever depth."""
    if isinstance(value, Mapping):
        rate = value.get("rate_nats_per_step")
        yield from () if rate is None else (rate,)
    if isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _rates(each)


def _difference(made: Document, now: Document) -> str:
    if made.get("kernel") is None or now["kernel"] is None:
        return f"the BLAS kernel is not known {'here' if now['kernel'] is None else 'of the file'}"
    differing = ((n, quoted(made.get(n)), now[n]) for n in ARITHMETIC if made.get(n) != now[n])
    return ", ".join(f"{name} {there} there and {here} here" for name, there, here in differing)
