"""Deployment of the best model: as a process, a container or an endpoint of SageMaker's."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gaussian_processes import files
from gaussian_processes.errors import BackendBusyError, UserError
from gaussian_processes.tuning import amt, aws, jobfile, results
from gaussian_processes.tuning.backends import COMPLETED, RUNNING, Backend, Report
from gaussian_processes.tuning.backends.by_name import BACKENDS
from gaussian_processes.tuning.backends.docker import docker, image
from gaussian_processes.tuning.backends.local import import_path
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row

SERVE = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from gaussian_processes.serving.main import main; sys.exit(main([]))",
)
MODEL = "model.tar.gz"
LOOPBACK = "127.0.0.1"
INTERVAL_SECONDS = 15.0


@dataclass(frozen=True)
class Target:
    """Where to serve.

    Parameters
    ----------
    backend : str
        `process`, `docker` or `sagemaker`.
    host : str
        Address that a local endpoint listens on.
    port : int
    """

    backend: str
    host: str = LOOPBACK
    port: int = 8080


def deploy(found: Results, folder: Path, target: Target, train: bool) -> None:
    """Serve the best model.

    On this machine until Ctrl-C, or on an endpoint of SageMaker's with the search's name.

    Parameters
    ----------
    folder : Path
        Of the search; what is trained or downloaded goes there too.
    target : Target
    train : bool
        Whether to train the best hyperparameters anew; that happens too if the best model is gone.
    """
    # What is only served may have been found anywhere, and over files that SageMaker has not.
    job, best = _job(found, folder, "process"), found.best
    folder.mkdir(parents=True, exist_ok=True)
    model = best.model
    if model and not train and not (model.startswith("s3://") or Path(model).is_dir()):
        print(
            f"the model of {best.name} is no longer in {model}, so it is trained anew",
            file=sys.stderr,
        )
        model = ""
    if train or not model:
        model = _trained(found, _job(found, folder, target.backend), folder, target.backend)
    if target.backend == "sagemaker":
        print(
            f"endpoint {_endpoint(job, _in_s3(model, job, best))} serves the model of {best.name}"
        )
        return
    local = _local_model(model, folder / "best" / best.name)
    print(
        f"the model of {best.name} answers at http://{target.host}:{target.port}/invocations"
        " until Ctrl-C",
        flush=True,
    )
    serve = _serve_container if target.backend == "docker" else _serve_process
    serve(job, local, target)


def _job(found: Results, folder: Path, where: str) -> TuningJob:
    if (folder / results.JOB).is_file():
        return jobfile.read(folder / results.JOB, where)
    return amt.job_of(found.name)


def _trained(found: Results, job: TuningJob, folder: Path, where: str) -> str:
    """Train the best hyperparameters; return where the model is."""
    _heed_signals()
    backend = BACKENDS[where](job, folder / "trials")
    name = f"{job.name}-best-{time.strftime('%m%d%H%M%S')}"
    backend.start(name, found.hyperparameters(found.best))
    try:
        report = _ended(backend, name)
    except KeyboardInterrupt:
        backend.stop([name])
        _ended(backend, name)
        raise
    if report.state != COMPLETED:
        raise UserError(f"training the best hyperparameters failed: {report.failure}")
    return report.model


def _ended(backend: Backend, name: str) -> Report:
    """Wait for the end of a training job; return its report."""
    while True:
        with suppress(BackendBusyError):  # the next poll will tell
            report = backend.poll([name])[name]
            if report.state != RUNNING:
                return report
        time.sleep(backend.interval_seconds)


def _local_model(model: str, folder: Path) -> Path:
    """Return the folder of a model; one in S3 is downloaded and unpacked."""
    if not model.startswith("s3://"):
        return Path(model)
    archive = aws.download(model, folder.with_name(f"{folder.name}.archive")) / MODEL
    files.unpack(archive, folder)
    return folder


def _serve_process(job: TuningJob, model: Path, target: Target) -> None:  # noqa: ARG001  as in a container
    with tempfile.TemporaryDirectory(prefix="deploy-") as base:
        (Path(base) / "model").symlink_to(model.resolve(), target_is_directory=True)
        environment = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": base,
            "PYTHONPATH": import_path(),
            "SAGEMAKER_BIND_TO_PORT": str(target.port),
            "SERVING_BIND_ADDRESS": target.host,
        }
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        _until_stopped(subprocess.Popen(SERVE, env=environment))  # noqa: S603  the program is ours


def _serve_container(job: TuningJob, model: Path, target: Target) -> None:
    mount = f"type=bind,source={model.resolve()},target=/opt/ml/model,readonly"
    options = [
        "--rm",
        "--detach",
        "--publish",
        f"{target.host}:{target.port}:8080",
        "--mount",
        mount,
    ]
    container = docker(
        "run",
        *options,
        image(job),
        "serve",
        remedy="give another --port, or see what the engine says",
    ).strip()
    try:
        _until_stopped(subprocess.Popen(["docker", "logs", "--follow", container]))  # noqa: S603, S607
    finally:
        docker("stop", container)


def _until_stopped(process: subprocess.Popen[bytes]) -> None:
    """Wait for a server; Ctrl-C or SIGTERM ends it and is no error."""
    _heed_signals()
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return
    if status:
        raise UserError(f"the server ended with exit code {status}; its reason is above")


def _heed_signals() -> None:
    """Let Ctrl-C and SIGTERM interrupt, also where a shell has put this into the background."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _in_s3(model: str, job: TuningJob, best: Row) -> str:
    """Return the address of a model's archive; a local one is packed and uploaded first."""
    if model.startswith("s3://"):
        return model
    output = job.definition["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    uri = f"{output}/{best.name}/output/{MODEL}"
    bucket, key = aws.bucket_and_key(uri)
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        archive = shutil.make_archive(str(Path(folder) / "model"), "gztar", model)
        with aws.patience():
            aws.client("s3").upload_file(archive, bucket, key)
    return uri


def _endpoint(job: TuningJob, model: str) -> str:
    """Create an endpoint, or update the search's, and wait until it serves."""
    sagemaker = aws.client("sagemaker")
    # A second deployment within a second needs another name.
    name = f"{job.name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    instance = job.definition.get("ResourceConfig", {}).get("InstanceType", "ml.m5.large")
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": instance,
    }
    with aws.patience():
        sagemaker.create_model(
            ModelName=name,
            PrimaryContainer={"Image": image(job), "ModelDataUrl": model},
            ExecutionRoleArn=job.definition["RoleArn"],
        )
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        endpoints = aws.pages("sagemaker", "list_endpoints", "Endpoints", NameContains=job.name)
        change = (
            sagemaker.update_endpoint
            if any(endpoint["EndpointName"] == job.name for endpoint in endpoints)
            else sagemaker.create_endpoint
        )
        change(EndpointName=job.name, EndpointConfigName=name)
        while (
            status := sagemaker.describe_endpoint(EndpointName=job.name)["EndpointStatus"]
        ) != "InService":
            if status == "Failed":
                raise UserError(f"endpoint {job.name} failed; its reason is in SageMaker's console")
            time.sleep(INTERVAL_SECONDS)
    return job.name
