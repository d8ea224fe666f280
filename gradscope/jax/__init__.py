"""JAX: ``study`` any step function, as ``jax.lax.scan`` takes it, or make its ``chain``."""

from gradscope.errors import install_line

try:
    import jax as _  # noqa: F401 (asked for here, where the remedy can be said)
except ImportError as error:
    remedy = install_line("jax")
    raise ImportError(f"gradscope.jax needs JAX, which is not installed; {remedy}") from error

from gradscope.jax.steps import chain, study

__all__ = ["chain", "study"]
