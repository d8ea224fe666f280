"""Lightning: ``Trainer(callbacks=[GradscopeCallback(required_lag=48)])``.

Source: Lightning 2.6, ``lightning.pytorch.callbacks.Callback``.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from gradscope.torch import Watch, watch


class GradscopeCallback(Callback):
    """Watches the recurrent layers of a module while it is fitted; ``watch`` is what it recorded.

    The numbers of each snapshot go to the loggers of the trainer, its lines and the report to
    ``log``; further options are those of ``gradscope.torch.watch``.
    """

    def __init__(
        self, required_lag: int | None = None, every: int = 100, log: Any = None, **options: Any
    ) -> None:
        self.watch: Watch | None = None
        self._log = log
        self._options = {"required_lag": required_lag, "every": every, **options}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        logs = [*trainer.loggers, *(self._log if isinstance(self._log, list) else [self._log])]
        self.watch = watch(pl_module, log=logs, **self._options)

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002 (Lightning names what it gives)
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        *_: Any,
        **__: Any,
    ) -> None:
        """Keep the loss."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if self.watch is not None and loss is not None:
            self.watch.loss(loss)

    def on_fit_end(self, *_: Any) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()

    def on_exception(self, *_: Any) -> None:
        """End the watch, whatever ended the training."""
        self.on_fit_end()
