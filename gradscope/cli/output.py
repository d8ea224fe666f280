"""Where results go: the answer to stdout or ``-o``, pictures and runs to their files, notes to
stderr.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gradscope.cli.options import Color, Format
from gradscope.errors import OutputError, SettingError
from gradscope.report.files import require_free, write_whole
from gradscope.report.screen import NARROWEST, Screen, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

STDOUT = Path("-")
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where a command's result goes and how it looks; ``complete`` adds to its document what only
    the command that was typed knows.
    """

    format: Format
    output: Path | None = None
    color: Color = Color.AUTO
    force: bool = False
    complete: "Callable[[Mapping[str, Any]], Mapping[str, Any]] | None" = None

    @property
    def to_stdout(self) -> bool:
        """Whether the result goes to stdout."""
        return self.output is None or self.output == STDOUT


def choose_format(choice: Format | None, json: bool, output: Path | None) -> Format:
    """Return the format asked for; a file's ending decides where nothing was said."""
    if json and choice not in (None, Format.JSON):
        raise SettingError(f"--json and --format {choice} are both given; choose one")
    if json:
        return Format.JSON
    ending = output.suffix.lower().removeprefix(".") if output else ""
    by_name = Format(ending) if ending in list(Format) else Format.TABLE
    return choice or by_name


def prepare_files(files: Iterable[Path | None], *, force: bool, figure: Path | None = None) -> None:
    """Refuse, before anything is computed, files that could not be written at the end."""
    if figure is not None and figure.suffix.lower() not in FIGURE_SUFFIXES:
        raise SettingError(
            f"the picture {figure} ends in {figure.suffix or 'nothing'}; choose "
            f"{', '.join(FIGURE_SUFFIXES)}"
        )
    wanted = [path for path in (*files, figure) if path is not None and path != STDOUT]
    places = [path.resolve() for path in wanted]
    for path, place in zip(wanted, places, strict=True):
        if places.count(place) > 1:
            raise OutputError(f"{path} is named for two outputs; give each its own file")
        require_free(path, force=force)


def show(
    place: Place,
    page: "Callable[[Screen], RenderableType]",
    document: Callable[[], Mapping[str, Any]],
    table: Callable[[], tuple[tuple[str, ...], list[list[Any]]]] | None = None,
    lines: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
) -> None:
    """Write a result in the format asked for.

    ``page(screen)`` makes the terminal page, ``document()`` the JSON document, ``table()``
    columns and rows, None for a result that is a text; ``lines()`` the documents of JSONL, a line
    each: the one document where there is nothing else.
    """
    from gradscope.report.formats import to_csv, to_json, to_jsonl, to_markdown

    if place.complete is not None:
        completed = place.complete(document())
        show(replace(place, complete=None), page, lambda: completed, table, lines)
        return
    if place.format is Format.TABLE:
        _write(place, _page_text(place, page))
    elif place.format is Format.JSON:
        _write(place, to_json(document()))
    elif place.format is Format.JSONL:
        _write(place, to_jsonl(lines() if lines else [document()]))
    elif table is None:
        raise SettingError(
            f"--format {place.format} is for rows of numbers, and this is a text; choose table, "
            "json or jsonl"
        )
    elif place.format is Format.CSV:
        _write(place, to_csv(*table()))
    else:
        _write(place, to_markdown(*table()))


def _write(place: Place, text: str) -> None:
    if not place.to_stdout and place.output is not None:
        write_whole(place.output, text.encode(), force=place.force)
        note(f"wrote {place.output}")
        return
    write_stdout(text)


class ReaderGoneError(Exception):
    """Whoever read stdout has left. Typer would turn the ``BrokenPipeError`` into exit code 1."""


def require_stdout() -> None:
    """Refuse, before anything is computed, a stdout that is closed."""
    if sys.stdout is None:
        raise OutputError("stdout is closed; open it, or name a file with -o FILE")


def write_stdout(text: str) -> None:
    """Write a result to stdout, all of it or an error.

    Where Python runs unbuffered its text layer drops what a full disk or a leaving reader did not
    take, so the bytes are written here until none is left.
    """
    require_stdout()
    if not isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    left = memoryview(text.encode(sys.stdout.encoding, sys.stdout.errors or "strict"))
    try:
        while left:
            left = left[sys.stdout.buffer.write(left) :]
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def _page_text(place: Place, page: "Callable[[Screen], RenderableType]") -> str:
    from rich.console import Console

    terminal = place.to_stdout and sys.stdout is not None and sys.stdout.isatty()
    wanted = terminal and not os.environ.get("NO_COLOR")
    colored = {Color.ALWAYS: True, Color.NEVER: False}.get(place.color, wanted)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=colored,
        no_color=not colored,
        color_system="standard" if place.color is Color.ALWAYS else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.width = max(console.width, NARROWEST)
    unicode = not place.to_stdout or _speaks_unicode()
    # A command to be copied stays on one line, however long; all else is folded to the width.
    console.print(page(Screen(console.width, unicode)), crop=False)
    lines = (line.rstrip() for line in buffer.getvalue().splitlines())
    return "\n".join(lines) + "\n"


def _speaks_unicode() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "") == "utf8"


def note(text: str) -> None:
    """Say one line on stderr; where it cannot be said, the result does not suffer for it."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        detach_stream(sys.stderr)


def detach_stream(stream: TextIO) -> None:
    """Point a broken stream nowhere, so that the interpreter's last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on stderr where that is a terminal; yields what to call after each of ``total``
    steps.
    """
    if sys.stderr is None or not sys.stderr.isatty() or not total:
        yield lambda _text: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total, text="")
        yield lambda text: progress.update(task, advance=1, text=text)
