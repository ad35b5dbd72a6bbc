import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Security

from gaussian_processes.cluster import nodes, tls
from gaussian_processes.errors import UserError

SECRET, OTHER = "b5" * 16, "7a" * 16


def attacked(names, start, mark, **environment):
    """Let two hosts come together; what became of the attacks on them, and how they ended."""
    processes = [start(names, name, "wait_for_word", **environment) for name in names]
    for process in processes:
        assert process.stdout.readline() == "waiting\n"
    places = [f"{names[0]}:{port}" for port in (nodes.SCHEDULER_PORT, nodes.WORKER_PORT)]
    command = [sys.executable, Path(__file__).with_name("hostile.py"), mark, OTHER, *places]
    attacks = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for process in processes:
        process.stdin.write("go on\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    return attacks.stdout, [process.returncode for process in processes]


def test_a_peer_without_the_secret_gets_nowhere(names, start, tmp_path):
    mark = tmp_path / "mark"

    attacks, codes = attacked(names[:2], start, mark, CLUSTER_SECRET=SECRET)

    assert attacks.count("refused") == 6, attacks
    assert not mark.exists()
    assert codes == [0, 0]


def test_without_a_secret_a_peer_can_run_what_it_likes_as_the_page_on_security_says(
    names, start, tmp_path
):
    mark = tmp_path / "mark"

    attacks, _ = attacked(names[:2], start, mark)

    assert "plain answered" in attacks
    assert mark.is_dir()


def test_hosts_derive_the_same_certificate_from_the_same_secret():
    first, again, other = (tls.security(secret) for secret in (SECRET, SECRET, OTHER))

    assert isinstance(first, Security)
    assert first.tls_ca_file == again.tls_ca_file != other.tls_ca_file
    assert first.tls_worker_key == again.tls_worker_key != other.tls_worker_key


def test_a_short_secret_is_refused_with_the_command_for_a_long_one():
    with pytest.raises(UserError, match=r"has 5 characters, and needs 32: .*openssl rand -hex 32"):
        tls.security("guess")


def test_a_missing_openssl_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UserError, match="no program openssl"):
        tls.security(SECRET)
