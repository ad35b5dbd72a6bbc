"""Make the data of the tuning examples: python examples/tuning/make_data.py.

The files are kept beside this script, so that the jobs run without it; scikit-learn brings the
real data.
"""

import gzip
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, load_iris

DATA = Path(__file__).parent / "data"
SEED = 20260101


def gp_post() -> None:
    """Write the GP post's example: y = 1.5 x1 + 5.2 x2 + N(0, 1), 100 and 50 rows."""
    generator = np.random.default_rng(SEED)
    x = generator.normal(size=(150, 2))
    table = np.column_stack([x @ [1.5, 5.2] + generator.normal(size=150), x])
    _write("gp_post/train/rows.csv", _lines(table[:100], "%.6f"))
    _write("gp_post/validation/rows.csv", _lines(table[100:], "%.6f"))


def digits() -> None:
    """Write the AMT post's 1,797 images of 8 x 8 pixels, the digit first."""
    x, y = load_digits(return_X_y=True)
    _in_parts("digits", np.column_stack([y, x]), "%d", compress=True)


def diabetes() -> None:
    """Write the ensemble post's 442 patients, the progression of their disease first."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    _in_parts("diabetes", np.column_stack([y, x]), "%g")


def iris() -> None:
    """Write the R post's 150 flowers, with a header and the name of the species."""
    found = load_iris()
    head = ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width", "Species"]
    names = found.target_names[found.target]
    lines = [
        ",".join([*(f"{number:g}" for number in row), name])
        for row, name in zip(found.data, names, strict=True)
    ]
    held = np.arange(len(lines)) % 5 == 4
    for part, chosen in (("train", ~held), ("validation", held)):
        _write(f"iris/{part}/iris.csv", [",".join(head), *np.array(lines)[chosen]])


def _in_parts(name: str, table: np.ndarray, form: str, compress: bool = False) -> None:
    """Write a table in random order; every fifth row is for validation."""
    order = np.random.default_rng(SEED).permutation(len(table))
    held = np.arange(len(table)) % 5 == 4
    for part, chosen in (("train", ~held), ("validation", held)):
        _write(
            f"{name}/{part}/{name}.csv{'.gz' if compress else ''}",
            _lines(table[order][chosen], form),
        )


def _lines(table: np.ndarray, form: str) -> list[str]:
    return [",".join(form % number for number in row) for row in table]


def _write(name: str, lines: list[str]) -> None:
    path = DATA / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    # Without a time, so that the file is the same whenever it is made.
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


if __name__ == "__main__":
    for make in (gp_post, digits, diabetes, iris):
        make()
