"""Oracles: the formulas of the papers, evaluated slowly, sharing nothing with the package.

Scalars are mpmath numbers at the precision of the caller.
"""

from mpmath import mp, mpf


def arc_cosine(degree, angle):
    """Arc-cosine kernel J_q(θ)/J_q(0), by Cho & Saul's definition.

    J_q(θ) = (-1)^q (sin θ)^(2q+1) (1/sin θ ∂/∂θ)^q ((π-θ)/sin θ). The derivatives are those of
    Taylor series about θ, so they are exact; θ = 0 and θ = π are limits.
    """
    if angle == 0:
        return mpf(1)
    if angle == mp.pi:
        return mpf(0)
    sine = [mp.sin(angle + k * mp.pi / 2) / mp.factorial(k) for k in range(degree + 1)]
    series = divide([mp.pi - angle, mpf(-1)] + [mpf(0)] * degree, sine)
    for _ in range(degree):
        series = divide([k * c for k, c in enumerate(series)][1:], sine)
    at_zero = mp.pi * mp.fac2(2 * degree - 1)
    return (-1) ** degree * mp.sin(angle) ** (2 * degree + 1) * series[0] / at_zero


def divide(numerator, denominator):
    """Quotient of two power series, as long as the shorter."""
    quotient = []
    for k in range(min(len(numerator), len(denominator))):
        lower_terms = sum(quotient[i] * denominator[k - i] for i in range(k))
        quotient.append((numerator[k] - lower_terms) / denominator[0])
    return quotient


def composed(degree, depth, cosine):
    """k_{q,l}(t), the arc-cosine kernel composed `depth` times beyond the first."""
    for _ in range(depth + 1):
        cosine = arc_cosine(degree, mp.acos(min(cosine, mpf(1))))
    return cosine


def squared_distance(a, b):
    """Squared distance of two rows of floats."""
    return sum((mpf(float(x)) - mpf(float(y))) ** 2 for x, y in zip(a, b, strict=True))


def gaussian(gamma, a, b):
    """exp(-γ r²/2) of every row of `a` and of `b`."""
    factor = -mpf(gamma) / 2
    return mp.matrix([[mp.exp(factor * squared_distance(u, v)) for v in b] for u in a])


def matern52(gamma, a, b):
    """Matérn kernel of ν = 5/2 of rows of `a` and of `b`, by its Bessel function: GPML 4.14."""

    def value(u, v):
        s = mp.sqrt(5 * mpf(gamma) * squared_distance(u, v))
        nu = mpf(5) / 2
        return mpf(1) if s == 0 else 2 ** (1 - nu) / mp.gamma(nu) * s**nu * mp.besselk(nu, s)

    return mp.matrix([[value(u, v) for v in b] for u in a])


def gram(degree, depth, a, b):
    """Kernel of every row of `a` and of `b`: exact floats, divided by their exact norms."""

    def unit(row):
        row = [mpf(float(value)) for value in row]
        norm = mp.sqrt(sum(value * value for value in row))
        return [value / norm for value in row]

    def value(u, v):
        # The cosine of equal rows rounds to a little less than 1, and a chain of q = 0 takes square
        # roots of what is missing.
        cosine = mpf(1) if u == v else sum(x * y for x, y in zip(u, v, strict=True))
        return composed(degree, depth, cosine)

    first, second = [unit(row) for row in a], [unit(row) for row in b]
    return mp.matrix([[value(u, v) for v in second] for u in first])
