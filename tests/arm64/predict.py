"""Predictions of small models, to compare those of one processor with those of another.

predict.py FILE                  writes them into a file
predict.py --compare FILE FILE   ends with 1 where those of two files differ by more than rounding
"""

import json
import platform
import sys
from pathlib import Path

TOLERANCE = 1e-12


def predict(path):
    """Fit kernels of each kind, and write what they predict, and on what."""
    import numpy as np  # noqa: PLC0415  comparing needs none

    from gaussian_processes import _native  # noqa: PLC0415
    from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Matern52  # noqa: PLC0415
    from gaussian_processes.gp.regression import GramMatrix, fit  # noqa: PLC0415

    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 4))
    points /= np.linalg.norm(points, axis=1)[:, np.newaxis]
    y, new = points @ rng.normal(size=(4, 1)), points[:7] @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    kernels = [ArcCosine(degree, depth) for degree in range(5) for depth in range(3)]
    found = {}
    for kernel in [*kernels, ArcCosineRBF(1, 1, 0.5), Matern52(0.5)]:
        process = fit(GramMatrix(kernel, points, 0.1), y)
        mean, variance = process.mean_and_variance(new)
        found[str(kernel)] = [*mean[:, 0].tolist(), *variance[:, 0].tolist()]
    report = {"machine": platform.machine(), "compiled": _native.COMPILED, "predictions": found}
    Path(path).write_text(json.dumps(report))


def compare(one, other):
    """Return 1 where predictions differ, or one of the programs was not compiled."""
    a, b = (json.loads(Path(path).read_text()) for path in (one, other))
    worst = max(
        abs(x - y) / max(abs(x), 1.0)
        for kernel, values in a["predictions"].items()
        for x, y in zip(values, b["predictions"][kernel], strict=True)
    )
    print(f"{a['machine']} and {b['machine']} differ by {worst:.1e} at most")
    return int(not (a["compiled"] and b["compiled"] and worst <= TOLERANCE))


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(*sys.argv[2:]))
    predict(sys.argv[1])
