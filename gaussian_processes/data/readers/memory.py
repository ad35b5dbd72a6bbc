"""Memory that reading a file takes: estimated while it is read, and refused before it runs out."""

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.resources import available_memory

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Bytes that are read at a time. pandas asks for as many.
BUFFER_BYTES = 1 << 18
# Share of the free memory that reading may take. What it takes is estimated.
READING_SHARE = 0.9
# The beginning of a word in a cell of text, up to the next delimiter, or a whole number with more
# digits than float64 keeps, which stays a text. A number may have an e.
WORD = re.compile(rb"[A-DF-Za-df-z_\x80-\xff][^,;|\t\r\n]*|(?<![.\d])\d{17,}(?![.\deE])")
# One block of so many is searched for words, which takes ten times as long as reading it.
SAMPLED_BLOCKS = 8
# Times its own bytes that a compressed file unfolds to, at least.
MIN_RATIO = 1.5
REMEDY = "give fewer rows, or use an instance with more memory"


@dataclass(frozen=True)
class Costs:
    """Bytes of memory that are taken by the parts of a file: measured, and rounded up.

    Parameters
    ----------
    byte, cell : float
    word, word_byte : float
        A cell of text, beyond any other cell, and each of its bytes.
    by_line : bool
        Whether a line is forgotten before the next is read.
    """

    byte: float
    cell: float = 0.0
    word: float = 0.0
    word_byte: float = 0.0
    by_line: bool = False


# Of bytes that are kept; of lines that are split one by one; of pandas, whose cells become numbers
# or text; of the objects of Python that JSON becomes.
WHOLE_FILE = Costs(byte=2)
ROW_BY_ROW = Costs(byte=2, cell=60, by_line=True)
CSV_COLUMNS = Costs(byte=1, cell=36, word=50, word_byte=20)
JSON_RECORDS = Costs(byte=2, cell=130)


@dataclass
class Meter:
    """Meter of the memory that reading a file takes.

    Parameters
    ----------
    name : str
    costs : Costs
    delimiter : bytes
        It, and the end of a line, ends a cell.
    disk_bytes : int, optional
        Bytes of the file; None if they are not known.
    """

    name: str
    costs: Costs
    delimiter: bytes = b","
    disk_bytes: int | None = None
    limit: int = field(default_factory=lambda: int(available_memory() * READING_SHARE))
    read_bytes: int = field(default=0, init=False)
    _lines: int = field(default=0, init=False)
    _cost: float = field(default=0.0, init=False)
    _word_cost: float = field(default=0.0, init=False)
    _blocks: int = field(default=0, init=False)

    def count(self, block: bytes, position: int | None = None) -> None:
        """Count a block of the content, behind which the file is at a position.

        Raises
        ------
        UserError
            If what has been read takes more memory than there is.
        """
        self.read_bytes += len(block)
        self._lines += block.count(b"\n")
        if self.costs.by_line and b"\n" in block:
            self._cost = self._word_cost = 0.0
            block = block[block.rfind(b"\n") + 1 :]
        self._cost += self._estimate(block)
        if self._cost > self.limit:
            raise UserError(self._sentence(position))

    def _estimate(self, block: bytes) -> float:
        """Estimate the memory that the parts of a block take."""
        costs = self.costs
        if costs.word and self._blocks % SAMPLED_BLOCKS == 0:
            words = WORD.findall(block)
            word_cost = len(words) * costs.word + sum(map(len, words)) * costs.word_byte
            self._word_cost = word_cost / max(len(block), 1)
        self._blocks += 1
        cells = block.count(b"\n") + block.count(self.delimiter)
        return len(block) * (costs.byte + self._word_cost) + cells * costs.cell

    def _sentence(self, position: int | None) -> str:
        """Explain why the file can't be read."""
        subject = self.name
        if self.disk_bytes:
            subject += f" has {format_bytes(self.disk_bytes)}{self._unfolded(position or 0)}; its"
        return (
            f"{subject} first {format_bytes(self.read_bytes)} and {self._lines:,} lines take about"
            f" {format_bytes(self._cost)} of memory to read, and {format_bytes(self.limit)} are"
            f" free for it: {REMEDY}"
        )

    def _unfolded(self, position: int) -> str:
        """Size that a compressed file unfolds to; "" for any other."""
        if position * MIN_RATIO > self.read_bytes:
            return ""
        return f", which unfold to more than {format_bytes(self.read_bytes)}"


class MeteredStream(io.RawIOBase):
    """Stream whose content a meter counts as it is read."""

    def __init__(self, content: Any, raw: Any, meter: Meter) -> None:
        super().__init__()
        self._content, self._raw, self._meter = content, raw, meter

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer; return the number of bytes."""
        count: int = self._content.readinto(buffer)
        self._meter.count(bytes(memoryview(buffer)[:count]), self._raw.tell())
        return count


def check_memory(name: str, cost: float, subject: str) -> None:
    """Refuse a file whose parts, which the subject of the sentence names, take too much memory."""
    limit = available_memory() * READING_SHARE
    if cost > limit:
        raise UserError(
            f"{name} has {subject}, which take about {format_bytes(cost)} of memory to read, and"
            f" {format_bytes(limit)} are free for it: {REMEDY}"
        )
