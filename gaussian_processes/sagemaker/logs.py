"""Log records on stdout: time, level and one sentence a line."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gaussian_processes.errors import UserError

LEVEL_VARIABLE = "SAGEMAKER_CONTAINER_LOG_LEVEL"
ROOT = "gaussian_processes"
# The logger that `logging.captureWarnings` sends Python's warnings to.
PYTHON_WARNINGS = "py.warnings"
# A logger that emits nothing, outside the hierarchy that a program configures.
SILENT = logging.Logger("silent", logging.CRITICAL + 1)


class OneLineFormatter(logging.Formatter):
    """Formatter of UTC time, level and message, in which line breaks are escaped.

    A log is kept and searched line by line: no record may be split, or take another's form.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        return "\\n".join(super().format(record).splitlines())


class StdoutHandler(logging.Handler):
    """Handler that prints, at once, on what `sys.stdout` is then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; an error ends the job, whose metrics would be lost as well.

        Names of columns and files may hold what the encoding of stdout lacks: it is escaped.
        """
        encoding = sys.stdout.encoding or "utf-8"
        line = self.format(record).encode(encoding, "backslashreplace").decode(encoding)
        print(line, flush=True)


def parse_level(text: str) -> int:
    """Parse a level: a number as SageMaker's SDK gives it, or a name of Python's logging.

    Raises
    ------
    UserError
        If it is neither.

    Examples
    --------
    >>> parse_level("30"), parse_level("warning")
    (30, 30)
    """
    names = logging.getLevelNamesMapping()
    word = text.strip().upper()
    if word.isascii() and word.isdecimal() and int(word) <= logging.CRITICAL:
        return max(int(word), 1)  # 0 would ask the parent of the logger
    if word in names:
        return names[word]
    raise UserError(
        f"{LEVEL_VARIABLE} is {text!r}, but it must be a number from 0 to {logging.CRITICAL} or one"
        " of DEBUG, INFO, WARNING, ERROR and CRITICAL: correct it, or leave it out for 20 (INFO)"
    )


@contextmanager
def log_to_stdout(environment: Mapping[str, str]) -> Iterator[None]:
    """Print log records of the level that the environment asks for, or INFO.

    They are the package's, and Python's warnings, which would be printed on two lines.
    """
    level = parse_level(environment.get(LEVEL_VARIABLE) or str(logging.INFO))
    handler = StdoutHandler()
    handler.setFormatter(OneLineFormatter())
    loggers = [logging.getLogger(ROOT), logging.getLogger(PYTHON_WARNINGS)]
    before = [logger.level for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, level_before in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level_before)
