"""Projection of standardised rows onto the unit sphere, and its vector-Jacobian product."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def project_to_sphere(z: Array, bias: float) -> Array:
    """Project rows onto the unit sphere, after appending the constant coordinate `bias`.

    Parameters
    ----------
    z : ndarray of shape (n, d)
        Standardised rows.
    bias : float
        At least 0. The larger, the closer the points, and so the smoother the function: it acts as
        one length scale. With 0 the length of a row is lost, and a zero row has no direction.

    Returns
    -------
    ndarray of shape (n, d + 1)
        Points of norm 1. Where the square of a row is out of floating point's range NumPy warns,
        and it comes back as NaN, infinite or zero.
    """
    points = _append_bias(z, bias)
    points /= np.sqrt(np.vecdot(points, points))[:, np.newaxis]
    return points


def project_to_sphere_vjp(z: Array, bias: float, gradient: Array) -> Array:
    """Vector-Jacobian product of `project_to_sphere`.

    Parameters
    ----------
    z : ndarray of shape (n, d)
    bias : float
    gradient : ndarray of shape (n, d + 1)
        Derivative of a scalar in each coordinate of each point.

    Returns
    -------
    ndarray of shape (n, d + 1)
        Derivative of the same scalar in each coordinate before the projection: the part of
        `gradient` tangent to the sphere, divided by the norm.
    """
    unprojected = _append_bias(z, bias)
    norms = np.linalg.norm(unprojected, axis=1, keepdims=True)
    points = unprojected / norms
    radial = points * (gradient * points).sum(axis=1, keepdims=True)
    tangential: Array = (gradient - radial) / norms
    return tangential


def _append_bias(z: Array, bias: float) -> Array:
    points = np.empty((len(z), z.shape[1] + 1))
    points[:, :-1], points[:, -1] = z, bias
    return points
