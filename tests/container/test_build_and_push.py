"""`build_and_push.sh` with the real clients and a real registry."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests
from container.engine import PATIENCE_SECONDS, ROOT, Container, docker, wait_for
from moto.server import ThreadedMotoServer

# What moto's ECR gives out, and so what the registry asks for.
CREDENTIALS = ("AWS", "123456789012-auth-token")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ALL_MANIFESTS = [
    DOCKER_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]


@pytest.fixture(scope="module")
def registry(engine: None) -> Iterator[str]:
    """Start Debian's docker-registry on 127.0.0.1, which an engine trusts without TLS."""
    image = "gaussian-processes:tests-registry"
    docker("build", "--tag", image, str(Path(__file__).parent / "registry"))
    container = Container(docker("run", "--detach", "--publish", "127.0.0.1::5000", image))
    host = container.url(5000).removeprefix("http://")
    try:
        wait_for(lambda: "listening on" in container.log(), container.log)
        yield host
    finally:
        docker("rm", "--force", "--volumes", container.name)
        docker("logout", host)
        pushed = docker(
            "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{host}/gpsagemaker"
        )
        docker("image", "rm", "--force", *pushed.splitlines())


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """moto's ECR and STS over HTTP, as the environment that leads the aws client there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }
    server.stop()


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Copy what the image is built from, as a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", ":!tests", ":!benchmarks", ":!examples", ":!docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0")[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*author, "commit", "--quiet", "--message", "Begin"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def push(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "build_and_push.sh", *arguments],
        capture_output=True,
        text=True,
        # The aws client is installed beside the Python that runs the tests.
        env=os.environ
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        | environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def commit(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def manifest(registry: str, tag: str) -> requests.Response:
    url = f"http://{registry}/v2/gpsagemaker/manifests/{tag}"
    return requests.get(
        url, auth=CREDENTIALS, headers={"Accept": ", ".join(ALL_MANIFESTS)}, timeout=60
    )


def test_the_image_is_pushed_as_sagemaker_accepts_it(image, registry, aws, checkout):
    first = push(checkout, "gpsagemaker", ECR_REGISTRY=registry, **aws)
    again = push(checkout, "gpsagemaker", ECR_REGISTRY=registry, **aws)

    assert first.returncode == 0, first.stderr
    assert "create-repository" in first.stdout
    assert again.returncode == 0, again.stderr
    assert "create-repository" not in again.stdout
    tags = requests.get(
        f"http://{registry}/v2/gpsagemaker/tags/list", auth=CREDENTIALS, timeout=60
    ).json()["tags"]
    assert sorted(tags) == sorted(["latest", commit(checkout)[:12]])
    assert {manifest(registry, tag).headers["Content-Type"] for tag in tags} == {DOCKER_MANIFEST}
    assert len({manifest(registry, tag).headers["Docker-Content-Digest"] for tag in tags}) == 1


class Denial(BaseHTTPRequestHandler):
    """ECR, to somebody who may not look."""

    def do_POST(self) -> None:
        body = (
            b'{"__type": "AccessDeniedException", "message": "you may not describe repositories"}'
        )
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def denial() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Denial)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_any_other_answer_of_ecr_stops_before_the_build(aws, denial, checkout):
    done = push(checkout, "gpsagemaker", AWS_ENDPOINT_URL_ECR=denial, **aws)

    assert done.returncode == 1
    assert "you may not describe repositories" in done.stderr
    assert "create-repository" not in done.stdout
    assert "docker" not in done.stdout


def test_without_another_word_the_region_is_that_of_aws_configure(aws, denial, checkout, tmp_path):
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    environment = aws | {
        "AWS_REGION": "",
        "AWS_DEFAULT_REGION": "",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }

    done = push(checkout, "gpsagemaker", AWS_ENDPOINT_URL_ECR=denial, **environment)

    assert "aws ecr describe-repositories --region eu-west-3" in done.stdout


def test_a_dry_run_prints_the_commands_for_another_region_and_platform(checkout):
    # No endpoint answers here: a command that ran would fail.
    options = ["--region", "cn-north-1", "--platform", "linux/arm64", "--dry-run"]

    done = push(checkout, "gpsagemaker", *options, AWS_ENDPOINT_URL="http://127.0.0.1:1")

    repository = "ACCOUNT.dkr.ecr.cn-north-1.amazonaws.com.cn/gpsagemaker"
    tags = f"--tag {repository}:latest --tag {repository}:{commit(checkout)[:12]}"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "aws sts get-caller-identity --region cn-north-1 --query Account --output text",
        "aws ecr describe-repositories --region cn-north-1 --repository-names gpsagemaker",
        "aws ecr create-repository --region cn-north-1 --repository-name gpsagemaker",
        "aws ecr get-login-password --region cn-north-1 | "
        "docker login --username AWS --password-stdin ACCOUNT.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "docker buildx build --platform linux/arm64 --provenance=false --sbom=false"
        f" --output type=docker {tags} .",
        f"docker push {repository}:{commit(checkout)[:12]}",
        f"docker push {repository}:latest",
    ]


def test_a_tree_with_changes_is_tagged_as_such(checkout):
    (checkout / "README.md").write_text("changed")

    assert f":{commit(checkout)[:12]}-dirty" in push(checkout, "gpsagemaker", "--dry-run").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "name of the repository is missing"),
        (["a", "b"], "a and b"),
        (["a", "--regoin", "x"], "--regoin"),
        (["a", "--region"], "value"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(checkout, arguments, reason):
    done = push(checkout, *arguments)

    assert done.returncode == 1
    assert reason in done.stderr


def test_outside_a_git_checkout_nothing_is_pushed(checkout):
    shutil.rmtree(checkout / ".git")

    done = push(checkout, "gpsagemaker", "--dry-run")

    assert done.returncode == 1
    assert "git checkout" in done.stderr
