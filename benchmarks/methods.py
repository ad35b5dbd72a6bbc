"""Methods of the quality benchmark: this package's defaults and its peers'."""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor as PeerProcess
from sklearn.gaussian_process import kernels
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.datasets import SEED, Split
from gaussian_processes import GaussianProcessClassifier, GaussianProcessRegressor
from gaussian_processes.gp.distributions import PredictiveDistribution

Array = NDArray[np.float64]
# Predictive distribution of the targets of a split's new rows.
Regression = Callable[[Split], PredictiveDistribution]
# Probabilities of the classes 0 to k - 1 of a split's new rows.
Classification = Callable[[Split, int], Array]

RESIDUAL_FOLDS = 5


def regressions() -> Mapping[str, Regression]:
    """Regression methods whose libraries are installed."""
    found: dict[str, Regression] = {"this package": _ours, "with boosting": _ours_with_boosting}
    if find_spec("catboost"):
        found["CatBoost"] = _boosted("catboost", "CatBoostRegressor", verbose=False)
    found["LightGBM"] = _boosted("lightgbm", "LGBMRegressor", verbose=-1)
    found["random forest"] = partial(_with_residuals, RandomForestRegressor(random_state=SEED))
    found["ridge"] = partial(_with_residuals, _scaled(RidgeCV(np.logspace(-4, 4, 17))))
    found["scikit-learn, ARD Matérn-5/2"] = _peer_process
    return found


def classifications() -> Mapping[str, Classification]:
    """Classification methods whose libraries are installed."""
    found: dict[str, Classification] = {"this package": _our_classes}
    if find_spec("catboost"):
        found["CatBoost"] = _boosted_classes("catboost", "CatBoostClassifier", verbose=False)
    found["LightGBM"] = _boosted_classes("lightgbm", "LGBMClassifier", verbose=-1)
    found["random forest"] = partial(_probabilities, RandomForestClassifier(random_state=SEED))
    found["logistic regression"] = _logistic_regression
    found["tuned SVM"] = _tuned_svm
    return found


def _ours(split: Split) -> PredictiveDistribution:
    return GaussianProcessRegressor().fit(split.x, split.y).predict_distribution(split.new)


def _ours_with_boosting(split: Split) -> PredictiveDistribution:
    process = GaussianProcessRegressor(members=("gp", "boosting"))
    return process.fit(split.x, split.y).predict_distribution(split.new)


def _normal(mean: Array, deviation: Array) -> PredictiveDistribution:
    return PredictiveDistribution.single(mean[:, np.newaxis], deviation[:, np.newaxis])


def _our_classes(split: Split, classes: int) -> Array:
    # Numbers as targets would be regression's.
    names = np.array([f"class {int(code)}" for code in split.y])
    process = GaussianProcessClassifier().fit(split.x, names)
    codes = [int(name.rpartition(" ")[2]) for name in process.classes_]
    return _spread(process.predict_proba(split.new), codes, classes)


def _boosted(module: str, name: str, **options: Any) -> Regression:
    def method(split: Split) -> PredictiveDistribution:
        return _with_residuals(_make(module, name, **options), split)

    return method


def _boosted_classes(module: str, name: str, **options: Any) -> Classification:
    def method(split: Split, classes: int) -> Array:
        return _probabilities(_make(module, name, **options), split, classes)

    return method


def _make(module: str, name: str, **options: Any) -> Any:
    return getattr(__import__(module), name)(random_state=SEED, **options)


def _with_residuals(estimator: Any, split: Split) -> PredictiveDistribution:
    """Predict a normal distribution that is as wide as out-of-fold residuals."""
    left_out = cross_val_predict(estimator, split.x, split.y, cv=RESIDUAL_FOLDS)
    mean = np.ravel(estimator.fit(split.x, split.y).predict(split.new))
    return _normal(mean, np.full(len(mean), np.std(split.y - np.ravel(left_out))))


def _peer_process(split: Split) -> PredictiveDistribution:
    lengths = np.ones(split.x.shape[1])
    kernel = kernels.ConstantKernel() * kernels.Matern(lengths, nu=2.5) + kernels.WhiteKernel()
    process = PeerProcess(kernel, normalize_y=True, n_restarts_optimizer=1, random_state=SEED)
    with warnings.catch_warnings():
        # A length scale at its bound is how a column is found to be of no use.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scaler = StandardScaler().fit(split.x)
        process.fit(scaler.transform(split.x), split.y)
    return _normal(*process.predict(scaler.transform(split.new), return_std=True))


def _probabilities(estimator: Any, split: Split, classes: int) -> Array:
    with warnings.catch_warnings():
        # A class of few rows is missing from some folds.
        warnings.simplefilter("ignore")
        estimator.fit(split.x, split.y.astype(int))
    codes = [int(code) for code in estimator.classes_]
    return _spread(estimator.predict_proba(split.new), codes, classes)


def _logistic_regression(split: Split, classes: int) -> Array:
    regression = LogisticRegressionCV(max_iter=2_000, cv=_folds(split, 5))
    return _probabilities(_scaled(regression), split, classes)


def _tuned_svm(split: Split, classes: int) -> Array:
    """SVM with an RBF kernel over the grid of Fernández-Delgado et al. (2014), thinned."""
    grid = {"svc__C": 2.0 ** np.arange(-5, 15, 4), "svc__gamma": 2.0 ** np.arange(-16, 9, 4)}
    machine = _scaled(SVC(probability=True, random_state=SEED))
    return _probabilities(GridSearchCV(machine, grid, cv=_folds(split, 4)), split, classes)


def _folds(split: Split, most: int) -> int:
    """Return the folds of a stratified split: at most the rows of the largest class."""
    return min(most, int(np.unique(split.y, return_counts=True)[1].max()))


def _scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def _spread(probabilities: Array, codes: list[int], classes: int) -> Array:
    """Probabilities of all classes, 0 for those that training did not have."""
    spread = np.zeros((len(probabilities), classes))
    spread[:, codes] = probabilities
    return spread
