"""An endpoint of the image, as SageMaker runs it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from container import post
from container.engine import Container, docker, wait_for

ASK_FOR_BOTH = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Custom-Attributes": "output=mean,std"}


def csv(x: np.ndarray) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in x.tolist())


def numbers(answer: requests.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array([line.split(",") for line in answer.text.splitlines()], dtype=float)


def queued(container: Container) -> float:
    """Return how many predictions an endpoint has begun, or has waiting."""
    metrics = requests.get(f"{container.url()}/metrics", timeout=5).text.splitlines()
    values = [line.split()[-1] for line in metrics if line.startswith("gaussian_processes_queue")]
    return sum(map(float, values))


def test_predictions_are_those_of_the_training_job(trained, model, serve):
    left = np.genfromtxt(
        trained / "output/data/validation_predictions.csv", delimiter=",", names=True
    )
    # SageMaker mounts the model read-only, at times with the archive that it came in.
    (model / "model.tar.gz").write_bytes(b"a stranger")
    container = serve(model, "--read-only", "--tmpfs=/tmp")

    body = csv(post.table(50, seed=2)[:, 1:])
    answer = requests.post(f"{container.url()}/invocations", body, headers=ASK_FOR_BOTH, timeout=60)

    np.testing.assert_allclose(
        numbers(answer), np.column_stack([left["mean"], left["std"]]), rtol=1e-9
    )


def test_an_endpoint_needs_no_network(model, start):
    mount = f"type=bind,source={model},target=/opt/ml/model,readonly"
    container = start("serve", options=["--network", "none", "--mount", mount])

    ping = """
import time, urllib.request
for attempt in range(600):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/ping").status)
        break
    except OSError:
        time.sleep(0.1)
"""

    assert container.python(ping) == "200"


def test_an_endpoint_listens_on_the_port_that_it_is_given(model, serve):
    container = serve(model, "--env", "SAGEMAKER_BIND_TO_PORT=7777", port=7777)

    assert requests.get(f"{container.url(7777)}/ping", timeout=2).status_code == 200


def test_an_endpoint_need_not_be_root(model, serve):
    container = serve(model, "--user", "1234:1234", "--cap-drop", "ALL")

    assert requests.get(f"{container.url()}/ping", timeout=2).status_code == 200


def test_workers_are_no_more_than_the_cores_allowed(model, serve):
    container = serve(model, "--cpus", "1", "--env", "MODEL_SERVER_WORKERS=2")

    processes = container.processes()
    (master,) = [
        process for process, parent, command in processes if parent == 1 and "gunicorn" in command
    ]
    assert len([process for process, parent, _ in processes if parent == master]) == 1


@pytest.mark.parametrize("name", ["nginx", "gunicorn"])
def test_the_death_of_a_part_is_the_end_of_the_container(model, serve, name):
    container = serve(model)
    (victim,) = [
        process
        for process, parent, command in container.processes()
        if parent == 1 and name in command
    ]

    docker("exec", container.name, "bash", "-c", f"kill -KILL {victim}")

    assert container.status() == 1
    assert f"{name} ended with signal 9" in container.log()


def test_a_missing_model_ends_the_container_with_a_sentence(start):
    container = start("serve")

    assert container.status() == 1
    assert "/opt/ml/model" in container.log()
    assert "Traceback" not in container.log()


def test_sigterm_answers_the_requests_in_flight(job, train, serve):
    folder = job({"q": "1", "noise": "0.1", "bias": "1"}, train=post.table(3_000, seed=4))
    train(folder)
    container = serve(folder / "model")
    # Each deviation is a triangular solve of 3,000 rows: together seconds of work, of the 20 that
    # a request is given.
    rows = 20_000

    with ThreadPoolExecutor() as pool:
        body, url = csv(post.table(rows, seed=5)[:, 1:]), f"{container.url()}/invocations"
        answer = pool.submit(requests.post, url, body, headers=ASK_FOR_BOTH, timeout=60)
        wait_for(lambda: queued(container) > 0, container.log)
        assert not answer.done()
        status, seconds = container.stop(seconds=30)

    assert len(numbers(answer.result())) == rows
    assert status == 0, container.log()
    assert seconds < 25


def test_sigterm_ends_an_idle_endpoint_at_once(model, serve):
    status, seconds = serve(model).stop(seconds=30)

    assert status == 0
    assert seconds < 5
