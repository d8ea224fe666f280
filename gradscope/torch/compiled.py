"""Modules of ``torch.compile``: their graphs have no hooks, so what is within is seen when they are
called again without their graphs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of this module and all in it go through ``torch.compile``."""
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or "_orig_mod" in dict(module.named_children())


def attach(module: Any, hook: Callable[..., object]) -> Callable[[], None]:
    """Have a hook called after each call of a module, outside its graph; return what removes it."""
    compiled = module._compiled_call_impl  # noqa: SLF001
    if compiled is None:
        return module.register_forward_hook(hook, with_kwargs=True).remove

    def call(*given: Any, **named: Any) -> Any:
        result = compiled(*given, **named)
        hook(module, given, named, result)
        return result

    module._compiled_call_impl = call  # noqa: SLF001
    return partial(setattr, module, "_compiled_call_impl", compiled)
