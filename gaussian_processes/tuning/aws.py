"""Clients of AWS that wait while they are throttled, and sort its errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

from gaussian_processes.errors import BackendBusyError, UserError

# SageMaker's quotas are a few requests a second, shared by the account: boto3's own four attempts
# are soon used up.
CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 8})
# What is worth trying again later: too many requests, too many instances, or a hiccup.
PASSING = {
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ResourceLimitExceeded",
}
PASSING |= {
    "InternalFailure",
    "InternalServerError",
    "ServiceUnavailable",
    "RequestTimeout",
    "503",
    "500",
}


@cache
def client(service: str) -> Any:
    """Return a client of a service, by the environment's credentials and region."""
    try:
        return boto3.client(service, config=CONFIG)
    except NoRegionError as error:
        raise UserError(
            "no AWS region is configured; set AWS_REGION, or run on process or docker"
        ) from error


@contextmanager
def patience() -> Iterator[None]:
    """Tell errors that pass from those that do not.

    Raises
    ------
    BackendBusyError
        If the same call may succeed later.
    UserError
        If AWS refused it, in AWS's words.
    """
    try:
        yield
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] in PASSING:
            raise BackendBusyError(f"{details['Code']}: {details['Message']}") from error
        raise UserError(
            f"AWS refused {error.operation_name} ({details['Code']}): {details['Message']}"
        ) from error
    except NoCredentialsError as error:
        raise UserError(
            "there are no AWS credentials; configure them, or run on process or docker"
        ) from error
    except (EndpointConnectionError, HTTPClientError) as error:
        raise BackendBusyError(f"AWS is out of reach: {error}") from error
    except BotoCoreError as error:
        raise UserError(f"AWS was not called: {error}") from error


def pages(service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
    """All entries of a listing, page after page."""
    with patience():
        paginator = client(service).get_paginator(operation)
        return [entry for page in paginator.paginate(**arguments) for entry in page.get(key, [])]


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Parts of an S3 address.

    Examples
    --------
    >>> bucket_and_key("s3://bucket/some/train")
    ('bucket', 'some/train')
    """
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", uri)
    if not found:
        raise UserError(f"{uri} is no S3 address; write s3://BUCKET/PREFIX")
    return found[1], found[2]


def download(uri: str, folder: Path) -> Path:
    """Bring all that begins with an address into a folder, unless an earlier run has.

    Raises
    ------
    UserError
        If nothing does.
    """
    bucket, prefix = bucket_and_key(uri)
    done = folder.with_name(f"{folder.name}.complete")
    if done.exists():
        return folder
    objects = [
        entry["Key"]
        for entry in pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)
    ]
    keys = [key for key in objects if not key.endswith("/")]
    if not keys:
        raise UserError(f"there is nothing at {uri}; correct the address, or upload the data first")
    for key in keys:
        # A prefix is a folder, a single object, or the beginning of several names.
        name = (
            key.removeprefix(prefix).lstrip("/")
            if key.startswith(f"{prefix.rstrip('/')}/")
            else Path(key).name
        )
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with patience():
            client("s3").download_file(bucket, key, str(target))
    done.touch()
    return folder
