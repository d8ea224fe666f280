"""What is said at the end of a run of the tests that it skipped."""

import importlib.util
from collections.abc import Sequence

FRAMEWORKS = ("torch", "keras", "jax", "torchrecurrent", "flax", "equinox", "transformers")


def absent_frameworks() -> list[str]:
    """Return the frameworks that are not installed."""
    return [name for name in FRAMEWORKS if importlib.util.find_spec(name) is None]


def skip_line(reasons: Sequence[str], absent: Sequence[str]) -> str:
    """Return what was skipped; a file that is skipped whole counts as one."""
    words = [*absent, *(["pytorch"] if "torch" in absent else [])]
    waiting = sum(any(word in reason.lower() for word in words) for reason in reasons)
    others = len(reasons) - waiting
    parts = []
    if waiting:
        parts.append(
            f"{waiting} tests or files for want of {', '.join(absent)} (make test-frameworks)"
        )
    if others:
        parts.append(f"{others} for the reasons above")
    return f"skipped: {'; '.join(parts)}"
