"""Times for people: one unit for a table, and parts that still add up after rounding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNITS = {"s": 10**12, "ms": 10**9, "us": 10**6, "ns": 10**3}

WIDEST = 8
"""Characters of a number, so that six of them, a count and a name fit in 80 columns."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of time, and how many decimals are shown of it."""

    name: str
    decimals: int

    @property
    def quantum_ps(self) -> int:
        """The smallest difference that can be seen, in picoseconds."""
        quantum: int = UNITS[self.name] // 10**self.decimals
        return quantum

    def rounded(self, ps: int) -> int:
        """How many quanta: half a quantum is rounded up."""
        return (2 * ps + self.quantum_ps) // (2 * self.quantum_ps)

    def spell(self, quanta: int) -> str:
        """So many quanta as a number in this unit, with all its decimals."""
        whole, rest = divmod(quanta, 10**self.decimals)
        return f"{whole:,}.{rest:0{self.decimals}d}" if self.decimals else f"{whole:,}"

    def show(self, ps: int) -> str:
        """A time as a number in this unit."""
        return self.spell(self.rounded(ps))


def unit_for(times: Iterable[int]) -> Unit | None:
    """The unit in which all of `times` (picoseconds) can be told apart and none is too wide; None if there is none."""
    seen = [ps for ps in times if ps > 0] or [UNITS["ns"]]
    least, most = min(seen), max(seen)
    for margin, coarsest, finest in ((10, 0, 2), (1, 1, 2), (0.1, 1, 2), (0.01, 2, 3)):
        name = next((name for name, ps in UNITS.items() if least >= margin * ps), None)
        if name is None:
            continue
        for decimals in range(1 if least >= 100 * UNITS[name] else finest, coarsest - 1, -1):
            unit = Unit(name, decimals)
            if len(unit.show(most)) <= WIDEST:
                return unit
    return None


def own_unit(ps: int) -> Unit:
    """The unit in which one time has three significant digits."""
    for name, scale in UNITS.items():
        if ps >= scale:
            return Unit(name, max(0, 3 - len(str(ps // scale))))
    return Unit("ns", 3)


def apportion(parts: Mapping[str, int], total: int, quantum: int) -> dict[str, int]:
    """`parts` in quanta, the largest first, so that they add up to `total` quanta: the largest remainders get more."""
    shares = {part: amount // quantum for part, amount in parts.items()}
    missing = total - sum(shares.values())
    by_remainder = sorted(parts, key=lambda part: (-(parts[part] % quantum), part))
    for part in by_remainder[: max(0, missing)]:
        shares[part] += 1
    ordered = sorted(shares, key=lambda part: (-shares[part], part))
    return {part: shares[part] for part in ordered if shares[part]}
