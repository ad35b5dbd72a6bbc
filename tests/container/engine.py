"""Containers, in the words that tests need."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

# The repository: what the image is built from.
ROOT = Path(__file__).parents[2]
# Longer than anything takes here, a build without a cache included: what hangs must not hang the whole run.
PATIENCE_SECONDS = 600


def docker(*words: str) -> str:
    """What a docker command that succeeds prints, stderr among it."""
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
    """Whether a model is served there."""
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
        """Exit code, once it has ended."""
        return int(docker("wait", self.name))

    def stop(self, seconds: int) -> tuple[int, float]:
        """Exit code after SIGTERM (137 if SIGKILL had to follow after `seconds`), and the seconds it took."""
        begin = time.monotonic()
        docker("stop", "--time", str(seconds), self.name)
        return self.status(), time.monotonic() - begin

    def python(self, program: str) -> str:
        """What a Python program prints in it."""
        return docker("exec", self.name, "python", "-c", program)

    def processes(self) -> list[tuple[int, int, str]]:
        """Process, parent and command line of all that runs in it."""
        program = (
            "import pathlib\n"
            "for folder in pathlib.Path('/proc').glob('[0-9]*'):\n"
            "    parent = (folder / 'stat').read_text().rpartition(')')[2].split()[1]\n"
            "    print(folder.name, parent, *(folder / 'cmdline').read_text().replace('\\0', ' ').split())\n"
        )
        fields = [line.split(" ", 2) for line in self.python(program).splitlines()]
        return [(int(process), int(parent), command) for process, parent, command in fields]

    def url(self, port: int = 8080) -> str:
        """Where what it publishes of `port` is found on this machine."""
        return f"http://{docker('port', self.name, f'{port}/tcp').splitlines()[0]}"
