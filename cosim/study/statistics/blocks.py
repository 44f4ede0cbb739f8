"""Sums of so many samples in a row: what is left of samples of which there are too many to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.int64]]

MOST = 8192
"""As many blocks are kept; of more, two neighbours each become one."""


class Blocks:
    """Samples in the order in which they came, summed in blocks of equal `size`, a power of two."""

    __slots__ = ("_begun", "_count", "_sums", "size")

    def __init__(self) -> None:
        self.size = 1
        self._sums: list[int] = []
        self._begun = self._count = 0  # of the block that is not yet full

    def take(self, samples: Array) -> None:
        """Take in samples."""
        import numpy as np

        while len(self._sums) + (self._count + len(samples)) // self.size > MOST:
            self._halve()
        head = min((self.size - self._count) % self.size, len(samples))
        self._begun += int(samples[:head].sum())
        self._count += head
        if self._count == self.size:
            self._sums.append(self._begun)
            self._begun = self._count = 0
        full = (len(samples) - head) // self.size * self.size
        if self._count == 0:
            self._sums += np.add.reduce(samples[head : head + full].reshape(-1, self.size), axis=1).tolist()
            rest = samples[head + full :]
            self._begun, self._count = int(rest.sum()), len(rest)

    def means(self, blocks: int) -> list[float]:
        """The means of so many blocks of equal size, the oldest samples left out that are too few for one.

        There must be as many blocks at least.
        """
        each = len(self._sums) // blocks
        begin = len(self._sums) - each * blocks
        size = each * self.size
        return [sum(self._sums[at : at + each]) / size for at in range(begin, len(self._sums), each)]

    def __len__(self) -> int:
        return len(self._sums)

    def _halve(self) -> None:
        """Make one of each two neighbours; one that is left over begins the next."""
        sums = self._sums
        if len(sums) % 2:
            self._begun += sums.pop()
            self._count += self.size
        self._sums = [one + other for one, other in zip(sums[::2], sums[1::2], strict=True)]
        self.size *= 2
