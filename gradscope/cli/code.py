"""A step of somebody's own as ``FILE.py:NAME``: their Python runs, what it returns is studied."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gradscope.analysis.setting_values import Group
from gradscope.analysis.settings import CODE, flag, settings_of
from gradscope.cli.options import Given
from gradscope.cli.output import note
from gradscope.errors import GradscopeError, SettingError

if TYPE_CHECKING:
    from gradscope.analysis.results import Analysis

T = TypeVar("T")

CALLS = ("_imported", "_call", "_zeros")
"""Functions of ours that call code of somebody's own."""

READ = ("data", "column", "batch_first", "missing", "steps", "sequences")
FIT = (*READ, "weights", *settings_of(Group.JUDGING), *settings_of(Group.DETAILS))
"""Settings that say how its data are read, and those that code may be given."""


def is_code(file: str | None) -> bool:
    """Whether an argument is code to be run, and no file of weights."""
    return file is not None and CODE.fullmatch(file) is not None


def study_code(asked: Given) -> "Analysis":
    """Run a person's code, and study the step or the cell that it makes on their data.

    The function returns a cell or a model of PyTorch, or a pair of a step of PyTorch or JAX and its
    initial state. Raises SettingError, in one line, where the code fails.
    """
    typed = str(asked["weights"])
    found = CODE.fullmatch(typed)
    path, name = Path(found["file"] if found else typed), found["name"] if found else ""
    if wrong := [each for each in asked if each not in FIT]:
        raise SettingError(f"{flag(wrong[0])} is not for code of your own; leave it out")
    if asked.get("data") is None:
        raise SettingError(f"{typed} is studied on data of yours; give --data FILE")
    if not path.is_file():
        raise SettingError(f"{path} is no file; give the FILE.py that defines {name}")
    note(f"gradscope runs the Python in {path} ({name})")
    data = _inputs(asked)
    made = _ran(path, lambda: _imported(path, name))
    step, *state = made if isinstance(made, tuple) else (made,)
    if len(state) > 1:
        raise SettingError(f"{typed} returns {len(made)} things; return a step and its first state")
    of_study = {name: value for name, value in asked.items() if name not in READ[1:]}
    if any(type(leaf).__module__.startswith("jax") for leaf in _leaves(state)):
        from gradscope.jax import study as study_jax

        return _ran(path, lambda: study_jax(step, state[0], data, **of_study))
    import torch

    from gradscope.torch import study

    given = (*state, torch.from_numpy(data))
    return _ran(path, lambda: study(step, given[0], *given[1:], **of_study))


def _inputs(asked: Given) -> Any:
    """Return the data as (T,B,D), in as many steps and sequences as were asked for."""
    from gradscope.data.recordings import Layout, cut, read_array, sequences

    path, first = Path(asked["data"]), bool(asked.get("batch_first"))
    layout = Layout(first, tuple(asked.get("column", ())), asked.get("missing", "refuse"))
    array = sequences(read_array(path, layout, "--data"), path, batch_first=first)
    return cut(array, None, asked.get("steps"), asked.get("sequences")).inputs


def _imported(path: Path, name: str) -> Any:
    """Return what a function in a file of Python returns, or what it is, if no function."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SettingError(f"{path} is no module of Python; give a FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # It may import what stands beside it.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not callable(made := getattr(module, name, None)):
        raise SettingError(f"{path} defines no function {name}; give the name of one in it")
    return made()


def _leaves(nest: Any) -> list[Any]:
    """Return what a nest of lists, tuples and dictionaries holds."""
    if not isinstance(nest, list | tuple | dict):
        return [nest]
    parts = nest.values() if isinstance(nest, dict) else nest
    return [leaf for each in parts for leaf in _leaves(each)]


def _ran(path: Path, run: Callable[[], T]) -> T:
    """Run code of somebody's own; SettingError, with its place there, where it fails."""
    try:
        return run()
    except (GradscopeError, MemoryError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any(each.name in CALLS for each in frames):
            raise  # No fault of theirs.
        lines = [e.lineno for e in frames if Path(e.filename).resolve() == path.resolve()]
        where = f" (line {lines[-1]})" if lines else ""
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SettingError(f"the code in {path} failed{where}: {said}; correct it") from error
