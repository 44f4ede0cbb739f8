"""What all calls into a loaded driver share: where its data stands, which addresses are registers, what is unset."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.object.image import Image
from cosim.object.link import Region
from cosim.sim.operations import Fence, StoreBlock
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.iommu_ops import Hardware
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.irq import IrqAction
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import WORD
from cosim.sw.object_driver.given import values_of
from cosim.sw.object_driver.layout import Layout
from cosim.sw.object_driver.pages import Descriptors
from cosim.sw.object_driver.unset import Unset
from cosim.sw.object_driver.watch import QueueWatch

STACK = 16 * 1024
"""Bytes of a kernel stack (RV64 Linux: THREAD_SIZE)."""
STACKS = 0xFFFF_FFC8_0000_0000
"""Where stacks are; they stand in no simulated memory, since nobody but their thread touches them."""
TASKS = 0xFFFF_FFD0_0000_0000
"""Where the blocks of tasks are, likewise."""
LINK = 16
"""Bytes before what goes with a device: the link to the one before."""
APART = 1 << 16
"""From one stack to the next, and from one block of a task to the next."""


class DevresLock(SpinLock):
    """Guards the lists of what goes with devices (devres_lock)."""

    __slots__ = ()


class IrqLock(SpinLock):
    """Guards what the kernel keeps of one interrupt (irq_desc.lock)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A vector of a device that sends messages: its interrupt, what raises that, and who tells the device of it."""

    irq: int
    """0 where there are not so many vectors."""
    address: int
    data: int
    write: int
    """The driver's function that writes the vector's registers (irq_write_msi_msg_t)."""
    descriptor: int
    """The kernel's structure of it (msi_desc)."""


class Machine:
    """A loaded driver: an image, and a kernel that gives it what it asks for."""

    def __init__(self, kernel: Kernel, image: Image, costs: DriverCosts) -> None:
        self.kernel = kernel
        self.image = image
        self.costs = costs
        self.layout = Layout(image.info)
        self.unset = Unset()
        self.watch = QueueWatch(kernel)
        self.data_start = image.linked.data.base
        self.data_end = min(image.linked.given.values(), default=image.linked.data.end)
        self.given = Region(self.data_end, values_of(image))
        """The kernel's variables."""
        self.descriptors = Descriptors()
        elements = "ioptdesc.iopt_freelist_elm"
        self.link = self.layout.offset(elements) if self.layout.has(elements) else 8
        """Where the descriptor of a page has its link of a list of pages to be freed."""
        self.data = kernel.static(max(WORD, self.data_end - self.data_start))
        """Where the driver's variables stand."""
        self.registers: dict[int, Hardware] = {}
        """The IOMMUs whose registers are mapped, by the number of the page."""
        self.platform: dict[int, Hardware] = {}
        """The same, by the address of the platform device."""
        self.names: dict[int, str] = {}
        """What devices are called in messages, by the address of their structure."""
        self.registered: dict[int, int] = {}
        """The driver's structure of an IOMMU, by the address of the device that it was registered for."""
        self.held: dict[int, list[tuple[int, int]]] = {}
        """What goes with a device, by its address, in the order in which it was added: each with the driver's function
        that undoes it, 0 for an object that is freed alone."""
        self.devres_lock = DevresLock(kernel.static(DevresLock.SIZE))
        self.undo: dict[int, int] = {}
        """The same of what has been made and not added yet."""
        self.complaints: dict[int, tuple[int, int]] = {}
        """When an interval of a rate limit has begun, and how often it was asked in there, by its address."""
        self.actions: dict[tuple[int, int], IrqAction] = {}
        """By the interrupt, and what its handler is given."""
        self.messages: dict[tuple[int, int], Message] = {}
        """Those that devices send, by the address of the device and the number of the vector."""
        self.idas: dict[int, Ida] = {}
        self.complained = False
        """Whether the driver has logged an error."""
        self.objects: dict[int, tuple[int, str]] = {}
        """What the driver has allocated: the size, and the function that asked for it, by address."""
        self.returned: dict[str, tuple[int, int]] = {}
        """The function of the driver that each thread has called last, and when it has returned."""
        self._heads: dict[int, int] = {}
        self._irq_locks: dict[int, IrqLock] = {}
        self._parent_of_messages = 0
        self._slots: list[int] = []
        self._next_slot = 0

    async def put_data(self) -> None:
        """Give the driver's variables their first values; done once, before its first call."""
        data = self.image.linked.data.data[: self.data_end - self.data_start]
        padded = data + bytes(-len(data) % WORD)
        words = tuple(int.from_bytes(padded[at : at + WORD], "little") for at in range(0, len(padded), WORD))
        if any(words):
            await StoreBlock(self.data, words)
            await Fence("rw", "rw")

    def variable(self, address: int) -> int:
        """Where a variable of the driver stands in memory; other addresses are what they are."""
        if self.data_start <= address < self.data_end:
            return address - self.data_start + self.data
        return address

    async def run(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver from outside of it."""
        raise NotImplementedError

    def lock_class(self, address: int) -> str:
        """What the order of a lock is kept under: what it stands in, and where."""
        start, _, what = self.object_at(address)
        return f"{what}+{address - start:#x}" if what else f"variable+{address - self.data:#x}"

    def member_at(self, address: int) -> str:
        """The member of a structure that is at an address of an object; empty if it is not known which structure."""
        start, size, what = self.object_at(address)
        info = self.image.info
        kind = what if what in info.structures else info.structure_of(what.removeprefix("object of "), size)
        return info.member_at(kind, address - start) if kind else ""

    def object_at(self, address: int) -> tuple[int, int, str]:
        """Where the object begins that has an address, its size, and what asked for it; empty for none."""
        for start, (size, what) in self.objects.items():
            if start <= address < start + size:
                return start, size, what
        return address, 0, ""

    def head_of(self, device: int) -> int:
        """The word at which the list of what goes with a device begins."""
        if device not in self._heads:
            self._heads[device] = self.kernel.static(WORD)
        return self._heads[device]

    def irq_lock(self, irq: int) -> IrqLock:
        """The lock of an interrupt."""
        if irq not in self._irq_locks:
            self._irq_locks[irq] = IrqLock(self.kernel.static(IrqLock.SIZE))
        return self._irq_locks[irq]

    def parent_of_messages(self) -> int:
        """What a device that sends messages has as msi.domain, of which no member is set."""
        if not self._parent_of_messages:
            self._parent_of_messages = self.kernel.static(WORD)
            self.unset.mark(self._parent_of_messages, WORD, "irq_domain")
        return self._parent_of_messages

    def take_slot(self) -> int:
        """A stack that is free, the lowest one."""
        if self._slots:
            self._slots.sort(reverse=True)
            return self._slots.pop()
        self._next_slot += 1
        return self._next_slot - 1

    def give_slot(self, slot: int) -> None:
        """The call on this stack has returned."""
        self._slots.append(slot)

    def name(self, device: int) -> str:
        """What a device is called in a message."""
        return self.names.get(device, f"{device:#x}")
