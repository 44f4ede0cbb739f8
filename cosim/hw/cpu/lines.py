"""Cache lines that move between CPUs: who has which, and how long the next one waits for it."""

from __future__ import annotations

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.options import CpuOptions
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

    def wait(self, cpu: str, address: int, now: int, move_ps: int, remote_ps: int, *, write: bool) -> int:
        """Ask for the line of `address`: how long until `cpu` has it, in picoseconds; 0 if it has.

        The next one gets it `move_ps` later, however long `remote_ps` it is on its way besides.
        """
        line = int(address) >> LINE_LG2
        holders = self._holders.setdefault(line, {cpu})
        if cpu in holders and (not write or len(holders) == 1):
            return 0
        if write:
            holders.clear()
        holders.add(cpu)
        there = self._free_at[line] = max(now, self._free_at.get(line, 0)) + move_ps
        return there - now + remote_ps


def remote_ps(bus: Bus, options: CpuOptions, address: int) -> int:
    """How much longer the line of `address` is on its way to a CPU with these options."""
    longer = options.timing.line_remote
    if not longer:
        return 0
    home = bus.find(address)
    return longer if home is not None and home.node != options.node else 0
