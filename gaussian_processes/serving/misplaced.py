"""Models that lie where `serve` does not look: a folder further down, or still in their archive."""

from itertools import chain, islice
from pathlib import Path

# File that every model has.
MODEL_FILE = "model.json"
# Depths below the folder of the model at which one is looked for, and files that are looked at.
PATTERNS = ("*/model.json", "*/*/model.json", "*.tar.gz", "*.tgz", "*/*.tar.gz", "*.tar", "*.zip")
MAX_FILES = 1_000


def misplaced_model(folder: Path) -> str:
    """Sentence that says where a model lies which is not in the folder itself; "" if none does."""
    if (folder / MODEL_FILE).exists():
        return ""
    listings = (sorted(islice(folder.glob(pattern), MAX_FILES)) for pattern in PATTERNS)
    found = next(chain.from_iterable(listings), None)
    if found is None:
        return ""
    if found.name == MODEL_FILE:
        return (
            f"{folder} has no {MODEL_FILE}, but {found.parent} has one; pack the files of the model"
            " without the folder around them"
        )
    return (
        f"{folder} has no {MODEL_FILE}, but the archive {found}; unpack it there"
        f" (tar --extract --file {found.name})"
    )
