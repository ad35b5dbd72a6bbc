"""Training on the tables that people have: headers, categories, classes."""

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import requests
from container.engine import ROOT, docker
from sklearn.datasets import load_iris


@pytest.fixture(scope="module")
def iris() -> pd.DataFrame:
    """Fisher's iris as R has it, in random order."""
    bunch = load_iris(as_frame=True)
    frame = bunch.frame.rename(
        columns=lambda name: name.removesuffix(" (cm)").title().replace(" ", ".")
    )
    return frame.assign(Species=bunch.target_names[frame.pop("Target")]).sample(
        frac=1, random_state=0
    )


def write(folder: Path, name: str, content: bytes) -> None:
    (folder / "input/data/train").mkdir(parents=True, exist_ok=True)
    (folder / "input/data/train" / name).write_bytes(content)


def test_a_column_with_a_name_is_predicted_from_numbers_and_words(job, train, serve, start, iris):
    folder = job(
        {"target": "Sepal.Length", "k_fold": "5", "q": "0-2", "l": "0-1", "ensemble": "stack"}
    )
    write(folder, "iris.csv", iris.to_csv(index=False).encode())

    container = train(folder)

    assert container.status() == 0, container.log()
    # Its own scatter within a species is 0.5 to 0.6; linear regression on all columns leaves 0.31.
    assert float(re.search("cross_validation:RMSE=(.*?);", container.log())[1]) < 0.33
    described = start("describe", options=["--volume", f"{folder}:/opt/ml"])
    assert described.status() == 0
    assert "column 4 (Species): one of setosa, versicolor, virginica" in described.log()
    url = f"{serve(folder / 'model').url()}/invocations"
    row = {"Species": "setosa", "Petal.Width": 0.2, "Petal.Length": 1.4, "Sepal.Width": 3.5}
    by_name = requests.post(
        url, json.dumps([row]), headers={"Content-Type": "application/json"}, timeout=10
    )
    by_position = requests.post(
        url, "3.5,1.4,0.2,setosa\n", headers={"Content-Type": "text/csv"}, timeout=10
    )
    assert by_name.text == by_position.text
    assert 4.5 < float(by_name.text) < 5.5


def test_words_are_classified(job, train, serve, iris):
    folder = job({"target": "Species"})
    write(folder, "iris.jsonl", iris[:100].to_json(orient="records", lines=True).encode())

    assert train(folder).status() == 0

    new = iris[100:]
    body = new.drop(columns="Species").to_csv(index=False)
    answer = requests.post(
        f"{serve(folder / 'model').url()}/invocations",
        body,
        headers={
            "Content-Type": "text/csv",
            "X-Amzn-SageMaker-Custom-Attributes": "output=predicted_label,probability",
        },
        timeout=10,
    )
    found = pd.read_csv(io.StringIO(answer.text), header=None)
    assert (found[0].to_numpy() == new["Species"].to_numpy()).mean() > 0.9
    assert found[1].between(1 / 3, 1).all()


def test_parquet_is_read_by_the_image_that_is_built_for_it_and_the_other_says_so(
    job, train, start, iris
):
    folder = job({"target": "Sepal.Length", "q": "1", "l": "1"})
    buffer = io.BytesIO()
    iris.to_parquet(buffer)
    write(folder, "iris.parquet", buffer.getvalue())

    container = train(folder)
    assert container.status() == 1
    assert "build the image with --build-arg PARQUET=true" in container.log()

    docker(
        "build",
        "--build-arg",
        "PARQUET=true",
        "--tag",
        "gaussian-processes:tests-parquet",
        str(ROOT),
    )
    output = docker(
        "run", "--rm", "--volume", f"{folder}:/opt/ml", "gaussian-processes:tests-parquet", "train"
    )
    assert "train: 150 rows of 5 columns" in output
    assert re.search("train:LOO_RMSE=0.3", output)
