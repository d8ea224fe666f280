"""A Keras model: ``.keras`` (Keras 3), ``.weights.h5``, and the older ``.h5``.

``.keras`` is a zip of ``config.json`` and ``model.weights.h5``; the others are HDF5, the oldest
with the configuration in an attribute. Nothing in the configuration is built or run. What the
arrays mean is in ``layers.keras_names``. Source: Keras 3, ``saving/saving_lib.py`` and
``legacy/saving/legacy_h5_format.py``.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gradscope.weights.files.contents import FileFormat, Gathering, WeightFile, needing, reading
from gradscope.weights.files.hdf5 import data_sets, open_hdf5
from gradscope.weights.files.zip import open_members

KIND = "a Keras model"
REMEDY = "save it again: model.save('model.keras')"
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER = "config.json"
LONGEST_CONFIG = 32 * 2**20


def read_keras(path: Path, file: BinaryIO) -> WeightFile:
    """Read every array of a ``.keras`` archive, named by its path within the HDF5 file.

    ``about`` holds the model's ``config`` and, under ``names``, the layer's name for each group of
    variables. Raises WeightsError if the file is damaged, or h5py is not installed.
    """
    gathering = Gathering(path)
    with open_members(path, file, gathering.budget, KIND, REMEDY) as members:
        config = json.loads(members.read(CONFIG_MEMBER, LONGEST_CONFIG))
        inner = members.read(WEIGHTS_MEMBER)
        names = _gather(BytesIO(inner), gathering)[0]
    return gathering.finish(FileFormat.KERAS, {"config": config, "names": names})


def read_keras_h5(path: Path, file: BinaryIO) -> WeightFile:
    """Read every array of a ``.weights.h5`` or legacy ``.h5`` file; see ``read_keras``."""
    gathering = Gathering(path)
    with reading(path, KIND, REMEDY):
        names, text = _gather(file, gathering)
        config = json.loads(text) if text else None
    return gathering.finish(FileFormat.KERAS, {"config": config, "names": names})


def _gather(source: BinaryIO, gathering: Gathering) -> tuple[dict[str, str], str | None]:
    """Gather every array of an HDF5 file; return names of layers, and the configuration if any."""
    with needing("h5py", "weights"):
        import h5py  # type: ignore[import-untyped]
    names: dict[str, str] = {}
    with open_hdf5(h5py, source) as file:
        for name, data_set in data_sets(h5py, file):
            group = name.rpartition("/")[0]
            if group and "name" in data_set.parent.attrs:
                names[group] = _text(data_set.parent.attrs["name"]) or ""
            if data_set.dtype.kind not in "biuf":
                gathering.skip(name, str(data_set.dtype))
                continue
            gathering.budget.spend(data_set.nbytes, name)
            gathering.keep(name, np.asarray(data_set))
        return names, _text(file.attrs.get("model_config"))


def _text(value: Any) -> str | None:
    """Return an attribute as text, None where it is none."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else None
