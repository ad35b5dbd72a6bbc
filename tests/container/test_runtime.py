"""boto3's client of SageMaker's runtime, and what it sees of an endpoint of the image."""

import boto3
import pytest
from botocore.exceptions import ClientError
from container import post
from tuning.sagemaker import Server, Service, aws_at

ROW = post.table(50, seed=2)[:1, 1:]
BODY = ",".join(map(str, ROW[0].tolist())).encode()


@pytest.fixture(scope="module")
def endpoint(model, serve, tmp_path_factory):
    """Container behind the loopback service."""
    return serve(model)


@pytest.fixture
def client(endpoint, tmp_path):
    service = Service(tmp_path, None)
    service.endpoints["gp"] = {"url": endpoint.url()}
    server = Server(service)
    with aws_at(sagemaker_runtime=server.url):
        yield boto3.client("sagemaker-runtime")
    server.close()


def test_a_client_gets_the_posts_prediction_and_its_attributes_back(client, endpoint):
    answer = client.invoke_endpoint(
        EndpointName="gp",
        Body=BODY,
        ContentType="text/csv",
        Accept="application/json",
        CustomAttributes="trace=17; output=mean,std",
        InferenceId="walk-1",
    )

    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert b'"score"' in answer["Body"].read()
    # The id is the request's in the log, by which predictions are joined to what is seen later.
    assert "walk-1" in endpoint.log()


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        ({"Body": b"1,2,3\n"}, 400, "has 3 columns"),
        ({"Body": BODY, "ContentType": "image/png"}, 415, "image/png"),
        ({"Body": BODY, "Accept": "image/png"}, 406, "image/png"),
        ({"Body": BODY, "CustomAttributes": "output=men"}, 400, 'did you mean "mean"'),
    ],
)
def test_a_refusal_is_a_model_error_with_the_sentence(client, asked, status, sentence):
    with pytest.raises(client.exceptions.ModelError) as caught:
        client.invoke_endpoint(**{"EndpointName": "gp", "ContentType": "text/csv", **asked})

    assert caught.value.response["OriginalStatusCode"] == status
    assert sentence in caught.value.response["OriginalMessage"]
    assert "<html" not in caught.value.response["OriginalMessage"]


def test_a_stream_is_refused_in_a_sentence(client):
    with pytest.raises(ClientError, match="answers are not streamed") as caught:
        client.invoke_endpoint_with_response_stream(
            EndpointName="gp", Body=BODY, ContentType="text/csv"
        )

    assert "POST /invocations gives them whole" in str(caught.value)
