"""Arrows: from the thread that sends a command to the command, on to the IOFENCE behind it, to who waits."""

from __future__ import annotations

from collections import defaultdict

from cosim.events import CommandExecuted, CommandSent

Slot = tuple[str, int]
"""An IOMMU, and a slot of its ring of commands."""


class Flows:
    """The numbers of arrows. Each command has one, which goes on to the next IOFENCE of its sender, and ends there."""

    def __init__(self) -> None:
        self._numbers = 0
        self._sent: dict[Slot, tuple[str, int]] = {}
        self._before_fence: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._executed: defaultdict[str, list[int]] = defaultdict(list)

    def sent(self, event: CommandSent) -> int:
        """The arrow that begins where a command is sent."""
        self._numbers += 1
        self._sent[event.iommu, event.index] = event.who, self._numbers
        return self._numbers

    def executed(self, event: CommandExecuted) -> tuple[str, list[int], list[int]]:
        """Who has sent a command, the arrows that go through it, and those that end in it."""
        sender, flow = self._sent.pop((event.who, event.index), ("", 0))
        if not flow:
            return "", [], []
        if event.kind != "iofence":
            self._before_fence[sender, event.who].append(flow)
            return sender, [flow], []
        self._executed[sender].append(flow)
        return sender, [flow], self._before_fence.pop((sender, event.who), [])

    def seen(self, thread: str) -> list[int]:
        """The arrows of the IOFENCEs that have been executed and that `thread` sees now to be so."""
        return self._executed.pop(thread, [])
