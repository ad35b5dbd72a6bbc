"""The requests, policies and the notebook of examples/sagemaker."""

import importlib.util
import json
import re
from pathlib import Path

import botocore.session
import pytest
from tuning.sagemaker import Server, Service, aws_at, running

from gaussian_processes.tuning.shapes import request_shape, violations

EXAMPLES = Path(__file__).parents[2] / "examples/sagemaker"
FEATURES = sorted(EXAMPLES.glob("features/*.json"))


def load(path):
    return json.loads(path.read_text())


def test_the_notebook_is_the_script():
    path = EXAMPLES / "make_notebook.py"
    specification = importlib.util.spec_from_file_location("make_notebook", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    made = module.notebook((EXAMPLES / "walk.py").read_text())

    assert (EXAMPLES / "walk.ipynb").read_text() == made
    cells = json.loads(made)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")
    assert {cell["cell_type"] for cell in cells} == {"code", "markdown"}


@pytest.fixture
def definitions(monkeypatch):
    """What the first cell of the walk defines, over a SageMaker of this machine, and that."""
    for name in ("BUCKET", "IMAGE", "ROLE"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("POLL_SECONDS", "0")
    service = Service(Path(), running("raise"))
    server = Server(service)
    first, *_ = (EXAMPLES / "walk.py").read_text().split("# %% [markdown]\n# ## Data to S3")
    with aws_at(sagemaker=server.url):
        names = {}
        exec(compile(first, "walk.py", "exec"), names)  # noqa: S102  a cell of our own
        names["sagemaker"].create_model(
            ModelName="model", ExecutionRoleArn="arn:aws:iam::123456789012:role/SageMaker"
        )
        service.models["model"]["PrimaryContainer"] = {}
        yield names, service
    server.close()


INSTANCE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


def test_a_walk_that_fails_beside_its_endpoint_deletes_it(definitions):
    names, service = definitions

    with pytest.raises(KeyError, match="other"), names["endpoint"]("name", "model", INSTANCE):
        # No endpoint has the other name.
        print(service.endpoints["name"], service.endpoints["other"])

    assert (service.endpoints, service.configs) == ({}, {})


def test_a_walk_that_is_interrupted_while_its_endpoint_is_made_deletes_it(definitions, monkeypatch):
    names, service = definitions

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(names, "wait", interrupted)

    with pytest.raises(KeyboardInterrupt), names["endpoint"]("name", "model", INSTANCE):
        pass

    assert (service.endpoints, service.configs) == ({}, {})
    assert service.calls["DescribeEndpoint"] == 2


@pytest.mark.parametrize("feature", FEATURES, ids=lambda path: path.stem)
def test_a_training_job_with_a_feature_is_a_request_that_sagemaker_takes(feature):
    """botocore's model of the service is the oracle: names, types, words, patterns and limits."""
    request = load(EXAMPLES / "training_job.json") | load(feature)

    assert not list(violations(request_shape("sagemaker", "CreateTrainingJob"), request))


def test_every_feature_is_told_of():
    page = (EXAMPLES / "README.md").read_text()

    assert len(FEATURES) == 7
    for feature in FEATURES:
        assert f"`{feature.name}`" in page


def test_spot_waits_for_longer_than_it_runs():
    limits = load(EXAMPLES / "features/spot.json")["StoppingCondition"]

    assert limits["MaxWaitTimeInSeconds"] > limits["MaxRuntimeInSeconds"]


def actions(policy):
    """Actions that a policy allows, without repetition."""
    found = []
    for statement in policy["Statement"]:
        action = statement["Action"]
        found += [action] if isinstance(action, str) else action
    return set(found)


@pytest.mark.parametrize("name", ["person", "execution"])
def test_a_policy_names_operations_one_by_one(name):
    """Each is an operation of its service, or the permission for one that is called otherwise."""
    session = botocore.session.Session()
    renamed = {"s3:ListBucket": "s3:ListObjectsV2", "iam:PassRole": "iam:GetRole"}
    services = {"sagemaker": ("sagemaker", "sagemaker-runtime")}

    for action in sorted(actions(load(EXAMPLES / f"policies/{name}.json"))):
        assert "*" not in action
        service, _, operation = renamed.get(action, action).partition(":")
        names = services.get(service, (service,))
        known = [session.get_service_model(each).operation_names for each in names]
        assert any(operation in operations for operations in known), action


@pytest.mark.parametrize("name", ["person", "execution"])
def test_a_policy_is_limited_to_what_the_walk_makes(name):
    """Only what AWS gives no resource to is allowed on all."""
    for statement in load(EXAMPLES / f"policies/{name}.json")["Statement"]:
        if statement["Resource"] == "*":
            assert statement["Action"] in {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}


def test_a_policy_allows_what_the_script_calls():
    script = (EXAMPLES / "walk.py").read_text()
    allowed = actions(load(EXAMPLES / "policies/person.json"))

    called = re.findall(r"(?:sagemaker|runtime)\.((?:create|describe|delete|invoke)_\w+)", script)

    assert called
    for name in called:
        operation = "".join(word.capitalize() for word in name.split("_"))
        operation = operation.replace("Hyperparameter", "HyperParameter")
        assert f"sagemaker:{operation}" in allowed
