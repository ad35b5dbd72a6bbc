"""Texts of trees with one place changed, and fitted sums: LightGBM's reader ends the process.

What passes the check is read and predicts; each text is read in a process of its own, which must
live.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from gaussian_processes.model import boosting

X = np.random.default_rng(94).normal(size=(40, 3))
COUNT = 400
WORDS = ["-1", "0", "1e400", "nan", "inf", "", "=", " ", "\n", "Tree=", "999999999", "1 2", "\0"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees")
    with pytest.MonkeyPatch.context() as few:
        few.setattr(boosting, "ROUNDS", 5)
        trees = boosting.BoostedTrees()
        trees.fit(X, np.sin(2 * X[:, 0]) + X[:, 1], np.ones(40))
    trees.save(folder)
    return (folder / boosting.MODEL_FILE).read_text()


def mutate(text, rng):
    """Change a character, lose or repeat a piece, or put a word in its place."""
    at = int(rng.integers(len(text)))
    end = min(len(text), at + int(rng.integers(1, 9)))
    changed = [
        chr(int(rng.integers(1, 127))) + text[at + 1 :],
        str(rng.integers(10)) + text[at + 1 :],
        text[end:],
        text[at:end] + text[at:],
        WORDS[int(rng.integers(len(WORDS)))] + text[end:],
        "",
    ]
    found = text[:at] + changed[int(rng.integers(len(changed)))]
    # Half of all keep the sizes that the header says, as a forger would.
    return with_sizes(found) if rng.integers(2) else found


def with_sizes(text):
    head, *trees = text.split("Tree=")
    sizes = [len("Tree=" + tree.removesuffix(boosting.END)) for tree in trees]
    lines = [
        f"tree_sizes={' '.join(map(str, sizes))}" if line.startswith("tree_sizes") else line
        for line in head.split("\n")
    ]
    return "Tree=".join(["\n".join(lines), *trees])


READ_ALL = """
import json, pathlib, sys
import numpy as np
from gaussian_processes.model.boosting import BoostedTrees

rows = np.array(json.load(sys.stdin))
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        print(json.dumps(BoostedTrees.load(folder).predict(rows).tolist()))
    except ValueError:
        print("null")
"""


def test_a_forged_text_is_refused_or_predicts(text, tmp_path):
    rng = np.random.default_rng(95)
    for number in range(COUNT):
        (tmp_path / f"{number:03}").mkdir()
        (tmp_path / f"{number:03}" / boosting.MODEL_FILE).write_text(mutate(text, rng))

    reader = subprocess.run(
        [sys.executable, "-c", READ_ALL, tmp_path],
        input=json.dumps(X.tolist()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert reader.returncode == 0, reader.stderr
    answers = [json.loads(line) for line in reader.stdout.splitlines() if line[0] in "n["]
    read = [values for values in answers if values]
    assert len(answers) == COUNT
    assert 0 < len(read) < COUNT / 2
    assert np.isfinite(read).all()


def test_sizes_that_were_fitted_leave_the_text_as_it_is(text):
    assert with_sizes(text) == text
