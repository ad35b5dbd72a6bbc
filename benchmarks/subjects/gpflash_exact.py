"""gpflash's exact Gaussian process: C++, Matérn-5/2, a length scale for every column."""

from collections.abc import Callable
from typing import Any

import gpflash
import numpy as np

from benchmarks.subjects import problem

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


def evaluation(rows: int, evaluations: int) -> Work:
    """Log marginal likelihood, with its gradient in length scales and noise."""
    z, y = problem.standardized(rows)
    data, options, values = gpflash.TrainingData(), gpflash.ModelOptions(), gpflash.HpVal()
    data.X_ndim_ntrain_mat, data.f_train_vec = np.asfortranarray(z.T), y[:, 0]
    data.sig2_f_val = -1.0  # unknown
    options.kernel_id = gpflash.KernelId.Matern52
    values.hp_gamma_vec = np.full(z.shape[1], 0.4)
    values.hp_sig2_k, values.hp_sig2_f_val = 1.0, 0.1

    def work() -> Findings:
        for _ in range(evaluations):
            found = gpflash.eval_mll(data, values, options, return_mll_gradient=True)
        return lambda: {"log_marginal_likelihood": found.mll}

    return work
