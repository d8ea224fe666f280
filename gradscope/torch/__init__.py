"""The live hook into PyTorch: ``gradscope.torch.watch`` and the ``Watch`` it makes."""

from gradscope.errors import install_line

try:
    import torch as _  # noqa: F401 (asked for here, where the remedy can be said)
except ImportError as error:
    remedy = install_line("torch")
    raise ImportError(f"the live hook needs PyTorch, which is not installed; {remedy}") from error

from gradscope.torch.hooks import Watch, watch

__all__ = ["Watch", "watch"]
