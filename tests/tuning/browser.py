"""Chromium without a window, driven over its DevTools protocol."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Chromium reads commands from descriptor 3 and writes to 4, each message ended by a zero byte: no
# port, no library.
PIPES = 'exec "$@" 3<&"$COMMANDS" 4>&"$ANSWERS"'
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
PATIENCE_SECONDS = 60


class Browser:
    """One page, as a person with a mouse has it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._read = b""
        self._count = 0
        self._session: dict[str, str] = {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = {
            "sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        }

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command; return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            more = self._answers.read(1 << 16)
            assert more, "Chromium has ended"
            self._read += more
        message, self._read = self._read.split(b"\0", 1)
        return json.loads(message)

    def close(self) -> None:
        self("Browser.close")
        self._commands.close()
        self._answers.close()

    def open(self, page: Path) -> None:
        self("Page.navigate", url=page.as_uri())

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        result = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found

    def drag(self, begin: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at one place, move, and let it go at another."""
        middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
        self._mouse("mouseMoved", begin)
        self._mouse("mousePressed", begin, button="left", buttons=1, clickCount=1)
        for place in (middle, end):
            self._mouse("mouseMoved", place, button="left", buttons=1)
        self._mouse("mouseReleased", end, button="left", clickCount=1)

    def click(self, place: tuple[float, float]) -> None:
        self._mouse("mouseMoved", place)
        self._mouse("mousePressed", place, button="left", buttons=1, clickCount=1)
        self._mouse("mouseReleased", place, button="left", clickCount=1)

    def _mouse(self, kind: str, place: tuple[float, float], **more: Any) -> None:
        self("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **more)

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"])


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Browser]:
    """Start a browser, and end it."""
    commands, answers = os.pipe(), os.pipe()
    environment = os.environ | {"COMMANDS": str(commands[0]), "ANSWERS": str(answers[1])}
    process = subprocess.Popen(
        [
            "/bin/bash",
            "-c",
            PIPES,
            "bash",
            program,
            *OPTIONS,
            "--window-size=1200,3000",
            f"--user-data-dir={profile}",
        ],
        env=environment,
        pass_fds=(commands[0], answers[1]),
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    browser = Browser(commands[1], answers[0])
    try:
        yield browser
    finally:
        browser.close()
        process.wait(PATIENCE_SECONDS)
