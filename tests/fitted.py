"""Models that were fitted without `train`, for the tests of what is done with a model."""

import numpy as np

from gaussian_processes.data.preprocessing import PreprocessingOptions
from gaussian_processes.data.preprocessing import fit as fit_preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.gp.replicates import find_replicates
from gaussian_processes.model.model import EnsembleMember, Model

KERNELS = (ArcCosine(1, 1),)


def fitted(rows=40, kernels=KERNELS, weights=(1.0,), outputs=1, classes=(), repeats=1):
    """Model of columns a, b and c, with a header, for targets y (and y1, ...) or for classes.

    Every row of `rows` comes so often as `repeats` says, each time with targets of its own.
    """
    rng = np.random.default_rng(41)
    x, y = rng.normal(size=(rows, 3)), rng.normal(7, 2, size=(rows, len(classes) or outputs))
    if repeats > 1:
        x, y = np.tile(x, (repeats, 1)), rng.normal(7, 2, size=(repeats * rows, y.shape[1]))
    members = []
    for kernel, weight in zip(kernels, weights, strict=True):
        preprocessor = fit_preprocessor(x, y, [0, 0, 0], PreprocessingOptions(bias=2.0))
        matrix = GramMatrix.merged(
            kernel,
            preprocessor.points(x),
            0.1,
            np.ones(len(x)),
            find_replicates(x, np.ones(len(x))),
        )
        process = fit(matrix, preprocessor.standardized_targets(y))
        members.append(EnsembleMember(preprocessor, process, weight))
    targets = ["y", *(f"y{index}" for index in range(1, outputs))]
    columns = [Column(name, position) for position, name in enumerate([*targets, *"abc"])]
    schema = Schema(
        True, len(columns), tuple(columns[outputs:]), tuple(columns[:outputs]), tuple(classes)
    )
    offsets, floor = rng.normal(size=len(classes)), np.zeros(len(classes))
    calibration = Calibration(3.0, offsets, floor) if classes else None
    return Model(schema, tuple(members), calibration)
