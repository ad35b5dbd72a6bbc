"""README says what the code does."""

from pathlib import Path

from gaussian_processes.sagemaker.hyperparameters import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_hyperparameters_is_the_declaration():
    assert f"\n\n{table()}\n\n" in README


def test_every_folder_is_on_the_map():
    words = set(README.split("```")[-2].split())
    package = ROOT / "gaussian_processes"
    names = {path.name for path in package.glob("[!_]*.py")}
    names |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    assert names <= words


def test_the_example_of_an_ensemble_runs():
    (example,) = [
        block for block in README.split("```python\n") if block.startswith("import numpy")
    ]
    names = {}

    exec(example.partition("```")[0], names)  # noqa: S102  it is ours

    assert names["mean"].shape == names["variance"].shape == (5, 1)
    assert len(names["ensemble"].weights) == 2
