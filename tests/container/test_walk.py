"""The walk of examples/sagemaker, over a SageMaker of this machine and endpoints of the image."""

import json
import os
import re
import subprocess
import sys

import boto3
import pytest
from container.engine import ROOT
from tuning.sagemaker import Server, Service, aws_at, storage

from gaussian_processes.tuning.backends.local import LocalProcesses

SETTINGS = {
    "BUCKET": "bucket",
    "IMAGE": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/gpsagemaker:latest",
    "ROLE": "arn:aws:iam::123456789012:role/SageMaker",
    "JOBS": "2",
    "POLL_SECONDS": "0.2",
}
ANSWERS = (
    "real time",
    "serverless",
    "asynchronous",
    "batch transform",
    "multi-model, first",
    "multi-model, second",
)


def allowed() -> set[str]:
    """Operations of SageMaker's that the person who walks may call."""
    policy = json.loads((ROOT / "examples/sagemaker/policies/person.json").read_text())
    actions = [statement["Action"] for statement in policy["Statement"]]
    return set(re.findall(r"sagemaker:(\w+)", json.dumps(actions)))


def test_the_walk_goes_from_data_to_the_clean_up(serve, tmp_path):
    service = Service(
        tmp_path / "sagemaker",
        LocalProcesses,
        lambda model, *options: serve(model, *options).url(),
        searches=True,
    )
    server = Server(service)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    services = dict.fromkeys(("sagemaker", "cloudwatch_logs", "sagemaker_runtime"), server.url)
    with storage() as s3, aws_at(s3=s3, **services):
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )

        answer = subprocess.run(
            [sys.executable, "examples/sagemaker/walk.py"],
            cwd=tmp_path,
            env=os.environ | SETTINGS,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

        objects = client.list_objects_v2(Bucket="bucket")["KeyCount"]
        server.close()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    for kind in ANSWERS:
        line = re.search(rf"^{kind}: (.*)$", answer.stdout, re.MULTILINE)[1]
        # The post's function at this point is 1.5 * 0.5 + 5.2 * 1.
        assert float(re.search(r"[\d.]+", line)[0]) == pytest.approx(5.95, abs=1), kind
    assert "best validation:RMSE=" in answer.stderr
    assert list(tmp_path.glob("tuning/gp-walk-*/report.html"))
    assert (service.endpoints, service.configs, service.models, objects) == ({}, {}, {}, 0)
    assert set(service.calls) <= allowed()
