"""Hugging Face: ``Trainer(..., callbacks=[GradscopeCallback(required_lag=48)])``.

Source: transformers 5.24, ``transformers.TrainerCallback``.
"""

from typing import Any

from transformers import TrainerCallback

from gradscope.torch import Watch, watch


class GradscopeCallback(TrainerCallback):
    """Watches the recurrent layers of a model in training; ``watch`` is what it recorded.

    ``log`` gets lines, report and numbers as that of ``gradscope.torch.watch``, whose further
    options these are.
    """

    def __init__(
        self, required_lag: int | None = None, every: int = 100, log: Any = None, **options: Any
    ) -> None:
        self.watch: Watch | None = None
        self._options = {"required_lag": required_lag, "every": every, "log": log, **options}

    def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Begin to watch."""
        self.watch = watch(model, **self._options)

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        """Keep the loss, as often as the trainer tells it."""
        if self.watch is not None and "loss" in (logs or {}):
            self.watch.loss(logs["loss"])

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()
