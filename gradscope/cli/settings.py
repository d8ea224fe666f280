"""Settings in layers: flag over ``GRADSCOPE_*`` variable over TOML file over saved run over
default.

Typer has put flags over variables already; both arrive in ``given``.
"""

from pathlib import Path
from typing import Any

from gradscope.analysis.settings import Settings, check_names
from gradscope.cli.options import Given
from gradscope.errors import SettingError


def layered_settings(
    given: Given, config: Path | None, *, defaults: Given, load: str | None = None
) -> Settings:
    """Return the validated settings of a command."""
    layered = {**read_config(config), **given}
    load = load or layered.pop("load", None)
    if load is not None and not isinstance(load, str):
        raise SettingError(f"--load is {load!r}; name a file written by --save")
    weights = layered.get("weights")
    if load is None and weights is None:
        return Settings.from_dict({**defaults, **layered}, "settings")
    if load is None:
        from gradscope.analysis.imported import settings_of_weights

        return settings_of_weights(layered)
    if weights is not None:
        raise SettingError(
            f"--load {load} and the weights {weights} are both given; choose one network"
        )
    from gradscope.analysis.archive import settings_of_saved

    return settings_of_saved(load, layered)


def read_config(path: Path | None) -> dict[str, Any]:
    """Return the settings of a TOML file; hyphens in names count as underscores.

    A table ``[sweep]`` holds the axes of a sweep, and is no setting.
    """
    values = {name: value for name, value in read_toml(path).items() if name != "sweep"}
    settings = {name.replace("-", "_"): value for name, value in values.items()}
    check_names(settings, f"--config {path}")
    return settings


def read_toml(path: Path | None) -> dict[str, Any]:
    """Return the content of a TOML file, nothing for no file."""
    if path is None:
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"--config {path} cannot be read: {error.strerror}; check the name"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"--config {path} is not valid TOML: {error}; correct the file"
        ) from error
