"""Version 2 of the SageMaker SDK in local mode, over containers of the image."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from container import sdk

pytest.importorskip("sagemaker.local")

from sagemaker import Model, Predictor, deserializers, serializers
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.local import LocalSession, entities
from sagemaker.model_card import ModelCard
from sagemaker.model_card.evaluation_metric_parsers import RegressionParser
from sagemaker.transformer import Transformer
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import LocalPipelineSession
from sagemaker.workflow.steps import TrainingStep, TransformStep

pytestmark = pytest.mark.sdk

NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalSession]]:
    """Make a session of local mode, whose endpoint has a port of its own."""

    def make(kind: type = LocalSession) -> LocalSession:
        made = kind(sagemaker_config=NO_TELEMETRY) if kind is LocalSession else kind()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        root = str(tmp_path_factory.mktemp("containers"))
        made.config = {"local": {"local_code": True, "container_root": root, "serving_port": port}}
        return made

    with pytest.MonkeyPatch.context() as environment:
        sdk.prepare(environment, tmp_path_factory.mktemp("bin"))
        # An endpoint answers within a second or two, and the SDK looks every five, 24 times.
        impatient = SimpleNamespace(sleep=lambda _: time.sleep(0.5))
        environment.setattr(entities, "time", impatient)
        environment.setattr(entities, "HEALTH_CHECK_TIMEOUT_LIMIT", 1200)
        yield make


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingInput]:
    folders = sdk.write_channels(tmp_path_factory.mktemp("channels"))
    return {
        name: TrainingInput(f"file://{folder}", content_type="text/csv", input_mode="File")
        for name, folder in folders.items()
    }


@pytest.fixture(scope="module")
def make_estimator(
    image: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Estimator]:
    def make(sagemaker_session: LocalSession, hosts: int = 1) -> Estimator:
        return Estimator(
            image_uri=image,
            role=sdk.ROLE,
            instance_count=hosts,
            instance_type="local",
            hyperparameters=sdk.HYPERPARAMETERS,
            output_path=f"file://{tmp_path_factory.mktemp('output')}",
            sagemaker_session=sagemaker_session,
        )

    return make


@pytest.fixture(scope="module")
def estimator(session, make_estimator, channels) -> Estimator:
    """What `fit` has trained on one host."""
    made = make_estimator(session())
    made.fit(channels)
    return made


@pytest.fixture(scope="module")
def predictor(estimator) -> Iterator[Predictor]:
    deployed = estimator.deploy(initial_instance_count=1, instance_type="local")
    yield deployed
    deployed.delete_endpoint()


def unpacked(archive: str, folder: Path) -> Path:
    shutil.unpack_archive(archive.removeprefix("file://"), folder)
    return folder


def test_hyperparameters_of_every_python_type_arrive(estimator, tmp_path):
    model = json.loads((unpacked(estimator.model_data, tmp_path) / "model.json").read_text())

    asked = {name: model["hyperparameters"][name] for name in sdk.HYPERPARAMETERS}
    assert asked == {**sdk.HYPERPARAMETERS, "q": [0]}


def test_the_sdk_reads_the_model_quality_and_the_model_card(estimator, session, tmp_path):
    archive = estimator.model_data.replace("model.tar.gz", "output.tar.gz")
    left = unpacked(archive, tmp_path) / "data"
    quality = json.loads((left / "evaluation.json").read_text())

    (group,) = RegressionParser().run(quality)["metric_groups"]
    content = json.loads((left / "model_card.json").read_text())
    card = ModelCard(name="gp", sagemaker_session=session(), **content)

    error = np.sqrt(np.mean((sdk.EXPECTED - sdk.VALIDATION[:, 0]) ** 2))
    values = {metric["name"]: metric["value"] for metric in group["metric_data"]}
    assert values["rmse"] == pytest.approx(error, rel=1e-9)
    assert card.evaluation_details[0].metric_groups[0].metric_data[0].value == values["rmse"]
    assert card.model_overview.problem_type == "Regression"


@pytest.mark.parametrize(
    ("serializer", "deserializer", "numbers"),
    [
        pytest.param(
            serializers.CSVSerializer(),
            deserializers.CSVDeserializer(),
            lambda answer: np.array(answer, dtype=float)[:, 0],
            id="csv",
        ),
        pytest.param(
            serializers.JSONSerializer(),
            deserializers.JSONDeserializer(),
            lambda answer: [row["score"] for row in answer["predictions"]],
            id="json",
        ),
        pytest.param(
            serializers.JSONLinesSerializer(),
            deserializers.JSONLinesDeserializer(),
            lambda answer: [row["score"] for row in answer],
            id="jsonlines",
        ),
        pytest.param(
            serializers.NumpySerializer(),
            deserializers.NumpyDeserializer(),
            lambda answer: answer[:, 0],
            id="npy",
        ),
    ],
)
def test_the_sdks_serializers_and_deserializers_are_understood(
    predictor, serializer, deserializer, numbers
):
    predictor.serializer, predictor.deserializer = serializer, deserializer
    rows = sdk.FEATURES if serializer.CONTENT_TYPE.endswith("npy") else sdk.FEATURES.tolist()

    answer = predictor.predict(rows)

    np.testing.assert_allclose(numbers(answer), sdk.EXPECTED, rtol=1e-9)


def model_of(estimator: Estimator, sagemaker_session: LocalSession, image: str) -> Model:
    """Model of nothing but its archive, as one that another job has trained."""
    return Model(
        image_uri=image,
        model_data=estimator.model_data,
        role=sdk.ROLE,
        predictor_cls=Predictor,
        sagemaker_session=sagemaker_session,
    )


def test_a_model_is_deployed_from_its_archive(estimator, session, image):
    predictor = model_of(estimator, session(), image).deploy(
        initial_instance_count=1,
        instance_type="local",
        serializer=serializers.CSVSerializer(),
        deserializer=deserializers.CSVDeserializer(),
    )

    answer = predictor.predict(sdk.FEATURES[:1].tolist())
    predictor.delete_endpoint()

    assert float(answer[0][0]) == pytest.approx(sdk.EXPECTED[0], rel=1e-9)


def rows_file(folder: Path) -> Path:
    """Folder of one file of requests, one a line."""
    (folder / "requests").mkdir()
    np.savetxt(folder / "requests/rows.csv", sdk.FEATURES, delimiter=",", fmt="%.17g")
    return folder / "requests"


def transformed(folder: Path) -> list[float]:
    lines = next(folder.rglob("rows.csv.out")).read_text().split("\n")
    # Where the SDK puts records together by lines, one that ends by itself leaves an empty line.
    return [float(line) for line in lines if line]


@pytest.mark.parametrize(
    ("strategy", "split"),
    [("MultiRecord", None), ("SingleRecord", "Line"), ("MultiRecord", "Line")],
)
def test_batch_transform_predicts_every_line(estimator, session, image, tmp_path, strategy, split):
    transformer = model_of(estimator, session(), image).transformer(
        instance_count=1,
        instance_type="local",
        strategy=strategy,
        assemble_with="Line" if split else None,
        output_path=f"file://{tmp_path / 'out'}",
        accept="text/csv",
    )

    # Its job is over by then, and its logs are in no CloudWatch.
    transformer.transform(
        f"file://{rows_file(tmp_path)}", content_type="text/csv", split_type=split, logs=False
    )

    np.testing.assert_allclose(transformed(tmp_path / "out"), sdk.EXPECTED, rtol=1e-9)


def test_two_hosts_leave_the_model_of_one(estimator, make_estimator, session, channels, tmp_path):
    alone = unpacked(estimator.model_data, tmp_path / "alone")
    pair = make_estimator(session(), hosts=2)

    pair.fit(channels)

    together = unpacked(pair.model_data, tmp_path / "together")
    names = [path.name for path in alone.glob("*.npy")]
    assert names
    for name in names:
        assert (together / name).read_bytes() == (alone / name).read_bytes()


def test_a_pipeline_trains_and_transforms(session, make_estimator, channels, image, tmp_path):
    local = session(LocalPipelineSession)
    training = TrainingStep("Train", step_args=make_estimator(local).fit(channels))
    model = Model(
        image_uri=image,
        model_data=training.properties.ModelArtifacts.S3ModelArtifacts,
        role=sdk.ROLE,
        sagemaker_session=local,
    )
    creation = ModelStep("Create", step_args=model.create(instance_type="local"))
    transformer = Transformer(
        model_name=creation.properties.ModelName,
        instance_count=1,
        instance_type="local",
        strategy="MultiRecord",
        output_path=f"file://{tmp_path / 'out'}",
        accept="text/csv",
        sagemaker_session=local,
    )
    transform = TransformStep(
        "Transform",
        step_args=transformer.transform(
            f"file://{rows_file(tmp_path)}", content_type="text/csv", split_type="Line"
        ),
    )
    pipeline = Pipeline("gp", steps=[training, creation, transform], sagemaker_session=local)
    pipeline.create(sdk.ROLE)

    execution = pipeline.start()

    assert execution.describe()["PipelineExecutionStatus"] == "Succeeded", execution.list_steps()
    np.testing.assert_allclose(transformed(tmp_path / "out"), sdk.EXPECTED, rtol=1e-9)
