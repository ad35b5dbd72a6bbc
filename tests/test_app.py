"""What is answered over HTTP: bytes in, bytes out, with a real model."""

import json
import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from flask import request
from trained import COLUMNS, plain, train

from gaussian_processes import artifact, training
from gaussian_processes.app import ATTRIBUTES, create_app
from gaussian_processes.model import Member, Prediction
from gaussian_processes.schema import Schema

CSV, JSON = {"Content-Type": "text/csv"}, {"Content-Type": "application/json"}
ROWS = np.random.default_rng(73).normal(size=(7, COLUMNS))
BODY = "".join(",".join(map(repr, row)) + "\n" for row in ROWS.tolist())
LIMIT = 2**20


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=30) / "model")


@pytest.fixture(scope="module")
def client(model):
    return create_app(model, body_bytes=LIMIT).test_client()


def asked(client, body=BODY, **headers):
    return client.post("/invocations", data=body, headers={"Content-Type": "text/csv", **headers})


def refused(answer, status):
    """The sentence of a refusal."""
    assert answer.status_code == status
    assert answer.content_type == "text/plain; charset=utf-8"
    assert len(answer.text) < 2048
    assert answer.text.count("\n") == 1
    return answer.text.removesuffix("\n")


def columns(answer):
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "text/csv"
    return np.array([line.split(",") for line in answer.text.splitlines()], dtype=float)


def test_ping_is_answered_with_nothing(client):
    answer = client.get("/ping")

    assert (answer.status_code, answer.data) == (200, b"")


def test_csv_is_answered_with_the_mean_of_every_row(client, model):
    np.testing.assert_array_equal(columns(asked(client)), model.predict(ROWS).mean)


def test_json_is_answered_in_json_where_that_is_asked_for(client, model):
    body = json.dumps({"instances": [{"features": row} for row in ROWS.tolist()]})

    answer = client.post("/invocations", data=body, headers={**JSON, "Accept": "application/json"})

    assert answer.content_type == "application/json"
    assert answer.get_json() == {"predictions": [{"score": mean} for [mean] in model.predict(ROWS).mean.tolist()]}


def test_json_is_answered_in_csv_where_nothing_is_asked_for(client, model):
    answer = client.post("/invocations", data=json.dumps({"instances": ROWS.tolist()}), headers=JSON)

    np.testing.assert_array_equal(columns(answer), model.predict(ROWS).mean)


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

    answer = columns(asked(client, **{ATTRIBUTES: attributes}))

    np.testing.assert_array_equal(answer, np.hstack([expected.mean, np.sqrt(expected.variance)]))


@pytest.mark.parametrize("attributes", ["", "trace=17", "c000b4f9-df62-4c85", "outputs=none", "no output"])
def test_attributes_that_mean_something_to_others_are_left_alone(client, attributes):
    assert columns(asked(client, **{ATTRIBUTES: attributes})).shape == (len(ROWS), 1)


def test_json_names_the_outputs_in_the_order_asked_for(client):
    answer = asked(client, Accept="application/json", **{ATTRIBUTES: "output=variance,std,mean"})

    first = answer.get_json()["predictions"][0]
    assert list(first) == ["variance", "std", "score"]
    assert first["std"] == np.sqrt(first["variance"])


def test_outputs_have_a_default_that_a_request_replaces(model):
    client = create_app(model, ("std", "variance")).test_client()

    std, variance = columns(asked(client)).T
    np.testing.assert_array_equal(std, np.sqrt(variance))
    assert columns(asked(client, **{ATTRIBUTES: "output=mean"})).shape == (len(ROWS), 1)


def test_an_unknown_output_is_refused_with_the_nearest_name(client):
    sentence = refused(asked(client, **{ATTRIBUTES: "output=mean,stdev"}), 400)

    assert sentence == '"stdev" is not an output, did you mean "std"; the outputs are mean, std, variance'


@pytest.mark.parametrize("output", ["std", "variance"])
def test_a_model_without_variance_refuses_what_needs_it(model, output):
    member = replace(model.members[0], process=replace(model.members[0].process, factor=None))
    client = create_app(replace(model, members=(member,))).test_client()

    assert "train again with variance=true" in refused(asked(client, **{ATTRIBUTES: f"output={output}"}), 400)
    assert columns(asked(client)).shape == (len(ROWS), 1)


@pytest.mark.parametrize("body", ["", "\n", " \r\n\n"])
@pytest.mark.parametrize("headers", [CSV, JSON, {}])
def test_an_empty_body_has_an_empty_answer(client, body, headers):
    answer = client.post("/invocations", data=body, headers=headers)

    assert (answer.status_code, answer.data) == (204, b"")


def test_a_bad_value_is_refused_by_row_and_column(client):
    sentence = refused(asked(client, "1,2,3\n1,2,abc\n"), 400)

    assert sentence == 'row 2, column 3 of the request is "abc", not a finite number; send numbers only'


@pytest.mark.parametrize(("row", "width"), [("1,2", 2), ("1,2,3,4", 4)])
def test_exactly_the_trained_columns_are_taken(client, row, width):
    assert f"row 1 of the request is {width} wide and the model was trained on 3 columns" in refused(asked(client, row), 400)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded"])
def test_another_content_type_is_refused_with_those_there_are(client, content_type):
    answer = client.post("/invocations", data=b"1,2,3", content_type=content_type)

    assert "send text/csv, application/json, application/jsonlines or application/x-npy" in refused(answer, 415)


def test_an_accept_that_nothing_meets_is_refused_before_the_body_is_looked_at(client):
    assert "text/csv, application/json, application/jsonlines or application/x-npy" in refused(
        asked(client, "no, numbers", Accept="image/png"), 406
    )


def test_a_body_over_the_limit_is_refused_with_the_limit(client):
    row = b"1.0,2.0,3.0\n"
    body = row * (LIMIT // len(row))

    assert asked(client, body).status_code == 200
    assert refused(asked(client, body + row), 413) == "the body is larger than 1 MB; send fewer rows at a time"


@pytest.mark.parametrize("path", ["/", "/pingfoo", "/invocations/", "/models"])
def test_another_path_is_not_found(client, path):
    assert refused(client.get(path), 404) == f"there is no {path}; send GET /ping or POST /invocations"


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", "/invocations", "POST"), ("POST", "/ping", "GET")])
def test_another_method_is_not_allowed(client, method, path, allowed):
    answer = client.open(path, method=method)

    assert refused(answer, 405) == f"{path} does not take {method}; send GET /ping or POST /invocations"
    assert allowed in answer.headers["Allow"]


@dataclass(frozen=True)
class Faulty:
    """A model with a bug."""

    answer: float | None = None
    schema: Schema = field(default_factory=lambda: plain(COLUMNS))
    has_variance: bool = True
    members: tuple[Member, ...] = ()

    def predict(self, rows, variance=False):
        if self.answer is None:
            raise RuntimeError("the sphere is flat")
        return Prediction(np.full((len(rows), 1), self.answer), None)


def test_a_bug_is_a_sentence_for_the_client_and_a_traceback_for_the_log(caplog):
    answer = asked(create_app(Faulty()).test_client())

    assert "log" in refused(answer, 500)
    assert "Traceback" in caplog.text
    assert "RuntimeError: the sphere is flat" in caplog.text


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_never_sent(number):
    answer = asked(create_app(Faulty(number)).test_client())

    assert refused(answer, 400).startswith(f"the mean of row 1 is {number}")


def test_work_is_done_where_it_is_told_to_and_refusals_come_back_from_there(model):
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
        used.append(bool(request))
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    client = create_app(model, elsewhere=in_a_thread).test_client()

    assert columns(asked(client, BODY * 1_000)).shape == (len(ROWS) * 1_000, 1)
    refused(asked(client, "a,b,c\n" * 10_000), 400)
    assert len(used) == 2
    client.get("/ping")
    asked(client, Accept="image/png")
    asked(client)  # what is done in a moment isn't worth the way
    assert len(used) == 2


def test_a_compressed_body_is_refused_whatever_it_would_unfold_to(model):
    client = create_app(model).test_client()

    assert refused(asked(client, **{"Content-Encoding": "gzip"}), 415) == "Content-Encoding is gzip; send the body as it is"
    assert asked(client, **{"Content-Encoding": "identity"}).status_code == 200


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Client and model of two classes, of a column of numbers and one of words."""
    base = tmp_path_factory.mktemp("classes")
    data, config = base / "input/data/train/data.csv", base / "input/config/hyperparameters.json"
    for path in (data, config):
        path.parent.mkdir(parents=True)
    rng = np.random.default_rng(75)
    lines = [
        f"{'yes' if x > (kind == 'b') else 'no'},{x},{kind}" for x, kind in zip(rng.normal(size=80), "ab" * 40, strict=True)
    ]
    data.write_text("\n".join(["answer,x,kind", *lines]))
    config.write_text(json.dumps({"q": "1", "l": "1", "noise": "0.1", "bias": "1"}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert training.main([]) == 0
    model = artifact.load(base / "model")
    return create_app(model).test_client(), model


def test_classes_are_answered_by_their_label(classifier):
    client, _ = classifier

    assert asked(client, "3,a\n-3,b\n").text == "yes\nno\n"
    assert asked(client, "kind,x\na,3\n").text == "yes\n"


def test_classes_have_probabilities_in_xgboost_s_words(classifier):
    client, model = classifier
    attributes = {ATTRIBUTES: "output=predicted_label,probability,probabilities,labels"}

    answer = asked(client, '[{"x": 0.5, "kind": "a"}]', Accept="application/json", **attributes | JSON)

    [record] = answer.get_json()["predictions"]
    expected = model.predict(np.array([[0.5, 0.0]])).probabilities[0].tolist()
    assert record == {
        "predicted_label": "yes",
        "probability": max(expected),
        "probabilities": expected,
        "labels": ["no", "yes"],
    }
    assert asked(client, "0.5,a", **attributes).text == f'yes,{max(expected)!r},"{expected}","[""no"", ""yes""]"\n'


def test_outputs_of_numbers_are_refused_of_classes_and_the_other_way_round(classifier, client):
    sentence = refused(asked(classifier[0], "3,a", **{ATTRIBUTES: "output=mean"}), 400)

    assert sentence == '"mean" is not an output; the outputs are predicted_label, probability, probabilities, labels'
    assert "the outputs are mean, std, variance" in refused(asked(client, **{ATTRIBUTES: "output=probability"}), 400)


def test_a_level_that_training_did_not_have_is_said_once(classifier, caplog):
    client = create_app(classifier[1]).test_client()

    assert asked(client, "3,c\n").text == asked(client, "3,d\n").text == "yes\n"

    assert [record.message for record in caplog.records] == [
        "column 2 (kind) holds a level that training did not have; such cells count as none of the levels"
    ]
