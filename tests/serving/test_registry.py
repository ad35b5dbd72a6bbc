"""Models by name: which urls and names may be loaded."""

import shutil

import numpy as np
import pytest
from trained import train

from gaussian_processes import GaussianProcessRegressor
from gaussian_processes.errors import UserError
from gaussian_processes.serving.app import create_app
from gaussian_processes.serving.memory import MemoryBudget, TooLargeError
from gaussian_processes.serving.registry import InsufficientMemoryError, ModelRegistry

TWICE = b'{"model_name": "a", "model_name": "b", "url": "/c"}'
ROW = "0.5,-1.5,2.5\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Base folder of a trained model."""
    return train(tmp_path_factory.mktemp("base"), rows=20)


@pytest.fixture
def client(base):
    """Client of a multi-model endpoint whose models are those under `base`."""
    return create_app(ModelRegistry(MemoryBudget(10_000_000), [base])).test_client()


def load(client, name, url):
    return client.post("/models", json={"model_name": name, "url": str(url)})


@pytest.mark.parametrize("below", ["model", "model/", "other/../model"])
def test_a_model_in_a_folder_of_models_is_loaded(client, base, below):
    assert load(client, "a", f"{base}/{below}").status_code == 200


def test_a_model_elsewhere_is_refused_with_the_folders(client, base, tmp_path):
    (tmp_path / "model").symlink_to(base / "model")
    (base / "link").symlink_to("/etc")

    for url in (
        "/etc",
        f"{base}/../etc",
        base / "link",
        f"{base}-2/model",
        "model",
        "s3://b/model",
    ):
        response = load(client, "a", url)
        assert response.status_code == 400
        assert response.text == (
            f"url is {url}, outside of {base}; move the model, or set SERVING_MODEL_FOLDERS\n"
        )
    assert load(client, "a", tmp_path / "model").status_code == 200


@pytest.mark.parametrize(
    "name", [" a", "a\n", "a\0b", "\ud800", "a\u2028", "n" * 1025, "\x7f", "\t"]
)
def test_a_name_that_sagemaker_does_not_have_is_refused(client, base, name):
    response = load(client, name, base / "model")

    assert response.status_code == 400
    assert response.text.startswith("model_name is '")
    assert response.text.count("\n") == 1


@pytest.mark.parametrize("name", ["a", "a b", "path/model.tar.gz", "n" * 1024, "é"])
def test_a_name_that_sagemaker_has_is_taken(client, base, name):
    assert load(client, name, base / "model").status_code == 200


@pytest.mark.parametrize("url", ["/opt\0/ml", "\ud800", "/" + "a" * 5000, "a" * 300 + "/model"])
def test_a_url_that_is_no_path_is_refused(client, url):
    response = load(client, "a", url)

    assert response.status_code == 400
    assert response.text.count("\n") == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[" * 20_000, b"\xff", b'{"model_name": "a"}', b'{"a": ' * 20_000, b"null", TWICE],
)
def test_a_body_that_is_no_request_to_load_is_refused(client, body):
    response = client.post("/models", data=body)

    assert response.status_code == 400
    assert response.text.startswith("the request does not read as ")


@pytest.fixture
def restarted(base, tmp_path):
    """Make the client of a worker of the same endpoint, such as one that takes another's place."""

    def start():
        registry = ModelRegistry(MemoryBudget(10_000_000), [base], tmp_path / "models.json")
        return create_app(registry).test_client()

    return start


def test_names_and_models_outlive_a_worker(restarted, base):
    before = restarted()
    load(before, "b", base / "model")
    load(before, "a", base / "model")
    load(before, "c", base / "model")
    before.delete("/models/c")

    after = restarted()

    assert [model["modelName"] for model in after.get("/models").json["models"]] == ["b", "a"]
    assert after.get("/models/a").json["modelUrl"] == str(base / "model")
    for name in "ab":
        expected = before.post(f"/models/{name}/invoke", data=ROW, content_type="text/csv")
        answer = after.post(f"/models/{name}/invoke", data=ROW, content_type="text/csv")
        assert (answer.status_code, answer.data) == (200, expected.data)
    assert load(after, "a", base / "model").status_code == 409
    assert after.delete("/models/a").status_code == 200
    assert after.delete("/models/a").status_code == 404
    assert after.post("/models/c/invoke", data=ROW, content_type="text/csv").status_code == 404


def test_a_model_that_is_gone_when_a_worker_takes_another_s_place_is_said_to_be(
    restarted, base, tmp_path
):
    folder = base / "passing"
    shutil.copytree(base / "model", folder)
    load(restarted(), "a", folder)
    shutil.rmtree(folder)

    answer = restarted().post("/models/a/invoke", data=ROW, content_type="text/csv")

    assert answer.status_code == 503
    assert answer.text.startswith("model a can't be loaded again: ")
    assert answer.text.count("\n") == 1


def test_a_name_has_no_other_model_after_a_worker_than_before(restarted, base, tmp_path):
    folder = base / "replaced"
    shutil.copytree(base / "model", folder)
    first = restarted()
    load(first, "a", folder)
    expected = first.post("/models/a/invoke", data=ROW, content_type="text/csv").data
    shutil.rmtree(folder)
    shutil.copytree(train(tmp_path, rows=21) / "model", folder)

    second = restarted()
    answer = second.post("/models/a/invoke", data=ROW, content_type="text/csv")

    assert first.post("/models/a/invoke", data=ROW, content_type="text/csv").data == expected
    assert answer.status_code == 503
    assert answer.text == (
        f"model a can't be loaded again: {folder} holds another model than the one that was"
        " loaded; unload it, and load what is there now\n"
    )
    assert second.delete("/models/a").status_code == 200
    assert load(second, "a", folder).status_code == 200
    assert second.post("/models/a/invoke", data=ROW, content_type="text/csv").data != expected


def test_links_that_lead_in_a_circle_are_refused(client, base):
    (base / "circle").symlink_to(base / "circle")

    response = load(client, "a", base / "circle")

    assert response.status_code == 400
    assert response.text.count("\n") == 1


def test_a_page_of_any_token_is_a_list(client):
    for token in ("9" * 5000, "-1", "x", "1.5", "\u0663"):
        assert client.get("/models", query_string={"next_page_token": token}).json["models"] == []


@pytest.mark.parametrize("url", ["/" + "a/" * 100_000, "/" + "a" * 300], ids=["deep", "long"])
def test_a_url_that_is_too_long_for_the_system_is_refused(url):
    with pytest.raises(UserError, match="send the path of a folder"):
        ModelRegistry(MemoryBudget(1)).load("a", url)


def test_models_and_requests_share_one_budget(base):
    memory = MemoryBudget(10_000_000)
    registry = ModelRegistry(memory, [base])

    registry.load("a", str(base / "model"))

    size = registry.get("a").size
    assert size > 0
    assert (memory.reserved_bytes, memory.request_bytes) == (size, 10_000_000 - size)
    with pytest.raises(TooLargeError):
        memory.reservation().grow(10_000_000 - size + 1, "it", "stop")
    registry.unload("a")
    assert (memory.reserved_bytes, memory.request_bytes) == (0, 10_000_000)


def test_the_files_of_other_members_take_memory_too(tmp_path):
    x = np.random.default_rng(8).normal(size=(60, 2))
    blend = GaussianProcessRegressor(q=0, l=0, noise=1, members=("gp", "boosting"))
    blend.fit(x, np.sign(x[:, 0])).save(tmp_path / "model")
    registry = ModelRegistry(MemoryBudget(10_000_000), [tmp_path])

    registry.load("a", str(tmp_path / "model"))

    trees = (tmp_path / "model/regressor-1/trees.txt").stat().st_size
    assert trees > 100_000
    assert registry.get("a").size > trees


def test_a_model_waits_for_the_memory_that_requests_have(base):
    memory = MemoryBudget(10_000_000)
    registry = ModelRegistry(memory, [base])
    request = memory.reservation()
    request.grow(10_000_000, "it", "stop")

    with pytest.raises(InsufficientMemoryError):
        registry.load("a", str(base / "model"))

    request.release()
    registry.load("a", str(base / "model"))


def test_a_folder_without_a_model_says_where_one_lies_and_takes_no_memory(base, tmp_path):
    memory = MemoryBudget(10_000_000)
    registry = ModelRegistry(memory, [base, tmp_path])
    (tmp_path / "model.tar.gz").touch()

    with pytest.raises(UserError, match=rf"has no model.json, but {base}/model has one"):
        registry.load("a", str(base))
    with pytest.raises(UserError, match=r"but the archive .*model.tar.gz; unpack it there"):
        registry.load("a", str(tmp_path))

    assert memory.reserved_bytes == 0
