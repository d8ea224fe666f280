"""Code of a person's own, typed as ``FILE.py:NAME``: what its step, cell or model comes to."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradscope.analysis.setting_values import Group
from gradscope.analysis.settings import flag, settings_of
from gradscope.cli.options import Given
from gradscope.cli.output import Place, note, show
from gradscope.errors import SettingError
from gradscope.frameworks.code import leaves, made_in, ran

if TYPE_CHECKING:
    from gradscope.analysis.results import Analysis
    from gradscope.data.intake import AnyArray
    from gradscope.torch.mixers import MixerStudy

READ = ("data", "column", "batch_first", "missing", "steps", "sequences")
OF_MODEL = ("weights", "data", "column", "batch_first", "missing", "required_lag")
OF_CODE = (*READ, "weights", *settings_of(Group.JUDGING), *settings_of(Group.DETAILS))
"""Settings that say how its data are read, those that a model may be given, and other code."""


def study_code(asked: Given) -> "Analysis | MixerStudy":
    """Run a person's code, and study on their data what its function returns: a cell or a model of
    PyTorch, or a pair of a step of PyTorch or JAX and its initial state. Raises SettingError, in
    one line, where the code fails.
    """
    typed = str(asked["weights"])
    file, _, name = typed.rpartition(":")
    path = Path(file)
    if wrong := [each for each in asked if each not in OF_CODE]:
        raise SettingError(f"{flag(wrong[0])} is not for code of your own; leave it out")
    if asked.get("data") is None:
        raise SettingError(f"{typed} is studied on data of yours; give --data FILE")
    if not path.is_file():
        raise SettingError(f"{path} is no file; give the FILE.py that defines {name}")
    from gradscope.data.recordings import Layout, read_array

    data, first = Path(asked["data"]), bool(asked.get("batch_first"))
    layout = Layout(first, tuple(asked.get("column", ())), asked.get("missing", "refuse"))
    array = read_array(data, layout, "--data")
    note(f"gradscope runs the Python in {path} ({name})")
    made = ran(path, lambda: made_in(path, name))
    step, *state = made if isinstance(made, tuple) else (made,)
    if len(state) > 1:
        raise SettingError(f"{typed} returns {len(made)} things; return a step and its first state")
    if not state and hasattr(step, "named_modules"):
        from gradscope.torch.mixers import mixers_of, study_mixers

        if mixers_of(step):
            if wrong := [each for each in asked if each not in OF_MODEL]:
                raise SettingError(f"{flag(wrong[0])} is not for a model; leave it out")
            given = array if first else array.swapaxes(0, 1)  # A model takes sequences first.
            lag = asked.get("required_lag")
            return ran(path, lambda: study_mixers(step, given, required_lag=lag))
    inputs = _inputs(array, data, asked)
    of_study = {name: value for name, value in asked.items() if name not in READ[1:]}
    if any(type(leaf).__module__.startswith("jax") for leaf in leaves(state)):
        from gradscope.jax import study as study_jax

        return ran(path, lambda: study_jax(step, state[0], inputs, **of_study))
    try:
        from gradscope.torch import study
    except ImportError as error:
        raise SettingError(str(error)) from error
    parts = (*state, inputs, None)  # A cell is given with its inputs alone.
    return ran(path, lambda: study(step, parts[0], parts[1], **of_study))


def _inputs(array: "AnyArray", path: Path, asked: Given) -> "AnyArray":
    """Return inputs (T,B,D), or ids (T,B), in as many steps and sequences as were asked for."""
    from gradscope.data.recordings import cut, sequences

    first = bool(asked.get("batch_first"))
    ids = array.dtype.kind == "i" and array.ndim == 2  # As of a file of weights.
    whole = array[..., None] if ids else array
    if ids and first:
        whole = whole.swapaxes(0, 1)
    values = sequences(whole, path, batch_first=first and not ids)
    found = cut(values, None, asked.get("steps"), asked.get("sequences"))
    inputs = found.inputs.astype(array.dtype)
    return inputs[..., 0] if ids else inputs


def show_mixers(place: Place, found: "MixerStudy", asked: Given, others: Mapping[str, Any]) -> None:
    """Show what the state-space layers of a model hold; ``others`` are asked of one recurrence."""
    if wrong := [name for name, value in others.items() if value]:
        raise SettingError(f"{wrong[0]} is for one recurrence, and a model has many; leave it out")
    from rich.text import Text

    from gradscope.report.formats import head

    show(
        place,
        (found,),
        lambda study, screen: Text("\n".join(map(screen.say, repr(study).splitlines()))),
        lambda study: {**head("mixers", asked), **study.as_dict()},
        lambda study: study.table,
    )
