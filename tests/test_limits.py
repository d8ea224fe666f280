"""The limits on the size and shape of the code.

That no package imports a later one, and no cycle, is in ``test_package_order``; that ``--help``
takes at most 8 times an empty Python, in the benchmarks.
"""

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gradscope"
SOURCES = sorted(PACKAGE.rglob("*.py"))
COUNTED = [*SOURCES, *sorted(PACKAGE.rglob("*.toml"))]

MAX_LINES_OF_FILE = 300
MAX_FILES_OF_FOLDER = 15
MAX_LINES = 35_250
MAX_ONE_USE = 0.24
MAX_LINES_OF_README = 450


def lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n")


def total_lines() -> float:
    return sum(map(lines, COUNTED))


def longest_file() -> float:
    return max(map(lines, SOURCES))


def fullest_folder() -> float:
    """The most modules in one folder."""
    return max(Counter(path.parent for path in SOURCES if path.name != "__init__.py").values())


def one_use_share() -> float:
    """The share of functions whose name stands in the code twice: its definition and one use.

    Methods of Python itself (``__enter__``) are not counted.
    """
    words: Counter[str] = Counter()
    functions: list[str] = []
    for path in SOURCES:
        source = path.read_text("utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        words.update(token.string for token in tokens if token.type == tokenize.NAME)
        functions += [
            node.name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("__")
        ]
    return sum(words[name] == 2 for name in functions) / len(functions)


def readme_lines() -> float:
    return lines(ROOT / "README.md")


@pytest.mark.parametrize(
    ("measure", "limit"),
    [
        (longest_file, MAX_LINES_OF_FILE),
        (fullest_folder, MAX_FILES_OF_FOLDER),
        (total_lines, MAX_LINES),
        (one_use_share, MAX_ONE_USE),
        (readme_lines, MAX_LINES_OF_README),
    ],
)
def test_the_code_stays_within_its_limits(measure: Callable[[], float], limit: float) -> None:
    assert measure() <= limit
