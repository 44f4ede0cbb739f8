"""Zipf's law over a number of ranks, drawn exactly: in integers alone, since powers differ in their last bits."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from math import isqrt

from cosim.sim.stream import Stream

BITS = 60
"""Of the fractions in which is calculated."""
ONE = 1 << BITS


def _roots() -> Iterator[int]:
    """2 to the power of -1/2, -1/4, -1/8 and so on, in units of 1 / `ONE`: each the root of the one before it."""
    root = ONE >> 1
    for _ in range(BITS):
        root = isqrt(root << BITS)
        yield root


_ROOTS = tuple(_roots())


def _log2(number: int) -> int:
    """The binary logarithm of an integer from 1 on, in units of 1 / `ONE`: a bit for each squaring."""
    whole = number.bit_length() - 1
    found, rest = whole, number << BITS >> whole
    for _ in range(BITS):
        rest = rest * rest >> BITS
        found <<= 1
        if rest >> BITS + 1:
            rest >>= 1
            found += 1
    return found


def _exp2_of_minus(power: int) -> int:
    """2 to the power of -`power` / `ONE`, in units of 1 / `ONE`."""
    found, fraction = ONE, power & ONE - 1
    for n, root in enumerate(_ROOTS, 1):
        if fraction >> BITS - n & 1:
            found = found * root >> BITS
    return found >> (power >> BITS)


@lru_cache(maxsize=16)
def weights(ranks: int, exponent: float) -> Sequence[int]:
    """The sums of the first 1, 2, ... weights: that of rank k is 1 / k^`exponent`, in units of 2^-60."""
    scaled = round(exponent * ONE)
    return list(accumulate(_exp2_of_minus(_log2(rank) * scaled >> BITS) for rank in range(1, ranks + 1)))


class Zipf:
    """Draws ranks from 0 on, of which the k-th after the first is as likely as 1 / (k + 1)^`exponent` says."""

    def __init__(self, ranks: int, exponent: float) -> None:
        self._sums = weights(ranks, exponent)

    def draw(self, stream: Stream) -> int:
        """One of them."""
        return bisect_right(self._sums, stream.below(self._sums[-1]))
