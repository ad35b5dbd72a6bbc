"""Types of columns: numbers, categories, mixtures of both, dates, names of rows and indices."""

import re
import reprlib
from collections import Counter
from itertools import takewhile

import numpy as np

from gaussian_processes.data.cells import (
    Cells,
    as_numbers,
    first_true,
    missing_mask,
    normalize_category,
    parse_number,
)
from gaussian_processes.data.dates import (
    DATE_EXAMPLE,
    is_compact_date,
    is_likely_date,
    parse_dates,
)
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError

# Below these rows any column may well have a value of its own in each.
MIN_ROWS_FOR_NAMES = 20
# A category of more values has hardly a row for each, and each is a coordinate of its own: such a
# column holds names.
MAX_CATEGORIES = 1_000
# Share of words among numbers from which on a column is a category, if its values recur: a person
# makes fewer mistakes than one in ten cells.
MIN_WORD_SHARE = 0.1
# Words that mean missing in many files, though not by this program's rules, in small letters.
LIKELY_MISSING = frozenset(
    {"?", "-", "--", "---", ".", "..", "*", "na", "n/a", "#n/a", "n.a.", "nil", "none", "unknown"}
    | {"missing", "undefined", "#null!", "#value!", "#div/0!", "#ref!", "#num!", "#name?", "inf"}
    | {":", "...", "/", "\u2013", "\u2014", "\u2026", "<na>", "nat", "(null)", "\\n", "n/d", "n.d."}
    | {"#nv", "1.#qnan", "1.#ind", "-1.#ind", "1.#inf", "-1.#inf", "nan(ind)", "-nan(ind)"}
    | {"\u221e", "-\u221e", "infinity", "k.a.", "n.v."}
)
# Separators and units that people write into numbers, and letters that are typed for digits.
# An en dash and the minus of typography stand before numbers, and are no sign that is read.
DECORATION = re.compile(r"^\s*[\u2013\u2212]|[\s,_'%$€£]")
TYPED_FOR_DIGITS = str.maketrans("lIOo", "1100")
# Negative numbers of accounts, in parentheses or with the sign behind their decimals, and the
# exponents of Fortran. No two parts match the same characters: long cells take linear time.
FOREIGN_NUMBER = re.compile(
    r"\([$€£]?\d[\d.,\s]*\)|\d+[.,][\d.,]*-|[+-]?(\d+\.\d*|\.\d+)d[+-]?\d{1,3}",
    re.ASCII | re.IGNORECASE,
)
# A number with decimals, and a flag or a unit apart from it; whole numbers may be part of a name.
FLAGGED_NUMBER = re.compile(r"[+-]?\d+\.\d+\s+\D{1,8}", re.ASCII)
# A number with its unit, and the share of the words of a column that are such numbers: the others
# may be mistakes.
UNIT = re.compile(r"[+-]?\d[\d.,\s]*([^\d.,\s]\D{0,7})")
MIN_DECORATED_SHARE = 0.9
# What pandas and this package call a column without a name.
UNNAMED = re.compile(r"|unnamed:? ?\d+(\.\d+)?(_level_\d+)?|\.\.\.\d+|__index_level_0__", re.I)
# Names that people give to what numbers or names rows.
ID_NAME = re.compile(
    r"(?i:ids?|n|nr|no\.?|num|number|#|idx|index|key|u?uid|guid|level_\d|.+[ _.-](id|uuid|key))"
    r"|(?i:(row|record|case|obs|observation|sample|line|serial|seq|sequence|index)"
    r"[ _.-]?(id|nr|no|num|number|names?|index)?)|.*[a-z](Id|ID|Key)"
)
# Rows from which on it is no accident that a column counts them.
MIN_ROWS_TO_COUNT = 10
# Pairs of equal numbers that chance would give, where it gives none in one column of a thousand.
MIN_EXPECTED_PAIRS = 7


def category_names(cells: Cells) -> set[str]:
    """Names of the categories of a column."""
    return {normalize_category(cell) for cell in cells[~missing_mask(cells)].tolist()}


def is_mistyped_number(text: str) -> bool:
    """Whether a text is a number but for a separator, a unit, or a letter typed for a digit.

    Examples
    --------
    >>> [is_mistyped_number(text) for text in ("l.5", "1,234", "5%", "1O", "(1.50)", "x1", "red")]
    [True, True, True, True, True, False, False]
    """
    if FOREIGN_NUMBER.fullmatch(text.strip()) or FLAGGED_NUMBER.fullmatch(text.strip()):
        return True
    plain = DECORATION.sub("", text)
    if not plain or parse_number(plain) is not None:
        return bool(plain) and parse_number(text) is None
    if not (plain[0] in "+-.0123456789" or "." in plain):
        return False
    corrected = plain.translate(TYPED_FOR_DIGITS)
    return any(map(str.isdigit, plain)) and parse_number(corrected) is not None


def decorated_number(cells: Cells) -> str | None:
    """First word of a column nearly all of whose words are numbers but for separators or a unit.

    Examples
    --------
    >>> decorated_number(np.array(["5 kg", "12 kg"], object))
    '12 kg'
    >>> decorated_number(np.array(["1st", "2nd"], object)) is None
    True
    """
    words = sorted({cell for cell in cells[~missing_mask(cells)].tolist() if is_word(cell)})
    units = Counter(match[1] for match in map(UNIT.fullmatch, words) if match)
    ((unit, count),) = units.most_common(1) or [("", 0)]
    mistyped = sum(map(is_mistyped_number, words))
    if len(words) < 2 or max(count, mistyped) < MIN_DECORATED_SHARE * len(words):
        return None
    example: str = next(
        word for word in words if is_mistyped_number(word) or word.endswith(unit or "\0")
    )
    return example


def is_mistake(word: str) -> bool:
    """Whether a word among numbers is a mistake or means missing, rather than a name."""
    return word.strip().lower() in LIKELY_MISSING or is_mistyped_number(word)


def is_word(cell: object) -> bool:
    """Whether a cell is no number, and not missing."""
    return isinstance(cell, str) and parse_number(cell, ()) is None


def is_mixed(cells: Cells) -> bool:
    """Whether a column has both numbers and words."""
    if cells.dtype != object:
        return False
    present = cells[~missing_mask(cells)].tolist()
    words = sum(map(is_word, present))
    return 0 < words < len(present)


def has_mistaken_words(cells: Cells) -> bool:
    """Whether a column has numbers, and so few words that they are mistakes."""
    return is_mixed(cells) and not has_many_words(cells)


def has_many_words(cells: Cells) -> bool:
    """Whether at least a tenth of a column's cells are words; mistakes beside numbers are none."""
    present = cells[~missing_mask(cells)].tolist()
    words = [cell for cell in present if is_word(cell)]
    if len(words) == len(present):
        return bool(words)
    return sum(not is_mistake(word) for word in words) >= MIN_WORD_SHARE * len(present)


def names_rows(cells: Cells) -> bool:
    """Whether a column has a word for nearly every row, or too many to be a category."""
    count, rows = len(category_names(cells)), int((~missing_mask(cells)).sum())
    is_distinct = count > MAX_CATEGORIES or (rows >= MIN_ROWS_FOR_NAMES and count > rows / 2)
    return is_distinct and has_many_words(cells) and not _has_recurring_words(cells)


def _has_recurring_words(cells: Cells) -> bool:
    """Whether a few words recur among numbers, as do those that mean missing."""
    present = cells[~missing_mask(cells)].tolist()
    words = [cell.strip() for cell in present if is_word(cell)]
    return len(words) < len(present) and len(set(words)) <= len(words) / 2


def holds_dates(cells: Cells) -> bool:
    """Whether more than nine tenths of a column's cells are dates; the others are mistakes then."""
    if cells.dtype != object:
        return False
    present = cells[~missing_mask(cells)].tolist()
    return bool(present) and np.isnan(parse_dates(present)).mean() < MIN_WORD_SHARE


def check_dates(table: Table, position: int) -> None:
    """Refuse cells that are no dates in a column of dates."""
    cells = table.columns[position]
    days = parse_dates(cells.tolist())
    row, date = first_true(np.isnan(days) & ~missing_mask(cells)), first_true(~np.isnan(days))
    if row is not None:
        others = "" if date is None else f" (as {cells[date]} in {table.locate_row(date)})"
        cell = cells[row] if isinstance(cells[row], str) else f"{cells[row]:g}"
        raise UserError(
            f"{table.locate_cell(row, position)} is {reprlib.repr(cell)}, but cells of that column"
            f" are dates{others}: write it as {DATE_EXAMPLE}, remove the row, or add the cell to"
            " missing_values if it means missing"
        )


def unread_dates(cells: Cells) -> str | None:
    """First cell of a column most of whose cells are dates or times that are not read as such."""
    present = cells[~missing_mask(cells)].tolist()
    if cells.dtype == object:
        likely = [cell for cell in present if is_likely_date(cell)]
        return likely[0] if len(likely) > len(present) / 2 else None
    distinct = set(present)
    is_compact = len(distinct) >= MIN_ROWS_TO_COUNT and all(map(is_compact_date, distinct))
    return f"{present[0]:.0f}" if is_compact else None


def check_not_mixed(table: Table, position: int) -> None:
    """Refuse words among numbers unless they are many and recur, as those of a category do.

    They are many if they are at least a tenth of the cells; values recur if there are at most half
    as many as cells.
    """
    cells = table.columns[position]
    if not is_mixed(cells):
        return
    count, rows = len(category_names(cells)), (~missing_mask(cells)).sum()
    if has_many_words(cells) and count <= min(rows / 2, MAX_CATEGORIES):
        return
    present = np.flatnonzero(~missing_mask(cells)).tolist()
    words = [row for row in present if is_word(cells[row])]
    number = next(row for row in present if not is_word(cells[row]))
    others = f" (and {len(words) - 1:,} more cells are words)" if len(words) > 1 else ""
    names = ", set header=true if it names the columns" if _may_be_header(table, words[0]) else ""
    raise UserError(
        f"{table.locate_cell(words[0], position)} is {reprlib.repr(cells[words[0]])}{others},"
        f" but other cells of that column are numbers (as {cells[number]} in"
        f" {table.locate_row(number)}): correct or remove the row{names}, add the word to"
        " missing_values if it means missing, or name the column in categories"
    )


def _may_be_header(table: Table, row: int) -> bool:
    """Whether a row is the first of a CSV file that was found to have no header."""
    location, _, file = table.locate_row(row).partition(" of ")
    return table.names is None and location == "row 1" and ".npy" not in file


def is_unnamed_index(table: Table, position: int) -> bool:
    """Whether a column is the index that pandas or R wrote: without a name, of whole numbers.

    Names of rows are one, too, if no file has one of them twice. Whole numbers may recur, as where
    tables were concatenated or rows drawn with replacement.
    """
    if table.names is None or not UNNAMED.fullmatch(table.names[position]) or len(table) < 2:
        return False
    cells = as_numbers(table.columns[position])
    if missing_mask(cells).any():
        return False
    if position == 0 and _is_multi_index(table):
        return True
    # A column without a name may be any column, unless it is the first.
    if position and not table.names[position].startswith("Unnamed: 0"):
        return counts_rows(table, position)
    if cells.dtype != object:
        return bool((cells % 1 == 0).all() or (np.diff(cells) > 0).all())
    return all(len(category_names(part)) == len(part) for part in table.split_by_file(cells))


def _is_multi_index(table: Table) -> bool:
    """Whether the first columns have no names, and together another value for every row."""
    names = table.names or ()
    levels = list(
        takewhile(lambda position: UNNAMED.fullmatch(names[position]), range(table.width))
    )
    if not 1 < len(levels) < table.width:
        return False
    columns = [as_numbers(table.columns[level]) for level in levels]
    if not all(cells.dtype == object or _is_whole(cells) for cells in columns):
        return False
    rows = zip(*(cells.tolist() for cells in columns), strict=True)
    return len(set(rows)) == len(table)


def is_id(table: Table, position: int) -> bool:
    """Whether a column has an id's name, or is the first, and another whole number for every row.

    Examples
    --------
    >>> ids, size = np.array([7.0, 99, 5, 1e5, 12, 8, 300, 41, 60, 2]), np.arange(10) ** 2.0
    >>> named = Table(("size", "user_id"), (size, ids), [("a.csv", 10)])
    >>> [is_id(named, position) for position in range(2)]
    [False, True]
    """
    cells = as_numbers(table.columns[position])
    if position == 0 and is_split_index(cells):
        return True
    if table.names is None or not ID_NAME.fullmatch(table.names[position]):
        return False
    is_long = len(cells) >= MIN_ROWS_TO_COUNT
    return is_long and _is_whole(cells) and len(np.unique(cells)) == len(cells)


def counts_rows(table: Table, position: int) -> bool:
    """Whether a column, or each file's part of it, has all whole numbers of a range once."""
    cells = as_numbers(table.columns[position])
    return _counts(cells) or all(map(_counts, table.split_by_file(cells)))


def _counts(cells: Cells) -> bool:
    if len(cells) < MIN_ROWS_TO_COUNT or not _is_whole(cells):
        return False
    return bool((np.diff(np.sort(cells)) == 1).all())


def is_split_index(cells: Cells) -> bool:
    """Whether whole numbers lie so close that some would recur, if they did not number rows.

    Of n numbers among r, n^2 / 2 r pairs are equal by chance. It is so of the index of a table
    that was split into parts.

    Examples
    --------
    >>> is_split_index(np.arange(0, 1000, 10.0))
    False
    >>> is_split_index(np.arange(0, 500, 5.0))
    True
    """
    if len(cells) < MIN_ROWS_TO_COUNT or not _is_whole(cells):
        return False
    if len(np.unique(cells)) < len(cells):
        return False
    expected_pairs = len(cells) ** 2 / (2 * (np.ptp(cells) + 1))
    return bool(expected_pairs >= MIN_EXPECTED_PAIRS)


def _is_whole(cells: Cells) -> bool:
    return cells.dtype != object and bool(np.isfinite(cells).all() and (cells % 1 == 0).all())
