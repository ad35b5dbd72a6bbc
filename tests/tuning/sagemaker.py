"""A SageMaker on this machine: its protocol over HTTP, its jobs run by a program, and its failures on demand."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
from botocore.validate import ParamValidator

# A page of a listing: small, so that every listing has several.
PAGE = 2


@dataclass
class Service:
    """What is there, and what is to go wrong.

    Parameters
    ----------
    throttled : Counter
        How many more calls of an operation are to be refused for being too many.
    calls : Counter
        How many calls of each operation there were, refused ones among them.
    """

    folder: Path
    program: str
    jobs: dict = field(default_factory=dict)
    tuning: dict = field(default_factory=dict)
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
            shape = botocore.session.Session().get_service_model(name).operation_model(operation).input_shape
            assert not ParamValidator().validate(asked, shape).has_errors()
            return getattr(self, operation)(**asked)

    # Training jobs, each a process.

    def CreateTrainingJob(self, **asked):  # noqa: N802  SageMaker's own names, here and below
        name = asked["TrainingJobName"]
        if self.full:
            self.full -= 1
            return 400, {"__type": "ResourceLimitExceeded", "message": "The account-level service limit is 2 Instances"}
        base = self.folder / name
        (base / "input/config").mkdir(parents=True)
        (base / "model").mkdir()
        (base / "output").mkdir()
        (base / "input/config/hyperparameters.json").write_text(json.dumps(asked["HyperParameters"]))
        environment = {"SAGEMAKER_BASE_DIR": str(base)}
        with (base / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-S", "-c", self.program], env=environment, stdout=log, stderr=log)
        self.jobs[name] = {"asked": asked, "process": process, "begun": time.time(), "ended": None, "stopped": False}
        return 200, {"TrainingJobArn": f"arn:aws:sagemaker:eu-west-1:123456789012:training-job/{name}"}

    def StopTrainingJob(self, TrainingJobName):  # noqa: N802, N803
        job = self.jobs[TrainingJobName]
        if job["process"].poll() is not None:
            return 400, {"__type": "ValidationException", "message": "The request was rejected because it has ended"}
        job["stopped"] = True
        job["process"].terminate()
        return 200, {}

    def ListTrainingJobs(self, NameContains="", NextToken="0", **_):  # noqa: N802, N803
        names = sorted(name for name in self.jobs if NameContains in name)
        return 200, self._page("TrainingJobSummaries", [self._summary(name) for name in names], NextToken)

    def DescribeTrainingJob(self, TrainingJobName):  # noqa: N802, N803
        summary, asked = self._summary(TrainingJobName), self.jobs[TrainingJobName]["asked"]
        log = (self.folder / TrainingJobName / "log").read_text()
        details = {
            **{key: asked[key] for key in ("HyperParameters", "AlgorithmSpecification", "ResourceConfig", "StoppingCondition")},
            "SecondaryStatus": summary["TrainingJobStatus"],
            "TrainingStartTime": summary["CreationTime"],
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/output/{TrainingJobName}/output/model.tar.gz"},
            "FinalMetricDataList": [],
        }
        if summary["TrainingJobStatus"] == "Failed":
            reason = self.folder / TrainingJobName / "output/failure"
            details["FailureReason"] = f"AlgorithmError: {reason.read_text() if reason.exists() else log[-200:]}, exit code: 1"
        return 200, summary | details

    def _summary(self, name):
        job = self.jobs[name]
        status = job["process"].poll()
        if status is not None:
            job["ended"] = job["ended"] or time.time()
        state = "InProgress" if status is None else "Stopped" if job["stopped"] else "Failed" if status else "Completed"
        times = {"TrainingEndTime": job["ended"]} if job["ended"] else {}
        return {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:aws:sagemaker:eu-west-1:123456789012:training-job/{name}",
            "CreationTime": job["begun"],
            "TrainingJobStatus": state,
            **times,
        }

    # Their logs.

    def FilterLogEvents(self, logGroupName, logStreamNamePrefix, nextToken="0", startTime=0, **_):  # noqa: N802, N803
        assert logGroupName == "/aws/sagemaker/TrainingJobs"
        events = []
        for name in sorted(name for name in self.jobs if name.startswith(logStreamNamePrefix)):
            for number, line in enumerate((self.folder / name / "log").read_text().splitlines()):
                stamp = int(self.jobs[name]["begun"] * 1000) + number
                if stamp >= startTime:
                    event = {"logStreamName": f"{name}/algo-1-1", "timestamp": stamp, "message": line}
                    events.append(event | {"eventId": f"{name}-{number}", "ingestionTime": stamp})
        found = self._page("events", events, nextToken)
        return 200, {key[0].lower() + key[1:]: value for key, value in found.items()}

    # Tuning jobs, whose training jobs are all there from the beginning.

    def CreateHyperParameterTuningJob(self, **asked):  # noqa: N802
        self.tuning[asked["HyperParameterTuningJobName"]] = {"asked": asked, "looks": 0}
        return 200, {"HyperParameterTuningJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/toy"}

    def DescribeHyperParameterTuningJob(self, HyperParameterTuningJobName):  # noqa: N802, N803
        job = self.tuning[HyperParameterTuningJobName]
        job["looks"] += 1
        done = all(self._summary(name)["TrainingJobStatus"] != "InProgress" for name in self.jobs) and job["looks"] > 1
        return 200, {
            **job["asked"],
            "HyperParameterTuningJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/toy",
            "HyperParameterTuningJobStatus": "Completed" if done else "InProgress",
            "CreationTime": time.time(),
            "TrainingJobStatusCounters": {"InProgress": 0 if done else 1},
            "ObjectiveStatusCounters": {},
        }

    def ListTrainingJobsForHyperParameterTuningJob(self, NextToken="0", **_):  # noqa: N802, N803
        summaries = []
        for name, job in self.jobs.items():
            tuned = {key: job["asked"]["HyperParameters"][key] for key in ("q", "bias", "noise")}
            summary = self._summary(name) | {"TunedHyperParameters": tuned, "TrainingStartTime": job["begun"]}
            values = [
                line for line in (self.folder / name / "log").read_text().splitlines() if line.startswith("validation:RMSE=")
            ]
            if values and summary["TrainingJobStatus"] == "Completed":
                value = float(values[-1].removeprefix("validation:RMSE=").rstrip(";"))
                final = {"Type": "Minimize", "MetricName": "validation:RMSE", "Value": value}
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = final
            summaries.append(summary)
        return 200, self._page("TrainingJobSummaries", summaries, NextToken)

    # Endpoints.

    def CreateModel(self, **asked):  # noqa: N802
        self.endpoints["model"] = asked
        return 200, {"ModelArn": "arn:aws:sagemaker:eu-west-1:123456789012:model/toy-model-name"}

    def CreateEndpointConfig(self, **asked):  # noqa: N802
        self.endpoints["config"] = asked
        return 200, {"EndpointConfigArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/toy"}

    def ListEndpoints(self, **_):  # noqa: N802
        return 200, {"Endpoints": []}

    def CreateEndpoint(self, **asked):  # noqa: N802
        self.endpoints["endpoint"] = asked
        return 200, {"EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/toy"}

    def DescribeEndpoint(self, EndpointName):  # noqa: N802, N803
        return 200, {
            "EndpointName": EndpointName,
            "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/toy",
            "EndpointStatus": "InService",
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
        }

    @staticmethod
    def _page(key, entries, token):
        end = int(token) + PAGE
        return {key: entries[int(token) : end], **({"NextToken": str(end)} if end < len(entries) else {})}


class Server:
    """The service behind a port of this machine."""

    def __init__(self, service: Service) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, found = service.answer(self.headers["X-Amz-Target"].replace("Logs_20140328", "Logs"), json.loads(body))
                content = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
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
        for job in self.service.jobs.values():
            job["process"].kill()
            job["process"].wait()
