"""Make walk.ipynb of walk.py: python examples/sagemaker/make_notebook.py.

The script has the code and the words; a test compares the notebook with it.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(script: str) -> str:
    """Return the notebook of a script whose cells begin with ``# %%``."""
    parts = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)[1:]
    cells = [_cell(kind, text) for kind, text in zip(parts[::2], parts[1::2], strict=True)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    whole = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> dict[str, object]:
    if "[markdown]" in kind:
        lines = [re.sub("^# ?", "", line) for line in text.strip().splitlines(keepends=True)]
        return {"cell_type": "markdown", "metadata": {}, "source": lines}
    lines = text.strip().splitlines(keepends=True)
    more = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "metadata": {}, "source": lines, **more}


if __name__ == "__main__":
    (HERE / "walk.ipynb").write_text(notebook((HERE / "walk.py").read_text()))
