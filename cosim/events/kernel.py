"""What CPUs and the kernel on them tell: threads, memory allocated and freed, the log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Switched:
    """A CPU changed threads; an empty `thread` is idle."""

    time: int
    who: str
    thread: str


@dataclass(slots=True)
class ThreadEnded:
    """A thread returned, or died of an oops: then `reason` says of which, else it is empty."""

    time: int
    who: str
    reason: str


@dataclass(slots=True)
class FreedTouched:
    """A thread, device or walker touched memory that was freed at `freed` by `freed_by`.

    `by` is what touched: ``thread``, a device's ``dma``, a walk by its latency part (``walk``), or what an IOMMU
    does besides, such as to ``fetch`` a command.
    """

    time: int
    who: str
    address: int
    write: bool
    freed: int
    freed_by: str
    what: str
    by: str = "thread"


@dataclass(slots=True)
class ReadSectionBegun:
    """A thread has entered an RCU read section, and was in none; ``ReadSectionEnded`` follows."""

    time: int
    who: str


@dataclass(slots=True)
class ReadSectionEnded:
    """A thread has left its outermost RCU read section, or ended inside it."""

    time: int
    who: str


@dataclass(slots=True)
class GracePeriodOver:
    """Whatever `who` has waited for since `asked` goes on: no read section may be older.

    `what` is ``synchronize_rcu``, ``call_rcu``, or the purpose of the object that kfree_rcu frees now.
    """

    time: int
    who: str
    what: str
    asked: int


@dataclass(slots=True)
class PageAllocated:
    """A page was handed out; `purpose` is ``table``, ``ddt``, ``queue``, ``ring``, ``buffer``, ``object``.

    `number` is what `kernel.fail_allocations` calls it; 0 if it has none, as one of boot's or for objects.
    """

    time: int
    who: str
    address: int
    size: int
    node: int
    purpose: str
    number: int = 0


@dataclass(slots=True)
class PageFreed:
    """A page went back to the allocator."""

    time: int
    who: str
    address: int
    size: int
    purpose: str


@dataclass(slots=True)
class ObjectAllocated:
    """A thread on `cpu` was given an object, such as a ``Bond``; `fields` are the names of its words, if it has any.

    `number` is what `kernel.fail_allocations` calls it; 0 if it is one of boot's.
    """

    time: int
    who: str
    cpu: str
    address: int
    size: int
    purpose: str
    fields: tuple[str, ...]
    number: int = 0


@dataclass(slots=True)
class ObjectFreed:
    """An object went back to the allocator."""

    time: int
    who: str
    address: int
    size: int
    purpose: str


@dataclass(slots=True)
class InterruptServed:
    """The handler of an interrupt (``cpu1.irq17``), or its thread, has done what it had begun at `began`."""

    time: int
    who: str
    began: int


@dataclass(slots=True)
class KernelLog:
    """What the kernel would have printed, in our words. `level` is info, warning, error or oops.

    `more` follows the text: particulars of this run, by which messages that are alike do not differ.
    """

    time: int
    who: str
    level: str
    text: str
    more: str = ""
