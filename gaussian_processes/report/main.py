"""Program `describe`: a trained model in words, or as a page of pictures.

Run as ``describe``, or ``python -m gaussian_processes.report.main``.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gaussian_processes import __version__
from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write
from gaussian_processes.model import artifact
from gaussian_processes.model.describe import lines
from gaussian_processes.sagemaker import environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the description of a model, or write its page; return the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.html:
            _write_page(parsed.folder, parsed.out)
            print(parsed.out)
        else:
            model = artifact.load(parsed.folder)
            for line in lines(model, artifact.load_description(parsed.folder)):
                print(line)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "describe", description="Print what a trained model is and how good it was."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    default = environment.base_folder(os.environ) / "model"
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=default,
        help=f"what `train` has written (default {default})",
    )
    parser.add_argument(
        "--html", action="store_true", help="write a page of pictures; needs the extra `tuning`"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="of the page (default report.html)"
    )
    return parser


def _write_page(folder: Path, out: Path) -> None:
    try:
        # The image has no Altair, which draws the charts.
        render = importlib.import_module("gaussian_processes.report.model_page").render
    except ModuleNotFoundError as error:
        raise UserError(
            f"describe --html needs {error.name}, which is not installed (the image leaves it out);"
            " copy the model to a machine with the extra: pip install '.[tuning]'"
        ) from error
    text = render(folder)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(out, lambda path: path.write_text(text))
    except OSError as error:
        raise UserError(
            f"{out} can't be written ({error.strerror}); name another file by --out"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
