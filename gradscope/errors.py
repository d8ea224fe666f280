"""Everything that can go wrong, as one family with one base.

Each message is one line a person can act on: the value, the limit, the remedy. The command line
turns any of these into that line on stderr and the exit code of its class; the library raises them
and never prints.
"""


def install_line(extra: str) -> str:
    """Return what to type to get an extra of gradscope, which the index does not have."""
    return f"pip install '.[{extra}]' in a clone of gradscope"


class GradscopeError(Exception):
    """Base of every error that gradscope raises on purpose."""

    exit_code = 2


class SettingError(GradscopeError):
    """A setting or an argument lies outside its limits, or contradicts another."""


class ShapeError(GradscopeError):
    """Arrays that belong together do not fit together."""


class DataError(GradscopeError):
    """A data file cannot be read as numbers, or holds too few of them."""


class ArchiveError(GradscopeError):
    """A saved run cannot be read back."""


class WeightsError(GradscopeError):
    """A weight file cannot be read, is not safe to read, or holds no network that is understood."""


class OutputError(GradscopeError):
    """A result cannot be written where it was to go."""


class WorkerError(GradscopeError):
    """The workers of a sweep, or their scheduler, cannot be started or are gone."""
