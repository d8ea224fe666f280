"""An HDF5 file walked with care: no link out of the file, no data kept elsewhere, no circle.

Keras and MATLAB 7.3 save into it. A data set may declare any size without holding it, so each is
counted before it is read. Source: the HDF5 file format 3.0, sections on links and on external
storage.
"""

from collections.abc import Iterator
from typing import Any

from gradscope.data.columns import shown
from gradscope.errors import WeightsError
from gradscope.weights.contents import MOST_ARRAYS

DEEPEST = 24
"""Groups within groups; a Keras model of models has a dozen."""


def data_sets(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield every data set in a file with its path, in the order of the names.

    Parameters
    ----------
    h5py : module
    file : h5py.File

    Raises
    ------
    WeightsError
        If a link leads out of the file or in a circle, or a data set keeps its numbers elsewhere.
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, file)]
    for _ in range(MOST_ARRAYS * 10):
        if not waiting:
            return
        path, depth, item = waiting.pop()
        if isinstance(item, h5py.Dataset):
            _check_kept_here(path, item)
            yield path, item
        elif isinstance(item, h5py.Group) and depth < DEEPEST:
            below = [(f"{path}/{name}" if path else name, name) for name in item]
            waiting.extend(
                (place, depth + 1, _inside(h5py, item, name)) for place, name in reversed(below)
            )
        elif isinstance(item, h5py.Group):
            break
    raise WeightsError(f"it nests groups more than {DEEPEST} deep, or in a circle; save it again")


def _inside(h5py: Any, group: Any, name: str) -> Any:
    """Return a member of a group that is reached by a link within the file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise WeightsError(
            f"{shown(name)} is a link to elsewhere; copy the numbers into the file itself"
        )
    return group[name]


def _check_kept_here(path: str, data_set: Any) -> None:
    if data_set.external or data_set.is_virtual:
        raise WeightsError(
            f"{shown(path)} keeps its numbers in another file; copy them into the file itself"
        )
