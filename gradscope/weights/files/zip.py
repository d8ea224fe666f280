"""A zip archive whose members are checked before they are unpacked: names, number, size, method.

PyTorch, Keras and NumPy all save into one. Nothing is ever written to disk. Source: PKWARE's
APPNOTE 6.3.10; the bombs that the limits are for: Fifield (2019), "A better zip bomb".
"""

import zipfile
from pathlib import PurePosixPath
from typing import BinaryIO

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import MAX_ARRAYS, Gathering

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1


class ZipMembers:
    """The members of an archive, each read at most as far as it says it goes."""

    def __init__(self, file: BinaryIO, gathering: Gathering) -> None:
        self._gathering = gathering
        self._archive = zipfile.ZipFile(file)
        entries = self._archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise WeightsError(
                f"it has {len(entries)} members, but {MAX_ARRAYS} is the most; save the "
                "recurrent weights alone"
            )
        self._entries = {entry.filename: entry for entry in entries if not entry.is_dir()}
        for entry in entries:
            name, place = quoted(entry.filename), PurePosixPath(entry.filename.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts or ":" in entry.filename:
                fault = "points out of the archive; do not trust this file"
                raise WeightsError(f"the member {name} {fault}")
            if entry.compress_size > gathering.size:
                raise WeightsError(
                    f"{name} is said to take {entry.compress_size} bytes, more than the file has; "
                    "it is cut short or damaged: save it again"
                )
            if entry.flag_bits & ENCRYPTED or entry.compress_type not in METHODS:
                raise WeightsError(
                    f"{name} is encrypted or packed by method {entry.compress_type}; save it "
                    "stored or deflated (methods 0 and 8)"
                )
        if len({entry.filename for entry in entries}) < len(entries):
            raise WeightsError("it holds a member twice; save the weights again")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members but folders, in the order of the archive."""
        return tuple(self._entries)

    def read(self, name: str, at_most: int | None = None) -> bytes:
        """Return a member's bytes, counted against the budget first. WeightsError if there is no
        such member, or it is declared longer than ``at_most`` bytes or than the budget allows.
        """
        member = quoted(name)
        if name not in self._entries:
            raise WeightsError(f"it has no member {member}; the file is damaged: save it again")
        size = self._entries[name].file_size
        if at_most is not None and size > at_most:
            sizes = f"{member} has {size} bytes, but {at_most} is the most"
            raise WeightsError(f"{sizes}; save the recurrent weights alone")
        self._gathering.spend(size, name)
        return self._archive.read(name)
