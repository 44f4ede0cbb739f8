"""The steps of a run: watches it from its beginning, and keeps what may be drawn from the end of boot on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cosim import events
from cosim.sim.chooser import Scheduled
from cosim.sim.footprints import WORD
from cosim.sim.simulation import Sim
from cosim.spec.faults import Cause
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.queues import Command
from cosim.spec.register_map import CQB, DDTP, REGISTERS
from cosim.spec.registers import Ddtp, QueueBase
from cosim.study.report.ordering import steps
from cosim.study.report.ordering.effects import Effects
from cosim.study.report.ordering.memory import Subject
from cosim.study.report.ordering.steps import FENCE, PAGE_HERE, SEND, Part, Step, Weight
from cosim.study.run.run import Point, UnderWay
from cosim.sw.driver.compiled import paths_of
from cosim.system.topology import Topology

QUEUE_REGISTERS = ("cqt", "cqh")


class Answers(Scheduled):
    """A schedule that notes when it gives an answer that is not 0; also an empty one has every action ask."""

    def __init__(self, sim: Sim, schedule: Mapping[str, int]) -> None:
        super().__init__(sim.chooser.seed, schedule)
        self._sim = sim
        self.given: list[tuple[int, str, int]] = []

    def pick(self, n: int, name: str) -> int:
        answer = super().pick(n, name)
        if answer:
            self.given.append((self._sim.now, name, answer))
        return answer


class Recording(Effects):
    """`watch` is given the `Sim` of a run; then `steps` are those of it, in order."""

    def __init__(self, topology: Topology, schedule: tuple[str, ...]) -> None:
        super().__init__(topology)
        self._schedule = {name: int(answer) for name, _, answer in (each.rpartition(":") for each in schedule)}
        self._answers: Answers
        self._devices: dict[tuple[str, int], str] = {}
        self._movers: dict[str, str] = {}
        """By device, the thread that moves it: it has acted just when it says so."""
        self._freed: set[int] = set()
        self._hits: dict[tuple[int, int], str] = {}
        self._dropped: dict[str, events.Invalidated] = {}
        self._rings: dict[str, range] = {}
        """By IOMMU, where the slots of its command queue are."""

    def watch(self, sim: Sim) -> None:
        """Begin to watch, before anything has happened."""
        self._sim = sim
        self._answers = Answers(sim, self._schedule)
        sim.chooser = self._answers
        sim.actions.watchers.append(self._took_hold)
        for name, listener in _LISTENERS.items():
            sim.probe(getattr(events, name)).watch(self._listening(listener))

    def _listening(self, listener: Callable[[Recording, Any], None]) -> Callable[[Any], None]:
        return lambda event: listener(self, event)

    @property
    def given(self) -> list[tuple[int, str, int]]:
        """The answers of the schedule that were not 0: when, to whom, which."""
        return self._answers.given

    def _booted(self, event: events.BootDone) -> None:
        self.boot_ps = event.time

    def _object(self, event: events.ObjectAllocated) -> None:
        self._memory.given_out(event)
        if "list.next" in event.fields:
            self._fresh.append(range(event.address, event.address + event.size))

    def _page_given_out(self, event: events.PageAllocated) -> None:
        self._memory.allocated(event)
        self._freed -= set(range(event.address >> PAGE_LG2, event.address + event.size >> PAGE_LG2))

    def _map_begun(self, event: events.MapBegun) -> None:
        self._memory.mapped(event)
        self._say(event.time, event.who, f"map {PAGE_HERE}", covers=_range(event), part=Part.OPENS)

    def _mapped(self, event: events.Mapped) -> None:
        self._say(event.time, event.who, f"{PAGE_HERE} is mapped", covers=_range(event), part=Part.CLOSES)

    def _unmap_begun(self, event: events.UnmapBegun) -> None:
        self._say(event.time, event.who, f"unmap {PAGE_HERE}", covers=_range(event), part=Part.OPENS)

    def _leaf_cleared(self, event: events.LeafCleared) -> None:
        subject = Subject(event.domain, event.iova >> PAGE_LG2)
        more: dict[str, Any] = {"subject": subject} if event.size == PAGE else {"covers": _range(event)}
        self._is(event.time, "", f"clear PTE {PAGE_HERE}", Weight.CAUSE, **more)

    def _unmapped(self, event: events.Unmapped) -> None:
        text = f"unmap {PAGE_HERE} returns"
        self._say(event.time, event.who, text, Weight.CAUSE, covers=_range(event), part=Part.CLOSES)

    def _page_freed(self, event: events.PageFreed) -> None:
        self._freed |= set(range(event.address >> PAGE_LG2, event.address + event.size >> PAGE_LG2))
        subject = self._memory.subject(event.address) if event.purpose == "buffer" else None
        what = PAGE_HERE if subject else event.purpose
        self._is(event.time, event.who, f"free page {what}", Weight.CAUSE, subject=subject)

    def _object_freed(self, event: events.ObjectFreed) -> None:
        self._is(event.time, event.who, f"free {event.purpose}")

    def _freed_touched(self, event: events.FreedTouched) -> None:
        if event.by != "dma":
            what = "writes" if event.write else "reads"
            text, effect = f"{what} freed {event.what}", self._effect
            own = effect is not None and (effect.time, effect.who) == (event.time, event.who)
            more = {"source": effect.source} if effect is not None and own else {}
            self._say(event.time, event.who, text, Weight.CAUSE, **more)

    def _attaching(self, event: events.Attaching) -> None:
        self._devices |= {(event.iommu, number): event.device for number in event.device_ids}
        effect = self._effect
        who = effect.who if effect is not None and effect.time == event.time else event.who
        self._movers[event.device] = who
        where = f"to {event.domain}" if event.domain else "to blocked"
        self._say(event.time, who, f"attach {event.device} {where}", part=Part.OPENS)

    def _attached(self, event: events.Attached) -> None:
        self._devices |= {(event.iommu, number): event.device for number in event.device_ids}
        who = self._movers.pop(event.device, event.who)
        self._say(event.time, who, f"{event.device} is in {event.domain or 'blocked'}", part=Part.CLOSES)

    def _context(self, event: events.ContextChanged) -> None:
        device = self._devices.get((event.who, event.device_id), f"{event.device_id:#x}")
        self._is(event.time, "", steps.context_word(event.field, event.value), head=f"DC {device}")

    def _sent(self, event: events.CommandSent) -> None:
        text, covers = self._command(event.iommu, event.words)
        where = f" to {event.iommu}" if len(self._iommus) > 1 else ""
        slot = f" in slot {event.index}"
        self._say(event.time, event.who, f"{SEND}{text}{where}", Weight.ORDER, covers=covers, queue=slot)

    def _fetched(self, event: events.CommandFetched) -> None:
        text, covers = self._command(event.who, event.words)
        self._is(event.time, event.who, f"fetch slot {event.index}: {text}", Weight.DETAIL, covers=covers, queue="")

    def _register(self, event: events.RegisterWritten) -> None:
        register = REGISTERS.at(event.offset)
        if register is CQB and (base := QueueBase(event.value)).ppn:  # without, its size is asked for
            start, size = base.ppn << PAGE_LG2, base.entries * Command.SIZE
            self._rings[event.who] = range(start, start + size)
            self._memory.used(start, size, "queue")
        elif register is DDTP and (directory := Ddtp(event.value)).ppn:
            self._memory.used(directory.ppn << PAGE_LG2, PAGE, "ddt")
        if register is not None and event.by in self._threads.values():
            of_queue = register.name in QUEUE_REGISTERS
            text = f"write {register.name} = {event.value if of_queue else hex(event.value)}"
            self._is(event.time, event.by, text, Weight.DETAIL, queue="" if of_queue else None)

    def _invalidated(self, event: events.Invalidated) -> None:
        self._dropped[event.who] = event

    def _executed(self, event: events.CommandExecuted) -> None:
        text, covers = self._command(event.who, event.words)
        found = self._dropped.pop(event.who, None)
        drops = f": drops {found.dropped or 'nothing'}" if found is not None and found.time == event.time else ""
        done = " done" if event.kind == "iofence" else ""
        self._is(event.time, event.who, f"{text}{done}{drops}", covers=covers)

    def _command(self, iommu: str, words: tuple[int, int]) -> tuple[str, tuple[None, int, int] | None]:
        number = steps.device_of(words)
        return steps.command(words, "" if number is None else self._devices.get((iommu, number), f"{number:#x}"))

    def _filled(self, event: events.CacheFilled) -> None:
        if event.who.endswith(".iotlb"):
            subject = self._memory.subject(event.address)
            text = f"caches {PAGE_HERE}, pscid {event.tag[1]}"
            self._is(event.time, event.who.removesuffix(".iotlb"), text, subject=subject)

    def _translated(self, event: events.Translated) -> None:
        self._hits[event.device_id, event.iova] = event.hit

    def _committed(self, event: events.DmaCommitted) -> None:
        how = {"iotlb": "a hit", "walk": "a walk", "merged": "a walk"}.get(
            self._hits.pop((event.device_id, event.iova), ""), ""
        )
        freed = "a freed page" if event.address >> PAGE_LG2 in self._freed else ""
        what = ", ".join(filter(None, (how, freed)))
        text = f"{'writes' if event.write else 'reads'} {PAGE_HERE}{': ' if what else ''}{what}"
        self._is(event.time, event.who, text, subject=self._memory.subject(event.address), once=True)

    def _fault(self, event: events.FaultRecorded) -> None:
        device = self._devices.get((event.who, event.device_id), f"{event.device_id:#x}")
        cause = Cause(event.cause).name.lower().replace("_", " ") if event.cause in set(Cause) else event.cause
        page = (None, event.iova & -PAGE, PAGE)
        self._say(event.time, event.who, f"refuses {device}: {cause}", Weight.ORDER, covers=page, once=True)

    def _queue_failed(self, event: events.QueueFailed) -> None:
        self._say(event.time, event.who, f"{event.queue} stands: {event.bit}", Weight.CAUSE)

    def _ordered(self, event: events.OrderMade) -> None:
        self._fence_over(event.cpu)
        who = self._threads.get(event.cpu, "")
        if event.address:
            self._asked_to_store(who, event.address)
        elif who:
            self._fences[event.cpu] = Step(event.time, who, FENCE, Weight.ORDER, source=self._lines.get(who))

    def _issued(self, event: events.StoreIssued) -> None:
        self._fence_over(event.cpu)
        self._asked_to_store(event.who, event.address)
        for ring in self._rings.values():
            if event.address in ring:
                self._slots[event.address] = (event.address - ring.start) // Command.SIZE

    def _asked_to_store(self, who: str, address: int) -> None:
        word = address & -WORD
        self._stores.pop((who, word), None)
        if source := self._lines.get(who):
            self._stores[who, word] = source

    def _line(self, event: events.LineReached) -> None:
        self._threads[event.who.partition(".")[0]] = event.who
        source = steps.source_of(event.place)
        if source is not None:
            self._lines[event.who] = source
        else:
            self._lines.pop(event.who, None)

    def _grace_period(self, event: events.GracePeriodOver) -> None:
        self._say(event.time, event.who, f"grace period over: {event.what}")

    def _reads(self, event: events.ReadSectionBegun) -> None:
        self._say(event.time, event.who, "rcu_read_lock", Weight.ORDER)

    def _has_read(self, event: events.ReadSectionEnded) -> None:
        self._say(event.time, event.who, "rcu_read_unlock", Weight.ORDER)

    def _log(self, event: events.KernelLog) -> None:
        if event.level in ("error", "oops") and event.who not in self._iommus:
            self._say(event.time, event.who, f"log: {event.text}")

    def _round_failed(self, event: events.RoundFailed) -> None:
        self._say(event.time, event.who, f"fails with {event.error}", Weight.CAUSE)

    def _ended(self, event: events.ThreadEnded) -> None:
        self._lines.pop(event.who, None)
        if event.reason:
            self._say(event.time, event.who, f"dies: {event.reason}", Weight.CAUSE)


def recorded(point: Point) -> tuple[Recording, str]:
    """The record of a point's run, and its digest."""
    recording = Recording(point.topology, point.schedule)
    begun = UnderWay(point, [recording.watch])
    try:
        begun.advance()
        begun.judge()
        return recording, str(begun.meter.digest)
    finally:
        begun.close()


def lines_of_c(point: Point) -> dict[str, str]:
    """The lines of a compiled driver that ask for the effects of a run, by the names of these; empty of any other."""
    if not paths_of(point.topology.driver.variant):
        return {}
    recording, _ = recorded(point)
    return {
        step.taken.name: steps.sources_told([step.source])
        for step in recording.steps
        if step.source is not None and step.taken is not None
    }


def lines_held(point: Point) -> dict[str, str]:
    """The same, of what the point's schedule holds."""
    asked = (answer.rpartition(":")[0].rpartition("#") for answer in point.schedule)
    held = {f"{agent}#{number.partition('.')[0]}" for agent, _, number in asked}
    return {name: line for name, line in lines_of_c(point).items() if name in held}


def _range(event: Any) -> tuple[str, int, int]:
    return event.domain, event.iova, event.size


_LISTENERS: Mapping[str, Callable[[Recording, Any], None]] = {
    "BootDone": Recording._booted,
    "ObjectAllocated": Recording._object,
    "PageAllocated": Recording._page_given_out,
    "MapBegun": Recording._map_begun,
    "Mapped": Recording._mapped,
    "UnmapBegun": Recording._unmap_begun,
    "LeafCleared": Recording._leaf_cleared,
    "Unmapped": Recording._unmapped,
    "PageFreed": Recording._page_freed,
    "ObjectFreed": Recording._object_freed,
    "FreedTouched": Recording._freed_touched,
    "Attaching": Recording._attaching,
    "Attached": Recording._attached,
    "ContextChanged": Recording._context,
    "CommandSent": Recording._sent,
    "CommandFetched": Recording._fetched,
    "RegisterWritten": Recording._register,
    "Invalidated": Recording._invalidated,
    "CommandExecuted": Recording._executed,
    "CacheFilled": Recording._filled,
    "Translated": Recording._translated,
    "DmaCommitted": Recording._committed,
    "FaultRecorded": Recording._fault,
    "QueueFailed": Recording._queue_failed,
    "OrderMade": Recording._ordered,
    "StoreIssued": Recording._issued,
    "LineReached": Recording._line,
    "GracePeriodOver": Recording._grace_period,
    "ReadSectionBegun": Recording._reads,
    "ReadSectionEnded": Recording._has_read,
    "KernelLog": Recording._log,
    "RoundFailed": Recording._round_failed,
    "ThreadEnded": Recording._ended,
}
"""What listens to which event."""
