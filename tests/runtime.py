"""SageMaker's runtime on this machine: its protocol between a client and a container."""

import json
from collections.abc import Mapping
from pathlib import Path

import requests

from gaussian_processes import files
from gaussian_processes.tuning import aws

PREFIX = "X-Amzn-SageMaker-"
# What the service passes on to a container; it strips all other headers.
PASSED_ON = ("Content-Type", "Accept", f"{PREFIX}Custom-Attributes", f"{PREFIX}Inference-Id")
# Where a container of a multi-model endpoint sees the folder that is mounted for its models.
MODELS = "/opt/ml/model"
MULTI_MODEL = (
    *("--env", "SAGEMAKER_MULTI_MODEL=true"),
    *("--env", f"SERVING_MODEL_FOLDERS={MODELS}"),
)

Answer = tuple[int, Mapping[str, str], bytes]


def invoke(url: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Pass a request on to a container, and its answer back as a client of the service sees it."""
    passed = {name: headers[name] for name in PASSED_ON if name in headers}
    answer = requests.post(f"{url}{path}", data=body, headers=passed, timeout=60)
    if answer.status_code >= 400:
        return _model_error(answer)
    returned = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
    for name in ("Content-Type", f"{PREFIX}Custom-Attributes"):
        if name in answer.headers:
            returned[name] = answer.headers[name]
    return 200, returned, answer.content


def _model_error(answer: requests.Response) -> Answer:
    message = f"Received client error ({answer.status_code}) from primary with message"
    error = {
        "Message": f'{message} "{answer.text}".',
        "OriginalStatusCode": answer.status_code,
        "OriginalMessage": answer.text,
        "LogStreamArn": "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints",
    }
    headers = {"x-amzn-ErrorType": "ModelError", "Content-Type": "application/json"}
    return 424, headers, json.dumps(error).encode()


def load(url: str, folder: Path, archives: str, target: str) -> str:
    """Load a model of a multi-model endpoint unless it is there; return its path."""
    name = target.removesuffix(".tar.gz")
    if not (folder / name).exists():
        archive = folder / target
        bucket, prefix = aws.bucket_and_key(archives)
        aws.client("s3").download_file(bucket, f"{prefix}{target}", str(archive))
        files.unpack(archive, folder / name)
        asked = {"model_name": name, "url": f"{MODELS}/{name}"}
        assert requests.post(f"{url}/models", json=asked, timeout=60).status_code == 200
    return f"/models/{name}/invoke"
