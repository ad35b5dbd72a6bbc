"""Searches over SageMaker's training jobs, and SageMaker's own tuner."""

import io
import json
import tarfile
from contextlib import ExitStack

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws
from tuning import sagemaker
from tuning.sagemaker import Server, Service, aws_at, running
from tuning.toys import BOWL, FAILING, HANGING, limits, request, run

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import __main__, amt, aws, deployment, jobfile, results
from gaussian_processes.tuning.backends.sagemaker import SageMakerJobs
from gaussian_processes.tuning.tuner import Tuner

SAGEMAKER = deployment.Target("sagemaker")


@pytest.fixture(autouse=True)
def credentials():
    with aws_at():
        yield


@pytest.fixture
def serve(tmp_path):
    """Start the loopback SageMaker whose jobs run a program."""
    with ExitStack() as ending:

        def start(program=BOWL):
            server = Server(Service(tmp_path / "jobs", running(program)))
            ending.callback(server.close)
            ending.enter_context(aws_at(sagemaker=server.url, cloudwatch_logs=server.url))
            return server.service

        yield start


def search(folder, asked):
    job = jobfile.check(asked, folder, "sagemaker")
    return Tuner(
        job, lambda: SageMakerJobs(job, folder, interval_seconds=0.1), folder, amt.results_of
    )


def test_training_jobs_are_created_of_the_definition_and_read_from_their_logs(tmp_path, serve):
    service = serve()

    found = search(tmp_path, request(ResourceLimits=limits(5, parallel=3))).run()

    assert [row.status for row in found.rows] == ["Completed"] * 5
    by_log = {name: (tmp_path / "jobs" / name / "log").read_text() for name in service.jobs}
    for row in found.rows:
        assert f"validation:RMSE={row.metrics['validation:RMSE']!r};" in by_log[row.name]
        asked = service.jobs[row.name]["asked"]
        assert asked["HyperParameters"]["q"] == str(row.values["q"])
        assert asked["HyperParameters"]["l"] == "1"
        assert asked["ResourceConfig"]["InstanceType"] == "ml.m5.large"
        assert row.model == f"s3://bucket/output/{row.name}/output/model.tar.gz"
    # Listed together, and described once each, at their end.
    assert service.calls["DescribeTrainingJob"] == 5


@pytest.mark.slow
def test_throttling_and_full_accounts_are_waited_out(tmp_path, serve):
    service = serve()
    service.throttled.update(
        CreateTrainingJob=2, ListTrainingJobs=3, FilterLogEvents=2, DescribeTrainingJob=2
    )
    service.full = 9  # more than botocore tries by itself

    found = search(tmp_path, request(ResourceLimits=limits(3, parallel=2))).run()

    assert [row.status for row in found.rows] == ["Completed"] * 3
    assert not +service.throttled


def test_a_failed_training_job_has_sagemakers_reason(tmp_path, serve):
    serve(FAILING)

    found = search(tmp_path, request(ResourceLimits=limits(6, parallel=2))).run()

    failed = [row for row in found.rows if row.values["q"] % 2]
    assert failed
    for row in failed:
        assert row.status == "Failed"
        assert (
            row.failure
            == "AlgorithmError: q is odd, but it must be even; take another, exit code: 1"
        )


def test_a_search_that_ends_stops_its_jobs_at_sagemaker(tmp_path, serve):
    service = serve(HANGING)
    asked = request(ResourceLimits=limits(4, parallel=2))
    asked["TrainingJobDefinition"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}

    found = search(tmp_path, asked).run()

    assert {row.status for row in found.rows} == {"Stopped"}
    assert all("validation:RMSE" in row.metrics for row in found.rows)
    assert {service.report(name).state for name in service.jobs} == {"Stopped"}


def test_a_runner_that_was_killed_takes_up_the_jobs_it_had_started(tmp_path, serve, monkeypatch):
    # What was noted and not started any more is missing from the listings for good.
    monkeypatch.setattr("gaussian_processes.tuning.backends.sagemaker.LAG_SECONDS", 1)
    service = serve()
    asked = request(ResourceLimits=limits(2, parallel=2))
    first = search(tmp_path, asked)

    def kill(_, running):
        if running == 2:
            raise KeyboardInterrupt  # which ends a run at once, and its jobs go on

    with pytest.raises(KeyboardInterrupt):
        first.run(kill)

    found = search(tmp_path, asked).run()

    assert service.calls["CreateTrainingJob"] == 2
    assert [row.status for row in found.rows] == ["Completed"] * 2


def test_a_refusal_is_said_in_awss_words(tmp_path, serve, monkeypatch):
    serve()
    monkeypatch.setattr(
        Service,
        "StopTrainingJob",
        lambda *_, **__: (400, {"__type": "AccessDenied", "message": "not you"}),
    )
    backend = SageMakerJobs(jobfile.check(request(), tmp_path, "sagemaker"), tmp_path)

    with pytest.raises(UserError, match=r"AWS refused StopTrainingJob \(AccessDenied\): not you"):
        backend.stop(["toy-1"])


def test_being_throttled_for_long_is_said_in_a_sentence(serve, capsys, monkeypatch):
    serve().throttled.update(DescribeHyperParameterTuningJob=100)
    monkeypatch.setattr(
        aws, "CONFIG", Config(retries={"mode": "standard", "total_max_attempts": 2})
    )

    assert __main__.main(["table", "toy"]) == 1

    assert capsys.readouterr().err == "ThrottlingException: Rate exceeded; try again later\n"


@pytest.fixture
def handed_over(tmp_path, serve, monkeypatch):
    """A job that was handed to AMT, whose training jobs have run."""
    service = serve(FAILING)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(request(ResourceLimits=limits(5))))
    monkeypatch.setattr(amt, "INTERVAL_SECONDS", 0.1)
    monkeypatch.chdir(tmp_path)
    for q in range(5):
        hyperparameters = {"q": str(q), "l": "1", "bias": f"{q + 1}.5", "noise": "0.001"}
        definition = request()["TrainingJobDefinition"]
        asked = {key: value for key, value in definition.items() if key != "StaticHyperParameters"}
        service.CreateTrainingJob(
            TrainingJobName=f"toy-{q}", HyperParameters=hyperparameters, **asked
        )
    return service, path


def test_a_job_is_handed_to_amt_as_it_was_written_and_followed(handed_over, capsys):
    service, path = handed_over

    assert __main__.main(["submit", str(path)]) == 0

    assert service.tuning["toy"]["asked"] == json.loads(path.read_text())
    said = capsys.readouterr()
    assert "best validation:RMSE=" in said.out
    assert len((path.parent / "tuning/toy/trials.csv").read_text().splitlines()) == 6


def test_the_report_of_an_amt_job_does_not_hide_the_job(handed_over, capsys):
    service, path = handed_over
    service.CreateHyperParameterTuningJob(**json.loads(path.read_text()))
    service.wait()

    assert __main__.main(["report", "toy"]) == 0
    assert __main__.main(["best", "toy"]) == 0

    assert "best validation:RMSE=" in capsys.readouterr().err


def test_amts_jobs_have_the_table_that_the_sdk_makes(handed_over):
    """The oracle is the SageMaker SDK's HyperparameterTuningJobAnalytics: columns and values."""
    service, path = handed_over
    service.CreateHyperParameterTuningJob(**json.loads(path.read_text()))
    service.wait()

    lines = results.records(amt.results_of("toy"))

    summaries = aws.pages(
        "sagemaker",
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "TrainingJobSummaries",
        HyperParameterTuningJobName="toy",
    )
    assert len(lines) == len(summaries) == 5
    for line, summary in zip(lines, summaries, strict=True):
        for name, value in sdk_record(summary).items():
            assert line[name] == value, name


def sdk_record(summary):
    """A line of dataframe(), as sagemaker.analytics 2.257.7 makes it of a summary."""
    record = {name: float(value) for name, value in summary["TunedHyperParameters"].items()}
    record |= {name: summary[name] for name in ("TrainingJobName", "TrainingJobStatus")}
    record["FinalObjectiveValue"] = summary.get(
        "FinalHyperParameterTuningJobObjectiveMetric", {}
    ).get("Value")
    start, end = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return record | {
        "TrainingStartTime": start,
        "TrainingEndTime": end,
        "TrainingElapsedTimeSeconds": (end - start).total_seconds(),
    }


def test_the_best_model_goes_to_an_endpoint(tmp_path, serve, capsys, monkeypatch):
    service = serve()
    monkeypatch.setattr(deployment, "INTERVAL_SECONDS", 0.1)
    found = search(tmp_path, request(ResourceLimits=limits(2))).run()

    deployment.deploy(found, tmp_path, SAGEMAKER, train=False)

    assert list(service.endpoints) == ["toy"]
    assert service.endpoints["toy"]["model"]["ModelDataUrl"] == found.best.model
    assert service.endpoints["toy"]["looks"] == 2  # it is waited for
    assert found.best.name in capsys.readouterr().out


def test_an_endpoint_that_is_there_is_updated(tmp_path, serve, monkeypatch):
    service = serve()
    monkeypatch.setattr(deployment, "INTERVAL_SECONDS", 0.1)
    found = search(tmp_path, request(ResourceLimits=limits(1))).run()

    for _ in range(2):
        deployment.deploy(found, tmp_path, SAGEMAKER, train=False)

    assert service.calls["CreateEndpoint"] == service.calls["UpdateEndpoint"] == 1
    assert list(service.endpoints) == ["toy"]


@pytest.fixture
def storage():
    """moto's S3 over HTTP, with the bucket that the toy's job writes to."""
    with sagemaker.storage() as url, aws_at(s3=url):
        aws.client("s3").create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield


def test_a_model_that_was_found_over_files_goes_to_an_endpoint_too(
    tmp_path, serve, storage, monkeypatch
):
    service = serve()
    monkeypatch.setattr(deployment, "INTERVAL_SECONDS", 0.1)
    (tmp_path / "data").mkdir()
    asked = request(ResourceLimits=limits(1))
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{tmp_path / 'data'}"}}
    asked["TrainingJobDefinition"]["InputDataConfig"] = [
        {"ChannelName": "train", "DataSource": source}
    ]
    found = run(tmp_path / "here", asked, BOWL + "\n(base / 'model/model.json').write_text('{}')")

    deployment.deploy(found, tmp_path / "here", SAGEMAKER, train=False)

    address = f"s3://bucket/output/{found.best.name}/output/model.tar.gz"
    assert service.endpoints["toy"]["model"]["ModelDataUrl"] == address
    assert (deployment._local_model(address, tmp_path / "again") / "model.json").read_text() == "{}"
    with pytest.raises(UserError, match="upload the files"):
        deployment.deploy(found, tmp_path / "here", SAGEMAKER, train=True)


def test_channels_in_s3_are_downloaded_once(tmp_path):
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="data", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        for key in ("train/a.csv", "train/deep/b.csv", "training/c.csv", "one.csv"):
            client.put_object(Bucket="data", Key=key, Body=key.encode())

        aws.download("s3://data/train/", tmp_path / "train")
        aws.download("s3://data/one.csv", tmp_path / "one")
        with pytest.raises(UserError, match="there is nothing at s3://data/nothing"):
            aws.download("s3://data/nothing", tmp_path / "nothing")
        client.delete_object(Bucket="data", Key="one.csv")
        aws.download("s3://data/one.csv", tmp_path / "one")

    assert (tmp_path / "train/a.csv").read_text() == "train/a.csv"
    assert (tmp_path / "train/deep/b.csv").read_text() == "train/deep/b.csv"
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["one.csv"]


def test_a_model_of_this_machine_is_packed_for_s3(tmp_path):
    job = jobfile.check(request(), tmp_path, "process")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text("{}")
    row = results.Row({}, "toy-1", "Completed", {})
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )

        uri = deployment._in_s3(str(tmp_path / "model"), job, row)
        again = deployment._local_model(uri, tmp_path / "again")

        body = client.get_object(Bucket="bucket", Key="output/toy-1/output/model.tar.gz")[
            "Body"
        ].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        assert "./model.json" in packed.getnames()
    assert (again / "model.json").read_text() == "{}"


def test_without_a_region_that_is_said(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(UserError, match="no AWS region is configured"):
        aws.client("sagemaker")
