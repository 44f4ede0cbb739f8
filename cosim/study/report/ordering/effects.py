"""The effects of a run as steps: who acts, what of, and what is known of them without an event."""

from __future__ import annotations

from typing import Any

from cosim.sim.actions import Taken
from cosim.sim.simulation import Sim
from cosim.study.report.ordering import steps
from cosim.study.report.ordering.memory import Memory
from cosim.study.report.ordering.steps import Source, Step, Weight, source_of
from cosim.system.topology import Topology

ON_THE_IOMMU = frozenset({"issue", "lookup", "walk", "fill", "nonleaf"})
"""What is done for a device's request, and in its IOMMU."""

STORED = "st"
BUFFERED = frozenset({STORED, "mw"})
"""What takes hold after its thread has gone on."""
EXECUTED = frozenset({"ld", "amo", "mr"})
"""What takes hold as it is executed; stores do later."""


class Effects:
    """The steps so far, and the effect that has just taken hold, which an event may tell more of."""

    def __init__(self, topology: Topology) -> None:
        self.steps: list[Step] = []
        self.boot_ps = 0
        self._topology = topology
        self._iommus = topology.of_kind("iommu")
        self._memory = Memory()
        self._fresh: list[range] = []
        """The places of objects that are for a list, and on none yet."""
        self._threads: dict[str, str] = {}
        """Who has acted last on each CPU."""
        self._slots: dict[int, int] = {}
        """By address, the slot of a command queue that a store was issued to."""
        self._fences: dict[str, Step] = {}
        """By CPU, the fence that waits."""
        self._lines: dict[str, Source] = {}
        """By thread, the line of a compiled driver that it has reached last, for as long as it is in there."""
        self._stores: dict[tuple[str, int], Source] = {}
        """By thread and word, the line at which the driver has asked the kernel for what stores there."""
        self._effect: Step | None = None
        """The effect that has just taken hold, and of which nothing was told yet."""
        self._sim: Sim

    def _add(self, step: Step) -> None:
        part = step.who.partition(".")[0]
        if part in self._iommus:  # its walkers and queues have no columns of their own
            step.who = part
        if self.boot_ps:
            self.steps.append(step)

    def _say(self, time: int, who: str, text: str, weight: Weight = Weight.EFFECT, **more: Any) -> Step:
        step = Step(time, who, text, weight, **{"source": self._lines.get(who), **more})
        self._add(step)
        return step

    def _is(self, time: int, who: str, text: str, weight: Weight = Weight.EFFECT, **more: Any) -> None:
        """The effect that has just taken hold is this."""
        effect = self._effect
        if effect is None or effect.time != time or who not in ("", effect.who):
            self._say(time, who, text, weight, **more)
            return
        step = Step(time, who or effect.who, text, weight, taken=effect.taken, source=effect.source, **more)
        if self.steps and self.steps[-1] is effect:
            self.steps.pop()
        self._add(step)

    def _took_hold(self, taken: Taken) -> None:
        actor, _, kind = taken.agent.rpartition(".")
        who, text = taken.owner, steps.effect(taken, self._memory)
        part = who.partition(".")[0]
        device = self._topology.devices().get(actor)
        if device is not None and device.through and kind in ON_THE_IOMMU:
            who, text = device.through, f"{text} for {actor}"
        elif "." in who and part not in self._iommus and kind in (STORED, *EXECUTED):
            self._threads[part] = who
            if kind in EXECUTED:
                self._fence_over(part)
        first = taken.footprint[0] if taken.footprint else None
        word = first if isinstance(first, int) else None
        begins = first.start if isinstance(first, range) else word or 0
        source = source_of(taken.place) or (
            self._stores.get((who, begins)) if kind in BUFFERED else self._lines.get(who)
        )
        queue = None
        if word in self._slots and taken.changes:
            text, queue = f"fill slot {self._slots[word]}", ""
        weight, once = Weight.DETAIL, queue is not None and not taken.holds
        self._effect = Step(taken.time, who, text, weight, taken=taken, queue=queue, once=once, source=source)
        self._add(self._effect)
        if word is not None:
            self._list_changed(taken, word)

    def _list_changed(self, taken: Taken, address: int) -> None:
        word = self._memory.word(address)
        if not word.endswith(".next"):
            return
        owner, _, field = word.removesuffix(".next").partition(".")
        noun = owner.lower() if field == "list" else field.removesuffix("s")
        fresh = any(address in place for place in self._fresh)
        if ".ListHead.add" in taken.place and taken.changes and not fresh:
            self._fresh.clear()
            self._is(taken.time, "", f"link {noun}")
        elif "._unlink+" in taken.place and taken.changes:
            self._is(taken.time, "", f"unlink {noun}")
        elif ".Entries." in taken.place and field != "list":
            self._is(taken.time, "", f"read the {noun}s", Weight.EFFECT)

    def _fence_over(self, cpu: str) -> None:
        """A fence is told as it begins to wait; it is over before what its CPU executes next."""
        if (fence := self._fences.pop(cpu, None)) is not None:
            fence.time = self._sim.now
            self._add(fence)
