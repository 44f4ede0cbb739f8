"""Cache lines that move between CPUs: who has which, and how long the next one waits for it."""

from __future__ import annotations

from cosim.spec.line import LINE_LG2


class Lines:
    """The lines of all CPUs of a machine. Each is with those that have read it, or with the one that has written it.

    A line moves to one CPU after the other, in the order in which they ask. Devices and IOMMUs move none, and a line
    that nobody has had yet is at hand: what a first touch costs is in the means of `CpuTiming`.
    """

    __slots__ = ("_free_at", "_holders")

    def __init__(self) -> None:
        self._holders: dict[int, set[str]] = {}
        self._free_at: dict[int, int] = {}

    def wait(self, cpu: str, address: int, now: int, move_ps: int, *, write: bool) -> int:
        """Ask for the line of `address`: how long until `cpu` has it, in picoseconds; 0 if it has."""
        line = int(address) >> LINE_LG2
        holders = self._holders.setdefault(line, {cpu})
        if cpu in holders and (not write or len(holders) == 1):
            return 0
        if write:
            holders.clear()
        holders.add(cpu)
        there = self._free_at[line] = max(now, self._free_at.get(line, 0)) + move_ps
        return there - now
