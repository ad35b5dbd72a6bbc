"""Configuration of the server from environment variables."""

from pathlib import Path

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.serving.config import ServerConfig

DEFAULTS = {
    "base": Path("/opt/ml"),
    "port": 8080,
    "cores": 16,
    "workers": 4,
    "threads": 4,
    "request_seconds": 3600,
    "body_megabytes": 25,
    "log_level": 20,
}


def test_without_variables_every_setting_has_its_default():
    assert ServerConfig.from_environment({}, cores=16) == ServerConfig(**DEFAULTS)


def test_every_variable_sets_its_setting():
    config = ServerConfig.from_environment(
        {
            "SAGEMAKER_BASE_DIR": "/data",
            "SAGEMAKER_BIND_TO_PORT": "7777",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "30",
            "SAGEMAKER_INFERENCE_OUTPUT": "mean,std",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json",
            "SAGEMAKER_BATCH": "true",
            "MODEL_SERVER_WORKERS": "3",
            "MODEL_SERVER_TIMEOUT": "60",
            "SERVING_BIND_ADDRESS": "127.0.0.1",
        },
        cores=8,
    )

    assert config == ServerConfig(
        base=Path("/data"),
        port=7777,
        cores=8,
        workers=3,
        threads=2,
        request_seconds=60,
        body_megabytes=100,
        log_level=30,
        default_outputs="mean,std",
        default_accept="application/json",
        batch="true",
        model_folders=(Path("/data/models"),),
        bind_address="127.0.0.1",
    )


@pytest.mark.parametrize("cores", range(1, 66))
def test_a_worker_has_its_share_of_the_cores_but_two_where_there_are_two(cores):
    for variables in ({}, {"MODEL_SERVER_WORKERS": "3"}, {"MODEL_SERVER_WORKERS": "1000"}):
        config = ServerConfig.from_environment(variables, cores)

        assert 1 <= config.workers <= config.cores == cores
        assert min(cores, 2) <= config.threads <= cores
        assert config.threads == 2 or config.workers * config.threads <= cores


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_a_multi_model_endpoint_has_one_worker(value):
    variables = {"SAGEMAKER_MULTI_MODEL": value, "MODEL_SERVER_WORKERS": "4"}

    config = ServerConfig.from_environment(variables, cores=8)

    assert (config.multi_model, config.workers, config.threads) == (True, 1, 8)


def test_more_workers_than_cores_are_not_started_with_a_warning():
    config = ServerConfig.from_environment({"MODEL_SERVER_WORKERS": "8"}, cores=2)

    assert (config.workers, config.threads) == (2, 2)
    assert config.warnings == (
        "MODEL_SERVER_WORKERS is 8, more than the 2 cores that may be used; 2 are started",
    )


@pytest.mark.parametrize(
    "name", ["SAGEMAKER_BIND_TO_PORT", "MODEL_SERVER_WORKERS", "MODEL_SERVER_TIMEOUT"]
)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_value_out_of_its_range_is_refused_with_its_name(name, value):
    with pytest.raises(UserError, match=f'{name} is "{value}"'):
        ServerConfig.from_environment({name: value}, cores=2)


@pytest.mark.parametrize(
    ("variables", "folders"),
    [
        ({}, ["/opt/ml/models"]),
        ({"SAGEMAKER_BASE_DIR": "/data"}, ["/data/models"]),
        ({"SERVING_MODEL_FOLDERS": "/a:/b/c"}, ["/a", "/b/c"]),
    ],
)
def test_models_are_loaded_from_the_models_folder_or_those_that_are_set(variables, folders):
    config = ServerConfig.from_environment(variables, cores=2)

    assert list(map(str, config.model_folders)) == folders


@pytest.mark.parametrize("address", ["localhost", "::1", "127.0.0.1:80", "0.0.0.0;"])
def test_what_is_no_ipv4_address_is_refused(address):
    with pytest.raises(UserError, match=r"SERVING_BIND_ADDRESS is .* such as 127.0.0.1"):
        ServerConfig.from_environment({"SERVING_BIND_ADDRESS": address}, cores=2)


@pytest.mark.parametrize(
    ("megabytes", "cores", "concurrent", "payload"),
    [("25", 8, 4, 25), ("25", 2, 2, 25), ("60", 8, 1, 60), ("0", 8, 1, 100), ("200", 8, 1, 100)],
)
def test_concurrent_transforms_fit_into_100_megabytes_and_the_cores(
    megabytes, cores, concurrent, payload
):
    variables = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": megabytes}

    parameters = ServerConfig.from_environment(variables, cores).execution_parameters

    assert parameters["MaxConcurrentTransforms"] == concurrent
    assert parameters["MaxPayloadInMB"] == payload


@pytest.mark.parametrize(
    ("batch", "strategy"), [("True", "MultiRecord"), ("true", "MULTI_RECORD"), ("", "MULTI_RECORD")]
)
def test_the_batch_strategy_is_spelt_as_the_service_or_local_mode_reads_it(batch, strategy):
    parameters = ServerConfig.from_environment(
        {"SAGEMAKER_BATCH": batch}, cores=2
    ).execution_parameters

    assert parameters["BatchStrategy"] == strategy


def test_no_limit_on_the_body_is_none():
    variables = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}

    assert ServerConfig.from_environment(variables, cores=2).max_body_bytes is None
    assert ServerConfig.from_environment({}, cores=2).max_body_bytes == 25 * 2**20


@pytest.mark.parametrize("prefix", ["", "SAGEMAKER_"])
def test_workers_and_timeout_have_the_names_of_the_toolkits_too(prefix):
    variables = {f"{prefix}MODEL_SERVER_WORKERS": "3", f"{prefix}MODEL_SERVER_TIMEOUT": "60"}

    config = ServerConfig.from_environment(variables, cores=8)

    assert (config.workers, config.request_seconds) == (3, 60)


def test_the_toolkits_names_count_where_both_are_set():
    variables = {
        "MODEL_SERVER_WORKERS": "3",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "9",
        "MODEL_SERVER_TIMEOUT": "60",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "",
    }

    config = ServerConfig.from_environment(variables, cores=8)

    assert (config.workers, config.request_seconds) == (8, 60)
    assert config.warnings[0].startswith("SAGEMAKER_MODEL_SERVER_WORKERS is 9, more than the 8")


def test_a_refused_variable_is_named_as_it_was_set():
    with pytest.raises(UserError, match=r'^SAGEMAKER_MODEL_SERVER_TIMEOUT is "soon"'):
        ServerConfig.from_environment({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "soon"}, cores=2)
