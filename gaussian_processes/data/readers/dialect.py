"""Dialect of a CSV file: the delimiter between its cells, and its decimal mark."""

import csv
import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from gaussian_processes.data.cells import parse_number
from gaussian_processes.data.readers.interface import ReadOptions, Source
from gaussian_processes.errors import UserError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
MARKS = {".": "point", ",": "comma"}
# Lines that a dialect is found from, and their characters at most: a millisecond's work.
SAMPLE_LINES, SAMPLE_CHARACTERS = 50, 1 << 16
# Share of the lines that must have one width: others may be the mistakes that are refused later.
MIN_CONSISTENT_SHARE = 0.8
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# A target, features that are named by numbers, if any, and a comment.
LIBSVM_LINE = re.compile(r"[+-]?\d+(\.\d*)?( qid:\d+)?( \d+:[^\s:,]+)*( #.*)?", re.ASCII)
# What may as well be a whole number with a separator of thousands.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """Delimiter and decimal mark of a CSV file."""

    delimiter: str = ","
    decimal: str = "."

    def __str__(self) -> str:
        """Describe the dialect, for the log."""
        return f"delimiter {DELIMITERS[self.delimiter]}, decimal {MARKS[self.decimal]}"

    def with_point(self, cell: str) -> str:
        """Cell with a point as its decimal mark if it is a number with a comma as such."""
        if self.decimal == "," and DECIMAL_COMMA.fullmatch(cell.strip()):
            return cell.replace(",", ".")
        return cell

    def rows(self, lines: Iterator[str] | Sequence[str]) -> Iterator[list[str]]:
        """Cells of lines, as they are written."""
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.delimiter != "\t")


def find_dialect(source: Source, options: ReadOptions) -> Dialect:
    """Find what the options leave open of a file's dialect, from its first lines.

    Raises
    ------
    UserError
        If two readings are equally likely.
    """
    if options.delimiter and options.decimal:
        return Dialect(options.delimiter, options.decimal)
    lines = _first_lines(source)
    delimiter = options.delimiter or _find_delimiter(source.name, lines)
    rows = _sample(lines, delimiter)
    return Dialect(delimiter, options.decimal or _find_decimal(source.name, rows, delimiter))


def _first_lines(source: Source) -> list[str]:
    """First lines of a file, with their ends."""
    with source.open_text() as text:
        sample = text.read(SAMPLE_CHARACTERS)
    lines = sample.splitlines(keepends=True)
    # The last line may have been cut.
    return lines[:-1] if len(sample) == SAMPLE_CHARACTERS and len(lines) > 1 else lines


def title_lines(source: Source, dialect: Dialect) -> list[str]:
    """Lines at the top of a file that have fewer cells than those below, of one width, have."""
    rows = _sample(_first_lines(source), dialect.delimiter)
    width, count = _common_width(rows)
    title = list(takewhile(lambda row: len(row) < width, rows))
    is_table = all(len(row) == width for row in rows[len(title) :]) and count > len(title)
    return [dialect.delimiter.join(row) for row in title] if is_table else []


def _common_width(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Most common number of cells of a row, and the number of rows that have it."""
    counts = Counter(map(len, rows)).most_common(1)
    return counts[0] if counts else (0, 0)


def _sample(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cells of the first lines that are not blank."""
    rows = Dialect(delimiter).rows(lines)
    try:
        filled = (row for row in rows if len(row) > 1 or "".join(row).strip())
        return [[cell.strip() for cell in row] for row in islice(filled, SAMPLE_LINES)]
    except csv.Error:  # it is refused where it is read
        return []


def _find_delimiter(name: str, lines: Sequence[str]) -> str:
    """Find the delimiter under which lines have one width and the most numbers."""
    shares = {}
    for delimiter in DELIMITERS:
        rows = _sample(lines, delimiter)
        if _is_consistent(rows):
            shares[delimiter] = _number_share(rows, delimiter)
    _check_not_spaced(name, lines, max(shares.values(), default=0.0))
    if not shares:
        return ","
    best = [delimiter for delimiter, share in shares.items() if share == max(shares.values())]
    if len(best) > 1:
        raise UserError(_two_delimiters(name, lines, best))
    return best[0]


def _check_not_spaced(name: str, lines: Sequence[str], best_share: float) -> None:
    """Refuse white space between cells, if by it more of them are numbers than by a delimiter."""
    rows = [line.replace('"', "").split() for line in lines if line.strip()][:SAMPLE_LINES]
    joined = list(map(" ".join, rows))
    has_features = any(":" in line for line in joined)
    if len(rows) > 1 and has_features and all(map(LIBSVM_LINE.fullmatch, joined)):
        raise UserError(
            f"{name} is in LIBSVM's format ({reprlib.repr(' '.join(rows[0]))}): write a column for"
            " every feature, with commas between them"
        )
    below = rows[1:] or rows  # names may stand above the numbers
    names_are_spaced = bool(rows) and len(rows[0]) > 1
    if not _is_consistent(rows) or not names_are_spaced:
        return
    share = _number_share(below, " ")
    if share >= MIN_CONSISTENT_SHARE and share > best_share:
        raise UserError(
            f"the cells of {name} are separated by white space ({reprlib.repr(' '.join(rows[0]))}):"
            " write a comma, a semicolon, a tab or a pipe between them"
        )


def _is_consistent(rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all rows have one width, of several cells."""
    width, count = _common_width(rows)
    return width > 1 and count >= MIN_CONSISTENT_SHARE * len(rows)


def _number_share(rows: Sequence[Sequence[str]], delimiter: str) -> float:
    """Share of the cells that are numbers, with either decimal mark, or missing."""
    cells = [cell for row in rows for cell in row]
    with_comma = delimiter != ","
    numbers = sum(
        parse_number(cell) is not None or (with_comma and bool(DECIMAL_COMMA.fullmatch(cell)))
        for cell in cells
    )
    return numbers / len(cells)


def _two_delimiters(name: str, lines: Sequence[str], delimiters: Sequence[str]) -> str:
    first, second = (
        f"{DELIMITERS[delimiter]}, {_sample(lines, delimiter)[0]}" for delimiter in delimiters[:2]
    )
    words = " or ".join(DELIMITERS[delimiter] for delimiter in delimiters[:2])
    return (
        f"the cells of {name} may be separated by {first[:200]}, or by {second[:200]}: set"
        f" delimiter to {words}"
    )


def _find_decimal(name: str, rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Find the decimal mark from the cells that have a comma or a point."""
    marked = _first_marked(rows)
    if "," not in marked:
        return "."
    if delimiter == ",":
        return "," if "." not in marked and _has_decimal_column(rows) else "."
    if "." in marked and not THOUSANDS.fullmatch(marked[","]):
        raise _two_decimals_error(name, marked[","], marked["."])
    if THOUSANDS.fullmatch(marked[","]):
        if "." in marked:  # 1,234 beside 0.5: a word, which is refused where it is learned
            return "."
        raise _two_decimals_error(name, marked[","], None)
    return ","


def _first_marked(rows: Sequence[Sequence[str]]) -> Mapping[str, str]:
    """First number with a decimal comma and with a point, rather those that are no thousands."""
    found: dict[str, str] = {}
    for cell in (cell for row in rows for cell in row):
        mark = "," if DECIMAL_COMMA.fullmatch(cell) else "."
        if mark not in cell or (mark == "." and parse_number(cell) is None):
            continue
        if mark not in found or (THOUSANDS.fullmatch(found[mark]) and not THOUSANDS.match(cell)):
            found[mark] = cell
    return found


def _has_decimal_column(rows: Sequence[Sequence[str]]) -> bool:
    """Whether below the first row a column has numbers, half of them with a decimal comma."""
    below = rows[1:]
    for column in zip(*below, strict=False):
        commas = [cell for cell in column if DECIMAL_COMMA.fullmatch(cell)]
        others = [cell for cell in column if cell not in commas]
        is_decimal = not all(map(THOUSANDS.fullmatch, commas)) and len(commas) >= len(others)
        if is_decimal and all(parse_number(cell) is not None for cell in others):
            return len(column) > 1
    return False


def _two_decimals_error(name: str, comma: str, point: str | None) -> UserError:
    """Explain that the decimal mark may be a comma or a point."""
    beside = f" beside {reprlib.repr(point)}" if point else ""
    plain = comma.replace(",", ".")
    return UserError(
        f"{name} has {reprlib.repr(comma)}{beside}, where the comma may be a decimal mark ({plain})"
        f" or separate thousands ({comma.replace(',', '')}): set decimal to comma or point, or"
        " write its numbers with a point"
    )
