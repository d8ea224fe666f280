"""A Keras model: ``.keras`` (Keras 3), ``.weights.h5``, and the older ``.h5``.

``.keras`` is a zip of ``config.json`` and ``model.weights.h5``; the others are HDF5, the oldest
with the configuration in an attribute. Nothing in the configuration is built or run. What the
arrays mean is in ``layers.keras_names``. Source: Keras 3, ``saving/saving_lib.py`` and
``legacy/saving/legacy_h5_format.py``.
"""

import json
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gradscope.weights.files.contents import Gathering
from gradscope.weights.files.hdf5 import open_hdf5
from gradscope.weights.files.zip import ZipMembers

REMEDY = "save it again: model.save('model.keras')"
LONGEST_CONFIG = 32 * 2**20


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every array, named by its path within the HDF5 file; return the model's ``config``, its
    ``keras_version`` and, under ``names``, the layer's name for each group of variables.
    WeightsError if a part is missing, or h5py is not installed.
    """
    zipped = file.read(2) == b"PK"
    file.seek(0)
    if zipped:
        members = ZipMembers(file, gathering)
        config = json.loads(members.read("config.json", LONGEST_CONFIG))
        about = _gather_hdf5(BytesIO(members.read("model.weights.h5")), gathering)
        if "metadata.json" in members.names:
            metadata = json.loads(members.read("metadata.json", LONGEST_CONFIG))
            about |= metadata if isinstance(metadata, dict) else {}
    else:
        about = _gather_hdf5(file, gathering)
        config = json.loads(about["model_config"] or "null")
    return {**about, "config": config}


def _gather_hdf5(source: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Gather every array of an HDF5 file; return ``names`` of layers, and what is said of them."""
    names: dict[str, str] = {}
    with open_hdf5(source, "weights") as (file, data_sets):
        for name, data_set in data_sets:
            group = name.rpartition("/")[0]
            if group and "name" in data_set.parent.attrs:
                names[group] = _text(data_set.parent.attrs["name"]) or ""
            if data_set.dtype.kind not in "biuf":
                gathering.skip(name, str(data_set.dtype))
                continue
            gathering.spend(data_set.nbytes, name)
            gathering.keep(name, np.asarray(data_set))
        said = {each: _text(file.attrs.get(each)) for each in ("model_config", "keras_version")}
        return {"names": names, **said}


def _text(value: Any) -> str | None:
    """Return an attribute as text, None where it is none."""
    text = value.decode() if isinstance(value, bytes) else value
    return text if isinstance(text, str) else None
