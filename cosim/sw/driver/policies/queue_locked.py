"""The command queue of Linux 7.2: senders take a lock, and give up on a ring that stays full.

Mirrors riscv_iommu_queue_send, riscv_iommu_queue_wait and riscv_iommu_cmd_sync as they are there. There are no tickets
to be lost; what a sender may lose is its command:

        unmap                                   IOMMU
        the ring is full: wait 150 ms           stalled
        IOTINVAL: not queued, said once             .
            .                                   goes on; the ring empties
        IOFENCE: queued, wait                   executes the IOFENCE
        return: the page is used for            answers from what the IOTINVAL would have dropped
        something else

A fence says that the commands before it in the ring are done. Whether the command that the caller means is among them
is for the sender to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cosim.sim.operations import Now, Store
from cosim.spec.queues import Command
from cosim.spec.register_map import CQH, CQT
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.policies.queue import ENTRY, FENCE, StopOnError
from cosim.sw.kernel.locks import Section
from cosim.sw.kernel.objects import Ordering
from cosim.sw.steps import UNGUARDED, step
from cosim.units.quantities import US, S


@dataclass(frozen=True)
class LockedQueue(StopOnError):
    """Linux 7.2: a raw spinlock around slot and doorbell; who finds no room waits outside of it, then looks again.

    A wait for room ends with the first slot that is freed, which another sender may take: nothing bounds the whole.
    """

    no_steps: ClassVar = ("turn",)

    def section(self, driver: Skeleton, iommu: IommuDevice) -> Section:
        """What a sender holds while it writes its slot and rings."""
        kernel, lock = driver.kernel, iommu.queue_lock
        if not self.lock():
            return self.irqs_off(driver)
        return kernel.spin_irqsave(lock) if self.irqs_off(driver) is not UNGUARDED else kernel.spin(lock)

    @step(answer=False)
    def lock(self) -> bool:
        """The queue's raw spinlock."""
        return True

    async def enter(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> tuple[int, str]:
        """Publish `command` in the first free slot, once there is one; its place, and what failed."""
        queue = iommu.commands
        while True:
            async with self.section(driver, iommu):
                entries = int(await queue.entries.load())
                place, head = int(await queue.prod.load()), int(await queue.head.load())
                if place - head < entries - 1 or not self.waits_for_room():
                    await self.publish(driver, iommu, place, command)
                    return place, ""
            if not await self.room(driver, iommu, head, entries):
                return place, "the ring is full"

    async def publish(self, driver: Skeleton, iommu: IommuDevice, ticket: int, command: Command) -> str:
        """Fill the slot and ring the doorbell; the caller holds the lock."""
        queue = iommu.commands
        entries = int(await queue.entries.load())
        slot = int(await queue.base.load()) + ENTRY * (ticket % entries)
        await driver.publishing(iommu, ticket % entries, command)
        for offset, word in enumerate(command.words()):
            await Store(slot + 8 * offset, word)
        await self.filled()
        await IommuDevice(await queue.iommu.load()).write(CQT, (ticket + 1) % entries)
        await self.published()
        await queue.tail.store(ticket + 1)
        await queue.prod.store(ticket + 1)
        return ""

    @step(answer=False)
    def waits_for_room(self) -> bool:
        """The wait for a free slot, rather than the use of the next one as it is."""
        return True

    async def room(self, driver: Skeleton, iommu: IommuDevice, ticket: int, entries: int) -> bool:
        """Wait, without the lock, until `cqh` has left the slot of `ticket`, the head that was seen; then note it."""
        return await self.freed(driver, iommu, ticket, entries, self.turn_ps)

    async def freed(self, driver: Skeleton, iommu: IommuDevice, ticket: int, entries: int, timeout_ps: int) -> bool:
        """Whether `cqh` was seen to leave that slot in this time; if it has come round to it meanwhile, it was not."""
        last = ticket % entries
        if await self.index(iommu, last, entries, timeout_ps, part="cq_full") == last:
            return False
        queue = iommu.commands
        async with self.section(driver, iommu):
            head = int(await queue.head.load())
            if await queue.prod.load() - head >= entries - 1:
                now = await iommu.read(CQH, part="cq_full")
                if now < entries and now != head % entries:
                    await queue.head.fetch_add((now - head) % entries, Ordering.RELAXED)
        return True

    async def sync(self, driver: Skeleton, iommu: IommuDevice, timeout_ps: int) -> bool:
        """Send an IOFENCE.C and wait for it; one that was not queued is given up at once."""
        place, failed = await self.enter(driver, iommu, FENCE)
        if failed:
            await self.complain(driver, iommu, failed)
            return False
        return await self.wait(driver, iommu, place, timeout_ps)

    @step(answer=True)
    async def wait(self, driver: Skeleton, iommu: IommuDevice, ticket: int, timeout_ps: int) -> bool:
        """The wait for a fence.

        It reads `cqh` and `cqcsr` by turns until the command at `ticket` is behind `cqh`, or an error shows.

        `head` is read before `cqh`: other senders may move it on meanwhile, and never past `cqh`.
        """
        queue = iommu.commands
        entries = int(await queue.entries.load(part="fence"))
        began = (await Now()).time
        deadline = began + timeout_ps
        head = int(await queue.head.load(part="fence"))
        seen = head % entries
        while head <= ticket and timeout_ps > 0:
            seen, stop = await self.look(iommu, seen, self.look_ps((await Now()).time - began, timeout_ps))
            if seen < entries and head + (seen - head) % entries > ticket:
                return True
            if stop:
                return await self.stopped(driver, iommu)
            head = int(await queue.head.load(part="fence"))
            timeout_ps = deadline - (await Now()).time
        if head <= ticket:
            await self.expired(driver, iommu)
        return head > ticket

    def look_ps(self, waited_ps: int, left_ps: int) -> int:
        """How long one who has waited so long reads `cqh` alone before `head` is looked at: until the time is over."""
        return left_ps


LOST = -1
"""The place of a command that was not queued."""

FIRST_LOOK_PS = 1 * US
"""How long `cqh` is read alone at first, before `head` is looked at."""


@dataclass(frozen=True)
class CheckedQueue(LockedQueue):
    """`LockedQueue` that says what it could not do: a lost command has the place -1, and an error is no success.

    Room is waited for as long as a fence is. Neither wait rests on `cqh` alone: between two reads of one who waits
    others can fill the ring, and the IOMMU empty it. `head`, which those others have to move for that, tells.

        P1: waits for room                      P2: unmap                       IOMMU
        cqh is 0: full                          .                               goes on: cqh = 3
            .                                   notes it: head = 3              .
            .                                   send, ring                      cqh = 0, and idle
        cqh is 0: full, for ever                .                               .
        head is 3: look again                   .                               .

    It is looked at each time that as long again was waited.
    """

    turn_ps: int = 90 * S

    def look_ps(self, waited_ps: int, left_ps: int) -> int:
        return min(left_ps, max(FIRST_LOOK_PS, waited_ps))

    async def room(self, driver: Skeleton, iommu: IommuDevice, ticket: int, entries: int) -> bool:
        """The wait for a free slot, which ends as well when `head` is no longer `ticket`."""
        began = (await Now()).time
        waited = 0
        while waited < self.turn_ps:
            if await self.freed(driver, iommu, ticket, entries, self.look_ps(waited, self.turn_ps - waited)):
                return True
            if int(await iommu.commands.head.load(part="cq_full")) != ticket:
                return True
            waited = (await Now()).time - began
        return False

    async def send(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> int:
        place, failed = await self.enter(driver, iommu, command)
        if failed:
            await self.complain(driver, iommu, failed)
        return LOST if failed else place

    @step(answer=True)
    async def wait(self, driver: Skeleton, iommu: IommuDevice, ticket: int, timeout_ps: int) -> bool:
        """The wait for a fence."""
        return ticket != LOST and await super().wait(driver, iommu, ticket, timeout_ps)

    async def stopped(self, driver: Skeleton, iommu: IommuDevice) -> bool:
        return False
