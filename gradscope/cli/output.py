"""Where results go: answers to stdout or ``-o``, pictures and runs to files, notes to stderr."""

import io
import logging
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gradscope.cli.options import Color, Format
from gradscope.errors import OutputError, SettingError
from gradscope.progress import SHOWN, progress
from gradscope.report.figures.panels import REPORT, View, picture_suffix
from gradscope.report.files import require_free, write_whole
from gradscope.report.screen import HEIGHT, NARROWEST, Screen, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

STDOUT = Path("-")
BAR_AFTER, REFRESH = 1.0, 0.2
"""Seconds after which a bar is shown, and then until it is drawn again."""


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where a result goes, and how it looks; ``view`` is that of its pictures, ``complete`` adds to
    its document.
    """

    format: Format
    output: Path | None = None
    color: Color = Color.AUTO
    force: bool = False
    full: bool = False
    complete: "Callable[[Mapping[str, Any]], Mapping[str, Any]] | None" = None
    view: View = REPORT

    @property
    def to_stdout(self) -> bool:
        """Whether the result goes to stdout."""
        return self.output in (None, STDOUT)

    def prepare(self, *files: Path | None, figures: Sequence[Path] | None = None) -> None:
        """Refuse, before anything is computed, places that could not be written at the end."""
        if self.to_stdout:
            require_stdout()
        for figure in figures or ():
            picture_suffix(figure)
        named = (self.output, *files, *(figures or ()))
        wanted = [path for path in named if path is not None and path != STDOUT]
        places = [path.resolve() for path in wanted]
        for path, place in zip(wanted, places, strict=True):
            if places.count(place) > 1:
                raise OutputError(f"{path} is named for two outputs; give each its own file")
            require_free(path, force=self.force)


def choose_format(choice: Format | None, json: bool, output: Path | None) -> Format:
    """Return the format asked for; a file's ending decides where nothing was said."""
    if json and choice not in (None, Format.JSON):
        raise SettingError(f"--json and --format {choice} are both given; choose one")
    if json:
        return Format.JSON
    ending = output.suffix.lower().removeprefix(".") if output else ""
    by_name = Format(ending) if ending in list(Format) else Format.TABLE
    return choice or by_name


Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Columns and rows."""


def show(
    place: Place,
    result: Sequence[Any],
    page: "Callable[..., RenderableType]",
    document: Callable[..., Mapping[str, Any]],
    table: Callable[..., Table] | None = None,
    lines: Callable[..., Iterable[Mapping[str, Any]]] | None = None,
) -> None:
    """Write a result in the format asked for: the terminal page (which takes the screen too), the
    JSON document, the table (None for a text), or the documents of JSONL, by default the one.
    """
    from gradscope.report.formats import to_csv, to_json, to_jsonl, to_markdown

    asked = place.format is Format.JSON or (place.format is Format.JSONL and lines is None)
    made = document(*result) if place.complete or asked else {}
    made = place.complete(made) if place.complete else made
    if place.format is Format.TABLE:
        text = _page_text(place, partial(page, *result))
    elif place.format is Format.JSON:
        text = to_json(made)
    elif place.format is Format.JSONL:
        text = to_jsonl(lines(*result) if lines else [made])
    elif table is None:
        fault = "is for rows of numbers, and this is a text; choose table, json or jsonl"
        raise SettingError(f"--format {place.format} {fault}")
    elif place.format is Format.CSV:
        text = to_csv(*table(*result))
    else:
        text = to_markdown(*table(*result))
    write_result(place.output, text.encode(), force=place.force)


def write_result(output: Path | None, content: bytes, *, force: bool) -> None:
    """Write a result to its file, or to stdout."""
    if output is None or output == STDOUT:
        write_stdout(content.decode())
    else:
        write_file(output, content, force=force)


def write_file(path: Path, content: bytes, *, force: bool) -> None:
    """Write a file whole and report it on stderr."""
    write_whole(path, content, force=force)
    note(f"wrote {path}")


def append(path: Path, text: str) -> None:
    """Append text to a file; OutputError where that cannot be done."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another") from error


def write_figures(
    place: Place, figures: Sequence[Path] | None, draw: Callable[[str], bytes]
) -> None:
    """Write a picture to each of its files, in the format of the file's ending."""
    if figures:
        from gradscope.report.figures.pages import VIEW

        earlier = VIEW.set(place.view)
        try:
            for figure in figures:
                write_file(figure, draw(picture_suffix(figure)), force=place.force)
        finally:
            VIEW.reset(earlier)


class ReaderGoneError(Exception):
    """The reader of stdout is gone. Typer would turn the ``BrokenPipeError`` into exit code 1."""


def require_stdout() -> None:
    """Refuse, before anything is computed, a stdout that is closed."""
    if sys.stdout is None:
        raise OutputError("stdout is closed; open it, or name a file with -o FILE")


def write_stdout(text: str) -> None:
    """Write a result to stdout, all of it or an error."""
    require_stdout()
    if not isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    # Unbuffered, Python's text layer drops bytes that a full disk or a closed pipe did not take.
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
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    unicode = not place.to_stdout or encoding.lower().replace("-", "") == "utf8"
    # A command to be copied stays on one line, however long; all else is folded to the width.
    lines = console.height - 1 if terminal else HEIGHT  # The prompt takes one.
    screen = Screen(console.width, unicode, min(lines, HEIGHT), place.full)
    console.print(page(screen), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def note(text: str) -> None:
    """Write one line to stderr; a stderr that cannot take it does not fail the command."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        detach_stream(sys.stderr)


def detach_stream(stream: TextIO) -> None:
    """Redirect a broken stream to the null device, so that Python's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def keep_stderr_for_notes() -> None:
    """Keep off stderr what libraries, in whatever language, and their processes write there; not
    with ``--debug``, nor where Python's own ``-W`` asks for warnings.
    """
    if sys.warnoptions or "--debug" in sys.argv:
        return
    logging.disable()
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    if sys.stderr is not None:
        sys.stderr = os.fdopen(os.dup(2), "w", 1, sys.stderr.encoding, sys.stderr.errors)
    os.dup2(null, 2)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str], None]]:
    """Show after a second, on a stderr that is a terminal, how far the work within is, and the time
    left of it (``gradscope.progress``). Yields what puts a text beside the bar.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich import progress as bars
    from rich.console import Console

    words = ("{task.description}", "{task.fields[text]}", "{task.fields[left]}")
    texts = (bars.TextColumn(each, markup=False) for each in words)
    clock, console = (bars.TimeElapsedColumn(), "so far"), Console(stderr=True)
    shown = bars.Progress(*texts, bars.BarColumn(20), *clock, console=console, transient=True)
    task, ended = shown.add_task(title, total=1.0, text="", left=""), threading.Event()

    def follow() -> None:
        while not ended.wait(REFRESH if shown.live.is_started else BAR_AFTER):
            what, share, left = progress() or (title, 0.0, math.inf)
            known = f"{timedelta(seconds=round(left))} left," if left < math.inf else ""
            shown.update(task, description=what, completed=share, left=known)
            shown.start()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    SHOWN.set()
    try:
        yield lambda text: shown.update(task, text=printable(text))
    finally:
        SHOWN.clear()
        ended.set()
        follower.join()
        shown.stop()
