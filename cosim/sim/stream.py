"""Random numbers of one component, the same in every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable


class Stream:
    """Random numbers of one component, from the run's seed and the component's path.

    Only `random` and `getrandbits` of the generator are used: they alone are the same in every Python version.
    """

    __slots__ = ("_begin", "_bits", "_generator", "_path", "random")

    def __init__(self, seed: int, path: str) -> None:
        self._path = path
        self._begin = _begin(seed, path)
        self._generator = generator = random.Random(self._begin)
        self.random: Callable[[], float] = generator.random
        self._bits = generator.getrandbits

    @property
    def untouched(self) -> bool:
        """Whether nothing was drawn so far."""
        return self._generator.getstate() == random.Random(self._begin).getstate()

    def begin(self, seed: int) -> None:
        """Begin again, as if the run had this seed."""
        self._begin = _begin(seed, self._path)
        self._generator.seed(self._begin)

    def below(self, n: int) -> int:
        """A uniform integer in 0 .. n-1."""
        bits = n.bit_length()
        while True:
            drawn = self._bits(bits)
            if drawn < n:
                return drawn

    def exponential(self, mean: int) -> int:
        """A draw of the exponential distribution, rounded to an integer of at least 1.

        By von Neumann's method, which only compares and adds: a logarithm differs in its last bit between platforms.
        """
        draw = self.random
        whole = 0
        while True:
            first = last = draw()
            odd = True
            while (following := draw()) < last:
                last = following
                odd = not odd
            if odd:
                return max(1, round(mean * (whole + first)))
            whole += 1


def _begin(seed: int, path: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:16], "big")
