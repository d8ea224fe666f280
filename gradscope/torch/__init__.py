"""PyTorch: ``watch`` a model in training; ``study`` any step function, or make its ``chain``."""

from gradscope.errors import install_line

try:
    import torch as _  # noqa: F401 (asked for here, where the remedy can be said)
except ImportError as error:
    remedy = install_line("torch")
    raise ImportError(f"gradscope.torch needs PyTorch, which is not installed; {remedy}") from error

from gradscope.torch.hooks import Watch, watch
from gradscope.torch.steps import chain
from gradscope.torch.study import study

__all__ = ["Watch", "chain", "study", "watch"]
