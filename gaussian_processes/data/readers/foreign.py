"""Files of foreign formats: what a file is, by its first bytes, where it is no table."""

import re
from collections.abc import Mapping

from gaussian_processes.data.cells import CONTROL_CHARACTERS
from gaussian_processes.data.readers.interface import GZIP_ERRORS, Source
from gaussian_processes.errors import UserError

# Bytes of a file that are looked at: an archive of tar names itself behind 257.
HEAD_BYTES = 512
TAR_MAGIC, TAR_OFFSET = b"ustar", 257
UNPACK = "unpack it, and give the files that it holds"
EXPORT = "export its rows as CSV"
RECOMPRESS = "compress it by gzip, or not at all"
AS_UTF8 = "save it in UTF-8 (in Excel: CSV UTF-8)"
FETCH = "what was fetched is a page, or an error, in place of the file; fetch the file itself"
# Patterns of first bytes, what a file is that has them, and what to do about it.
KINDS: Mapping[bytes, tuple[str, str]] = {
    rb"PK\x03\x04": ("a zip archive", UNPACK),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a workbook of Excel", "save it as CSV UTF-8"),
    rb"BZh[1-9]1AY&SY": ("compressed by bzip2", RECOMPRESS),
    rb"\xfd7zXZ\x00": ("compressed by xz", RECOMPRESS),
    rb"\x28\xb5\x2f\xfd": ("compressed by Zstandard", RECOMPRESS),
    rb"\x1f\x8b": ("compressed by gzip twice", "compress it once"),
    rb"\x0a\x23\xd7\xce": ("RecordIO, as of MXNet or SageMaker's protobuf", EXPORT),
    rb"7z\xbc\xaf\x27\x1c": ("an archive of 7-Zip", UNPACK),
    rb"%PDF-": ("a PDF", EXPORT),
    rb"\x89HDF\r\n\x1a\n": ("an HDF5 file", EXPORT),
    rb"ARROW1\x00": ("an Arrow file (Feather)", EXPORT),
    rb"Obj\x01": ("an Avro file", EXPORT),
    rb"ORC[\x00-\x1f]": ("an ORC file", EXPORT),
    rb"RD[AX][23]\n": ("a file of R (save)", "write it with write.csv(…, row.names = FALSE)"),
    rb"SQLite format 3\x00": ("a database of SQLite", EXPORT),
    rb"\x80[\x02-\x05][\x95\x5d\x63\x7d]": ("a file of Python objects", EXPORT),
    rb"PAR1": ("Parquet", "name it .parquet, or set ContentType to application/x-parquet"),
    rb"\x93NUMPY": ("an array of NumPy", "name it .npy, or set ContentType to application/x-npy"),
    rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff": ("text in UTF-16 or UTF-32", AS_UTF8),
    rb"version https://git-lfs\.github\.com/": (
        "a pointer of Git LFS in place of the file",
        "run git lfs pull, and give the file itself",
    ),
}
# The formats of this package that are among them.
OWN_MAGIC = {"parquet": b"PAR1", "npy": b"\x93NUMPY"}
# Parts of the zip archives that Office and other programs write.
OFFICE_PARTS = (b"[Content_Types].xml", b"docProps/", b"xl/", b"word/", b"_rels/", b"mimetype")
# Archives of NumPy, whose parts are arrays.
NPZ_PART = re.compile(rb"PK\x03\x04.{26}[^\0]{1,200}\.npy", re.DOTALL)
MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
JSON_ROWS = re.compile(rb'(\xef\xbb\xbf)?\s*(\{\s*"[^"]*"\s*:|\[\s*[\[{]|\[[^\n\]]*\]\s*(\n|$))')
# A list of lists or objects, or a list or an object that goes on in the next line.
JSON_DOCUMENT = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*[\[{]|[\[{]\s*\n)")
ARFF = re.compile(rb"\s*(%[^\n]*\n\s*)*@relation\b", re.IGNORECASE)


def check_not_foreign(source: Source, format_name: str) -> None:
    """Refuse a file that is of another format than the one it is read as.

    Raises
    ------
    UserError
        The sentence says what the file is, and what to do about it.
    """
    head = _head(source)
    if head.startswith(OWN_MAGIC.get(format_name, b"\0none")):
        return
    kind = _kind(head, format_name)
    if kind:
        raise UserError(
            f"{source.name} is {kind[0]}, which is not read as {format_name}: {kind[1]}"
        )


def _head(source: Source) -> bytes:
    """First bytes of a file, decompressed; none if it is damaged, which reading it explains."""
    try:
        with source.open() as content:
            return content.read(HEAD_BYTES)
    except GZIP_ERRORS:
        return b""


def _kind(head: bytes, format_name: str) -> tuple[str, str] | None:
    """Kind of a file that begins so, and the remedy; None if it may be of the format."""
    for magic, kind in KINDS.items():
        if re.match(magic, head):
            return _office(head) or kind
    if head[TAR_OFFSET:].startswith(TAR_MAGIC):
        return "an archive of tar", UNPACK
    if len(head) > 4 and not (any(head[0::2]) and any(head[1::2])) and any(head):
        return "text in UTF-16 or UTF-32", AS_UTF8
    if MARKUP.match(head):
        return "HTML or XML", FETCH
    return _text_kind(head, format_name)


def _office(head: bytes) -> tuple[str, str] | None:
    """Kind of a document of Office or an archive of NumPy, with its remedy; None for others."""
    if NPZ_PART.match(head):
        return "an archive of NumPy (npz)", "write its array with numpy.save"
    if not head.startswith(b"PK") or not any(part in head for part in OFFICE_PARTS):
        return None
    return "a workbook of Excel, or another document of Office", "save its table as CSV UTF-8"


def _text_kind(head: bytes, format_name: str) -> tuple[str, str] | None:
    """Kind of a text that is of another format, and the remedy."""
    if format_name == "csv" and JSON_ROWS.match(head):
        return "JSON", "write one object, or list, a line, and name it .jsonl"
    if format_name == "jsonlines" and JSON_DOCUMENT.match(head):
        remedy = (
            "write one object, or list, a line (pandas: to_json(…, orient='records', lines=True))"
        )
        return "one JSON document", remedy
    if format_name == "csv" and ARFF.match(head):
        return "an ARFF file", "remove what stands above its rows, and write it as CSV"
    return None


def undecodable_reason(source: Source) -> str | None:
    """Reason why a text is no UTF-8, with its line; None if it is UTF-8, or no text."""
    if CONTROL_CHARACTERS.search(_head(source).decode("latin-1")):
        return None
    with source.open() as content:
        for line_number, line in enumerate(content, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return (
                    f"line {line_number:,} of {source.name} is not in UTF-8 (byte"
                    f" {line[error.start]:#04x}), as files in Windows-1252 or Latin-1 are not:"
                    f" {AS_UTF8}"
                )
    return None
