"""A SageMaker on this machine: its protocol, its jobs and endpoints, its failures on demand."""

import json
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import runtime
from botocore.validate import ParamValidator
from moto.server import ThreadedMotoServer

from gaussian_processes import files
from gaussian_processes.tuning import aws, jobfile
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, Backend, Report
from gaussian_processes.tuning.backends.local import LocalProcesses
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.shapes import request_shape

# A page of a listing: small, so that every listing has several.
PAGE = 2
# An endpoint is there when it is looked at for the second time.
READY_LOOKS = 2
ARN = "arn:aws:sagemaker:eu-west-1:123456789012"


@contextmanager
def storage() -> Iterator[str]:
    """moto's S3 over HTTP, empty; gives its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        # All such servers of a process have one memory.
        assert requests.post(f"{url}/moto-api/reset", timeout=10).ok
        yield url
    finally:
        server.stop()


@dataclass
class Service:
    """What is there, and what is to go wrong.

    Parameters
    ----------
    folder : Path
        Where each training job has its /opt/ml, under its name.
    run : callable
        Makes the backend where training jobs run, of a job and a folder, as those of a search are
        made.
    serve : callable, optional
        Serves the model of a folder, with options of the container's; gives the address. With it
        models are kept in S3, as SageMaker keeps them.
    searches : bool
        Whether a tuning job starts its training jobs; else a test has started them before.
    throttled : Counter
        How many more calls of an operation are to be refused for being too many.
    calls : Counter
        How many calls of each operation there were, refused ones among them.
    """

    folder: Path
    run: Callable[[TuningJob, Path], Backend]
    serve: Callable[..., str] | None = None
    searches: bool = False
    backend: Backend | None = None
    jobs: dict = field(default_factory=dict)
    tuning: dict = field(default_factory=dict)
    models: dict = field(default_factory=dict)
    configs: dict = field(default_factory=dict)
    endpoints: dict = field(default_factory=dict)
    throttled: Counter = field(default_factory=Counter)
    full: int = 0
    calls: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, target: str, asked: dict) -> tuple[int, dict]:
        service, _, operation = target.partition(".")
        with self.lock:
            self.calls[operation] += 1
            if self.throttled[operation] > 0:
                self.throttled[operation] -= 1
                return 400, {"__type": "ThrottlingException", "message": "Rate exceeded"}
            name = "sagemaker" if service == "SageMaker" else "logs"
            assert not ParamValidator().validate(asked, request_shape(name, operation)).has_errors()
            return getattr(self, operation)(**asked)

    # Training jobs.

    def CreateTrainingJob(self, **asked):  # noqa: N802  SageMaker's own names, here and below
        name = asked["TrainingJobName"]
        if self.full:
            self.full -= 1
            return 400, {
                "__type": "ResourceLimitExceeded",
                "message": "The account-level service limit is 2 Instances",
            }
        self.backend = self.backend or self.run(_as_tuning_job(asked), self.folder)
        self.backend.start(name, asked["HyperParameters"])
        self.jobs[name] = {"asked": asked, "begun": time.time(), "report": Report(RUNNING)}
        return 200, {"TrainingJobArn": f"{ARN}:training-job/{name}"}

    def StopTrainingJob(self, TrainingJobName):  # noqa: N802, N803
        if self.report(TrainingJobName).state != RUNNING:
            return 400, {
                "__type": "ValidationException",
                "message": "The request was rejected because it has ended",
            }
        self.backend.stop([TrainingJobName])
        return 200, {}

    def report(self, name: str) -> Report:
        """What is known of a training job; once it has ended, its model is in S3."""
        job = self.jobs[name]
        if job["report"].state == RUNNING:
            job["report"] = self.backend.poll([name])[name]
            if job["report"].state == COMPLETED and self.serve:
                self._pack(Path(job["report"].model), _model_uri(name, job["asked"]))
        return job["report"]

    def wait(self) -> None:
        """Wait until all training jobs have ended."""
        while any(self.report(name).state == RUNNING for name in self.jobs):
            time.sleep(0.05)

    def _pack(self, model: Path, uri: str) -> None:
        archive = shutil.make_archive(str(model), "gztar", model)
        aws.client("s3").upload_file(archive, *aws.bucket_and_key(uri))

    def ListTrainingJobs(self, NameContains="", NextToken="0", **_):  # noqa: N802, N803
        names = sorted(name for name in self.jobs if NameContains in name)
        return 200, self._page(
            "TrainingJobSummaries", [self._summary(name) for name in names], NextToken
        )

    def DescribeTrainingJob(self, TrainingJobName):  # noqa: N802, N803
        summary, asked = self._summary(TrainingJobName), self.jobs[TrainingJobName]["asked"]
        details = {
            **{
                key: asked[key]
                for key in (
                    "HyperParameters",
                    "AlgorithmSpecification",
                    "ResourceConfig",
                    "StoppingCondition",
                )
            },
            "SecondaryStatus": summary["TrainingJobStatus"],
            "TrainingStartTime": summary["CreationTime"],
            "ModelArtifacts": {"S3ModelArtifacts": _model_uri(TrainingJobName, asked)},
            "FinalMetricDataList": [],
        }
        if summary["TrainingJobStatus"] == FAILED:
            details["FailureReason"] = (
                f"AlgorithmError: {self.report(TrainingJobName).failure}, exit code: 1"
            )
        return 200, summary | details

    def _summary(self, name):
        report = self.report(name)
        return {
            "TrainingJobName": name,
            "TrainingJobArn": f"{ARN}:training-job/{name}",
            "CreationTime": self.jobs[name]["begun"],
            "TrainingJobStatus": report.state,
            **({"TrainingEndTime": report.ended.timestamp()} if report.ended else {}),
        }

    # Their logs.

    def FilterLogEvents(self, logGroupName, logStreamNamePrefix, nextToken="0", startTime=0, **_):  # noqa: N802, N803
        assert logGroupName == "/aws/sagemaker/TrainingJobs"
        events = []
        for name in sorted(name for name in self.jobs if name.startswith(logStreamNamePrefix)):
            for number, line in enumerate(self.report(name).log.splitlines()):
                stamp = int(self.jobs[name]["begun"] * 1000) + number
                if stamp >= startTime:
                    event = {
                        "logStreamName": f"{name}/algo-1-1",
                        "timestamp": stamp,
                        "message": line,
                    }
                    events.append(event | {"eventId": f"{name}-{number}", "ingestionTime": stamp})
        found = self._page("events", events, nextToken)
        return 200, {key[0].lower() + key[1:]: value for key, value in found.items()}

    # Tuning jobs, whose training jobs are all there from the beginning.

    def CreateHyperParameterTuningJob(self, **asked):  # noqa: N802
        name, definition = asked["HyperParameterTuningJobName"], asked["TrainingJobDefinition"]
        self.tuning[name] = {"asked": asked, "looks": 0}
        config, generator = asked["HyperParameterTuningJobConfig"], random.Random(1)  # noqa: S311
        limit = config["ResourceLimits"]["MaxNumberOfTrainingJobs"] if self.searches else 0
        for number in range(limit):
            tuned = {
                entry["Name"]: str(
                    generator.randint(int(entry["MinValue"]), int(entry["MaxValue"]))
                )
                for entry in config["ParameterRanges"]["IntegerParameterRanges"]
            }
            job = {
                key: value for key, value in definition.items() if key != "StaticHyperParameters"
            }
            self.CreateTrainingJob(
                TrainingJobName=f"{name}-{number:03d}",
                HyperParameters=definition["StaticHyperParameters"] | tuned,
                **job,
            )
        return 200, {"HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/toy"}

    def DescribeHyperParameterTuningJob(self, HyperParameterTuningJobName):  # noqa: N802, N803
        job = self.tuning[HyperParameterTuningJobName]
        job["looks"] += 1
        done = all(self.report(name).state != RUNNING for name in self.jobs) and job["looks"] > 1
        return 200, {
            **job["asked"],
            "HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/toy",
            "HyperParameterTuningJobStatus": "Completed" if done else "InProgress",
            "CreationTime": time.time(),
            "TrainingJobStatusCounters": {"InProgress": 0 if done else 1},
            "ObjectiveStatusCounters": {},
        }

    def ListTrainingJobsForHyperParameterTuningJob(  # noqa: N802
        self,
        HyperParameterTuningJobName,  # noqa: N803
        NextToken="0",  # noqa: N803
        **_,
    ):
        summaries = []
        config = self.tuning[HyperParameterTuningJobName]["asked"]["HyperParameterTuningJobConfig"]
        ranges = [entry for kind in config["ParameterRanges"].values() for entry in kind]
        for name, job in self.jobs.items():
            if self.searches and not name.startswith(f"{HyperParameterTuningJobName}-"):
                continue
            tuned = {
                entry["Name"]: job["asked"]["HyperParameters"][entry["Name"]] for entry in ranges
            }
            summary = self._summary(name) | {
                "TunedHyperParameters": tuned,
                "TrainingStartTime": job["begun"],
            }
            values = [
                line
                for line in self.report(name).log.splitlines()
                if line.startswith("validation:RMSE=")
            ]
            if values and summary["TrainingJobStatus"] == COMPLETED:
                value = float(values[-1].removeprefix("validation:RMSE=").rstrip(";"))
                final = {"Type": "Minimize", "MetricName": "validation:RMSE", "Value": value}
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = final
            summaries.append(summary)
        return 200, self._page("TrainingJobSummaries", summaries, NextToken)

    # Endpoints.

    def CreateModel(self, **asked):  # noqa: N802
        self.models[asked["ModelName"]] = asked
        return 200, {"ModelArn": f"{ARN}:model/{asked['ModelName']}"}

    def CreateEndpointConfig(self, **asked):  # noqa: N802
        self.configs[asked["EndpointConfigName"]] = asked
        return 200, {"EndpointConfigArn": f"{ARN}:endpoint-config/{asked['EndpointConfigName']}"}

    def ListEndpoints(self, NameContains, **_):  # noqa: N802, N803
        times = {
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
            "EndpointStatus": "InService",
        }
        named = [name for name in self.endpoints if NameContains in name]
        return 200, {
            "Endpoints": [
                {"EndpointName": name, "EndpointArn": f"{ARN}:endpoint/{name}"} | times
                for name in named
            ]
        }

    def CreateEndpoint(self, EndpointName, EndpointConfigName):  # noqa: N802, N803
        assert EndpointName not in self.endpoints
        return self._set_up(EndpointName, EndpointConfigName)

    def UpdateEndpoint(self, EndpointName, EndpointConfigName):  # noqa: N802, N803
        assert EndpointName in self.endpoints
        return self._set_up(EndpointName, EndpointConfigName)

    def _set_up(self, name, config):
        asked = self.configs[config]
        model = self.models[asked["ProductionVariants"][0]["ModelName"]]["PrimaryContainer"]
        self.endpoints[name] = {"model": model, "url": None, "looks": 0, "config": asked}
        if self.serve:
            self.endpoints[name] |= self._served(model, self.folder / f"endpoint-{config}")
        return 200, {"EndpointArn": f"{ARN}:endpoint/{name}"}

    def _served(self, model, folder):
        """Start a container of a model; of many, whose archives come later, one for all."""
        (folder / "model").mkdir(parents=True)
        if model.get("Mode") == "MultiModel":
            url = self.serve(folder / "model", *runtime.MULTI_MODEL)
            return {"url": url, "models": folder / "model"}
        aws.client("s3").download_file(
            *aws.bucket_and_key(model["ModelDataUrl"]), str(folder / "model.tar.gz")
        )
        files.unpack(folder / "model.tar.gz", folder / "model")
        return {"url": self.serve(folder / "model")}

    def DeleteEndpoint(self, EndpointName):  # noqa: N802, N803
        if self.endpoints[EndpointName]["looks"] < READY_LOOKS:
            message = "Cannot update in-progress endpoint"
            return 400, {"__type": "ValidationException", "message": message}
        del self.endpoints[EndpointName]
        return 200, {}

    def DeleteEndpointConfig(self, EndpointConfigName):  # noqa: N802, N803
        del self.configs[EndpointConfigName]
        return 200, {}

    def DeleteModel(self, ModelName):  # noqa: N802, N803
        del self.models[ModelName]
        return 200, {}

    def DescribeEndpoint(self, EndpointName):  # noqa: N802, N803
        endpoint = self.endpoints[EndpointName]
        endpoint["looks"] += 1
        return 200, {
            "EndpointName": EndpointName,
            "EndpointArn": f"{ARN}:endpoint/{EndpointName}",
            "EndpointStatus": "InService" if endpoint["looks"] >= READY_LOOKS else "Creating",
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }

    def invoke(self, path: str, headers: Mapping[str, str], body: bytes) -> runtime.Answer:
        """Answer a client of the runtime."""
        _, _, name, operation = path.split("/")
        endpoint = self.endpoints[name]
        if operation == "async-invocations":
            return self._invoke_later(name, headers)
        target, path = headers.get(f"{runtime.PREFIX}Target-Model"), f"/{operation}"
        if target:
            archives = endpoint["model"]["ModelDataUrl"]
            path = runtime.load(endpoint["url"], endpoint["models"], archives, target)
        return runtime.invoke(endpoint["url"], path, headers, body)

    def _invoke_later(self, name: str, headers: Mapping[str, str]) -> runtime.Answer:
        """Predict what is in S3, into S3."""
        bucket, key = aws.bucket_and_key(headers[f"{runtime.PREFIX}InputLocation"])
        names = ("Content-Type", "Accept")
        given = {name: headers[f"{runtime.PREFIX}{name}"] for name in names}
        body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        endpoint = self.endpoints[name]
        _, _, content = runtime.invoke(endpoint["url"], "/invocations", given, body)
        output = endpoint["config"]["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"]
        location = f"{output}/{len(self.calls)}.out"
        bucket, key = aws.bucket_and_key(location)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        return 202, {f"{runtime.PREFIX}OutputLocation": location}, b"{}"

    # Batch transform, whose job is over when it has been created.

    def CreateTransformJob(self, **asked):  # noqa: N802
        source, name = asked["TransformInput"], asked["TransformJobName"]
        bucket, key = aws.bucket_and_key(source["DataSource"]["S3DataSource"]["S3Uri"])
        body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        model = self.models[asked["ModelName"]]["PrimaryContainer"]
        url = self._served(model, self.folder / f"transform-{name}")["url"]
        headers = {
            "Content-Type": source["ContentType"],
            "Accept": asked["TransformOutput"]["Accept"],
        }
        _, _, content = runtime.invoke(url, "/invocations", headers, body)
        output = f"{asked['TransformOutput']['S3OutputPath']}/{Path(key).name}.out"
        bucket, key = aws.bucket_and_key(output)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        return 200, {"TransformJobArn": f"{ARN}:transform-job/{name}"}

    def DescribeTransformJob(self, TransformJobName):  # noqa: N802, N803
        return 200, {"TransformJobName": TransformJobName, "TransformJobStatus": "Completed"}

    @staticmethod
    def _page(key, entries, token):
        end = int(token) + PAGE
        return {
            key: entries[int(token) : end],
            **({"NextToken": str(end)} if end < len(entries) else {}),
        }


def _as_tuning_job(asked: dict) -> TuningJob:
    """The tuning job that places want, of which they look at the training job's definition."""
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"MetricName": "any", "Type": "Minimize"},
        "ResourceLimits": {"MaxParallelTrainingJobs": 2},
    }
    return jobfile.accepted(
        {
            "HyperParameterTuningJobName": "any",
            "HyperParameterTuningJobConfig": config,
            "TrainingJobDefinition": asked,
        }
    )


def _model_uri(name: str, asked: dict) -> str:
    return f"{asked['OutputDataConfig']['S3OutputPath']}/{name}/output/model.tar.gz"


def running(program: str) -> Callable[[TuningJob, Path], Backend]:
    """Make places whose training jobs are processes of a program."""
    return partial(LocalProcesses, command=(sys.executable, "-S", "-c", program))


class Server:
    """The service behind a port of this machine."""

    def __init__(self, service: Service) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.startswith("/endpoints/"):  # the runtime's, which has no target
                    self._send(*service.invoke(self.path, self.headers, body))
                    return
                status, found = service.answer(
                    self.headers["X-Amz-Target"].replace("Logs_20140328", "Logs"), json.loads(body)
                )
                content_type = {"Content-Type": "application/x-amz-json-1.1"}
                self._send(status, content_type, json.dumps(found).encode())

            def _send(self, status, headers, content):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.service = service
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        if left := [
            name for name in self.service.jobs if self.service.report(name).state == RUNNING
        ]:
            self.service.backend.stop(left)
        self.service.wait()


@contextmanager
def aws_at(**urls: str) -> Iterator[None]:
    """Lead the clients of some services to addresses of this machine."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            environment.setenv(name, "eu-west-1")
        for service, url in urls.items():
            environment.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", url)
        aws.client.cache_clear()
        yield
    aws.client.cache_clear()
