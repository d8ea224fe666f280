"""Odd values, as JSON, TOML and the header of an array: huge, deep, of another type, hostile."""

import json
import re
from typing import Any

import numpy as np

Generator = np.random.Generator
DEEP = 3000

HOSTILE = (
    *("\x1b[2J", "\x9b31m", "\u202e", "a\nseed = 7", "a\rb", "\0", "\ud800", "\udcff", "=1+1"),
    *("x" * 100_000, "\u2028", "$x$", "<b>'\"&", "", "/dev/zero", "../..", "1e999", "日本"),
)

ODD_JSON = (
    *("null", "true", "[]", "{}", "0", "-1", "1e999", "-1e999", "NaN", "1e-320", "9" * 400),
    *("9" * 5000, "0.1", "[[1, 2], [3]]", '{"a": {"b": 1}}', "1.5", "-0.0", "[1, 2, 3]"),
    *("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "12", "[" + "1," * 9999 + "1]"),
)

MARK = "\ufffe odd \ufffe"


def _one(choices: Any, rng: Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a JSON value: its container, and its key or index."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here))
        for key in keys:
            found.append((here, key))
            if isinstance(here[key], dict | list):
                waiting.append(here[key])
    return found


def odd_json(document: Any, rng: Generator) -> str:
    """Return a JSON text with one to three values replaced, names changed, or entries gone."""
    if not isinstance(document, dict | list):
        document = [document]
    odd = []
    for _ in range(int(rng.integers(1, 4))):
        found = places(document)
        if not found:
            break
        # Half of the time what says most: an object with several names.
        near = [each for each in found if isinstance(each[0], dict) and len(each[0]) > 1]
        container, key = _one(near if near and rng.random() < 0.5 else found, rng)
        kind = rng.integers(6)
        if kind == 5:  # As layers that feed themselves, or hold what holds them, are written.
            other, at = _one(found, rng)
            container[key] = json.loads(json.dumps(other[at]))
        elif kind == 0 and isinstance(container, dict):
            container[_one(HOSTILE, rng)] = container.pop(key)
        elif kind == 1:
            container[key] = _one(HOSTILE, rng)
        elif kind == 2:
            del container[key]
        else:
            container[key] = f"{MARK}{len(odd)}"
            odd.append(_one(ODD_JSON, rng))
    text = json.dumps(document)
    for number, value in enumerate(odd):
        text = text.replace(json.dumps(f"{MARK}{number}"), value)
    return text


ODD_TOML = (
    *("nan", "-inf", "1e400", "9" * 5000, "0x" + "f" * 5000, '"\\u001b[2J"', '"a\\nb"', "true"),
    *("[" * 500 + "]" * 500, "{a = 1}", "1979-05-27T07:32:00Z", "[]", '""', "'''\n'''", "[1, 'a']"),
    *('"\\uD800"', "12:00:00", "{" + "a = {" * 300 + "}" * 301, '"' + "x" * 100_000 + '"', "-0.0"),
)
ODD_LINES = (
    *(".".join("a" * 3000) + " = 1", "[sweep]", "[[a]]", "gain = 1", '"\\u001b[2J" = 1', "= 3"),
    *('load = "x"', "[gain]", "\x1b[2J", "# \u202e", "'' = 1", 'data = "/dev/zero"', "weights = 3"),
    *('data = "a\\u0000b"', "[" + ".".join("b" * 2000) + "]", 'weights = "FILE.py:net"'),
)


def odd_toml(text: str, rng: Generator) -> str:
    """Return a TOML text with some values replaced and lines put in or taken out."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(lines)))
        kind = rng.integers(4)
        if kind == 0:
            lines.insert(at, _one(ODD_LINES, rng))
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        else:
            lines[at] = f"{lines[at].partition('=')[0]}= {_one(ODD_TOML, rng)}"
    return "\n".join(lines) + "\n"


ODD_SHAPES = (
    *("()", "(0,)", "(-1,)", "(999999999999,)", "(2, 3, 4, 5, 6)", "(1, 0, 3)", "((1, 2), 3)"),
    *("None", "'a'", "(2**70,)", "(99999999999999999999,)", "(3, 3)", "(60,)", "(1.5, 2)"),
)
ODD_TYPES = (
    *(
        "'|O'",
        "'<U99999999'",
        "'|V0'",
        "'>f2'",
        "'<c16'",
        "'<m8[s]'",
        "'<M8[D]'",
        "'|b1'",
        "'<f16'",
    ),
    *("[('a', '<f8')]", "'|S0'", "'<U0'", "'>i8'", "3", "'<f8' * 9", "[('a', '|O')]", "'\\x1b'"),
)


def odd_npy_header(header: str, rng: Generator) -> str:
    """Return the header of an array with another shape, type or order, or another text."""
    kind = rng.integers(5)
    if kind in (0, 1):
        return re.sub(r"'shape': \([^)]*\)", f"'shape': {_one(ODD_SHAPES, rng)}", header)
    if kind in (2, 3):
        return re.sub(r"'descr': '[^']*'", lambda _: f"'descr': {_one(ODD_TYPES, rng)}", header)
    odd = (
        "",
        "{" * 2000,
        "{'a': 1}\n",
        " " * 60_000,
        "[" * 900 + "]" * 900,
        header.replace("F", "T"),
    )
    return str(_one(odd, rng))
