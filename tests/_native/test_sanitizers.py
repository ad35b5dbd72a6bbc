"""The C routines under AddressSanitizer and UndefinedBehaviorSanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gaussian_processes import _native

SOURCES = Path(_native.__file__).parent
DRIVER = Path(__file__).with_name("sanitized.c")
NAMES = ("arc_cosine.c", "gaussian.c", "skinny.c")
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]


def compiled(target, sources, *options):
    """What the compiler says of a program of some sources."""
    command = ["cc", "-g", "-O1", f"-I{SOURCES}", *options, *sources, "-lm", "-o", target]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    """Skip where no compiler has the sanitizers."""
    folder = tmp_path_factory.mktemp("sanitizers")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    if (
        not shutil.which("cc")
        or compiled(folder / "a", [folder / "empty.c"], *SANITIZERS).returncode
    ):
        pytest.skip(
            "no C compiler with sanitizers is here; on Debian: apt-get install gcc libc6-dev"
        )


def run(folder, sources, *options):
    program = folder / "sanitized"
    answer = compiled(program, sources, *SANITIZERS, *options)
    assert answer.returncode == 0, answer.stderr
    return subprocess.run([program], check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.usefixtures("compiler")
def test_no_awkward_shape_reads_or_writes_past_an_end(tmp_path):
    answer = run(tmp_path, [DRIVER, *(SOURCES / name for name in NAMES)])

    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("source", "line", "fault", "complaint"),
    [
        ("arc_cosine.c", "i < count; i++", "i <= count; i++", "heap-buffer-overflow"),
        ("arc_cosine.c", "(distance - m) / 2", "(distance - m) / 3", "was expected"),
        ("gaussian.c", "1.0 / 24", "1.0 / 25", "was expected"),
        ("skinny.c", "*panels + top * top,", "*panels + top * top + 1,", "heap-buffer-overflow"),
    ],
)
def test_the_driver_sees_a_fault(tmp_path, source, line, fault, complaint):
    for path in SOURCES.glob("*.[ch]"):
        text = path.read_text()
        (tmp_path / path.name).write_text(
            text.replace(line, fault) if path.name == source else text
        )

    answer = run(tmp_path, [DRIVER, *(tmp_path / name for name in NAMES)])

    assert answer.returncode != 0
    assert complaint in answer.stderr


@pytest.mark.usefixtures("compiler")
def test_the_sources_are_c99_without_a_warning(tmp_path):
    for name in NAMES:
        answer = compiled(tmp_path / "object", [SOURCES / name], "-c", *STRICT)

        assert answer.returncode == 0, answer.stderr
