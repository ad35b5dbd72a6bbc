"""Configuration of the server, from the environment variables of `serve`."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.environment import base_folder

# Megabytes that batch transform allows all its concurrent requests together.
TRANSFORM_MEGABYTES = 100
# Predictions at once in one worker, so that short requests need not wait for the end of long ones.
# The operating system divides the worker's cores between them. Eight requests of 25 MB take 700 MB
# of memory.
THREADPOOL_SIZE = 8
# Variable by which `serve` tells gunicorn's workers where the names of their models are recorded.
MODELS_RECORD = "SERVING_MODELS_RECORD"


@dataclass(frozen=True)
class ServerConfig:
    """Configuration of nginx, gunicorn and the application behind them.

    Parameters
    ----------
    base : Path
        Folder that stands for /opt/ml.
    port : int
    cores, workers, threads : int
        Cores that all processes may keep busy, worker processes, and threads of each.
    request_seconds : int
        How long a request may take. Batch transform allows up to an hour, and hosting itself hangs
        up after a minute.
    body_megabytes : int
        How large the body of a request may be; 0 is no limit.
    log_level : int
        Of Python's logging: 20 is info, 30 warning.
    multi_model : bool
        Whether models are loaded and unloaded over HTTP.
    default_outputs : str
        Outputs of a response to a request that names none; "" is the model's first.
    default_accept : str or None
        `Accept` of a request without one.
    batch : str
        ``SAGEMAKER_BATCH``, which batch transform sets.
    model_folders : tuple of Path
        Folders that hold the models of a multi-model endpoint.
    models_record : Path or None
        File of the names and urls of a multi-model endpoint's models, for the next worker.
    bind_address : str
        IPv4 address to listen on; 0.0.0.0 is every one.
    warnings : tuple of str
        Sentences on values that were replaced.
    """

    base: Path
    port: int
    cores: int
    workers: int
    threads: int
    request_seconds: int
    body_megabytes: int
    log_level: int
    multi_model: bool = False
    default_outputs: str = ""
    default_accept: str | None = None
    batch: str = ""
    model_folders: tuple[Path, ...] = (Path("/opt/ml/models"),)
    models_record: Path | None = None
    bind_address: str = "0.0.0.0"  # noqa: S104  the platform asks from outside of the container
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], cores: int) -> "ServerConfig":
        """Read the configuration from environment variables.

        Raises
        ------
        UserError
            If a variable is not an integer, or out of its range.

        Examples
        --------
        >>> ServerConfig.from_environment({"MODEL_SERVER_WORKERS": "2"}, cores=8).threads
        4
        """
        multi_model = _is_true(variables.get("SAGEMAKER_MULTI_MODEL", ""))
        # About as many workers as threads of each: small requests need workers, large ones threads.
        default_workers = math.isqrt(cores - 1) + 1
        workers_name = _preferred(variables, "MODEL_SERVER_WORKERS")
        requested_workers = _integer(variables, workers_name, default_workers, 1)
        # A model that is loaded over HTTP is in the memory of one process.
        workers = 1 if multi_model else min(requested_workers, cores)
        return cls(
            base=base_folder(variables),
            port=_integer(variables, "SAGEMAKER_BIND_TO_PORT", 8080, 1, 65_535),
            cores=cores,
            workers=workers,
            # Each its share; but two of two or more cores, or a large request that comes alone
            # would leave one idle.
            threads=max(cores // workers, min(cores, 2)),
            request_seconds=_integer(
                variables, _preferred(variables, "MODEL_SERVER_TIMEOUT"), 3600, 1
            ),
            body_megabytes=_integer(variables, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 25, 0),
            log_level=_integer(variables, "SAGEMAKER_CONTAINER_LOG_LEVEL", logging.INFO, 0, 50),
            multi_model=multi_model,
            default_outputs=variables.get("SAGEMAKER_INFERENCE_OUTPUT", ""),
            default_accept=variables.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"),
            batch=variables.get("SAGEMAKER_BATCH", ""),
            model_folders=_model_folders(variables),
            models_record=Path(record) if (record := variables.get(MODELS_RECORD)) else None,
            bind_address=_ipv4_address(variables, "SERVING_BIND_ADDRESS"),
            warnings=_warnings(workers_name, requested_workers, cores),
        )

    @property
    def max_body_bytes(self) -> int | None:
        """Largest body of a request, in bytes; None is no limit."""
        return self.body_megabytes * 2**20 or None

    @property
    def execution_parameters(self) -> Mapping[str, object]:
        """Response of ``/execution-parameters``: as many requests as batch transform allows.

        Examples
        --------
        >>> variables = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "25", "SAGEMAKER_BATCH": "true"}
        >>> ServerConfig.from_environment(variables, cores=8).execution_parameters
        {'MaxConcurrentTransforms': 4, 'BatchStrategy': 'MULTI_RECORD', 'MaxPayloadInMB': 25}
        """
        megabytes = min(self.body_megabytes or TRANSFORM_MEGABYTES, TRANSFORM_MEGABYTES)
        # The SDK's local mode, which sets True where the service sets true, has its own spelling.
        strategy = "MultiRecord" if self.batch == "True" else "MULTI_RECORD"
        concurrent = max(1, min(self.cores, TRANSFORM_MEGABYTES // megabytes))
        return {
            "MaxConcurrentTransforms": concurrent,
            "BatchStrategy": strategy,
            "MaxPayloadInMB": megabytes,
        }


def _preferred(variables: Mapping[str, str], name: str) -> str:
    """Name of a variable as AWS's toolkits have it, with SAGEMAKER_ before it, where it is set."""
    prefixed = f"SAGEMAKER_{name}"
    return prefixed if variables.get(prefixed, "").strip() else name


def _warnings(name: str, requested_workers: int, cores: int) -> tuple[str, ...]:
    if requested_workers <= cores:
        return ()
    return (
        f"{name} is {requested_workers}, more than the {cores} cores that may be"
        f" used; {cores} are started",
    )


def _model_folders(variables: Mapping[str, str]) -> tuple[Path, ...]:
    folders = variables.get("SERVING_MODEL_FOLDERS", "").split(":")
    return tuple(map(Path, filter(None, folders))) or (base_folder(variables) / "models",)


def _ipv4_address(variables: Mapping[str, str], name: str) -> str:
    text = variables.get(name, "").strip() or ServerConfig.bind_address
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise UserError(f'{name} is "{text}"; it must be an address such as 127.0.0.1') from error


def _is_true(value: str) -> bool:
    return value.strip().lower() in {"true", "1"}


def _integer(
    variables: Mapping[str, str],
    name: str,
    default: int,
    min_value: int,
    max_value: float = math.inf,
) -> int:
    text = variables.get(name, "").strip() or str(default)
    if not (text.isdecimal() and min_value <= int(text) <= max_value):
        rule = f"{min_value} or more" if max_value == math.inf else f"{min_value} to {max_value}"
        raise UserError(f'{name} is "{text}"; it must be a whole number, {rule}')
    return int(text)
