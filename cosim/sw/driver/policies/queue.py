"""The command queue: in which order senders ring the doorbell, and how a fence is awaited.

Mirrors riscv_iommu_queue_send, riscv_iommu_queue_wait and riscv_iommu_cmd_sync. A sender takes a ticket, copies its
command into the ticket's slot, and rings the doorbell once all earlier tickets have.

        P1, ticket t                            P2, ticket t + 1
        copy to slot t                          copy to slot t + 1
        wait until tail is t                    wait until tail is t + 1
        dma_wmb                                     .
        write cqt = t + 1                           .
        mmiowb                                      .
        tail = t + 1  ------------------------> dma_wmb, write cqt = t + 2

With mmiowb P1's doorbell has arrived before P2 may ring. Without it P2's may arrive first: `cqt` then goes back, and
the IOMMU takes the whole queue for full and executes what is left in it, or stops one command short.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosim.sim.operations import Now, PollEither, Store
from cosim.spec.queues import Command, Iofence
from cosim.spec.register_map import CQCSR, CQH, CQT
from cosim.spec.registers import Cqcsr
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, Queue
from cosim.sw.kernel.barriers import dma_wmb, mmiowb
from cosim.sw.kernel.locks import Section
from cosim.sw.kernel.objects import Ordering
from cosim.sw.steps import UNGUARDED, step
from cosim.units.quantities import MS

FENCE = Iofence.c(pr=1, pw=1)
"""The command that every variant waits with: it has completed once `cqh` is behind it."""

INDEX = 0xFFFF_FFFF
"""All bits of an index register."""

ENTRY = 16
"""Bytes of a command."""


@dataclass(frozen=True)
class Tickets:
    """Linux 6.13 (b6e2174ef49b): tickets in strict order, mmiowb after the doorbell, a fence awaited by `cqh` alone.

    A sender that times out does not give its ticket back: `tail` never reaches the next one, and each later sender
    times out in its turn with interrupts masked. The queue is dead until it is reset.
    """

    turn_ps: int = 150 * MS
    """How long a sender waits for a free slot, and for its turn."""

    async def send(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> int:
        """Put `command` into the queue; its ticket, also if that failed."""
        ticket, failed = await self.enter(driver, iommu, command)
        if failed:
            await self.complain(driver, iommu, failed)
        return ticket

    async def enter(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> tuple[int, str]:
        """Take a ticket and publish `command` under it, interrupts masked; the ticket, and what failed."""
        async with self.irqs_off(driver):
            ticket = int(await iommu.commands.prod.fetch_add(1, part="ticket"))
            return ticket, await self.publish(driver, iommu, ticket, command)

    @step(answer=UNGUARDED)
    def irqs_off(self, driver: Skeleton) -> Section:
        """local_irq_save around all that a sender does."""
        return driver.kernel.irqs_off()

    async def publish(self, driver: Skeleton, iommu: IommuDevice, ticket: int, command: Command) -> str:
        """Wait for a slot, fill it, wait for the turn, ring the doorbell; what failed, "" if nothing."""
        queue = iommu.commands
        entries = int(await queue.entries.load())
        if not await self.room(driver, iommu, ticket, entries):
            return "the ring is full"
        slot = int(await queue.base.load()) + ENTRY * (ticket % entries)
        await driver.publishing(iommu, ticket % entries, command)
        for offset, word in enumerate(command.words()):
            await Store(slot + 8 * offset, word)
        if not await self.turn(driver, queue, ticket):
            return "an earlier command was never published"
        await self.filled()
        await IommuDevice(await queue.iommu.load()).write(CQT, (ticket + 1) % entries)
        await self.published()
        await queue.tail.fetch_add(1, Ordering.RELAXED, part="ticket")
        return ""

    @step()
    async def filled(self) -> None:
        """dma_wmb between the command and the doorbell."""
        await dma_wmb()

    @step()
    async def published(self) -> None:
        """mmiowb between the doorbell and the next sender's turn."""
        await mmiowb()

    @step(answer=True)
    async def turn(self, driver: Skeleton, queue: Queue, ticket: int) -> bool:
        """The wait until all earlier tickets have rung."""
        mine = await queue.tail.wait_until(
            lambda tail: tail == ticket,
            acquire=False,
            timeout_ps=self.turn_ps,
            poll_ps=driver.costs.spin,
            part="ticket",
        )
        return mine is not None

    @step(answer=True)
    async def room(self, driver: Skeleton, iommu: IommuDevice, ticket: int, entries: int) -> bool:
        """The wait until the ticket's slot is free.

        Only the ticket that would fill the queue reads `cqh`; others spin.
        """
        queue, most = iommu.commands, entries - 1
        head = await queue.head.load()
        if ticket - head > most:
            freed = await queue.head.wait_until(
                lambda head: ticket - head < most,
                acquire=False,
                timeout_ps=self.turn_ps,
                poll_ps=driver.costs.spin,
                part="cq_full",
            )
            return freed is not None
        if ticket - head == most:
            last = int(head) % entries
            now = await self.index(iommu, last, entries, self.turn_ps, part="cq_full")
            if now == last:
                return False
            await queue.head.fetch_add((now - last) % entries, Ordering.RELAXED)
        return True

    async def index(self, iommu: IommuDevice, last: int, entries: int, timeout_ps: int, *, part: str) -> int:
        """Read `cqh` until it is an index other than `last`; `last` if the time-out comes first."""
        deadline = (await Now()).time + timeout_ps
        seen = last
        while timeout_ps > 0:
            seen = await (await iommu.polling(CQH, INDEX, seen, timeout_ps, part=part))
            if seen < entries and seen != last:
                return seen
            timeout_ps = deadline - (await Now()).time
        return last

    async def sync(self, driver: Skeleton, iommu: IommuDevice, timeout_ps: int) -> bool:
        """Send an IOFENCE.C and wait for it; false if it is not known to have completed."""
        return await self.wait(driver, iommu, await self.send(driver, iommu, FENCE), timeout_ps)

    @step(answer=True)
    async def wait(self, driver: Skeleton, iommu: IommuDevice, ticket: int, timeout_ps: int) -> bool:
        """The wait for a fence.

        It reads `cqh` without pause, interrupts as they are, until the command of `ticket` is behind it."""
        queue = iommu.commands
        head = await queue.head.load(part="fence")
        if head > ticket:
            return True
        entries = int(await queue.entries.load(part="fence"))
        deadline = (await Now()).time + timeout_ps
        seen = int(head) % entries
        while timeout_ps > 0:
            seen, stop = await self.look(iommu, seen, timeout_ps)
            head = await queue.head.load(part="fence")
            if seen < entries and head + (seen - head) % entries > ticket:
                return True
            if stop:
                return await self.stopped(driver, iommu)
            timeout_ps = deadline - (await Now()).time
        await self.expired(driver, iommu)
        return False

    async def look(self, iommu: IommuDevice, seen: int, timeout_ps: int) -> tuple[int, bool]:
        """Read `cqh` until it is no longer `seen`; its value, and whether waiting on is pointless."""
        return await (await iommu.polling(CQH, INDEX, seen, timeout_ps, part="fence")), False

    async def stopped(self, driver: Skeleton, iommu: IommuDevice) -> bool:
        """What a wait answers that was given up because the queue has stopped."""
        return False

    async def expired(self, driver: Skeleton, iommu: IommuDevice) -> None:
        """A fence has not completed in time."""
        await driver.log_once("execution", "error", "hardware error: command execution timed out", iommu)

    async def complain(self, driver: Skeleton, iommu: IommuDevice, failed: str) -> None:
        """A command was not published."""
        await driver.log_once("enqueue", "error", f"hardware error: command enqueue failed: {failed}", iommu)


@dataclass(frozen=True)
class NoMmiowb(Tickets):
    """`Tickets` without the barrier between the doorbell and the next sender's turn (defect C10 alone)."""

    async def published(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class NoCommandDmaWmb(Tickets):
    """`Tickets` without the barrier between the command and its doorbell: the IOMMU may fetch what was there before."""

    async def filled(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class ReviewedQueue(NoMmiowb):
    """v2 5/7 and 7/7 (18 Apr 2024): no mmiowb; no wait for a command that was not published."""

    async def sync(self, driver: Skeleton, iommu: IommuDevice, timeout_ps: int) -> bool:
        ticket, failed = await self.enter(driver, iommu, FENCE)
        if failed:
            await self.complain(driver, iommu, failed)
            return False
        return await self.wait(driver, iommu, ticket, timeout_ps)

    async def expired(self, driver: Skeleton, iommu: IommuDevice) -> None:
        driver.log("warning", "command execution timed out", iommu)


@dataclass(frozen=True)
class StopOnError(Tickets):
    """Linux 7.1 (b2e5684558ed): the wait also ends when `cqcsr` shows an error, and is then taken for a success.

    On a single CPU the wait kept the error interrupt's thread from running for 90 s. Since the error ends the poll as
    its success does, the caller learns nothing of the fence that has not completed.
    """

    async def look(self, iommu: IommuDevice, seen: int, timeout_ps: int) -> tuple[int, bool]:
        errors = Cqcsr.cqmf.mask | Cqcsr.cmd_to.mask | Cqcsr.cmd_ill.mask
        head = await iommu.polling(CQH, INDEX, seen, timeout_ps, part="fence")
        error = await iommu.polling(CQCSR, errors, 0, timeout_ps, part="fence")
        now, csr = await PollEither(head, error)
        return now, bool(csr & errors)

    async def stopped(self, driver: Skeleton, iommu: IommuDevice) -> bool:
        return True
