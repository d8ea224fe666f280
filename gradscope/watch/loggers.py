"""Loggers of numbers, known by what they can do: none of their packages is imported."""

from collections.abc import Callable, Mapping
from typing import Any

Writer = Callable[[Mapping[str, float], int], None]
"""Writes numbers by their names at a training step."""

STEP = "gradscope/step"
"""The name of the training step in a run of W&B, whose own steps are the calls of its ``log``."""


def number_writer(log: Any) -> Writer | None:
    """Return what writes numbers to a logger; None for what takes none.

    A TensorBoard ``SummaryWriter`` has ``add_scalar``; a run of W&B ``define_metric`` and ``log``;
    ``mlflow`` and the loggers of Lightning ``log_metrics``; an MLflow client, given as
    ``(client, run_id)``, ``log_metric``.
    """

    def by_scalar(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            log.add_scalar(name, value, step)

    def by_row(numbers: Mapping[str, float], step: int) -> None:
        # Into the next row of the training itself: one of our own would count as a step.
        log.log({**numbers, STEP: step}, commit=False)

    def together(numbers: Mapping[str, float], step: int) -> None:
        log.log_metrics(dict(numbers), step=step)

    def by_client(numbers: Mapping[str, float], step: int) -> None:
        client, run_id = log
        for name, value in numbers.items():
            client.log_metric(run_id, name, value, step=step)

    if hasattr(log, "add_scalar"):
        return by_scalar
    if hasattr(log, "define_metric") and hasattr(log, "log"):
        log.define_metric("gradscope/*", step_metric=STEP)
        return by_row
    if hasattr(log, "log_metrics"):
        return together
    return by_client if isinstance(log, tuple) and hasattr(log[0], "log_metric") else None
