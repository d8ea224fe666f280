"""A Keras model: ``.keras`` (Keras 3), ``.weights.h5``, and the older ``.h5``.

``.keras`` is a zip of ``config.json`` and ``model.weights.h5``; the others are HDF5, the oldest
with the configuration in an attribute. Nothing in the configuration is built or run. What the
arrays mean is in ``layers.keras_names``. Source: Keras 3, ``saving/saving_lib.py`` and
``legacy/saving/legacy_h5_format.py``.
"""

from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.intake import ZipMembers
from gradscope.weights.files.contents import Gathering
from gradscope.weights.files.hdf5 import attribute, may_be_read, open_hdf5

REMEDY = "save it again: model.save('model.keras')"


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every array, named by its path within the HDF5 file; return the model's ``config``, its
    ``keras_version`` and, under ``names``, the layer's name for each group of variables.
    WeightsError if a part is missing, or h5py is not installed.
    """
    zipped = file.read(2) == b"PK"
    file.seek(0)
    if zipped:
        members = ZipMembers(file, gathering)
        config = gathering.parsed_json(members.read("config.json"))
        about = _gather_hdf5(BytesIO(members.read("model.weights.h5")), gathering)
        if "metadata.json" in members.names:
            metadata = gathering.parsed_json(members.read("metadata.json"))
            about |= metadata if isinstance(metadata, dict) else {}
    else:
        about = _gather_hdf5(file, gathering)
        text = about["model_config"]
        config = gathering.parsed_json(text.encode()) if text else None
    return {**about, "config": config}


def _gather_hdf5(source: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Gather every array of an HDF5 file; return ``names`` of layers, and what is said of them."""
    names: dict[str, str] = {}
    with open_hdf5(source, "weights", gathering) as (file, data_sets):
        for name, data_set in data_sets:
            group = name.rpartition("/")[0]
            layer = attribute(data_set.parent, "name") if group else None
            if layer is not None:
                names[group] = layer
            if data_set.dtype.kind not in "biuf":
                gathering.skip(name, data_set.dtype.name)
            elif may_be_read(name, data_set, gathering):
                gathering.keep(name, np.asarray(data_set))
        said = {each: attribute(file, each) for each in ("model_config", "keras_version")}
        return {"names": names, **said}
