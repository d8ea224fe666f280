"""Code of somebody's own, as ``FILE.py:NAME``: it is run, and fails in one line."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from gradscope.errors import GradscopeError, SettingError

T = TypeVar("T")

CALLS = ("made_in", "_call", "_zeros", "study_mixers")
"""Functions of ours that call code of somebody's own."""


def made_in(path: Path, name: str) -> Any:
    """Run a file of Python, and return what a function in it returns."""
    own = f"gradscope_code_{path.stem}"  # Not the name of a module that others import.
    spec = importlib.util.spec_from_file_location(own, path)
    if spec is None or spec.loader is None:
        raise SettingError(f"{path} is no module of Python; give a FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.parent.resolve()))  # It may import what stands beside it.
    sys.modules[own] = module
    spec.loader.exec_module(module)
    if not callable(made := getattr(module, name, None)):
        raise SettingError(f"{path} defines no function {name}; give the name of one in it")
    return made()


def leaves(nest: Any) -> list[Any]:
    """Return what a nest of lists, tuples and dictionaries holds."""
    if not isinstance(nest, list | tuple | dict):
        return [nest]
    parts = nest.values() if isinstance(nest, dict) else nest
    return [leaf for each in parts for leaf in leaves(each)]


def ran(path: Path, run: Callable[[], T]) -> T:
    """Run code of somebody's own, what it prints going to stderr; SettingError, with its place
    there, where it fails.
    """
    try:
        with redirect_stdout(sys.stderr):
            return run()
    except MemoryError:
        raise
    except (Exception, SystemExit) as raised:
        known = isinstance(raised, GradscopeError)
        error = raised.__cause__ if known and raised.__cause__ is not None else raised
        frames = traceback.extract_tb(error.__traceback__)
        lines = [e.lineno for e in frames if Path(e.filename).resolve() == path.resolve()]
        if not (lines if known else lines or any(each.name in CALLS for each in frames)):
            raise  # No fault of theirs, or one of which all is said.
        where = f" (line {lines[-1]})" if lines else ""
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SettingError(f"the code in {path} failed{where}: {said}; correct it") from error
