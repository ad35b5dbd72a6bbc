import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, InMemoryPanels, factorise
from gaussian_processes.model import artifact
from gaussian_processes.training import main, storage, trainer
from gaussian_processes.training.checkpoints import (
    Checkpoint,
    PanelFiles,
    fingerprint,
    locked,
)


def matrix(rows=2 * PANEL_WIDTH + 100):
    points = np.random.default_rng(61).normal(size=(rows, 3))
    return GramMatrix(ArcCosine(1, 1), points / np.linalg.norm(points, axis=1, keepdims=True), 0.1)


def files(folder, dtype=np.float64):
    return Checkpoint(folder, persistent=True).panels(0.1, dtype)


class Counting:
    """A matrix that counts the columns it is asked for."""

    def __init__(self, wrapped):
        self.wrapped, self.columns = wrapped, set()

    def __len__(self):
        return len(self.wrapped)

    def block(self, rows, columns):
        self.columns |= set(range(columns.start, columns.stop))
        return self.wrapped.block(rows, columns)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_panels_in_files_are_those_in_memory(tmp_path, dtype):
    in_files, in_memory = (
        factorise(matrix(), files(tmp_path, dtype)),
        factorise(matrix(), InMemoryPanels(dtype)),
    )

    for one, other in zip(in_files.panels, in_memory.panels, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_what_is_finished_is_not_computed_again_and_the_rest_is_the_same(tmp_path, left):
    whole = factorise(matrix(), files(tmp_path))
    for index in range(left, 3):
        (files(tmp_path).folder / f"{index:05}.npy").unlink()
    counting, seen = Counting(matrix()), []

    again = factorise(
        counting, files(tmp_path), progress=lambda done, total: seen.append(done / total)
    )

    assert counting.columns == set(range(left * PANEL_WIDTH, len(counting)))
    assert not seen or seen[-1] == pytest.approx(1)
    for one, other in zip(again.panels, whole.panels, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_file_that_is_cut_off_does_not_count_nor_do_those_after_it(tmp_path, content):
    factorise(matrix(), files(tmp_path))
    path = files(tmp_path).folder / "00001.npy"
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)

    assert len(files(tmp_path).finished()) == 1


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def zero_a_page(path):
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)


def take_another_type(path):
    np.save(path, np.load(path).astype(np.float32))
    seal(path)


def take_another_shape(path):
    np.save(path, np.load(path)[:-1])
    seal(path)


def seal(path):
    """Write the checksum that belongs to what a panel's file holds."""
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def replace_sum(path, make):
    path.with_suffix(".sha256").unlink()
    make(path.with_suffix(".sha256"))


@pytest.mark.parametrize(
    "spoil",
    [
        flip_a_bit,
        zero_a_page,
        take_another_type,
        take_another_shape,
        lambda path: path.with_suffix(".sha256").unlink(),
        lambda path: path.with_suffix(".sha256").write_bytes(b"\xff"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: replace_sum(path, os.mkfifo),
        lambda path: replace_sum(path, Path.mkdir),
        lambda path: replace_sum(path, lambda kept: kept.symlink_to("/dev/zero")),
        lambda path: replace_sum(path, lambda kept: kept.symlink_to("/nowhere")),
    ],
)
def test_a_panel_that_was_spoiled_is_computed_again_and_that_is_logged(tmp_path, caplog, spoil):
    whole = factorise(matrix(), files(tmp_path))
    path = files(tmp_path).folder / "00001.npy"
    spoil(path)

    finished = files(tmp_path).finished()

    assert len(finished) == 1
    np.testing.assert_array_equal(finished[0], whole.panels[0])
    (message,) = caplog.messages
    assert message.startswith(f"{path} is not as it was left (")
    assert message.endswith("this panel and those after it are computed again")
    assert len(factorise(matrix(), files(tmp_path)).panels) == len(files(tmp_path).finished())


def test_a_first_panel_of_other_rows_than_the_matrix_s_is_not_taken_for_the_rest(tmp_path):
    factorise(matrix(), files(tmp_path))
    folder = files(tmp_path).folder
    factorise(matrix(rows=2 * PANEL_WIDTH), files(tmp_path / "other"))
    other = files(tmp_path / "other").folder
    for suffix in ("npy", "sha256"):
        shutil.copy(other / f"00001.{suffix}", folder / f"00001.{suffix}")

    assert len(files(tmp_path).finished()) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("0.3000", "0.4000"),
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[" * 100_000,
        lambda _: "[]",
        lambda _: '{"noise": 0.1}',
        lambda _: "\0" * 64,
    ],
)
def test_a_note_that_was_spoiled_counts_as_missing_and_that_is_logged(tmp_path, caplog, spoil):
    checkpoint = Checkpoint(tmp_path, persistent=True)
    checkpoint.save("selection", {"noise": 0.1 + 0.2})
    path = tmp_path / "selection.json"
    path.write_text(spoil(path.read_text()))

    assert checkpoint.load("selection") is None

    (message,) = caplog.messages
    assert message.startswith(f"{path} is not as it was left (")
    assert message.endswith("it is made again")


def test_a_folder_that_another_job_uses_is_refused_and_free_after_its_end(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UserError, match=r"another job is using the checkpoint in .*; wait for"):
            locked(tmp_path).__enter__()
        code = "import sys, fcntl, os; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), 6)"
        command = [sys.executable, "-c", code, tmp_path]
        other = subprocess.run(command, capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr

    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)

    with locked(tmp_path):
        pass

    assert caplog.messages == [
        f"{tmp_path} can't be locked (Operation not supported); make sure that no other job uses it"
    ]


def test_a_panel_that_fails_leaves_no_file_of_its_name(tmp_path):
    store = files(tmp_path)

    with pytest.raises(ZeroDivisionError), store.panel(0, (3, 2)) as panel:
        panel[0, 0] = 1 / 0

    assert store.finished() == []
    assert [path.suffix for path in store.folder.iterdir()] == [".sagemaker-ignore"]


def test_a_panel_is_worked_on_within_the_context_that_a_signal_waits_for(tmp_path):
    events = []

    class Recorded:
        def __enter__(self):
            events.append("in")

        def __exit__(self, *error):
            events.append((tmp_path / "00000.npy").exists())

    with PanelFiles(tmp_path, np.float64, Recorded(), persistent=True).panel(0, (3, 2)):
        events.append("work")

    assert events == ["in", "work", True]


def test_a_checkpoint_is_of_one_job(tmp_path, caplog):
    caplog.set_level("INFO")
    root = Checkpoint(tmp_path / "host", persistent=True)
    first = root.for_job(fingerprint(b"data", b"hyperparameters"))
    first.save("selection", {"noise": 0.1 + 0.2})

    again = root.for_job(fingerprint(b"data", b"hyperparameters"))
    assert again.load("selection") == {"noise": 0.1 + 0.2}
    assert again.load("another") is None

    other = root.for_job(fingerprint(b"dat", b"ahyperparameters"))
    assert other.load("selection") is None
    assert [re.search("kept|goes on|starts over", line)[0] for line in caplog.messages] == [
        "kept",
        "goes on",
        "starts over",
    ]


def test_what_another_job_has_left_is_not_taken_even_if_it_comes_back(tmp_path):
    root = Checkpoint(tmp_path, persistent=True)
    theirs = root.for_job(fingerprint(b"their data"))
    with theirs.panels(0.1, np.float64).panel(0, (3, 2)):
        pass
    kept = {path: path.read_bytes() for path in theirs.folder.rglob("*.npy")}

    ours = root.for_job(fingerprint(b"our data"))
    for path, content in kept.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    assert kept
    assert ours.panels(0.1, np.float64).finished() == []


def test_files_that_need_not_last_have_no_name_and_go_with_the_process(tmp_path):
    store = Checkpoint(tmp_path).panels(0.1, np.float64)

    with store.panel(0, (3, 2)) as panel:
        panel[...] = 7
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    assert (panel == 7).all()


def test_the_panels_of_a_trial_that_fails_are_removed(tmp_path):
    points = np.tile(np.eye(3), (300, 1))
    checkpoint = Checkpoint(tmp_path, persistent=True)

    process = fit(
        GramMatrix(ArcCosine(1, 0), points, 0.0),
        points,
        lambda diagonal: checkpoint.panels(diagonal, np.float64),
    )

    assert process.jitter > 0
    assert [path.name for path in tmp_path.iterdir()] == [f"float64-{process.jitter!r}"]


# --- the program


ROWS = 6 * PANEL_WIDTH + 50


@pytest.fixture
def base(tmp_path):
    rng = np.random.default_rng(62)
    x = rng.normal(size=(ROWS, 4))
    folders = [tmp_path / "input/config", tmp_path / "input/data/train", tmp_path / "checkpoints"]
    for folder in folders:
        folder.mkdir(parents=True)
    np.savetxt(
        tmp_path / "input/data/train/rows.csv",
        np.column_stack([np.sin(x).sum(axis=1), x]),
        delimiter=",",
        fmt="%.17g",
    )
    configure(tmp_path)
    (tmp_path / "input/config/checkpointconfig.json").write_text(
        json.dumps({"LocalPath": str(tmp_path / "checkpoints")})
    )
    return tmp_path


def configure(base, **hyperparameters):
    text = json.dumps(
        {
            "q": "1",
            "l": "1",
            "noise": "0.01",
            "bias": "2",
            "leave_one_out": "false",
            **hyperparameters,
        }
    )
    (base / "input/config/hyperparameters.json").write_text(text)


def start(base):
    code = "import sys; from gaussian_processes.training.main import main; sys.exit(main([]))"
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(base):
    process = start(base)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    return output


def panels(base):
    return sorted(base.glob("checkpoints/*/*/member-0/float64-*/*.npy"))


def stop_when(process, base, count, number):
    """Send a signal once `count` panels are there."""
    deadline = time.monotonic() + 60
    while len(panels(base)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    return process.communicate(timeout=60)[0]


def model(base):
    return {path.name: path.read_bytes() for path in (base / "model").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_a_job_that_is_killed_goes_on_and_ends_with_the_same_model_bit_for_bit(base, count):
    finish(base)
    expected = model(base)
    process = start(base)
    stop_when(process, base, count, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in panels(base)}

    output = finish(base)

    assert "goes on from there" in output
    assert f"{len(kept)} of its 7 panels are there already" in output
    assert model(base) == expected
    assert not list(base.glob("checkpoints/*/*"))


@pytest.mark.slow
def test_a_signal_to_stop_lets_the_panel_that_is_under_way_be_finished(base):
    process = start(base)

    output = stop_when(process, base, 2, signal.SIGTERM)

    assert process.returncode == 143
    assert "stopped by SIGTERM" in output
    assert len(panels(base)) >= 2
    assert not list(base.glob("model/*"))
    assert f"{len(panels(base))} of its 7 panels are there already" in finish(base)


def test_what_was_found_before_the_interruption_is_not_searched_for_again(base, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    configure(base, bias="auto")
    monkeypatch.setattr(marginal_likelihood, "MAX_ROWS", 100)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(trainer, "fit", lambda *given: 1 / 0)
        assert main.main([]) == 1
    monkeypatch.setattr(marginal_likelihood, "maximize_posterior", lambda *given: 1 / 0)

    assert main.main([]) == 0

    assert (
        json.loads((base / "model/model.json").read_text())["members"][0]["preprocessor"]["bias"]
        > 0
    )


@pytest.mark.parametrize(("first", "then", "dtype"), [(10, 1, "float64"), (1, 10, "float32")])
def test_a_job_goes_on_in_the_precision_that_it_began_with(
    base, monkeypatch, capsys, first, then, dtype
):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
    working = storage.working_bytes(ROWS, 4, storage.available_cpus())
    monkeypatch.setattr(storage, "available_memory", lambda: working + first * 8 * ROWS**2 // 3)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(trainer, "fit", lambda *given: 1 / 0)
        assert main.main([]) == 1
    monkeypatch.setattr(storage, "available_memory", lambda: working + then * 8 * ROWS**2 // 3)

    assert main.main([]) == 0

    assert f"of {dtype}, in files" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["data", "hyperparameters"])
def test_a_job_of_other_data_or_hyperparameters_starts_over_and_says_so(base, change):
    stop_when(start(base), base, 2, signal.SIGKILL)
    if change == "data":
        path = base / "input/data/train/rows.csv"
        path.write_text(path.read_text().replace("1", "2", 1))
    else:
        configure(base, l="2")

    output = finish(base)

    assert "is of other data, hyperparameters or hosts: the job starts over" in output
    assert "are there already" not in output


def test_a_second_process_on_the_same_checkpoint_ends_with_a_sentence(base):
    with locked(base / "checkpoints/gaussian-process-algo-1"):
        process = start(base)
        output = process.communicate(timeout=60)[0]

    assert process.returncode == 1
    assert "another job is using the checkpoint in" in output
    assert (base / "output/failure").read_text().startswith("another job is using")


def test_a_job_whose_checkpoint_was_spoiled_ends_with_the_same_model(base):
    finish(base)
    expected = model(base)
    stop_when(start(base), base, 4, signal.SIGKILL)
    flip_a_bit(panels(base)[2])
    (note,) = base.glob("checkpoints/*/*/selection.json")
    note.write_text(note.read_text()[:-9])

    output = finish(base)

    assert output.count("is not as it was left") == 2
    assert "2 of its 7 panels are there already" in output
    assert model(base) == expected


@pytest.mark.parametrize(
    ("step", "said", "is_left"),
    [
        ("export", "no model is left; start the job again", False),
        ("reporting.write_metrics", "is whole all the same, and can be used", True),
    ],
)
def test_a_job_stopped_in_its_last_instants_says_what_is_true_of_the_model(
    base, step, said, is_left
):
    code = (
        "import os, signal, sys, time\n"
        "from gaussian_processes.training import main\n"
        "stop = lambda *_: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(60))\n"
        f"main.{step} = stop\n"
        "sys.exit(main.main([]))\n"
    )
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(base)}

    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=120, check=False
    )

    assert run.returncode == 143, run.stderr
    assert (base / "output/failure").read_text().endswith(said)
    assert (base / "model/model.json").exists() == is_left
    if is_left:
        assert artifact.load(base / "model").has_variance


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_note_in_whose_place_something_else_lies_is_made_again(tmp_path, make):
    checkpoint = Checkpoint(tmp_path, persistent=True)
    make(tmp_path / "selection.json")
    (tmp_path / "job").mkdir()
    make(tmp_path / "job" / "00001.x.sagemaker-ignore")

    assert checkpoint.load("selection") is None
    checkpoint.save("selection", {"a": 1})

    assert checkpoint.load("selection") == {"a": 1}
    assert not [*checkpoint.for_job("job").folder.iterdir()]
