"""Random numbers of one component, the same in every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable


class Stream:
    """Random numbers of one component, from the run's seed and the component's path.

    Only `random` and `getrandbits` of the generator are used: they alone are the same in every Python version.
    """

    __slots__ = ("_bits", "random")

    def __init__(self, seed: int, path: str) -> None:
        digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
        generator = random.Random(int.from_bytes(digest[:16], "big"))
        self.random: Callable[[], float] = generator.random
        self._bits = generator.getrandbits

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
