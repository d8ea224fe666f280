"""Chromium, driven over its own pipe: a page is used as a person uses it, with keys and clicks."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
MARGIN = 100
"""File descriptors from here on are free of those that the program has under fixed numbers."""

LEFT = {"button": "left", "clickCount": 1}
PLACE = """(() => {
  const found = document.querySelector(%s);
  found.scrollIntoView({ block: "center" });
  const { left, top, width, height } = found.getBoundingClientRect();
  return [left + width / 2, top + height / 2];
})()"""


class Browser:
    """One page of a running Chromium: commands go through one pipe, answers and events come
    through the other, each ended by a zero byte.
    """

    def __init__(self, commands: IO[bytes], answers: IO[bytes], downloads: Path) -> None:
        self._commands, self._answers = commands, answers
        self._sent, self._unread = 0, b""
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self.send("Browser.grantPermissions", permissions=allowed)
        saving = {"behavior": "allow", "downloadPath": str(downloads), "eventsEnabled": True}
        self.send("Browser.setDownloadBehavior", **saving)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        opened = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": opened["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": params, **self._session}
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        while (found := self._message()).get("id") != self._sent:
            self.events.append(found)
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    def wait(self, event: str, **of: str) -> dict[str, Any]:
        """Return what the next event of a name, with these fields, says."""
        while True:
            for at, each in enumerate(self.events):
                if each["method"] == event and of.items() <= each["params"].items():
                    return self.events.pop(at)["params"]  # type: ignore[no-any-return]
            self.events.append(self._message())

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = os.read(self._answers.fileno(), 2**16)
            assert more, "chromium has ended"
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, page: Path, place: str = "") -> None:
        """Load a page."""
        self.send("Page.navigate", url=page.as_uri() + place)
        self.wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return what a script in the page returns, or what its promise brings."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        x, y = self.run(PLACE % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **LEFT)

    def point(self, selector: str) -> None:
        """Move the pointer over the middle of an element."""
        x, y = self.run(PLACE % json.dumps(selector))
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What the page wrote to the console, and what it threw."""
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [each for each in self.events if each["method"] in told]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with its profile and downloads in a folder, and end it."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    ends = [end for pipe in (os.pipe(), os.pipe()) for end in pipe]
    read, commands, answers, write = ends
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, MARGIN) for end in (read, write)]
    actions = [
        (os.POSIX_SPAWN_DUP2, high[0], 3),
        (os.POSIX_SPAWN_DUP2, high[1], 4),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    flags = (*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}")
    child = os.posix_spawn(CHROMIUM, [CHROMIUM, *flags], os.environ, file_actions=actions)
    for end in (read, write, *high):
        os.close(end)
    try:  # It ends where its pipe does.
        with os.fdopen(commands, "wb") as to, os.fdopen(answers, "rb") as back:
            yield Browser(to, back, folder)
    finally:
        os.waitpid(child, 0)
