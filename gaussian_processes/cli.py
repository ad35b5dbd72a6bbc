"""Entry points of console scripts whose libraries an installation may lack."""

import sys

from gaussian_processes import __version__

INSTALL = "install the package with its extra: pip install '.[tuning]' in a checkout"


def tune() -> int:
    """Run `tune`, or say in one sentence why this installation can't.

    The image has neither `gaussian_processes.tuning` nor the libraries of the extra `tuning`, yet
    it has every console script of the package.
    """
    try:
        # Imported as late as this, so that what is missing is a sentence and no traceback.
        from gaussian_processes.tuning.__main__ import main  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.startswith("gaussian_processes.tuning"):
            reason = "this installation has no tuner (the image leaves it out)"
        elif missing.startswith("gaussian_processes"):
            raise
        else:
            reason = f"tune needs {missing.partition('.')[0]}, which is not installed"
        if sys.argv[1:] == ["--version"]:  # which a report of an error begins with
            print(f"tune {__version__}")
            return 0
        print(f"{reason}; {INSTALL}", file=sys.stderr)
        return 1
    return main()
