"""The image: its labels, commands, content and size."""

import json

import pytest
from container.engine import docker

# 320 MB when this was written, of which 81 are Debian's; the rest is room for Debian's and the
# wheels' own growth.
LARGEST_BYTES = 340_000_000


def test_the_image_promises_to_listen_on_the_port_that_it_is_given(image):
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", image))

    assert labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["python", "-c", "import gaussian_processes, sys; print(sys.prefix)"], "/opt/program"),
        (["bash", "-c", "echo $((6 * 7))"], "42"),
        (["chmod", "--version"], "chmod (GNU coreutils)"),
        (["train", "--help"], "noise"),
        (["serve", "--help"], "SAGEMAKER_BIND_TO_PORT"),
        (["describe", "--help"], "trained model"),
    ],
)
def test_any_command_is_executed(image, command, answer):
    assert answer in docker("run", "--rm", image, *command)


def test_the_image_holds_nothing_that_running_does_not_need(image):
    no_tool = docker("run", "--rm", image, "bash", "-c", "type -P gcc strip || true")
    no_file = docker(
        "run",
        "--rm",
        image,
        "find",
        "/opt/program",
        "-name",
        "tests",
        "-o",
        "-name",
        "*.pyi",
        "-o",
        "-name",
        "*.[ch]",
    )

    assert (no_tool, no_file) == ("", "")
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) < LARGEST_BYTES


def test_pip_says_that_no_package_can_be_added(image):
    command = "pip3 install -r /dev/null && { python -m pip install seaborn 2>&1 || echo refused; }"

    said = docker("run", "--rm", image, "bash", "-c", command)

    assert said.startswith("pip was asked for seaborn, but this is the image of gaussian-processes")
    assert said.endswith("\nrefused")


def test_what_serving_imports_has_its_bytecode(image):
    program = """
import os, sys
import gaussian_processes.serving.main, gaussian_processes.serving.worker, gunicorn.app.wsgiapp
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
files = [spec.cached for spec in specs if spec and spec.cached]
print([file for file in files if file.startswith("/opt/program") and not os.path.exists(file)])
"""

    assert docker("run", "--rm", image, "python", "-c", program) == "[]"


def test_the_bill_of_materials_names_what_the_image_holds(image):
    printed = json.loads(docker("run", "--rm", image, "python", "-m", "gaussian_processes.sbom"))
    asked = "dpkg-query --show --showformat='${Package}\\n'"
    packages = docker("run", "--rm", image, "bash", "-c", asked).split()

    names = [component["name"] for component in printed["components"]]
    assert set(packages) <= set(names)
    assert {"gaussian-processes", "numpy", "scipy", "nginx"} <= set(names)


def test_nothing_in_the_image_becomes_another_user(image):
    assert docker("run", "--rm", image, "find", "/", "-xdev", "-perm", "/6000") == ""


def test_the_engine_checks_the_health_of_an_endpoint(image):
    check = docker("image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", image)

    assert json.loads(check) == ["CMD", "python", "-m", "gaussian_processes.serving.health"]
