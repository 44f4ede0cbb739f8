"""The time that a routine spends in each latency part: in lists by the parts' numbers, and by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cosim.units.latency_parts import LatencyPart

NAMES: Final = tuple(part.value for part in LatencyPart)
"""Of all parts, by number."""
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}
OF_REQUESTS: Final = LatencyPart.ORDER.number + 1
"""So many parts, the first ones, may be those of a device's request."""


def part_number(part: str) -> int:
    """The number of a latency part; ValueError if there is none of this name."""
    if part not in NUMBERS:
        raise ValueError(f"{part!r} is no latency part; there are: {', '.join(NAMES)}")
    return NUMBERS[part]


class Parts(Mapping[str, int]):
    """What a list by number holds, by name: parts in which time was spent, in the order of the enumeration."""

    __slots__ = ("spent",)

    def __init__(self, spent: list[int]) -> None:
        self.spent = spent

    def __getitem__(self, part: str) -> int:
        number = NUMBERS.get(part, len(self.spent))
        if number < len(self.spent) and self.spent[number]:
            return self.spent[number]
        raise KeyError(part)

    def __iter__(self) -> Iterator[str]:
        return (name for name, ps in zip(NAMES, self.spent, strict=False) if ps)

    def __len__(self) -> int:
        return len(self.spent) - self.spent.count(0)

    def __repr__(self) -> str:
        return repr(dict(self))


def spent_in(parts: Mapping[str, int]) -> list[int]:
    """The list by number of all parts that `Parts` would show like this."""
    if isinstance(parts, Parts):
        return parts.spent
    spent = [0] * len(NAMES)
    for part, ps in parts.items():
        spent[part_number(part)] = ps
    return spent
