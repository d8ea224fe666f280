"""A NumPy archive (``.npz``): named arrays, of which none is unpickled.

gradscope's saved runs, PsychRNN's, and any other. What needs pickle (PsychRNN's ``dale_ratio`` of
None) is left out.
"""

from contextlib import suppress
from typing import Any, BinaryIO

from gradscope.data.intake import ZipMembers
from gradscope.weights.files.contents import Gathering

REMEDY = "save it again: numpy.savez('weights.npz', W=W, U=U, b=b)"
SETTINGS = "settings"
KINDS = {"O": "objects, which NumPy pickles", "U": "text", "S": "text"}


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every array of real numbers; return the ``settings`` of a saved run. WeightsError if an
    array is declared larger than its bytes.
    """
    about: dict[str, Any] = {}
    members = ZipMembers(file, gathering)
    for member in members.names:
        name = member.removesuffix(".npy")
        if not gathering.admits(name, members.size(member)):
            continue
        array = gathering.array(members.read(member), name)
        if array.dtype.kind in "biuf":
            gathering.keep(name, array)
        else:
            gathering.spend(members.size(member), name)
            gathering.skip(name, KINDS.get(array.dtype.kind, array.dtype.name))
            if name == SETTINGS:
                with suppress(ValueError):  # It may be another program's text.
                    values = gathering.parsed_json(array)
                    about |= {SETTINGS: values} if isinstance(values, dict) else {}
    return about
