"""The command that would make a run again, from its settings."""

import shlex
from collections.abc import Mapping
from typing import Any

from gradscope.study.config import Settings, flag


def command_line(settings: Settings, command: str = "analyze") -> str:
    """Return what to type: the flags of all settings that differ from their default.

    >>> command_line(Settings(activation="sigmoid", center_bias=True, steps=50))
    'gradscope analyze --activation sigmoid --center-bias --steps 50'
    """
    words = ["gradscope", command]
    defaults: Mapping[str, Any] = Settings().as_dict()
    for name, value in settings.as_dict().items():
        if value != defaults[name]:
            words += _words(name, value)
    return shlex.join(words)


def _words(name: str, value: Any) -> list[str]:
    if value is True:
        return [flag(name)]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (flag(name), str(each))]
