"""MLflow's pyfunc flavour, through the real package."""

import numpy as np
import pandas as pd
import pytest
from fitted import fitted

from gaussian_processes.model import artifact
from gaussian_processes.model.explanations import with_background

mlflow = pytest.importorskip("mlflow")

# What MLflow and its dependencies warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = np.random.default_rng(3).normal(size=(5, 3))
FRAME = pd.DataFrame(ROWS, columns=list("abc"))


def saved(model, tmp_path):
    """Save a model as `train` does, then as MLflow's; return what MLflow loads of it."""
    from gaussian_processes import mlflow_flavor  # noqa: PLC0415  it needs what may be missing

    artifact.save(model, tmp_path / "artifact")
    mlflow_flavor.save_model(tmp_path / "artifact", tmp_path / "mlflow")
    return mlflow.pyfunc.load_model(str(tmp_path / "mlflow"))


def test_a_loaded_model_predicts_what_the_artifact_does(tmp_path):
    model = fitted()
    expected = model.predict(ROWS, True)

    loaded = saved(model, tmp_path)

    assert loaded.predict(FRAME)["mean"] == expected.mean[:, 0].tolist()
    # By name, and so in any order.
    shuffled = loaded.predict(FRAME[["c", "a", "b"]], params={"output": "mean,std"})
    assert shuffled["mean"] == expected.mean[:, 0].tolist()
    np.testing.assert_allclose(shuffled["std"], np.sqrt(expected.variance[:, 0]), rtol=1e-12)


def test_a_classifier_answers_with_labels(tmp_path):
    model = fitted(classes=("no", "yes"))
    expected = model.predict(ROWS, False).probabilities

    found = saved(model, tmp_path).predict(FRAME, params={"output": "predicted_label,probability"})

    assert found["predicted_label"] == [("no", "yes")[code] for code in expected.argmax(axis=1)]
    np.testing.assert_allclose(found["probability"], expected.max(axis=1))


def test_a_prediction_is_explained_by_column(tmp_path):
    model = with_background(fitted(), ROWS)

    (found, *rest) = saved(model, tmp_path).predict(FRAME, params={"output": "shap"})["shap"]

    assert len(rest) == 4
    explained = found["baseline"] + sum(found["values"][name] for name in "abc")
    assert explained == pytest.approx(model.predict(ROWS).mean[0, 0], abs=1e-9)


def test_nothing_of_a_logged_model_is_pickled(tmp_path):
    saved(fitted(), tmp_path)

    names = {path.suffix for path in (tmp_path / "mlflow").rglob("*") if path.is_file()}
    assert names <= {"", ".json", ".npy", ".txt", ".yaml", ".yml"}
