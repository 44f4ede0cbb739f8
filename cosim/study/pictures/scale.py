"""Where the values of an axis stand in a picture: numbers to scale, smallest first; words side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10

from cosim.study.sweep.amounts import Amount

SPREAD = 20
"""If the largest number is so many times the smallest or more, the scale may be logarithmic."""
ROOM = 44
"""So many characters fit below a picture."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The place of each value as it is written, in their order; what is between two means nothing if they are words.

    On a logarithmic scale 0 has no place, and stands `apart` before the others.
    """

    places: Mapping[str, float]
    words: bool = False
    log: bool = False
    apart: frozenset[str] = frozenset()

    def axis(self, path: str) -> str:
        """What stands at the axis."""
        return f"{path} (log)" if self.log else path

    def ticks(self) -> list[tuple[float, str]]:
        """Places and what stands there: as many values as can be read, the last one foremost."""
        (last, end), *others = reversed(list(self.places.items()))
        kept = [(end, last)]
        wide, shifted = max(self.places.values()) - min(self.places.values()) or 1.0, max(0.0, len(last) / 2 - 1)
        for said, at in others:  # the last one ends where the picture does
            if (kept[-1][0] - at) / wide * ROOM > (len(said) + len(kept[-1][1])) / 2 + 1 + shifted:
                kept.append((at, said))
                shifted = 0.0
        return kept[::-1]


def scale_of(values: Iterable[str]) -> Scale:
    """The scale of an axis: of numbers, or of quantities of one kind, linear or logarithmic; else of words."""
    written = list(dict.fromkeys(values))
    numbers = _numbers(written)
    if numbers is None:
        return Scale({value: float(at) for at, value in enumerate(written)}, words=True)
    order = sorted(written, key=numbers.__getitem__)
    linear = sorted(set(numbers.values()))
    above = [number for number in linear if number > 0]
    if linear[0] < 0 or not above or above[-1] < SPREAD * above[0]:
        return Scale({value: numbers[value] for value in order})
    logs = [log10(number) for number in above]
    if _closest(logs) <= _closest(linear):  # as numbers of equal distances are
        return Scale({value: numbers[value] for value in order})
    before = logs[0] - (logs[-1] - logs[0]) / (len(logs) - 1)
    places = {value: log10(numbers[value]) if numbers[value] else before for value in order}
    return Scale(places, log=True, apart=frozenset(value for value in order if not numbers[value]))


def _numbers(written: Sequence[str]) -> dict[str, float] | None:
    """What each value comes to; None if one is no number, or they are not all of one kind."""
    amounts = {value: Amount.of(value) for value in written}
    found = {value: amount for value, amount in amounts.items() if amount is not None}
    if len(found) < len(written) or len({amount.kind for amount in found.values() if amount}) > 1:
        return None
    return {value: float(amount.value) for value, amount in found.items()}


def _closest(numbers: Sequence[float]) -> float:
    """How near the two nearest of ascending numbers are, as a fraction of all that they span."""
    return min((b - a for a, b in pairwise(numbers)), default=0.0) / (numbers[-1] - numbers[0] or 1.0)
