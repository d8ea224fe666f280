"""The live hook into PyTorch: ``gradscope.torch.watch`` and the ``Watch`` it makes.

``hooks`` has the hooks, ``reading`` turns their arguments into arrays. Without PyTorch the import
fails with the line that installs it.
"""

from gradscope.errors import install_line

try:
    import torch as _  # noqa: F401 (asked for here, where the remedy can be said)
except ImportError as error:
    raise ImportError(
        f"the live hook needs PyTorch, which is not installed; {install_line('torch')}"
    ) from error

from gradscope.torch.hooks import Watch, watch

__all__ = ["Watch", "watch"]
