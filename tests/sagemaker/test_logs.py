"""Log records on stdout."""

import io
import logging
import re
import warnings

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import logs

LOGGER = logging.getLogger("gaussian_processes.training.main")
LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (.*)"


def printed(capsys, **variables):
    """Level and message of what is printed of one record of each level."""
    with logs.log_to_stdout(variables):
        LOGGER.debug("a detail")
        LOGGER.info("a step")
        LOGGER.warning("a doubt")
    output = capsys.readouterr()
    assert output.err == ""
    return [re.fullmatch(LINE, line).groups() for line in output.out.splitlines()]


STEP, DOUBT = ("INFO", "a step"), ("WARNING", "a doubt")


@pytest.mark.parametrize(
    ("level", "records"),
    [
        ("", [STEP, DOUBT]),
        ("20", [STEP, DOUBT]),
        ("info", [STEP, DOUBT]),
        ("10", [("DEBUG", "a detail"), STEP, DOUBT]),
        ("0", [("DEBUG", "a detail"), STEP, DOUBT]),
        (" Warning ", [DOUBT]),
        ("30", [DOUBT]),
        ("CRITICAL", []),
        ("50", []),
    ],
)
def test_records_have_time_and_level_and_obey_the_level_asked_for(capsys, level, records):
    assert printed(capsys, SAGEMAKER_CONTAINER_LOG_LEVEL=level) == records


@pytest.mark.parametrize("level", ["loud", "-1", "51", "2_0", "٢٠"])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(UserError, match=r"SAGEMAKER_CONTAINER_LOG_LEVEL is .*, but it must be a"):
        logs.parse_level(level)


def test_a_line_break_does_not_split_a_record(capsys):
    with logs.log_to_stdout({}):
        LOGGER.info("column a\nvalidation:RMSE=0;\r\nb\u2028c")

    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(r"INFO column a\nvalidation:RMSE=0;\nb\nc")


def test_a_traceback_stays_in_its_record(capsys):
    with logs.log_to_stdout({}):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            LOGGER.exception("it failed")

    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(LINE, line)[2].startswith(r"it failed\nTraceback (most recent call last)")


def test_nothing_is_printed_before_or_after(capsys):
    LOGGER.info("before")
    with logs.log_to_stdout({}):
        pass
    LOGGER.info("after")

    assert capsys.readouterr() == ("", "")


def test_the_silent_logger_says_nothing(capsys):
    with logs.log_to_stdout({"SAGEMAKER_CONTAINER_LOG_LEVEL": "0"}):
        logs.SILENT.critical("the end")

    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("default")
def test_a_warning_of_a_library_is_a_record_too(capsys):
    with logs.log_to_stdout({}):
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)

    output = capsys.readouterr()
    (line,) = output.out.splitlines()
    assert re.fullmatch(LINE, line)[1] == "WARNING"
    assert "RuntimeWarning: overflow encountered in exp" in line
    assert output.err == ""


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "é \\ud800"), ("ascii", r"\xe9 \ud800")])
def test_characters_that_stdout_has_none_of_are_escaped(monkeypatch, encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)

    # Past the loggers, whose records pytest keeps and sends on as UTF-8.
    handler = logs.StdoutHandler()
    handler.setFormatter(logs.OneLineFormatter())
    handler.emit(logging.makeLogRecord({"levelname": "INFO", "msg": "é \ud800"}))

    assert stream.buffer.getvalue().decode(encoding).endswith(f"INFO {shown}\n")
