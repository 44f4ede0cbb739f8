"""Student's t distribution, of any number of degrees of freedom: its tails and its quantiles, in plain floats."""

from __future__ import annotations

from functools import cache
from math import exp, inf, lgamma, log
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

_SMALL = 1e-300
_TERMS = 500


def two_sided(t: float, freedom: float) -> float:
    """How probable it is that a t of so many degrees of freedom is at least as far from 0 as `t` is."""
    if t == inf:
        return 0.0
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


@cache
def quantile(probability: float, freedom: float) -> float:
    """The t below which it is with this probability; above 0.5."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > 2 * (1 - probability):
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        if two_sided(middle, freedom) > 2 * (1 - probability):
            low = middle
        else:
            high = middle
    return high


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function (DLMF 8.17.22), by its continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + numerator * d)
            c = _away(1 + numerator / c)
            found *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * found


def _away(value: float) -> float:
    """`value`, but never 0: modified Lentz."""
    return value if abs(value) > _SMALL else _SMALL


def tails(t: Array, freedom: int) -> Array:
    """`two_sided` of many t at once, of a whole number of degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    import numpy as np

    angle = np.arctan2(t, np.sqrt(freedom))
    cosine, sine = np.cos(angle), np.sin(angle)
    odd = freedom % 2
    term = cosine if odd else np.ones_like(cosine)
    total = term.copy() if freedom > 1 else np.zeros_like(cosine)
    for step in range(3 if odd else 2, freedom - 1, 2):
        term = term * cosine * cosine * ((step - 1) / step)
        total += term
    inside = (2 / np.pi) * (angle + sine * total) if odd else sine * total
    found: Array = np.clip(1 - inside, 0, 1)
    return found
