"""Settings in layers: flag over ``GRADSCOPE_*`` variable over TOML file over saved run over
default.

Typer has put flags over variables already; both arrive in ``given``.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradscope.cli.options import Given
from gradscope.errors import SettingError
from gradscope.study.config import NETWORK_SETTINGS, Settings, check_names, flag


def layered_settings(
    given: Given, config: Path | None, *, defaults: Given, load: str | None = None
) -> Settings:
    """Return the validated settings of a command."""
    layered = {**read_config(config), **given}
    load = load or layered.pop("load", None)
    if load is not None and not isinstance(load, str):
        raise SettingError(f"--load is {load!r}; name a file written by --save")
    if load is None:
        return Settings.from_dict({**defaults, **layered}, "settings")
    return _with_saved_run(layered, load)


def read_config(path: Path | None) -> dict[str, Any]:
    """Return the settings of a TOML file; hyphens in names count as underscores."""
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"--config {path} cannot be read: {error.strerror}; check the name"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"--config {path} is not valid TOML: {error}; correct the file"
        ) from error
    settings = {name.replace("-", "_"): value for name, value in values.items()}
    check_names(settings, f"--config {path}")
    return settings


def _with_saved_run(layered: Mapping[str, Any], load: str) -> Settings:
    """Return the saved run's settings with those given over them; its network cannot be changed."""
    from gradscope.study.archive import load_run

    saved = load_run(Path(load)).settings
    for name in NETWORK_SETTINGS:
        if name in layered and layered[name] != getattr(saved, name):
            raise SettingError(
                f"{flag(name)} {layered[name]} is given, but the network comes from {load}; "
                f"leave {flag(name)} out, or leave --load out"
            )
    return saved.with_changes({"updates": 0, **layered, "load": load})
