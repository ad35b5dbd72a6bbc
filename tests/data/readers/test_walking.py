"""Files of a channel that are links, folders, or no files at all."""

import os
import re

import pytest
from channel_files import fill, numbers, read

from gaussian_processes.errors import UserError


def test_links_to_files_and_folders_are_followed(folder, tmp_path):
    fill(tmp_path / "other", {"a.csv": b"1,2\n", "deep/b.csv": b"3,4\n"})
    (folder / "files").symlink_to(tmp_path / "other")
    (folder / "z.csv").symlink_to(tmp_path / "other/a.csv")

    table = read(folder)

    assert numbers(table).tolist() == [[1, 2], [3, 4], [1, 2]]
    assert [name for name, _ in table.sources] == [
        "train/files/a.csv",
        "train/files/deep/b.csv",
        "train/z.csv",
    ]


def lead_nowhere(folder):
    (folder / "b.csv").symlink_to("/nowhere/b.csv")


def make_fifo(folder):
    os.mkfifo(folder / "b.csv")


def make_cycle(folder):
    (folder / "b.csv").symlink_to(folder)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lead_nowhere, "train/b.csv is a link to /nowhere/b.csv, which is not there: give the"),
        (make_fifo, "train/b.csv is a FIFO: write its rows into a file, or remove it"),
        (make_cycle, "train/b.csv is a link to a folder that holds it: remove the link"),
    ],
)
def test_what_is_no_file_is_refused_unless_it_is_ignored(folder, spoil, sentence):
    fill(folder, {"a.csv": b"1,2\n"})
    spoil(folder)

    with pytest.raises(UserError, match=re.escape(sentence)):
        read(folder)

    if spoil is not make_cycle:
        assert len(read(folder, ignore_files=["b.*"])) == 1


def test_a_folder_that_cannot_be_read_is_refused(folder, monkeypatch):
    fill(folder, {"a.csv": b"1,2\n", "closed/b.csv": b"3,4\n"})
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(
        UserError, match=r"train/closed can't be read \(Permission denied\): let this user read it"
    ):
        read(folder)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("a.csv.metadata", "*.metadata"),
        ("files.manifest", "*.manifest"),
        ("manifest.json", "*manifest.json"),
        (".git/a.csv", ".*"),
        ("deep/_temporary/a.csv", "_*"),
    ],
)
def test_files_that_hold_no_rows_are_skipped_by_their_names(folder, name, pattern):
    fill(folder, {"a.csv": b"1,2\n", name: b"3,4\n"})

    table = read(folder)

    assert len(table) == 1
    assert table.notes[1] == (
        f"train/{name} is skipped: its name, or its folder's, matches {pattern} of ignore_files"
    )


def test_the_patterns_of_what_is_skipped_can_be_set(folder):
    fill(folder, {"_a.csv": b"1,2\n", "b.bak": b"3,4\n"})

    assert numbers(read(folder, ignore_files=["*.bak"])).tolist() == [[1, 2]]


def test_an_augmented_manifest_is_refused_with_the_remedy(folder):
    fill(folder, {"a.jsonl": b'{"source-ref": "s3://bucket/a.png", "label": 1}\n'})

    with pytest.raises(UserError, match="is an augmented manifest, which names files"):
        read(folder)


@pytest.mark.parametrize(
    ("training", "other"),
    [
        ("train/a.csv", "validation/a.csv"),
        ("train/a.csv", "val/a.csv"),
        ("Train/a.csv", "TEST/a.csv"),
        ("train.csv", "test.csv"),
        ("x/y_train.csv", "x/y_dev.csv"),
        ("2024-training.csv", "2024-holdout.csv"),
    ],
)
def test_training_and_validation_rows_in_one_channel_are_remarked_on(folder, training, other):
    fill(folder, {training: b"1,2\n", other: b"3,4\n"})
    first, second = (name.removeprefix("x/").split("/")[0] for name in (training, other))

    assert read(folder).warnings == (
        f"channel train has {first} and {second}, and all their rows are read alike: give each a"
        " channel of its own",
    )


@pytest.mark.parametrize("names", [("train.csv", "trained.csv"), ("a/test.csv", "b/test.csv")])
def test_files_of_one_kind_of_rows_are_not_remarked_on(folder, names):
    fill(folder, dict.fromkeys(names, b"1,2\n"))

    assert read(folder).warnings == ()
