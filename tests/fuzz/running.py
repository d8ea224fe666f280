"""One process for each kind of file: it imports once, then forks for every mutant and judges it.

The fork runs the command line in the folder of the mutant under ``resource`` limits. Judged are its
exit code, what it wrote, the seconds it computed, and the memory that it had beyond the honest run.
Run by ``run_kind`` as ``python -m tests.fuzz.running KIND COUNT FIRST SEED FOLDER``.
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradscope.cli.app import run
from tests.fuzz.library_mutators import mutant
from tests.fuzz.seeds import KINDS, Kind

ROOT = Path(__file__).parents[2]

CPU_SECONDS = 3.0
"""What any file may take beyond the honest run, on a machine that makes ``counting`` in
``IDLE_COUNTING`` seconds; on a slower or a busy one as much more as that takes longer there.
"""

IDLE_COUNTING = 0.03

MEMORY = 300 * 2**20
"""Bytes that any file may take beyond the honest run."""

ADDRESS_SPACE = 4 * 2**30
"""Bytes of addresses beyond those of the parent: what would take the machine fails here."""

WAIT = 120
"""Seconds after which a run that computes nothing hangs."""

OUT_OF_TIME = f"signal {int(signal.SIGXCPU)}"
LONGEST_LINE = 300
CODES = (0, 2)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one mutant, and where it is kept."""

    kind: str
    seed: int
    number: int
    command: str
    what: str
    kept: str

    def __str__(self) -> str:
        """Return what makes the mutant again (``make fuzz``), what went wrong, and its file."""
        again = f"make fuzz N=1 SEED={self.seed} KINDS={self.kind}:{self.number}"
        return f"{again}: gradscope {self.command}: {self.what}; {self.kept}"


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended."""

    code: int | None
    signal: int
    seconds: float
    memory: int
    out: bytes
    err: bytes


def counting() -> float:
    """Return the seconds that this process computes to add 300,000 numbers."""
    began = time.process_time()
    sum(each * each % 7 for each in range(300_000))
    return time.process_time() - began


def forked(command: Sequence[str], folder: Path, cpu: float) -> Run:
    """Run a command line in a fork of this process, in a folder, under limits."""
    sys.stdout.flush()
    sys.stderr.flush()
    slowness = counting() / IDLE_COUNTING
    child = os.fork()
    if not child:
        _in_fork(command, folder, cpu * max(slowness, 1.0))
    _, status, used = os.wait4(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    seconds = (used.ru_utime + used.ru_stime) / max(slowness, counting() / IDLE_COUNTING, 1.0)
    out, err = ((folder / name).read_bytes() for name in ("stdout", "stderr"))
    return Run(max(ended, 0) if ended >= 0 else None, -min(ended, 0), seconds,
               1024 * used.ru_maxrss, out, err)  # fmt: skip


def _in_fork(command: Sequence[str], folder: Path, cpu: float) -> None:
    code = 70
    try:
        os.chdir(folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        sys.stdout, sys.stderr = (os.fdopen(each, "w", encoding="utf-8") for each in (1, 2))
        space = _addresses() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(WAIT)
        code = run(command)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 (a traceback is what is looked for)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _addresses() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def faults(ran: Run, honest: Run, command: Sequence[str]) -> list[str]:
    """Return what is wrong with how a command ended."""
    found = _wrong_end(ran, command)
    if ran.seconds > honest.seconds + CPU_SECONDS:
        found.append(f"{ran.seconds:.1f} s")
    if ran.memory > honest.memory + MEMORY:
        found.append(f"{(ran.memory - honest.memory) / 2**20:.0f} MiB more")
    return found + (list(_wrong_output(ran.out, command)) if ran.code == 0 else [])


def _wrong_end(ran: Run, command: Sequence[str]) -> list[str]:
    text = ran.err.decode("utf-8", "replace")
    lines = text.splitlines() or [""]
    longest = max(lines, key=len)
    refused = len(lines) == 1 and text.startswith("error: ")
    allowed = (*CODES, 3) if command[0] == "sweep" else CODES
    wrong = {
        f"signal {ran.signal}": ran.signal,
        f"exit code {ran.code}": not ran.signal and ran.code not in allowed,
        f"traceback: {lines[-1][:200]}": "Traceback" in text,
        f"{len(lines)} lines: {' | '.join(lines)[:300]}": ran.code == 2 and not refused,
        "output beside an error": ran.code == 2 and ran.out and command[0] != "rerun",
        "out of memory": "out of memory" in text,
        f"a library's warning: {text[:200]}": "Warning" in text,
        f"a line of {len(longest)} characters: {longest[:120]}": len(longest) > LONGEST_LINE,
        f"{text[:80]!r} on stderr": any(not each.isprintable() for each in "".join(lines)),
    }
    return [what for what, is_so in wrong.items() if is_so]


def _wrong_output(out: bytes, command: Sequence[str]) -> Iterator[str]:
    try:
        text = out.decode()
        if "--json" in command:
            json.loads(text, parse_constant=_refuse)
        elif command[0] == "show-config":
            tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"output: {error}"
        return
    if unseen := {each for each in text if not each.isprintable() and each != "\n"}:
        yield f"{sorted(unseen)[:3]} on stdout"


def _refuse(word: str) -> None:
    raise ValueError(f"{word} in JSON")


def asks_for_more(command: Sequence[str]) -> bool:
    """Whether the settings of a mutant may honestly ask for a longer study."""
    return command[0] in ("rerun", "sweep") or "--load" in command


def fuzz(name: str, count: int, first: int, seed: int, folder: Path) -> list[Failure]:
    """Run every mutant of a kind; return what failed, the mutants kept in the folder."""
    kind, work = KINDS[name], folder / "work"
    work.mkdir(parents=True)
    kind.write(work / kind.file)
    whole = (work / kind.file).read_bytes()
    honest = [_honest(kind, command, whole, work) for command in kind.commands]
    failures = []
    for number in range(first, first + count):
        raw = mutant(whole, kind.mutators, seed, number)
        command = _typed(kind.commands[number % len(kind.commands)], kind.file)
        plain = honest[number % len(kind.commands)]
        _refill(work, kind, raw)
        ran = forked(command, work, plain.seconds + CPU_SECONDS)
        found = faults(ran, plain, command)
        if asks_for_more(command):
            found = [each for each in found if each != OUT_OF_TIME and not each.endswith(" s")]
        if found:
            kept = folder / f"{name}-{seed}-{number}-{kind.file}"
            kept.write_bytes(raw)
            words = " ".join(command)
            failures.append(Failure(name, seed, number, words, "; ".join(found), str(kept)))
    return failures


def quietly(command: Sequence[str], folder: Path) -> None:
    """Run a command line in this process, so that every fork finds its modules imported."""
    with (
        contextlib.chdir(folder),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        run(command)


def _honest(kind: Kind, command: Sequence[str], whole: bytes, work: Path) -> Run:
    typed = _typed(command, kind.file)
    for _ in range(2):
        _refill(work, kind, whole)
        quietly(typed, work)
    _refill(work, kind, whole)
    ran = forked(typed, work, 60.0)
    wrong = faults(ran, ran, typed)
    if wrong:
        raise RuntimeError(f"the honest {kind.file}: {wrong} {ran.err.decode()}")
    return ran


def _typed(command: Sequence[str], file: str) -> list[str]:
    return [file if word == "FILE" else word for word in command]


def _refill(folder: Path, kind: Kind, content: bytes) -> None:
    """Leave in a folder this file, and what belongs beside it, alone."""
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    if kind.beside is not None:
        kind.beside(folder / "net.npz")
    (folder / kind.file).write_bytes(content)


def run_kind(name: str, count: int, first: int, seed: int, folder: Path) -> list[Failure]:
    """Fuzz a kind in a process of its own, with the same modules; return what failed."""
    folder.mkdir(parents=True)
    words = [sys.executable, "-m", "tests.fuzz.running", name, *map(str, (count, first, seed))]
    paths = os.pathsep.join(filter(None, [*sys.path, str(ROOT)]))
    quiet = {"PYTHONPATH": paths, "COLUMNS": "80", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"}
    settings = {k: v for k, v in os.environ.items() if not k.startswith("GRADSCOPE_")}
    done = subprocess.run(
        [*words, "."], env={**settings, **quiet}, cwd=folder, check=False, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace"))
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [Failure(**{**each, "kept": str(folder / each["kept"])}) for each in found]


if __name__ == "__main__":
    kind_name, *numbers, place = sys.argv[1:]
    many, begin, seeded = map(int, numbers)
    listed = [asdict(each) for each in fuzz(kind_name, many, begin, seeded, Path(place))]
    sys.stdout.write(json.dumps(listed))
