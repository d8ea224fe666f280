"""The settings that a person gives, in layers: flag over ``GRADSCOPE_*`` variable over TOML file.

Typer has put flags over variables already; both arrive in ``given``. A saved run or a file of
weights answers for the rest in ``analysis.prepare``.
"""

from pathlib import Path
from typing import Any

from gradscope.analysis.settings import check_names
from gradscope.cli.options import Given
from gradscope.errors import SettingError


def layered_values(
    given: Given, config: Path | None, *, defaults: Given, load: str | None = None
) -> Given:
    """Return the values that a command was given, by the name of the setting; ``defaults`` are for
    a network that is drawn.
    """
    values = {**settings_in(read_toml(config), config), **given}
    if load is not None:
        values["load"] = load
    saved, weights = values.get("load"), values.get("weights")
    if saved is None:
        return values if weights is not None else {**defaults, **values}
    if not isinstance(saved, str):
        raise SettingError(f"--load is {saved!r}; name a file written by --save")
    if weights is not None:
        raise SettingError(
            f"--load {saved} and the weights {weights} are both given; choose one network"
        )
    return values


def settings_in(content: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Return the settings in a TOML file's content; hyphens in names count as underscores.

    A table ``[sweep]`` holds the axes of a sweep, and is no setting.
    """
    values = {name: value for name, value in content.items() if name != "sweep"}
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
