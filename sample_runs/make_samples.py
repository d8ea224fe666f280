"""Run every sample again: ``make samples``.

Each folder here holds a ``command``, as one would type it at the top of the repository (a line
each, where there are several), and what it wrote: ``run.json`` and ``report.png``. The table in
this folder's README is made from them.
"""

import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parent
TOP = SAMPLES.parent

LESSONS = {
    "tanh-100": "tanh has slope 1 at its best, yet saturation makes the gradient vanish; in this "
    "seed training shortens the reach from 63 steps to 11",
    "sigmoid-100": "sigmoid's largest slope is 1/4: the bound alone forces vanishing, a factor 4 "
    "per step",
    "exploding": "a chaotic net: the gradient explodes, though far slower than the bound allows",
    "lengths": "tanh against sigmoid over lengths: sigmoid's memory ends after 6 steps, however "
    "long the sequence",
    "phase-diagram": "468 nets over gain and length: a sigmoid net shrinks everywhere, a tanh net "
    "has an island where the gradient grows",
    "sunspots": "a real series: the net does better than without memory, and the gradient is fine",
}


def commands() -> dict[str, list[list[str]]]:
    """Return the words of every sample's commands, by folder."""
    return {
        path.parent.name: [shlex.split(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted(SAMPLES.glob("*/command"))
    }


def run(words: list[str]) -> None:
    """Run a sample's command at the top of the repository; it leaves its files in its folder."""
    # A sweep goes on where it stopped; every other command overwrites its files.
    force = [] if words[1] == "sweep" else ["--force"]
    arguments = [sys.executable, "-m", "gradscope", *words[1:], *force]
    subprocess.run(arguments, cwd=TOP, check=True)  # noqa: S603 (our own commands)


def outcome(document: dict[str, Any]) -> str:
    """Return in a few words what a document says."""
    if document["schema"] == "gradscope.comparison":
        last = {row["activation"]: row for row in document["medians"] if row["stage"] != "initial"}
        return "; ".join(
            f"{name} at {row['steps']} steps: {row['rate_nats_per_step']:.3f} nats per step"
            for name, row in last.items()
        )
    if document["schema"] == "gradscope.sweep-report":
        counts: dict[str, Counter[str]] = {}
        for group in document["groups"]:
            numbers = {name: group[name] for name in ("vanishing", "exploding", "cells")}
            counts.setdefault(group["activation"], Counter()).update(numbers)
        return "; ".join(
            f"{name}: {all_of['vanishing']} of {all_of['cells']} cells vanish, "
            f"{all_of['exploding']} explode"
            for name, all_of in counts.items()
        )
    verdict = document["stages"][-1]["verdict"]
    horizon = verdict["horizon"] or f"beyond {verdict['max_lag']}"
    rate = verdict["rate_nats_per_step"]
    return f"{verdict['regime']}, {rate:.3f} nats per step, horizon {horizon}"


def table() -> str:
    """Return the README of this folder."""
    rows = [
        "# Sample runs",
        "",
        "Each folder holds its `command`, its `run.json` and its `report.png`. `make samples` runs",
        "them again, and a test replays each and compares verdicts and numbers, within the",
        "tolerance that the growth of the run justifies. The gradient of `exploding` amplifies",
        "rounding beyond comparison: its digits differ from machine to machine, and only its",
        "verdict is compared. The series is described in [data](data/README.md).",
        "",
        "| sample | what it shows | outcome |",
        "| --- | --- | --- |",
    ]
    for name in commands():
        document = json.loads((SAMPLES / name / "run.json").read_text(encoding="utf-8"))
        lesson = LESSONS[name]
        rows.append(f"| [{name}]({name}/report.png) | {lesson} | {outcome(document)} |")
    rows += ["", "## Commands", ""]
    for name, lines in commands().items():
        rows += [f"**{name}**", "", "```bash", *(shlex.join(words) for words in lines), "```", ""]
    return "\n".join(rows)


def main() -> None:
    """Run all samples and write the table."""
    for store in SAMPLES.glob("*/sweep.db"):
        store.unlink()
    for lines in commands().values():
        for words in lines:
            run(words)
    (SAMPLES / "README.md").write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    main()
