"""The Docker engine, containers and their endpoints."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

# The repository: what the image is built from.
ROOT = Path(__file__).parents[2]
# Longer than anything takes here, a build without a cache included: what hangs must not hang the
# whole run.
PATIENCE_SECONDS = 600


def docker(*words: str) -> str:
    """Run a docker command that has to succeed; return its stdout and stderr."""
    done = subprocess.run(
        ["docker", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def wait_for(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Return whether a model is served at an address."""
    try:
        return requests.get(f"{url}/ping", timeout=2).status_code == 200
    except requests.RequestException:
        return False


@dataclass(frozen=True)
class Container:
    """A container that was started."""

    name: str

    def log(self) -> str:
        return docker("logs", self.name)

    def status(self) -> int:
        """Wait for its end, and return the exit code."""
        return int(docker("wait", self.name))

    def stop(self, seconds: int) -> tuple[int, float]:
        """Send SIGTERM; return the exit code (137 if SIGKILL had to follow) and the seconds."""
        begin = time.monotonic()
        docker("stop", "--time", str(seconds), self.name)
        return self.status(), time.monotonic() - begin

    def python(self, program: str) -> str:
        """Run a Python program in it, and return what it prints."""
        return docker("exec", self.name, "python", "-c", program)

    def processes(self) -> list[tuple[int, int, str]]:
        """Return process, parent and command line of every process in it."""
        program = (
            "import pathlib\n"
            "for folder in pathlib.Path('/proc').glob('[0-9]*'):\n"
            "    parent = (folder / 'stat').read_text().rpartition(')')[2].split()[1]\n"
            "    command = (folder / 'cmdline').read_text().replace('\\0', ' ').split()\n"
            "    print(folder.name, parent, *command)\n"
        )
        fields = [line.split(" ", 2) for line in self.python(program).splitlines()]
        return [(int(process), int(parent), command) for process, parent, command in fields]

    def url(self, port: int = 8080) -> str:
        """Return the address on this machine at which `port` is published."""
        return f"http://{docker('port', self.name, f'{port}/tcp').splitlines()[0]}"
