"""Version 3 of the SageMaker SDK in local mode, over containers of the image."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from container import sdk

pytest.importorskip("sagemaker.train")

from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode, ModelTrainer

pytestmark = pytest.mark.sdk


@pytest.fixture(scope="module", autouse=True)
def local_mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        sdk.prepare(environment, tmp_path_factory.mktemp("bin"))
        yield


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> list[InputData]:
    folders = sdk.write_channels(tmp_path_factory.mktemp("channels"))
    return [
        InputData(channel_name=name, data_source=str(folder)) for name, folder in folders.items()
    ]


def trainer(image: str, root: Path, source: SourceCode | None = None) -> ModelTrainer:
    """Trainer of the post's job; with source code the program is the person's."""
    return ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        training_image=image,
        hyperparameters=sdk.HYPERPARAMETERS,
        compute=Compute(instance_type="local_cpu", instance_count=1),
        source_code=source,
        local_container_root=str(root),
    )


def test_the_trainer_trains(image, channels, tmp_path):
    trainer(image, tmp_path).train(channels, wait=True)

    with tarfile.open(tmp_path / "compressed_artifacts/model.tar.gz") as packed:
        model = json.load(packed.extractfile("model.json"))
    asked = {name: model["hyperparameters"][name] for name in sdk.HYPERPARAMETERS}
    assert asked == {**sdk.HYPERPARAMETERS, "q": [0]}


def source_code(folder: Path, requirements: str) -> SourceCode:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    return SourceCode(
        source_dir=str(folder), requirements="requirements.txt", command="echo nothing else to do"
    )


def test_source_code_without_requirements_runs(image, channels, tmp_path, capfd):
    source = source_code(tmp_path / "source", "# none\n")

    trainer(image, tmp_path, source).train(channels, wait=True)

    assert "Training Container Execution Completed" in capfd.readouterr().out


def test_source_code_with_requirements_is_refused_in_a_sentence(image, channels, tmp_path):
    source = source_code(tmp_path / "source", "seaborn\n")

    with pytest.raises(RuntimeError):
        trainer(image, tmp_path, source).train(channels, wait=True)

    with tarfile.open(tmp_path / "compressed_artifacts/output.tar.gz") as packed:
        failure = packed.extractfile("failure").read().decode()
    assert failure.startswith("pip was asked for seaborn, but this is the image of")
