"""HTTP interface of an endpoint: bytes in, bytes out, with a real model."""

import gc
import gzip
import io
import json
import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import t
from trained import COLUMNS, plain, train, train_on

from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.model.model import EnsembleMember, Model, Prediction
from gaussian_processes.serving import app
from gaussian_processes.serving.app import create_app
from gaussian_processes.serving.invocations import CUSTOM_ATTRIBUTES, AppConfig
from gaussian_processes.serving.memory import MemoryBudget
from gaussian_processes.serving.registry import ModelRegistry
from gaussian_processes.training import main

CSV, JSON = {"Content-Type": "text/csv"}, {"Content-Type": "application/json"}
ROWS = np.random.default_rng(73).normal(size=(7, COLUMNS))
BODY = "".join(",".join(map(repr, row)) + "\n" for row in ROWS.tolist())
LIMIT = 2**20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=30) / "model")


@pytest.fixture(scope="module")
def client(model):
    return create_app(model, AppConfig(max_body_bytes=LIMIT)).test_client()


def invoke(client, body=BODY, **headers):
    return client.post("/invocations", data=body, headers={"Content-Type": "text/csv", **headers})


def refusal(response, status):
    """Sentence of a refusal."""
    assert response.status_code == status
    assert response.content_type == "text/plain; charset=utf-8"
    assert len(response.text) < 2048
    assert response.text.count("\n") == 1
    return response.text.removesuffix("\n")


def columns(response):
    assert response.status_code == 200, response.text
    assert response.content_type == "text/csv"
    return np.array([line.split(",") for line in response.text.splitlines()], dtype=float)


def test_ping_has_an_empty_response(client):
    response = client.get("/ping")

    assert (response.status_code, response.data) == (200, b"")


def test_csv_is_answered_with_the_mean_of_every_row(client, model):
    np.testing.assert_array_equal(columns(invoke(client)), model.predict(ROWS).mean)


def test_json_is_answered_in_json_where_accept_names_it(client, model):
    body = json.dumps({"instances": [{"features": row} for row in ROWS.tolist()]})

    response = client.post(
        "/invocations", data=body, headers={**JSON, "Accept": "application/json"}
    )

    assert response.content_type == "application/json"
    assert response.get_json() == {
        "predictions": [{"score": mean} for [mean] in model.predict(ROWS).mean.tolist()]
    }


def test_json_is_answered_in_csv_without_accept(client, model):
    response = client.post(
        "/invocations", data=json.dumps({"instances": ROWS.tolist()}), headers=JSON
    )

    np.testing.assert_array_equal(columns(response), model.predict(ROWS).mean)


@pytest.mark.parametrize(
    "attributes",
    [
        "output=mean,std",
        "output = mean, std",
        "trace=17;output=mean,std",
        "c000b4f9-df62 output=mean,std",
        "trace=17,output=mean,std",
        "output=mean,std,trace=17",
        "output=mean,std&trace=17",
        "output=mean,std,mean",
    ],
)
def test_a_request_chooses_its_outputs(client, model, attributes):
    expected = model.predict(ROWS, variance=True)

    response = columns(invoke(client, **{CUSTOM_ATTRIBUTES: attributes}))

    np.testing.assert_array_equal(response, np.hstack([expected.mean, np.sqrt(expected.variance)]))


@pytest.mark.parametrize(
    "attributes", ["", "trace=17", "c000b4f9-df62-4c85", "outputs=none", "no output"]
)
def test_attributes_of_other_programs_are_ignored(client, attributes):
    assert columns(invoke(client, **{CUSTOM_ATTRIBUTES: attributes})).shape == (len(ROWS), 1)


def test_json_names_the_outputs_in_the_order_asked_for(client):
    response = invoke(
        client, Accept="application/json", **{CUSTOM_ATTRIBUTES: "output=variance,std,mean"}
    )

    first = response.get_json()["predictions"][0]
    assert list(first) == ["variance", "std", "score"]
    assert first["std"] == np.sqrt(first["variance"])


def test_outputs_have_a_default_that_a_request_replaces(model):
    client = create_app(model, AppConfig("std,variance")).test_client()

    std, variance = columns(invoke(client)).T
    np.testing.assert_array_equal(std, np.sqrt(variance))
    assert columns(invoke(client, **{CUSTOM_ATTRIBUTES: "output=mean"})).shape == (len(ROWS), 1)


def test_an_unknown_output_is_refused_with_the_nearest_name(client):
    sentence = refusal(invoke(client, **{CUSTOM_ATTRIBUTES: "output=mean,stdev"}), 400)

    assert (
        sentence
        == '"stdev" is not an output, did you mean "std"; the outputs are mean, std, variance,'
        " interval, quantiles, novelty, shap, neighbours"
    )


@pytest.mark.parametrize("output", ["std", "variance"])
def test_a_model_without_variance_refuses_what_needs_it(model, output):
    member = replace(model.members[0], process=replace(model.members[0].process, factor=None))
    client = create_app(replace(model, members=(member,))).test_client()

    assert "train again with keep_factor=true" in refusal(
        invoke(client, **{CUSTOM_ATTRIBUTES: f"output={output}"}), 400
    )
    assert columns(invoke(client)).shape == (len(ROWS), 1)


@pytest.mark.parametrize("body", ["", "\n", " \r\n\n"])
@pytest.mark.parametrize("headers", [CSV, JSON, {}])
def test_an_empty_body_has_an_empty_answer(client, body, headers):
    response = client.post("/invocations", data=body, headers=headers)

    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Length" not in response.headers


def test_a_bad_value_is_refused_by_row_and_column(client):
    sentence = refusal(invoke(client, "1,2,3\n1,2,abc\n"), 400)

    assert (
        sentence
        == 'row 2, column 3 of the request is "abc", not a finite number; send numbers only'
    )


@pytest.mark.parametrize(("row", "width"), [("1,2", 2), ("1,2,3,4", 4)])
def test_exactly_the_trained_columns_are_taken(client, row, width):
    assert f"row 1 of the request has {width} columns and the model was trained on 3" in refusal(
        invoke(client, row), 400
    )


@pytest.mark.parametrize(
    "content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded"]
)
def test_another_content_type_is_refused_with_those_there_are(client, content_type):
    response = client.post("/invocations", data=b"1,2,3", content_type=content_type)

    assert "send text/csv, application/json, application/jsonlines, application/x-npy, " in refusal(
        response, 415
    )


def test_an_unacceptable_accept_is_refused_before_the_body_is_read(client):
    assert "text/csv, application/json, application/jsonlines or application/x-npy" in refusal(
        invoke(client, "no, numbers", Accept="image/png"), 406
    )


def test_a_body_over_the_limit_is_refused_with_the_limit(client):
    row = b"1.0,2.0,3.0\n"
    body = row * (LIMIT // len(row))

    assert invoke(client, body).status_code == 200
    assert (
        refusal(invoke(client, body + row), 413)
        == "the body is larger than 1 MB; send fewer rows at a time"
    )


@pytest.mark.parametrize("path", ["/", "/pingfoo", "/invocations/", "/models"])
def test_another_path_is_not_found(client, path):
    assert (
        refusal(client.get(path), 404)
        == f"there is no {path}; GET /openapi.json lists what there is"
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/invocations", "POST"), ("POST", "/ping", "GET")]
)
def test_another_method_is_not_allowed(client, method, path, allowed):
    response = client.open(path, method=method)

    assert (
        refusal(response, 405)
        == f"{path} does not take {method}; GET /openapi.json lists what it takes"
    )
    assert allowed in response.headers["Allow"]


@dataclass(frozen=True)
class Faulty:
    """A model with a bug."""

    response: float | None = None
    schema: Schema = field(default_factory=lambda: plain(COLUMNS))
    has_variance: bool = True
    members: tuple[EnsembleMember, ...] = ()

    def predict(self, rows, variance=False, **_):
        if self.response is None:
            raise RuntimeError("the sphere is flat")
        return Prediction(np.full((len(rows), 1), self.response), None)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    """Client of a model of rows whose noise is 0.5/sqrt(w), w being 1 or 100."""
    rng = np.random.default_rng(20)
    x, weight = rng.uniform(-2, 2, 300), np.where(np.arange(300) % 2, 100.0, 1.0)
    y = np.sin(2 * x) + rng.normal(0, 0.5, 300) / np.sqrt(weight)
    rows = np.column_stack([y, x, weight]).tolist()
    base = train_on(
        tmp_path_factory.mktemp("base"),
        ["y,x,w", *(",".join(map(repr, row)) for row in rows)],
        target="y",
        sample_weight="w",
        leave_one_out="false",
        ensemble="none",
    )
    return create_app(artifact.load(base / "model"), AppConfig()).test_client()


def test_an_observation_is_predicted_with_the_noise_of_its_own_weight(weighted):
    deviations = {CUSTOM_ATTRIBUTES: "output=std"}

    plain, light, heavy = (
        columns(invoke(weighted, body, **deviations))
        for body in ("0.1\n", "w,x\n1,0.1\n", "x,w\n0.1,100\n")
    )

    np.testing.assert_array_equal(plain, light)
    assert 0.4 < light < 0.6
    assert 0.05 < heavy < 0.08


def test_rows_of_many_blocks_keep_their_own_weights(weighted):
    weight = np.tile([1.0, 100.0], 500)
    body = "x,w\n" + "".join(f"0.1,{own}\n" for own in weight)

    deviations = columns(invoke(weighted, body, **{CUSTOM_ATTRIBUTES: "output=std"}))[:, 0]

    assert deviations[weight == 1].min() > 0.4
    assert deviations[weight == 100].max() < 0.08


def test_a_bug_is_a_sentence_for_the_client_and_a_traceback_for_the_log(caplog):
    response = invoke(create_app(Faulty()).test_client())

    assert "log" in refusal(response, 500)
    assert "Traceback" in caplog.text
    assert "RuntimeError: the sphere is flat" in caplog.text


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_never_sent(number):
    response = invoke(create_app(Faulty(number)).test_client())

    assert refusal(response, 400).startswith(f"the mean of row 1 is {number}")


def test_long_work_runs_in_the_given_runner_which_passes_refusals_on(model):
    used = []

    def in_a_thread(call):
        outcome = []

        def run():
            try:
                outcome.append(call())
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        used.append(thread)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    client = create_app(model, AppConfig(run=in_a_thread)).test_client()

    assert columns(invoke(client, BODY * 1_000)).shape == (len(ROWS) * 1_000, 1)
    refusal(invoke(client, "a,b,c\n" * 20_000), 400)
    assert len(used) == 2
    client.get("/ping")
    invoke(client, Accept="image/png")
    assert len(used) == 2


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Client and model of two classes, of a column of numbers and one of words."""
    base = tmp_path_factory.mktemp("classes")
    data, config = base / "input/data/train/data.csv", base / "input/config/hyperparameters.json"
    for path in (data, config):
        path.parent.mkdir(parents=True)
    rng = np.random.default_rng(75)
    lines = [
        f"{'yes' if x > (kind == 'b') else 'no'},{x},{kind}"
        for x, kind in zip(rng.normal(size=80), "ab" * 40, strict=True)
    ]
    data.write_text("\n".join(["response,x,kind", *lines]))
    config.write_text(json.dumps({"q": "1", "l": "1", "noise": "0.1", "bias": "1"}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert main.main([]) == 0
    model = artifact.load(base / "model")
    return create_app(model).test_client(), model


def test_a_classifier_answers_with_the_label(classifier):
    client, _ = classifier

    assert invoke(client, "3,a\n-3,b\n").text == "yes\nno\n"
    assert invoke(client, "kind,x\na,3\n").text == "yes\n"


def test_classes_have_probabilities_under_xgboosts_names(classifier):
    client, model = classifier
    attributes = {CUSTOM_ATTRIBUTES: "output=predicted_label,probability,probabilities,labels"}

    response = invoke(
        client, '[{"x": 0.5, "kind": "a"}]', Accept="application/json", **attributes | JSON
    )

    [record] = response.get_json()["predictions"]
    expected = model.predict(np.array([[0.5, 0.0]])).probabilities[0].tolist()
    assert record == {
        "predicted_label": "yes",
        "probability": max(expected),
        "probabilities": expected,
        "labels": ["no", "yes"],
    }
    assert (
        invoke(client, "0.5,a", **attributes).text
        == f'yes,{max(expected)!r},"{expected}","[""no"", ""yes""]"\n'
    )


def test_outputs_of_numbers_are_refused_of_classes_and_the_other_way_round(classifier, client):
    sentence = refusal(invoke(classifier[0], "3,a", **{CUSTOM_ATTRIBUTES: "output=mean"}), 400)

    assert (
        sentence == '"mean" is not an output;'
        " the outputs are predicted_label, probability, probabilities, labels, novelty, shap,"
        " neighbours"
    )
    assert (
        "the outputs are mean, std, variance, interval, quantiles, novelty, shap, neighbours"
        in refusal(invoke(client, **{CUSTOM_ATTRIBUTES: "output=probability"}), 400)
    )


def test_a_category_that_training_did_not_have_is_logged_once_a_column(classifier, caplog):
    client = create_app(classifier[1]).test_client()

    assert invoke(client, "3,c\n").text == invoke(client, "3,d\n").text == "yes\n"

    assert [record.message for record in caplog.records] == [
        "column 2 (kind) holds a category that training did not have;"
        " such cells are encoded as none of the categories"
    ]


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ("interval=0.8", ["score", "interval"]),
        ("output=interval;interval=0.8", ["interval"]),
        ("output=std,interval=0.8", ["std", "interval"]),
        ("output=mean,quantiles;quantiles=0.1,0.9", ["score", "quantiles"]),
        ("quantiles=0.1,0.9,output=std", ["std", "quantiles"]),
    ],
)
def test_intervals_and_quantiles_are_those_of_the_student_t_distribution(
    client, model, attributes, names
):
    expected = model.predict(ROWS, variance=True)
    degrees = len(model.members[0].process.points) - 1
    mean = expected.mean[:, 0]
    scale = np.sqrt(expected.variance[:, 0] * (degrees - 2) / degrees)

    records = invoke(
        client, Accept="application/json", **{CUSTOM_ATTRIBUTES: attributes}
    ).get_json()["predictions"]

    assert list(records[0]) == names
    ends = np.array([record[names[-1]] for record in records])
    np.testing.assert_allclose(
        ends, t.ppf([[0.1, 0.9]], degrees, mean[:, np.newaxis], scale[:, np.newaxis]), rtol=1e-9
    )


def test_an_interval_is_two_cells_of_csv(client):
    assert columns(invoke(client, **{CUSTOM_ATTRIBUTES: "output=mean,interval"})).shape == (
        len(ROWS),
        3,
    )


@pytest.mark.parametrize(
    "attributes",
    [
        "interval=0",
        "interval=1",
        "interval=0.5,0.6",
        "quantiles=",
        "quantiles=nan",
        "interval=x",
        "interval=0.9999999999999999",
    ],
)
def test_a_level_that_is_no_probability_is_refused(client, attributes):
    assert "send probabilities between 0 and 1, such as " in refusal(
        invoke(client, **{CUSTOM_ATTRIBUTES: attributes}), 400
    )


def test_a_setting_names_outputs_with_their_levels(model):
    client = create_app(model, AppConfig("mean,interval=0.5")).test_client()

    assert columns(invoke(client)).shape == (len(ROWS), 3)


def test_a_setting_may_be_a_level_alone(model):
    client = create_app(model, AppConfig("interval=0.5")).test_client()

    assert columns(invoke(client)).shape == (len(ROWS), 3)


def test_half_a_surrogate_pair_is_refused_as_any_string(client):
    response = client.post("/invocations", data=b'[["\\ud800", 1, 2]]', headers=JSON)

    assert "not a finite number" in refusal(response, 400)


def test_accept_has_a_default_that_a_request_replaces(model):
    client = create_app(model, AppConfig(default_accept="application/jsonlines")).test_client()

    assert invoke(client).content_type == "application/jsonlines"
    assert invoke(client, Accept="text/csv").content_type == "text/csv"


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16"])
def test_text_may_have_any_charset(classifier, charset):
    response = classifier[0].post(
        "/invocations", data="3,ä\n".encode(charset), content_type=f"text/csv; charset={charset}"
    )

    assert response.text == "yes\n"


@pytest.mark.parametrize(
    ("charset", "status"),
    [
        *[("klingon", 415), ("ascii", 400), ("punycode", 415), ("idna", 415), ("utf-7", 415)],
        *[("unicode_escape", 415), ("raw_unicode_escape", 415), ("cp037", 415)],
    ],
)
def test_an_unknown_or_wrong_charset_is_refused(classifier, charset, status):
    response = classifier[0].post(
        "/invocations", data="3,ä\n".encode(), content_type=f"text/csv; charset={charset}"
    )

    assert charset in refusal(response, status)


def test_a_compressed_body_is_refused_without_decompression(client):
    sentence = refusal(
        invoke(client, gzip.compress(b"1,2,3\n" * 1000), **{"Content-Encoding": "gzip"}), 415
    )

    assert sentence == "Content-Encoding is gzip; send the body as it is, uncompressed"


def test_execution_parameters_are_those_of_the_configuration(model):
    client = create_app(model, AppConfig(execution_parameters={"MaxPayloadInMB": 25})).test_client()

    assert client.get("/execution-parameters").get_json() == {"MaxPayloadInMB": 25}


@pytest.mark.parametrize("said", [{"QUERY_STRING": "output=std"}, {"PATH_INFO": "//invocations"}])
def test_a_query_and_a_second_slash_are_ignored(client, said):
    response = client.post("/invocations", data=BODY, headers=CSV, environ_overrides=said)

    assert (response.status_code, response.content_type, response.data) == (
        200,
        "text/csv",
        invoke(client).data,
    )


def test_a_body_without_a_length_is_read_to_its_end_or_to_the_limit(client):
    def chunked(body):
        return client.post(
            "/invocations",
            input_stream=io.BytesIO(body),
            headers=CSV,
            environ_base={"wsgi.input_terminated": True},
        )

    assert chunked(BODY.encode()).data == invoke(client).data
    assert "larger than 1 MB" in refusal(chunked(BODY.encode() * 100_000), 413)


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", 200), ("GET", 405), ("HEAD", 405), ("PUT", 405)]
)
def test_another_method_than_post_is_answered_with_the_allowed_ones(client, method, status):
    response = client.open("/invocations", method=method)

    assert response.status_code == status
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_prometheus_counts_the_seconds_of_a_request_that_fails(model):
    def fail(*_):
        time.sleep(0.05)
        raise UserError("no")

    client = create_app(model, AppConfig(predict=fail)).test_client()
    refusal(invoke(client), 400)

    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }
    (seconds,) = (
        s.value
        for s in families["gaussian_processes_request_seconds"].samples
        if s.name.endswith("_sum")
    )
    assert seconds >= 0.05


def test_prometheus_counts_the_novelty_of_predictions_with_a_variance(model):
    client = create_app(model).test_client()
    invoke(client)
    answer = invoke(client, **{CUSTOM_ATTRIBUTES: "output=mean,novelty"})
    novelty = np.loadtxt(answer.text.splitlines(), delimiter=",", ndmin=2)[:, 1]

    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }

    samples = families["gaussian_processes_novelty"].samples
    counted = {s.labels.get("le"): s.value for s in samples if s.name.endswith("_bucket")}
    assert counted["+Inf"] == len(ROWS)
    assert counted["0.5"] == (novelty <= 0.5).sum()
    (total,) = (s.value for s in samples if s.name.endswith("_sum"))
    assert total == pytest.approx(novelty.sum())


def test_prometheus_counts_requests_errors_rows_and_seconds(model):
    client = create_app(model).test_client()
    invoke(client)
    invoke(client, "a,b,c")
    client.get("/ping")

    families = {
        family.name: family
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }

    requests = {
        tuple(sample.labels.values()): sample.value
        for sample in families["gaussian_processes_requests"].samples
    }
    assert requests[("/invocations", "200")] == requests[("/invocations", "400")] == 1
    assert ("/ping", "200") not in requests
    assert families["gaussian_processes_rows"].samples[0].value == len(ROWS)
    assert families["gaussian_processes_errors"].samples[0].value == 1
    assert families["gaussian_processes_queue"].samples[0].value == 0
    counts = [
        s.value
        for s in families["gaussian_processes_request_seconds"].samples
        if s.name.endswith("_count")
    ]
    assert counts == [2]


@pytest.fixture
def many(tmp_path_factory):
    """Client of a multi-model endpoint, and the folders of two models."""
    folders = [train(tmp_path_factory.mktemp("base"), rows=rows) / "model" for rows in (20, 30)]
    return create_app(ModelRegistry(MemoryBudget(10_000_000))).test_client(), folders


def load(client, name, folder):
    return client.post("/models", json={"model_name": name, "url": str(folder)})


def test_models_are_loaded_listed_invoked_and_unloaded(many):
    client, folders = many
    for name, folder in zip(("a", "b/c"), folders, strict=True):
        assert load(client, name, folder).status_code == 200

    assert client.get("/models").get_json() == {
        "models": [
            {"modelName": name, "modelUrl": str(folder)}
            for name, folder in zip(("a", "b/c"), folders, strict=True)
        ]
    }
    for name, folder in zip(("a", "b%2Fc"), folders, strict=True):
        response = client.post(f"/models/{name}/invoke", data=BODY, headers=CSV)
        np.testing.assert_array_equal(columns(response), artifact.load(folder).predict(ROWS).mean)
    assert client.get("/models/a").get_json() == {"modelName": "a", "modelUrl": str(folders[0])}
    assert client.delete("/models/a").status_code == 200
    for response in (
        client.get("/models/a"),
        client.delete("/models/a"),
        client.post("/models/a/invoke", data=BODY, headers=CSV),
    ):
        assert refusal(response, 404) == "there is no model a; load it with POST /models"
    assert client.get("/ping").status_code == 200


def test_invocations_of_every_model_are_counted_under_their_rule(many):
    client, folders = many
    load(client, "a", folders[0])
    for name, body in (("a", BODY), ("a", "a,b,c"), ("b", BODY)):
        client.post(f"/models/{name}/invoke", data=body, headers=CSV)
    client.get("/models/b")

    families = text_string_to_metric_families(client.get("/metrics").text)
    (requests,) = (f for f in families if f.name == "gaussian_processes_requests")
    counts = {tuple(sample.labels.values()): sample.value for sample in requests.samples}
    invoke, show = "/models/<path:name>/invoke", "/models/<path:name>"
    for key in ((invoke, "200"), (invoke, "400"), (invoke, "404"), (show, "404")):
        assert counts[key] == 1


def test_a_bug_in_one_of_many_models_is_a_sentence_for_the_client(caplog, monkeypatch):
    registry = ModelRegistry(MemoryBudget(10_000_000))
    monkeypatch.setattr(artifact, "load", lambda _: Faulty())
    monkeypatch.setattr(artifact, "load_checksum", lambda _: "")
    registry.load("a", "/somewhere")
    client = create_app(registry).test_client()

    assert "log" in refusal(client.post("/models/a/invoke", data=BODY, headers=CSV), 500)
    assert "RuntimeError: the sphere is flat" in caplog.text


@pytest.mark.parametrize("path", ["/models//invoke", "/models/invoke", "/models/a/invoke/"])
def test_a_path_that_names_no_model_is_no_invocation(many, path):
    assert many[0].post(path, data=BODY, headers=CSV).status_code in {404, 405}


def test_a_model_is_loaded_once_and_only_into_free_memory(many):
    client, folders = many
    # Predicting keeps a copy of the points; a fifth of the budget is for requests.
    size = sum(path.stat().st_size for path in [*folders[0].iterdir(), folders[0] / "points-0.npy"])
    small = create_app(ModelRegistry(MemoryBudget(size * 5 // 4 + 1))).test_client()

    assert load(client, "a", folders[0]).status_code == 200
    assert "is loaded already" in refusal(load(client, "a", folders[0]), 409)
    assert load(small, "a", folders[0]).status_code == 200
    assert "unload others first" in refusal(load(small, "b", folders[1]), 507)
    small.delete("/models/a")
    assert "unload others first" in refusal(load(small, "b", folders[1]), 507)
    assert load(small, "a", folders[0]).status_code == 200


@pytest.mark.parametrize(
    "request_",
    [None, [], {"model_name": "a"}, {"model_name": 1, "url": "x"}, {"model_name": "", "url": "x"}],
)
def test_a_request_to_load_without_name_or_url_is_refused(many, request_):
    assert "does not read as" in refusal(many[0].post("/models", json=request_), 400)


def test_a_large_request_to_load_is_refused_unparsed(many):
    body = io.BytesIO(b"[[]," * 250_000)

    response = many[0].post("/models", data=body)

    assert "has 131,072 bytes at most" in refusal(response, 413)
    assert body.tell() == 1_000_000


def test_a_folder_without_a_model_is_refused(many, tmp_path):
    assert "model.json is missing" in refusal(load(many[0], "a", tmp_path), 400)


def test_an_unloaded_model_leaves_memory(many):
    client, folders = many

    def count():
        return sum(type(thing) is Model for thing in gc.get_objects())

    gc.collect()
    before = count()
    load(client, "a", folders[0])
    assert count() == before + 1
    client.delete("/models/a")

    assert count() == before


def test_a_long_list_of_models_comes_in_pages(many, monkeypatch):
    client, folders = many
    monkeypatch.setattr(app, "PAGE_SIZE", 2)
    for name in "abc":
        load(client, name, folders[0])

    first = client.get("/models").get_json()
    second = client.get(f"/models?next_page_token={first['nextPageToken']}").get_json()

    assert [model["modelName"] for model in first["models"] + second["models"]] == ["a", "b", "c"]
    assert "nextPageToken" not in second


@pytest.mark.slow
@pytest.mark.parametrize("serve", ["one", "many"])
def test_no_request_that_the_description_allows_or_forbids_is_a_fault(request, model, serve):
    application = create_app(
        model if serve == "one" else ModelRegistry(MemoryBudget(10_000_000)),
        AppConfig(max_body_bytes=LIMIT),
    )
    schema = schemathesis.openapi.from_wsgi("/openapi.json", application)

    for operation in schema.get_all_operations():
        case_strategy = operation.ok().as_strategy()

        @given(case_strategy)
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        def check_one(case):
            response = case.call()
            assert response.status_code < 500

        check_one()
