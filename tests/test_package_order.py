"""The order of the packages: a file imports only from packages before its own.

Held over the syntax tree, so that an import counts wherever it stands: at the top, in a function,
under ``TYPE_CHECKING``, relative or absolute. The checker takes sources by path, and a second test
gives it the real ones with one import too many.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "gradscope"

LAYERS = (
    ("errors",),
    ("arrays", "machine", "names", "notebook_repr", "progress"),
    ("model",),
    ("data",),
    ("learning",),
    ("weights",),
    ("jacobians",),
    ("diagnosis",),
    ("analysis",),
    ("sweep",),
    ("remedy",),
    ("frameworks",),
    ("report",),
    ("explain",),
    ("watch",),
    ("jax", "torch"),
    ("integrations",),
    ("cli",),
    ("__init__", "__main__"),
)
"""The packages from the bottom up; packages of one row do not import one another."""

RANKS = {package: rank for rank, row in enumerate(LAYERS) for package in row}


def draws(path: PurePosixPath) -> bool:
    """Whether a file may draw pictures."""
    return path.parent == PurePosixPath(PACKAGE, "report", "figures") or path == PurePosixPath(
        PACKAGE, "report", "html.py"
    )


def compares_with_keras(path: PurePosixPath) -> bool:
    """Whether a file builds Keras's layers, and so asks their backend for Jacobians."""
    return path == PurePosixPath(PACKAGE, "frameworks", "keras.py")


def reads_weight_files(path: PurePosixPath) -> bool:
    """Whether a file turns the bytes of a weight file into arrays."""
    return path.parent == PurePosixPath(PACKAGE, "weights", "files")


def integrates(path: PurePosixPath) -> bool:
    """Whether a file fits gradscope into somebody else's loop."""
    return top_package(path) == "integrations"


THIRD_PARTIES: Mapping[str, Callable[[PurePosixPath], bool]] = {
    "numpy": lambda _: True,
    "rich": lambda path: top_package(path) in {"report", "watch", "cli"},
    "typer": lambda path: top_package(path) == "cli",
    "matplotlib": draws,
    "PIL": lambda path: path.parent == PurePosixPath(PACKAGE, "report", "provenance"),
    "openpyxl": lambda path: top_package(path) == "data",
    "h5py": reads_weight_files,
    "onnx": reads_weight_files,
    "safetensors": reads_weight_files,
    "scipy": reads_weight_files,
    "dask": lambda path: path == PurePosixPath(PACKAGE, "sweep", "executors.py"),
    "distributed": lambda path: path == PurePosixPath(PACKAGE, "sweep", "executors.py"),
    "torch": lambda path: top_package(path) in {"torch", "frameworks"},
    **dict.fromkeys(("lightning", "optuna", "pytest", "transformers"), integrates),
    "keras": lambda path: compares_with_keras(path) or integrates(path),
    "jax": lambda path: top_package(path) == "jax" or compares_with_keras(path),
    "tensorflow": compares_with_keras,
}
"""Who may import what; whatever is not listed (``click`` above all) nobody may."""


def must_defer(path: PurePosixPath, top: str) -> bool:
    """Whether an import must stand in a function: matplotlib, which is slow to load, and Keras's
    backends, of which a person has one.
    """
    backend = compares_with_keras(path) and top in {"torch", "jax", "tensorflow"}
    return top == "matplotlib" or backend


IMPORTING_BY_NAME = {PurePosixPath(PACKAGE, "__init__.py"), PurePosixPath(PACKAGE, "cli", "app.py")}
"""The public API and the command line load what is asked for; both are above all they name."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, as its dotted name, and whether it stays out of sight when the file is
    loaded: inside a function, or for type checkers alone.
    """

    target: str
    deferred: bool


def module_name(path: PurePosixPath) -> str:
    """``gradscope/model/cells.py`` is ``gradscope.model.cells``, a folder's ``__init__.py`` the
    folder.
    """
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def top_package(path: PurePosixPath) -> str:
    """The folder of a file, or the file itself where it stands at the top."""
    return path.parts[1] if len(path.parts) > 2 else path.stem


def imports(path: PurePosixPath, tree: ast.Module) -> Iterator[Import]:
    """Yield everything that a file imports; ``from a import b`` is ``a.b``."""

    def walk(node: ast.AST, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.parent.parts[: len(path.parent.parts) + 1 - node.level]
            start = ".".join(above) if node.level else ""
            source = ".".join(part for part in (start, node.module or "") if part)
            yield from (Import(f"{source}.{alias.name}", deferred) for alias in node.names)
        within = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            within = True
        for child in ast.iter_child_nodes(node):
            yield from walk(child, within)

    return walk(tree, deferred=False)


@cache
def read(path: PurePosixPath, source: str) -> tuple[tuple[Import, ...], tuple[str, ...]]:
    """Return what a file imports, and what it does to pass by the import statements."""
    tree = ast.parse(source)
    return tuple(imports(path, tree)), tuple(_evasions(path, tree))


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return what breaks the order of the packages in a package, given as path → source."""
    files = {PurePosixPath(path): source for path, source in sources.items()}
    modules = {module_name(path): path for path in files}
    found: list[str] = []
    neighbours: dict[str, dict[str, set[str]]] = {}
    for path, source in files.items():
        if top_package(path) not in RANKS:
            found.append(f"{path} belongs to no known package")
            continue
        siblings = neighbours.setdefault(top_package(path), {}).setdefault(module_name(path), set())
        imported, evasions = read(path, source)
        found += evasions
        for each in imported:
            top, _, rest = each.target.partition(".")
            if top != PACKAGE:
                found += _third_party(path, top, each)
                continue
            home = _home(each.target, modules)
            if home is None:
                if rest not in {"", "__version__"}:
                    found.append(f"{path} takes {rest} from the public API")
            elif top_package(home) == top_package(path):
                siblings.add(module_name(home))
            elif RANKS.get(top_package(home), 0) >= RANKS[top_package(path)]:
                found.append(f"{path} imports from a later package: {top_package(home)}")
    return found + [circle for graph in neighbours.values() for circle in _circles(graph)]


def _home(target: str, modules: Mapping[str, PurePosixPath]) -> PurePosixPath | None:
    """Return the file that a dotted name comes from, None for the package itself."""
    while target != PACKAGE:
        if target in modules:
            return modules[target]
        target = target.rpartition(".")[0]
    return None


def _third_party(path: PurePosixPath, top: str, each: Import) -> Iterator[str]:
    if top in sys.stdlib_module_names:
        return
    if top not in THIRD_PARTIES or not THIRD_PARTIES[top](path):
        yield f"{path} imports {top}"
    elif must_defer(path, top) and not each.deferred:
        yield f"{path} imports {top} outside a function"
    if {"pyplot", "pylab"} & set(each.target.split(".")):
        yield f"{path} imports pyplot"


def _evasions(path: PurePosixPath, tree: ast.Module) -> Iterator[str]:
    """Yield what would pass by the import statements: the public API, and imports by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="gradscope"), attr=attribute):
                if attribute != "__version__":
                    yield f"{path} takes {attribute} from the public API"
            case ast.alias(name="gradscope", asname=str()):
                yield f"{path} gives the public API another name"
            case ast.alias(name="import_module") if path not in IMPORTING_BY_NAME:
                yield f"{path} imports by name"
            case ast.Attribute(attr="import_module") | ast.Name(id="__import__"):
                yield f"{path} imports by name"


def _circles(graph: Mapping[str, set[str]]) -> Iterator[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"circle: {' → '.join(error.args[1])}"


# --- The package -------------------------------------------------------------------------------


def package() -> dict[str, str]:
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}


def test_every_file_imports_only_from_earlier_packages() -> None:
    assert violations(package()) == []


def test_every_package_of_the_table_exists() -> None:
    assert {top_package(PurePosixPath(path)) for path in package()} == set(RANKS)


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        # Up, in every spelling.
        ("model/cells.py", "import gradscope.learning.bptt", ": learning"),
        ("model/cells.py", "from gradscope.learning import bptt", ": learning"),
        (
            "model/cells.py",
            "from gradscope.learning.bptt import backpropagate",
            ": learning",
        ),
        ("model/cells.py", "from ..learning.bptt import backpropagate", ": learning"),
        ("model/cells.py", "from ..learning import bptt", ": learning"),
        ("model/cells.py", "from .. import analysis", ": analysis"),
        ("model/cells.py", "from gradscope import analysis", ": analysis"),
        ("model/cells.py", "def f():\n    from gradscope.cli import app", ": cli"),
        (
            "model/cells.py",
            "if TYPE_CHECKING:\n    import gradscope.analysis.settings",
            ": analysis",
        ),
        ("learning/bptt.py", "from gradscope.jacobians.chain import Chain", ": jacobians"),
        ("jacobians/chain.py", "import gradscope.diagnosis.verdict as v", ": diagnosis"),
        (
            "diagnosis/verdict.py",
            "from gradscope.analysis.settings import Settings",
            ": analysis",
        ),
        (
            "analysis/analyze.py",
            "from gradscope.report.terminal.analysis import analysis_page",
            ": report",
        ),
        ("report/terminal/analysis.py", "from gradscope.cli.output import show", ": cli"),
        ("analysis/stage.py", "from gradscope.sweep.grid import Grid", ": sweep"),
        ("report/html.py", "from gradscope.explain.glossary import TERMS", ": explain"),
        # Sideways.
        ("errors.py", "from gradscope.arrays import FloatArray", ": arrays"),
        ("names.py", "from gradscope.machine import environment", ": machine"),
        # In a circle.
        ("model/cells.py", "from gradscope.model.trajectory import unroll", "circle: "),
        ("model/cells.py", "from .trajectory import unroll", "circle: "),
        ("model/cells.py", "from . import trajectory", "circle: "),
        # By the back door.
        ("learning/bptt.py", "from gradscope import analyze", "takes analyze from the public API"),
        ("learning/bptt.py", "import gradscope\ngradscope.analyze()", "takes analyze from"),
        ("learning/bptt.py", "import importlib\nimportlib.import_module('x')", "imports by name"),
        ("learning/bptt.py", "from importlib import import_module as f", "imports by name"),
        ("learning/bptt.py", "import gradscope as g\ng.analyze()", "another name"),
        ("learning/bptt.py", "__import__('x')", "imports by name"),
        # Third parties.
        ("analysis/analyze.py", "import rich", "imports rich"),
        ("report/terminal/analysis.py", "import typer", "imports typer"),
        ("cli/app.py", "import click", "imports click"),
        ("cli/app.py", "from click.testing import CliRunner", "imports click"),
        ("data/table.py", "import pandas as pd", "imports pandas"),
        ("learning/bptt.py", "import scipy.linalg", "imports scipy"),
        ("analysis/archive.py", "import h5py", "imports h5py"),
        ("analysis/archive.py", "from safetensors.numpy import load", "imports safetensors"),
        ("analysis/analyze.py", "import distributed", "imports distributed"),
        ("analysis/analyze.py", "from dask import delayed", "imports dask"),
        ("model/cells.py", "def f():\n    import torch", "imports torch"),
        ("weights/files/keras.py", "def f():\n    import keras", "imports keras"),
        ("frameworks/keras.py", "import torch", "imports torch outside a function"),
        ("frameworks/keras.py", "from jax import jacrev", "imports jax outside a function"),
        ("frameworks/torch.py", "def f():\n    import jax", "imports jax"),
        ("torch/reading.py", "from gradscope.cli.output import note", ": cli"),
        ("report/terminal/analysis.py", "def f():\n    import matplotlib", "imports matplotlib"),
        ("cli/analyze.py", "def f():\n    from matplotlib.figure import Figure", "matplotlib"),
        (
            "report/figures/analysis.py",
            "from matplotlib.figure import Figure",
            "outside a function",
        ),
        ("report/figures/analysis.py", "if True:\n    import matplotlib", "outside a function"),
        (
            "report/figures/analysis.py",
            "def f():\n    import matplotlib.pyplot as plt",
            "imports pyplot",
        ),
        (
            "report/figures/analysis.py",
            "def f():\n    from matplotlib import pyplot",
            "imports pyplot",
        ),
        # A package that the table does not name.
        ("extra/module.py", "import math", "belongs to no known package"),
    ],
)
def test_one_import_from_a_later_package_is_found(path: str, line: str, said: str) -> None:
    sources = package()
    path = f"{PACKAGE}/{path}"

    found = violations(sources | {path: f"{sources.get(path, '')}\n{line}\n"})

    assert len(found) == 1, found
    assert said in found[0]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("learning/bptt.py", "from gradscope.data import sequences"),
        ("learning/bptt.py", "from ..errors import ShapeError"),
        ("learning/bptt.py", "from . import losses"),
        ("report/terminal/analysis.py", "import gradscope\ngradscope.__version__"),
        ("report/terminal/analysis.py", "from gradscope import __version__"),
        ("report/figures/analysis.py", "def f():\n    from matplotlib.figure import Figure"),
        (
            "report/figures/analysis.py",
            "if TYPE_CHECKING:\n    from matplotlib.figure import Figure",
        ),
        ("sweep/executors.py", "def f():\n    from distributed import Client"),
        (
            "weights/files/keras.py",
            "import h5py\nfrom gradscope.model.cells import ElmanParameters",
        ),
        ("frameworks/keras.py", "import keras\ndef f():\n    import torch, jax, tensorflow"),
        ("torch/reading.py", "import torch\nfrom gradscope.analysis.settings import Settings"),
        ("cli/app.py", "import typer\nimport rich.console"),
    ],
)
def test_an_import_from_an_earlier_package_is_not(path: str, line: str) -> None:
    sources = package()
    path = f"{PACKAGE}/{path}"

    assert violations(sources | {path: f"{sources.get(path, '')}\n{line}\n"}) == []
