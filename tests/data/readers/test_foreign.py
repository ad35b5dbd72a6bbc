"""Files of foreign formats: each is refused with what it is, and the remedy."""

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from channel_files import fill, numbers, read

from gaussian_processes.errors import UserError

VALUES = np.random.default_rng(18).normal(size=(30, 3)).round(3)
FRAME = pd.DataFrame(VALUES, columns=list("yab"))
CSV = FRAME.to_csv(index=False)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, CSV)
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV.encode()))
    return buffer.getvalue()


def saved():
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    return buffer.getvalue()


def savez():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, table=VALUES)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kind", "remedy"),
    [
        (
            "a.csv",
            zipped("[Content_Types].xml"),
            "a workbook of Excel, or",
            "save its table as CSV",
        ),
        ("a.csv", zipped("docProps/app.xml"), "a workbook of Excel, or", "save its table as CSV"),
        ("a.zip", zipped("a.csv"), "a zip archive", "unpack it"),
        ("a.csv.gz", tarred(), "an archive of tar", "unpack it"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "a workbook of Excel", "save it as CSV"),
        ("a.csv.bz2", bz2.compress(CSV.encode()), "compressed by bzip2", "compress it by gzip"),
        ("a.csv.xz", lzma.compress(CSV.encode()), "compressed by xz", "compress it by gzip"),
        ("a.csv", CSV.encode("utf-16"), "text in UTF-16", "save it in UTF-8"),
        ("a.csv", CSV.encode("utf-16-le"), "text in UTF-16", "save it in UTF-8"),
        ("a.csv", CSV.encode("utf-16-be"), "text in UTF-16", "save it in UTF-8"),
        ("a.csv", CSV.encode("utf-32"), "text in UTF-16 or UTF-32", "save it in UTF-8"),
        ("a.jsonl", FRAME.to_json().encode("utf-16"), "text in UTF-16", "save it in UTF-8"),
        ("a.csv", b"<!DOCTYPE html>\n<html>a, b</html>", "HTML or XML", "fetch the file itself"),
        ("a.csv", b"<?xml version='1.0'?>\n<Error/>", "HTML or XML", "fetch the file itself"),
        ("a.csv", LFS, "a pointer of Git LFS", "run git lfs pull"),
        ("a.npy", LFS, "a pointer of Git LFS", "run git lfs pull"),
        ("a.parquet", LFS, "a pointer of Git LFS", "run git lfs pull"),
        ("a.csv", saved(), "an array of NumPy", "name it .npy"),
        ("a.csv.gz", gzip.compress(b"PAR1abcd", mtime=0), "Parquet", "name it .parquet"),
        ("a.json", FRAME.to_json(orient="records").encode(), "one JSON document", "one object"),
        ("a.json", json.dumps(VALUES.tolist()).encode(), "one JSON document", "one object"),
        ("a.json", json.dumps({"y": [1]}, indent=1).encode(), "one JSON document", "one object"),
        ("a.csv", FRAME.to_json(orient="records", lines=True).encode(), "JSON", "name it .jsonl"),
        ("a.csv", b"[1, 2, 3]\n[4, 5, 6]\n", "JSON", "name it .jsonl"),
        (
            "a.csv.gz",
            gzip.compress(gzip.compress(b"1,2\n", mtime=0), mtime=0),
            "compressed by gzip twice",
            "once",
        ),
        ("a.rec", struct.pack("<II", 0xCED7230A, 8) + b"\n\x06ab" * 2, "RecordIO, as of", "export"),
        ("a.npy", savez(), "an archive of NumPy (npz)", "write its array with numpy.save"),
        ("a.npz", savez(), "an archive of NumPy (npz)", "write its array with numpy.save"),
        ("a.arff", b"% made by\n@RELATION a\n@DATA\n1,2\n", "an ARFF file", "remove what stands"),
    ],
)
def test_a_file_of_another_format_is_refused_with_what_it_is(folder, name, content, kind, remedy):
    fill(folder, {name: content})

    with pytest.raises(UserError) as refused:
        read(folder)

    assert str(refused.value).startswith(f"train/{name} is {kind}")
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    "word", ["ORCHARD", "BZhang", "PKW", "RDX2", "Objective", "<b>", "{x}", "[x"]
)
def test_words_that_begin_as_other_formats_do_are_words(folder, word):
    fill(folder, {"a.csv": f"{word},1.5\nb,2.5\n".encode()})

    assert read(folder).columns[0].tolist() == [word, "b"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250"])
def test_a_text_of_one_byte_a_character_is_refused_with_its_line(folder, name, encoding):
    lines = ['{"y": 1, "x": "é"}'] if name.endswith("l") else ["1,e", "2,é"]
    fill(folder, {name: "\n".join(lines).encode(encoding)})

    with pytest.raises(
        UserError, match=rf"line {len(lines)} of train/{name} is not in UTF-8 \(byte 0xe9\), .*save"
    ):
        read(folder)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("line", ["sep={}\n", "\ufeffsep={}\r\n", '"sep={}"\n', "SEP={}\n"])
@pytest.mark.parametrize("header", [True, False])
def test_the_line_that_names_the_delimiter_for_excel_is_obeyed(folder, delimiter, line, header):
    text = FRAME.to_csv(index=False, sep=delimiter, header=header)
    fill(folder, {"a.csv": (line.format(delimiter) + text).encode()})

    table = read(folder)

    assert table.names == (tuple("yab") if header else None)
    np.testing.assert_array_equal(numbers(table), VALUES)


@pytest.mark.parametrize("space", [" ", "   "])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("decimal", [".", ","])
def test_white_space_between_cells_is_refused_with_the_remedy(folder, space, header, decimal):
    text = FRAME.to_csv(index=False, sep="|", header=header, decimal=decimal)
    fill(folder, {"a.csv": text.replace("|", space).encode()})

    with pytest.raises(
        UserError,
        match=r"the cells of train/a\.csv are separated by white space \('.*'\): write a comma",
    ):
        read(folder)


@pytest.mark.parametrize("content", [b"5 kg,3 kg\n6 kg,4 kg\n", b"2026-01-01 12:00:00,5\n" * 3])
def test_white_space_within_cells_separates_nothing(folder, content):
    fill(folder, {"a.csv": content})

    assert read(folder).width == 2


@pytest.mark.parametrize("first", ["1 1:0.5 3:2", "+1 1:0.5 # a", "1 qid:7 2:1", "1", "-1.5 9:1e3"])
def test_lines_of_libsvm_are_refused_with_the_remedy(folder, first):
    fill(folder, {"a.csv": f"{first}\n0 2:0.25\n".encode()})

    sentence = f"is in LIBSVM's format ({first!r}): write a column"
    with pytest.raises(UserError, match=re.escape(sentence)):
        read(folder)


def test_white_space_within_cells_below_names_without_any_separates_nothing(folder):
    fill(folder, {"a.csv": "y,a,b\n0,1\u00a0000,1\n3,2\u00a0000,4\n".encode()})

    assert read(folder).columns[1].tolist() == ["1\u00a0000", "2\u00a0000"]


def test_words_in_quotes_that_r_separates_by_white_space_are_refused(folder):
    fill(folder, {"a.txt": b'"y" "a"\n"1" 0.5 3\n"2" 1.5 4\n"3" 2.5 5\n"4" 2 5\n'})

    with pytest.raises(UserError, match=r"are separated by white space \('y a'\): write a comma"):
        read(folder)


@pytest.mark.parametrize("title", ["Sales in 2026", "# made by a program", "Sales, 2026"])
@pytest.mark.parametrize("lines", [1, 3])
def test_a_title_above_the_names_is_refused_with_the_remedy(folder, title, lines):
    fill(folder, {"a.csv": (f"{title}\n" * lines + CSV).encode()})

    with pytest.raises(
        UserError, match=rf"the first {lines} line\(s\) of train/a\.csv \(as .*\) .* remove what"
    ):
        read(folder)


@pytest.mark.parametrize("names", ["y,a,b\n", "y,a,b,\n", ""])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_delimiter_at_the_end_of_every_line_ends_an_empty_column(folder, names, delimiter):
    rows = FRAME.to_csv(index=False, header=False, lineterminator=",\n")
    fill(folder, {"a.csv": (names + rows).replace(",", delimiter).encode()})

    table = read(folder)

    np.testing.assert_array_equal(np.column_stack(table.columns[:3]), VALUES)
    assert np.isnan(table.columns[3]).all()
