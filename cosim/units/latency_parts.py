"""The latency parts: a closed list, which scripts rely on. All that is known of a part stands beside its member.

To add one, add its member here and count time for it in the model: a test names a part that only one of the two has.
"""

from __future__ import annotations

from enum import StrEnum


class LatencyPart(StrEnum):
    """What latencies are split into. A member is its name as a string, so that models may write either.

    `about` is what the time goes into; `phrase` how a sentence says that; `remedy` what one changes to lower it;
    `waits` whether it is spent waiting for somebody else; `number` its place in the list, by which models count. Parts
    of a device's request come first, up to `ORDER`.
    """

    about: str
    phrase: str
    remedy: str
    waits: bool
    number: int

    def __new__(cls, name: str, about: str, phrase: str, remedy: str, waits: bool = False) -> LatencyPart:
        """A member, from its name and what is known of it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.about, member.phrase, member.remedy, member.waits = about, phrase, remedy, waits
        member.number = len(cls.__members__)
        return member

    SLOT = (
        "slot",
        "waiting until fewer of the device's requests are outstanding",
        "waiting for one of the device's own slots",
        "more of the device's traffic.outstanding, or requests that take less time",
        True,
    )
    LINK = (
        "link",
        "hops between device, IOMMU and memory",
        "link hops",
        "a shorter link of the device or of the IOMMU (timing.link), or more of the device's bandwidth",
    )
    LINK_WAIT = (
        "link_wait",
        "waiting for the device's link, which carries one packet at a time",
        "waiting for the device's link",
        "more of the device's bandwidth",
        True,
    )
    QUEUE = (
        "queue",
        "waiting in front of a memory port",
        "waiting in front of memory",
        "more bandwidth or ports of the memory",
        True,
    )
    PLACE = (
        "place",
        "waiting until the IOMMU translates fewer requests",
        "waiting for a place in the IOMMU",
        "more geometry.in_flight, or translations that take less time",
        True,
    )
    DDT = (
        "ddt",
        "device-directory walk",
        "device-directory walks",
        "more geometry.ddtc_entries, or fewer invalidations of contexts",
    )
    PDT = ("pdt", "process-directory walk", "process-directory walks", "a larger cache of process contexts")
    IOTLB = ("iotlb", "look-up in the IOMMU's caches", "look-ups in the IOMMU's caches", "a shorter timing.lookup")
    LOOKUP_WAIT = (
        "lookup_wait",
        "waiting for the look-ups that came before",
        "waiting for look-ups in the IOMMU's caches",
        "a shorter timing.lookup_interval",
        True,
    )
    MERGE_WAIT = (
        "merge_wait",
        "waiting for another request's walk of the same table",
        "waiting for another request's walk",
        "walks that take less time, or fewer of them: more geometry.iotlb_entries, or larger pages",
        True,
    )
    WALKER_WAIT = (
        "walker_wait",
        "waiting for a free walker",
        "waiting for a walker",
        "more geometry.walkers, or fewer walks: more geometry.iotlb_entries, or larger pages",
        True,
    )
    READ_WAIT = (
        "read_wait",
        "waiting for the table reads of walkers that came before",
        "waiting for other walkers' reads",
        "a shorter timing.walk_read_interval, or fewer walks: more geometry.iotlb_entries, or larger pages",
        True,
    )
    WALK = (
        "walk",
        "page-table reads",
        "page-table reads",
        "fewer walks: more geometry.iotlb_entries or nonleaf_entries, or larger pages; a memory of less latency",
    )
    AD_UPDATE = (
        "ad_update",
        "updating accessed and dirty bits",
        "updates of A and D bits",
        "entries whose A and D are set when they are made",
    )
    FAULT = ("fault", "reporting a fault", "reporting faults", "fewer faults, or more geometry.fault_buffer")
    MEMORY = ("memory", "the memory access itself", "the memory access itself", "a shorter latency of the memory")
    ORDER = (
        "order",
        "waiting for an earlier access of the same device",
        "waiting for earlier accesses of the same device",
        "accesses of the device that take less time",
        True,
    )
    CPU = ("cpu", "instructions", "instructions", "less work for the CPU, or lower costs of it")
    FENCE_INSTR = (
        "fence_instr",
        "fence instructions, until they are satisfied",
        "fence instructions",
        "fewer fences, or stores that drain in less time",
    )
    MMIO = ("mmio", "register accesses", "register accesses", "fewer register accesses, or a shorter way to them")
    LOCK = (
        "lock",
        "waiting for a lock",
        "waiting for a lock",
        "fewer threads that share it, or less done under it",
        True,
    )
    TICKET = (
        "ticket",
        "waiting for the turn in the command queue",
        "waiting for its turn in the command queue",
        "fewer commands, or fewer threads that queue them",
        True,
    )
    CQ_FULL = (
        "cq_full",
        "waiting for a free slot of the command queue",
        "waiting for room in the command queue",
        "a larger command queue, or commands that take less time",
        True,
    )
    FENCE = (
        "fence",
        "waiting for an IOFENCE to complete",
        "waiting for an IOFENCE",
        "fewer fences and commands, or commands that take less time",
        True,
    )
    RCU = ("rcu", "waiting for a grace period", "waiting for a grace period", "shorter read sections", True)
    IRQ = (
        "irq",
        "in interrupt handlers that came in between",
        "interrupt handlers",
        "fewer interrupts, or on another CPU",
    )
    PREEMPTED = (
        "preempted",
        "other threads on the same CPU, and the change from them",
        "other threads on its CPU",
        "a CPU for each thread",
    )
    SLEEP = ("sleep", "asleep", "asleep", "shorter sleeps, or what the thread sleeps for to take less time")
