"""Points, their projection onto the unit sphere, and its vector-Jacobian product."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Rounding of a norm that is 1: such a point is on the sphere already, and dividing would cost the
# last digit of its distance to a near duplicate.
UNIT_TOLERANCE = float(4 * np.finfo(float).eps)


def append_bias(z: Array, bias: float) -> Array:
    """Append the constant coordinate `bias` to rows: the points that kernels compare.

    Parameters
    ----------
    z : ndarray of shape (n, d)
        Standardised rows, each column times its relevance.
    bias : float
        At least 0. The larger, the closer the directions of the points, and so the smoother an
        arc-cosine kernel's functions: it acts as one length scale. With 0 the length of a row is
        lost to it, and a zero row has no direction.

    Returns
    -------
    ndarray of shape (n, d + 1)
    """
    points = np.empty((len(z), z.shape[1] + 1))
    points[:, :-1], points[:, -1] = z, bias
    return points


def project_to_sphere(points: Array) -> tuple[Array, Array]:
    """Project points onto the unit sphere.

    Parameters
    ----------
    points : ndarray of shape (n, d)

    Returns
    -------
    directions : ndarray of shape (n, d)
        Of norm 1. Where the square of a point is out of floating point's range NumPy warns, and it
        comes back as NaN, infinite or zero.
    norms : ndarray of shape (n,)
        Of the points.
    """
    norms = np.sqrt(np.vecdot(points, points))
    norms[np.abs(norms - 1) <= UNIT_TOLERANCE] = 1.0
    return points / norms[:, np.newaxis], norms


def project_to_sphere_vjp(points: Array, gradient: Array) -> Array:
    """Vector-Jacobian product of the directions that `project_to_sphere` returns.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    gradient : ndarray of shape (n, d)
        Derivative of a scalar in each coordinate of each direction.

    Returns
    -------
    ndarray of shape (n, d)
        Derivative of the same scalar in each coordinate of each point: the part of `gradient`
        tangent to the sphere, divided by the norm.
    """
    directions, norms = project_to_sphere(points)
    radial = directions * np.vecdot(gradient, directions)[:, np.newaxis]
    tangential: Array = (gradient - radial) / norms[:, np.newaxis]
    return tangential
