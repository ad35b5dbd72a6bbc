"""Print the lowest versions that pyproject.toml claims, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
# What a person installs; tools of tests and benchmarks are as they are on the day.
EXTRAS = ("parquet", "sklearn", "tuning")


def requirements() -> list[str]:
    """Return the requirements of the package and of the extras that there are."""
    found = list(PROJECT["dependencies"])
    for extra in EXTRAS:
        found += PROJECT["optional-dependencies"].get(extra, [])
    return found


def lowest(requirement: str) -> str:
    """Return the pin of a requirement's lower bound."""
    parts = re.fullmatch(r"([\w-]+)(?:\[.*?\])?>=([\d.]+)(?:,<[\d.]+)?", requirement)
    if parts is None:
        raise ValueError(
            f"{requirement!r} has no lower bound; write NAME>=VERSION or NAME>=VERSION,<VERSION"
        )
    return f"{parts[1]}=={parts[2]}"


if __name__ == "__main__":
    print(*map(lowest, requirements()), sep="\n")
