"""Files that appear whole or not at all: written beside their place and renamed into it."""

import os
from pathlib import Path

from gradscope.errors import OutputError


def require_free(path: Path, *, force: bool) -> None:
    """Refuse a place that cannot be written, before anything is computed: OutputError if the file
    exists (and ``force`` is off), is a folder, or its folder is missing or closed.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        remedy = "create it first, or choose another place"
        raise OutputError(f"{path.parent} is not a folder; {remedy}")
    if not _is_ordinary(path):
        return
    if path.exists() and not force:
        raise OutputError(f"{path} already exists; choose another name, or --force to replace it")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path.parent} is not writable; choose another place")


def write_whole(path: Path, content: bytes, *, force: bool) -> None:
    """Write a file under a temporary name and rename it, so that no partial file is ever seen.

    OutputError if it may not or cannot be written; what was there before is left as it was.
    """
    require_free(path, force=force)
    try:
        if not _is_ordinary(path):
            path.write_bytes(content)
            return
        place = path.resolve()
        beside = place.with_name(f".{place.name}.{os.getpid()}.part")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        fault = f"cannot be written: {error.strerror or error}"
        remedy = "free some space, or choose another place"
        raise OutputError(f"{path} {fault}; {remedy}") from error


def _is_ordinary(path: Path) -> bool:
    """Whether the place is free or holds a regular file, not a device or a pipe."""
    return not path.exists() or path.is_file()
