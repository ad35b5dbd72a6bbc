"""Kernels: arc-cosine (Cho & Saul [1]_), its product with a Gaussian of the distance, and Matérn's.

All are functions of the angle between two points and of their distance, and both come from the same
cosine distances and norms (`pairwise.Pairs`): θ is 0 where x and x' have one direction, and r² =
‖x - x'‖². All are 1 at equal points.

References
----------
.. [1] Y. Cho and L. K. Saul, "Kernel Methods for Deep Learning", NIPS 2009.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from gaussian_processes._native import routines
from gaussian_processes.gp.pairwise import CenteredPoints, Pairs

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of the kernel of some pairs.

    Parameters
    ----------
    angular : ndarray of shape (n, m) or None
        In t = cos θ, at constant distance; None where it is 0.
    radial : ndarray of shape (n, m) or None
        In r², at a constant angle; None where it is 0.
    """

    angular: Array | None
    radial: Array | None

    @property
    def arrays(self) -> list[Array]:
        """Those that are not 0."""
        return [array for array in (self.angular, self.radial) if array is not None]


class Kernel(ABC):
    """Covariance function of points, 1 where two are equal."""

    # The hyperparameter's value.
    name: ClassVar[str]
    # Fields that are learned, each in its logarithm.
    learned: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def layers(self) -> int:
        """Evaluations of about one arc-cosine that a value takes."""

    @abstractmethod
    def value(self, pairs: Pairs) -> Array:
        """Return the kernel of pairs, in place of their cosine distances."""

    @abstractmethod
    def value_and_derivatives(self, pairs: Pairs) -> tuple[Array, Derivatives]:
        """Return `value`, in place of the cosine distances, and its derivatives."""

    def __call__(self, a: Array, b: Array) -> Array:
        """Return the kernel of every row of `a` and every row of `b`.

        Parameters
        ----------
        a : ndarray of shape (n, d)
        b : ndarray of shape (m, d)
            Points, one per row, none zero.

        Returns
        -------
        ndarray of shape (n, m)
            Values in [0, 1]; exactly 1 where two rows are equal.
        """
        return self.value(CenteredPoints.of(b).pairs(a))

    def __str__(self) -> str:
        """Describe the kernel by its name and fields."""
        fields = asdict(self)  # type: ignore[call-overload]  # every kernel is a dataclass
        values = ", ".join(f"{name}={value:.6g}" for name, value in fields.items())
        return f"{self.name} {values}"

    def with_values(self, **values: float) -> Self:
        """Return the kernel with other values of some fields."""
        return replace(self, **values)  # type: ignore[type-var]  # every kernel is a dataclass

    def to_json(self) -> dict[str, Any]:
        """Return the kernel as JSON can hold it."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]  # a dataclass


@dataclass(frozen=True)
class ArcCosine(Kernel):
    """Arc-cosine kernel k_{q,l}: that of degree q, composed l times with itself.

    A function of the angle alone.

    Parameters
    ----------
    q : int
        Degree, at least 0: 0 gives rough functions, each further degree smoother ones.
    l : int
        Depth: compositions beyond the first, at least 0.

    Examples
    --------
    >>> kernel = ArcCosine(q=0, l=0)
    >>> kernel(np.eye(2), np.eye(2))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """

    name: ClassVar[str] = "arc_cosine"

    q: int = 1
    l: int = 1  # noqa: E741  the literature's own letter, and the hyperparameter's

    def __post_init__(self) -> None:
        """Refuse what is no degree or no depth."""
        _check_degree_and_depth(self.q, self.l)

    @property
    def layers(self) -> int:
        """One for each composition."""
        return self.l + 1

    def value(self, pairs: Pairs) -> Array:
        """Return the kernel of pairs, in place of their cosine distances."""
        return self.from_cosine_distance(pairs.cosine_distances)

    def value_and_derivatives(self, pairs: Pairs) -> tuple[Array, Derivatives]:
        """Return `value`, in place of the cosine distances, and its derivatives."""
        value = pairs.cosine_distances
        angular = np.empty_like(value)
        routines.arc_cosine_and_derivative(value, angular, self.q, self.l)
        return value, Derivatives(angular, None)

    def from_cosine_distance(self, cosine_distance: Array) -> Array:
        """Make cosine distances ``1 - t`` into kernels k_{q,l}(t), in place.

        Every layer maps a cosine distance to a cosine distance, so that values next to 1 lose no
        digits on the way down. A rounding of the distance grows by at most the derivative at t = 1,
        q²/(2q-1), at every layer: the absolute error is about 1e-15 for q ≤ 3 and l ≤ 5, 1e-13 for
        q = 4 and l = 20, and 1e-10 for q = 10 and l = 20. To that rounding the values, in [0, 1],
        never decrease with t.

        Parameters
        ----------
        cosine_distance : ndarray of float64, contiguous
            In [0, 2]; holds the kernels afterwards, and is returned.
        """
        routines.arc_cosine(cosine_distance, self.q, self.l)
        return cosine_distance

    def derivative(self, cosine_distance: Array) -> Array:
        """Make cosine distances ``1 - t`` into derivatives of the kernel in t, in place.

        For q = 0 it is infinite at t = 1 and t = -1; there it is given as 0, since what multiplies
        it (the derivative of a distance that stays zero) is zero as well.

        Parameters
        ----------
        cosine_distance : ndarray of float64, contiguous
            In [0, 2]; holds the derivatives afterwards, and is returned.

        Notes
        -----
        dk_q/dt = q²/(2q-1) k_{q-1}, from d J_q/dt = q² J_{q-1}; dk_0/dt = 1/(π √(1-t²)); the chain
        rule along the layers.
        """
        routines.arc_cosine_derivative(cosine_distance, self.q, self.l)
        return cosine_distance


@dataclass(frozen=True)
class ArcCosineRBF(Kernel):
    """Product of the arc-cosine kernel k_{q,l} and the Gaussian exp(-γ r²/2) of the distance.

    A product of kernels is one (GPML section 4.2.4). The first factor is that of a network's
    function, the second forgets it with the distance: far from all rows the function returns to its
    mean, which the angle alone, that tends to a limit, does not say. γ = 0 is the arc-cosine kernel
    itself.

    Parameters
    ----------
    q, l : int
        As of `ArcCosine`.
    gamma : float
        γ, at least 0: the inverse square of a length scale of the points.
    """

    name: ClassVar[str] = "arc_cosine_rbf"
    learned: ClassVar[tuple[str, ...]] = ("gamma",)

    q: int = 1
    l: int = 1  # noqa: E741  the literature's own letter, and the hyperparameter's
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no degree, no depth or no γ."""
        _check_degree_and_depth(self.q, self.l)
        _check_gamma(self.gamma)

    @property
    def layers(self) -> int:
        """One for each composition, and one for the exponential."""
        return self.l + 2

    def value(self, pairs: Pairs) -> Array:
        """Return the kernel of pairs, in place of their cosine distances."""
        gaussian = self._gaussian(pairs)
        value = ArcCosine(self.q, self.l).value(pairs)
        value *= gaussian
        return value

    def value_and_derivatives(self, pairs: Pairs) -> tuple[Array, Derivatives]:
        """Return `value`, in place of the cosine distances, and its derivatives."""
        gaussian = self._gaussian(pairs)
        value, angular = pairs.cosine_distances, np.empty_like(gaussian)
        routines.arc_cosine_and_derivative(value, angular, self.q, self.l)
        value *= gaussian
        angular *= gaussian
        radial = np.multiply(value, -self.gamma / 2, out=gaussian)
        return value, Derivatives(angular, radial)

    def _gaussian(self, pairs: Pairs) -> Array:
        gaussian = np.empty_like(pairs.cosine_distances)
        routines.gaussian(
            gaussian, pairs.cosine_distances, pairs.norms, pairs.other_norms, self.gamma
        )
        return gaussian


@dataclass(frozen=True)
class Matern52(Kernel):
    """Matérn kernel of ν = 5/2, (1 + s + s²/3) exp(-s) with s = √(5 γ) r: GPML eq. 4.17.

    A function of the distance alone, to compare with.

    Parameters
    ----------
    gamma : float
        γ, at least 0: the inverse square of the length scale of the points.
    """

    name: ClassVar[str] = "matern52"
    learned: ClassVar[tuple[str, ...]] = ("gamma",)

    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no γ."""
        _check_gamma(self.gamma)

    @property
    def layers(self) -> int:
        """A square root, an exponential and some products."""
        return 2

    def value(self, pairs: Pairs) -> Array:
        """Return the kernel of pairs, in place of their cosine distances."""
        return self.value_and_derivatives(pairs)[0]

    def value_and_derivatives(self, pairs: Pairs) -> tuple[Array, Derivatives]:
        """Return `value`, in place of the cosine distances, and its derivatives.

        With s² = 5 γ r² the derivative in r² is -(5/6) γ (1 + s) exp(-s).
        """
        s = np.sqrt(5 * self.gamma * pairs.squared_distances())
        decay = np.exp(-s)
        value = np.multiply(1 + s + s * s / 3, decay, out=pairs.cosine_distances)
        return value, Derivatives(None, -5 / 6 * self.gamma * (1 + s) * decay)


KERNELS: Mapping[str, type[ArcCosine | ArcCosineRBF | Matern52]] = {
    kernel.name: kernel for kernel in (ArcCosine, ArcCosineRBF, Matern52)
}


def from_json(content: Mapping[str, Any]) -> Kernel:
    """Return the kernel that `Kernel.to_json` made this of."""
    parameters = {name: value for name, value in content.items() if name != "name"}
    return KERNELS[content["name"]](**parameters)


def _check_degree_and_depth(q: object, l: object) -> None:  # noqa: E741  the literature's letter
    for name, value in (("q", q), ("l", l)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"{name} is {value!r}, but it must be a whole number, 0 or more")


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma < np.inf:
        raise ValueError(f"gamma is {gamma!r}, but it must be a finite number, 0 or more")
