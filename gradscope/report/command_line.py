"""The command that would make a run again, from its settings."""

import shlex
from collections.abc import Mapping
from typing import Any

from gradscope.study.config import Settings
from gradscope.study.setting_values import flag

SAID_OF_WEIGHTS = ("activation", "leak", "state")
"""What a file of weights may leave open, and a command must say even where it is the default."""


def command_line(settings: Settings, command: str = "analyze") -> str:
    """Return what to type: the flags of all settings that differ from their default.

    >>> command_line(Settings(activation="sigmoid", center_bias=True, steps=50))
    'gradscope analyze --activation sigmoid --center-bias --steps 50'
    """
    words = ["gradscope", command]
    defaults: Mapping[str, Any] = Settings().as_dict()
    for name, value in settings.as_dict().items():
        said = settings.weights is not None and name in SAID_OF_WEIGHTS
        if value != defaults[name] or said:
            words += _words(name, value)
    return shlex.join(words)


def _words(name: str, value: Any) -> list[str]:
    if value is True:
        return [flag(name)]
    if value is False:
        return [f"--no-{flag(name)[2:]}"]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (flag(name), str(each))]
