"""The axes along which drivers differ: a contract for each, and `Variant`, a row of policies that keep them.

A contract says when a method is asked, by whom and under which locks, what holds before and after, what it may raise,
and whether it may sleep. A policy that does what it says may still be wrong: which order of steps is right is for the
policies' pictures to say, and for the oracles to judge. Every method but those of `capable` is awaited by a thread of
the kernel; `driver` is the driver that asks. Any of them may oops. Policies hold no state: two calls may be under way.
What they return has to be of the type that stands here. That is looked at, but for what is asked for every command and
every bond (`of`, `iommus`, `range`, `sync`; `send` and `wait` where nobody goes by what they answer).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, get_type_hints

from cosim.sim.loaded import Loaded
from cosim.spec.bits import Word
from cosim.spec.queues import Command
from cosim.spec.register_map import Register
from cosim.spec.registers import Ddtp, Interrupt, QueueBase
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject
from cosim.sw.driver.services import DriverServices
from cosim.sw.groups import GroupsPolicy
from cosim.sw.iommu_ops import Device, Domain, Gather, MapResult, Prot
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.kernel.objects import Cell


class Skeleton(DriverServices, Protocol):
    """The driver as a policy sees it: what it gives to policies, and the other policies of its row."""

    @property
    def policies(self) -> Variant:
        """The row; `driver.policies.bonds` is the policy of the axis `bonds`."""


class PscidPolicy(Protocol):
    """Where a domain's PSCID comes from, and when it goes back."""

    async def born(self, driver: Skeleton, domain: DomainObject) -> None:
        """A domain is made: its root exists if `tables` makes one so early. May sleep. KernelError ENOMEM: the domain
        and its tables are then freed."""

    async def died(self, driver: Skeleton, domain: DomainObject) -> None:
        """A domain that no device is in is freed. After: its PSCIDs are back, and its tables freed by `tables.free`;
        in which order is the policy's. May sleep."""

    async def take(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """The PSCID for one more device behind `iommu`, before the device is bonded. Asked by `attach` under the mutex
        of the device's group, and so beside itself for one domain. May sleep. KernelError ENOSPC, ENOMEM."""

    async def on(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> int:
        """The PSCID on `iommu`, for a device that leaves; before its bond is unlinked. Asked as `take` is."""

    async def drop(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        """A device behind `iommu` has left, or its attach has failed: undoes one `take`. Before: if it was the last
        one there, the PSCID is flushed. After: the PSCID may be given to another domain. Asked as `take` is."""

    async def of(self, domain: DomainObject, bond: Bond) -> int:
        """The PSCID on the IOMMU of a linked bond. Asked by flushes inside an RCU read section: may not sleep."""


class BondsPolicy(Protocol):
    """Which IOMMUs a domain's translations may be cached in."""

    async def new(self, driver: Skeleton, iommu: IommuDevice, device: Device, pscid: int) -> Bond:
        """A bond that is on no list yet. Asked by `attach` under the mutex of the device's group. KernelError ENOMEM,
        which has to come here, since `link` cannot fail."""

    async def link(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject, bond: Bond) -> None:
        """Put a bond on the domain's list, or whatever stands for one. Asked under the mutex of the device's group:
        other groups link and unlink beside it, flushes read. After: a flush whose look at the list comes later in the
        memory's order finds `iommu`."""

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        """Undo `link` for a device that leaves; whether no bond to `iommu` is left, so that the caller flushes the
        PSCID. Asked as `link` is. The bond is freed once no reader can stand on it. May sleep."""

    def iommus(self, driver: Skeleton, domain: DomainObject) -> AsyncIterator[tuple[IommuDevice, int]]:
        """An IOMMU to be flushed, and the domain's PSCID there, for each bond: ``async for``. Asked inside an RCU read
        section, with no lock held: may not sleep. An IOMMU may come more than once."""

    async def before_removal(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """An IOMMU is about to be switched off and freed; its devices have been released. May sleep: here the policy
        waits for readers, if it means to."""


class AttachPolicy(Protocol):
    """The order of steps when a device changes domains. Each method but the first is asked by the core, which holds the
    mutex of the device's group; `old` is the domain that the core has recorded. All may sleep."""

    @property
    def has_blocked(self) -> bool:
        """Whether there is a domain that blocks, which the core attaches before a release."""

    async def probe_device(self, driver: Skeleton, iommu: IommuDevice, device: Device) -> None:
        """A device has appeared; no lock is held. After: its requests are refused. KernelError ENODEV, ENOMEM."""

    async def release_device(self, driver: Skeleton, iommu: IommuDevice, device: Device, old: Domain | None) -> None:
        """A device leaves; it is in the blocked domain if there is one. After: no context of the device is valid, and
        what `probe_device` has allocated is freed. The core frees the device's structures at once."""

    async def paging(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Attach to a page table. After: contexts and bond name `domain`, and the old domain's PSCID is flushed where
        no other device uses it. KernelError ENODEV, ENOMEM, ENOSPC, and ETIMEDOUT from a policy that knows of a failed
        fence: the device is then bonded to `old` still, and its requests may be refused."""

    async def identity(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Let the device's requests pass as they are; else as `paging`."""

    async def block(
        self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: Domain, old: Domain | None
    ) -> None:
        """Let none of the device's requests pass; asked only if `has_blocked`. May not fail."""


class TablesPolicy(Protocol):
    """Page tables. `prepare`, `alloc_root` and `free` are asked once in a domain's life and may sleep; the others may
    be under way many times at once, without a lock, and may not sleep."""

    async def prepare(
        self, driver: Skeleton, domain: DomainObject, iommu: IommuDevice | None
    ) -> tuple[tuple[int, ...], int]:
        """Set up a new, zeroed domain for `iommu`, if it is made for one: the page sizes, smallest first, and the last
        IOVA that it offers. After: `domain.mode` is set. KernelError ENODEV."""

    async def alloc_root(self, driver: Skeleton, domain: DomainObject) -> None:
        """After: `domain.root` is set, unless that is left to `attaching`. KernelError ENOMEM."""

    async def attaching(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject) -> None:
        """A device behind `iommu` is about to be attached, under the mutex of its group and no other. After:
        `domain.root` is set. KernelError ENOMEM."""

    async def free(self, driver: Skeleton, domain: DomainObject) -> None:
        """Free all tables, if there are any; no IOMMU may walk them any more. Asked by `pscid.died`, and when a
        domain's making has failed."""

    async def publish_directory(self, entry: Cell, old: int, new: int) -> Loaded:
        """Store `new`, which points to a zeroed table of the device directory, in `entry` if that still is `old`; what
        it was. Asked when devices are probed or attached, beside the IOMMU's walks and other groups."""

    async def map_pages(
        self, driver: Skeleton, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """As `IommuDriver.map_pages`."""

    async def unmap_pages(self, driver: Skeleton, domain: Domain, iova: int, size: int, gather: Gather) -> int:
        """As `IommuDriver.unmap_pages`, for `size` bytes."""

    async def iova_to_phys(self, driver: Skeleton, domain: Domain, iova: int) -> int:
        """As `IommuDriver.iova_to_phys`."""


class InvalidatePolicy(Protocol):
    """How translations are flushed. No lock is held; interrupts may be masked, and neither method may sleep."""

    async def range(self, driver: Skeleton, domain: DomainObject, start: int, end: int) -> bool | None:
        """Flush `start` .. `end` (inclusive), or everything for 0 .. all ones. Before: what is to be flushed has been
        cleared, by stores that may still be in the store buffer. After: no IOMMU that the bonds lead to answers from
        it any more, or what is returned is False: then nothing of it is used again. Asked by `driver.invalidate`
        alone."""

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool | None:
        """Flush what an unmap has gathered, then free the pages of its freelist. The driver empties the gather. False,
        with frames and freelist in quarantine, if that has failed and the policy means not to be silent of it."""


class QueuePolicy(Protocol):
    """The command queue. Many threads may be under way in it; none of them may sleep. Before: the queue is on, else the
    sender oopses."""

    async def send(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> int:
        """Queue a command; its ticket, for `wait`. After: the IOMMU has been told of it, or the failure is logged."""

    async def wait(self, driver: Skeleton, iommu: IommuDevice, ticket: int, timeout_ps: int) -> bool:
        """Wait until the command of `ticket` has been consumed; false after the time-out. Interrupts stay as the caller
        has them."""

    async def sync(self, driver: Skeleton, iommu: IommuDevice, timeout_ps: int) -> bool:
        """Queue a fence and wait for it: commands that were sent earlier have then been carried out. False if that is
        not known, for which there is no other sign."""


class CapablePolicy(Protocol):
    """What the driver claims to the core: a set of names, such as a frozenset. Asked at any time; takes none."""

    def __contains__(self, what: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...


class BringupPolicy(Protocol):
    """What a probe of an IOMMU trusts, and what a shutdown leaves. No lock is held, and no other thread uses the
    IOMMU; all but `shutdown` may sleep."""

    async def ddtp_at_start(self, driver: Skeleton, iommu: IommuDevice) -> Ddtp:
        """`ddtp` as the probe finds it, once; busy, or in a mode above Bare, the probe gives up with EBUSY."""

    async def fixed_root(self, driver: Skeleton, iommu: IommuDevice) -> int:
        """The address of the directory's root if the hardware fixes its place, else 0. After: the mode is as before."""

    async def fixed_queue(self, base: QueueBase) -> int:
        """The address of a queue whose place the hardware fixes: `base` is what its register reads after a PPN of 0 was
        written. The probe then writes this address, and gives up with ENODEV if it does not read it back."""

    def waits_for_ddtp(self) -> bool:
        """Whether `ddtp` is read until it is no longer busy, rather than once. Takes no time."""

    def waits_for_queues(self) -> bool:
        """Whether the register of a queue that is switched on or off is read until it is no longer busy, rather than
        once. Takes no time."""

    async def forget_all(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """`ddtp` has been written. After: the IOMMU has forgotten all contexts, and all that was cached under them.

        Asked when the directory's mode is set, also to Off.
        """

    async def reset_index(self, iommu: IommuDevice, index: Register[Word]) -> None:
        """A queue is about to be switched on: the end that software moves may be anything. `index` is its register."""

    async def shutdown(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """As `IommuDriver.shutdown`."""


class InterruptsPolicy(Protocol):
    """What is done when a queue of the IOMMU interrupts. The line may be shared."""

    async def pending(self, iommu: IommuDevice, interrupt: Interrupt) -> IrqReturn:
        """The hard handler: whether it is `interrupt` of this IOMMU, for which a thread is then woken. Asked in
        interrupt context for each interrupt of the line, which another device may have raised: may not sleep."""

    async def cmdq_process(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """The command queue's thread: asked after each hard handler that has woken it, once at a time, with the line
        masked until it returns. Before: `cqcsr` may show an error. After: `ipsr.cip` is cleared, or it interrupts
        again at once. Senders and waiters are under way beside it. May sleep."""

    async def fltq_process(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """The fault queue's thread, as `cmdq_process`. After: `fqh` has moved behind the records that were served."""


@dataclass(frozen=True)
class Variant:
    """One row of the table: a policy for each axis. The field's name is the axis, its type the contract."""

    pscid: PscidPolicy
    bonds: BondsPolicy
    attach: AttachPolicy
    tables: TablesPolicy
    invalidate: InvalidatePolicy
    queue: QueuePolicy
    capable: CapablePolicy
    bringup: BringupPolicy
    interrupts: InterruptsPolicy
    groups: GroupsPolicy
    name: str = ""


CONTRACTS: Mapping[str, type] = {axis: hint for axis, hint in get_type_hints(Variant).items() if axis != "name"}
"""The contract of each axis."""

AXES = tuple(CONTRACTS)
