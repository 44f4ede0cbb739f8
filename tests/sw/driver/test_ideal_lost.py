"""What the variant that no kernel has makes of commands that were not queued, and of tables whose flush has failed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from cosim.spec.queues import Command, Iodir, Iotinval
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import GONE, IN_DOUBT, IommuDevice
from cosim.sw.driver.policies.queue_locked import LOST, CheckedQueue
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_map import iommu_map, iommu_unmap, iommu_unmap_fast
from cosim.sw.iommu_ops import Gather
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import KIB, MIB, MS, S
from tests.sw.driver.expected import PAGE, context, vma
from tests.sw.driver.machine import Machine
from tests.sw.driver.test_ideal import BOTH, DATA, FENCE, IOVA, pscids, stalled


def test_a_lost_command_is_no_success_of_the_fence_behind_it() -> None:
    """N1, with the same patience for room as for the fence: the ring is full for longer."""
    machine = Machine("ideal", cells={"queue": {"turn_ps": "150 ms"}}, iommu={"geometry": {"cq_log2": 2}})
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, 8 * PAGE, BOTH))
    machine.iommus[0].commands.stall(machine.sim.now, 200 * MS)
    gather = Gather()

    async def unmap() -> bool | None:
        await iommu_unmap_fast(machine.driver, domain, IOVA, 8 * PAGE, gather)
        return await machine.driver.iotlb_sync(domain, gather)

    assert machine.run(unmap()) is False
    assert gather.kept


@pytest.mark.parametrize("first", ["flush", "release"])
def test_the_first_command_of_all_counts_as_sent(first: str) -> None:
    """Where the IOMMU was told of nothing when it came into service."""
    machine = Machine("ideal", cells={"bringup": {"without": ["iodir-of-all", "iotinval-of-all", "fence-of-all"]}})
    domain = machine.boot()
    assert not machine.commands()
    gather = Gather()

    async def flush() -> bool | None:
        await iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH)
        await iommu_unmap_fast(machine.driver, domain, IOVA, PAGE, gather)
        return await machine.driver.iotlb_sync(domain, gather)

    if first == "flush":
        assert machine.run(flush()) is True
    else:
        machine.run(machine.core.release_device("dev0"))
    assert len(machine.commands()) > 1
    assert not machine.log


def test_a_table_is_kept_from_whoever_asks_next_when_its_flush_has_failed() -> None:
    machine, domain = stalled("ideal")
    gather = Gather()
    gather.add(IOVA, PAGE)

    async def freed() -> tuple[int, int]:
        table = await machine.kernel.pages.alloc(purpose="table")
        gather.freelist.append(table)
        assert await machine.driver.iotlb_sync(domain.domain, gather) is False
        return table, await machine.kernel.pages.alloc(purpose="table")

    table, following = machine.run(freed())
    assert table != following
    assert [known.address for known, _ in machine.kernel.pages.quarantined] == [table]


def test_tables_are_freed_behind_a_flush_of_all_where_no_pages_were_gathered_with_them() -> None:
    machine = Machine("ideal")
    domain, pages = machine.boot(), machine.kernel.pages

    async def freed() -> None:
        gather = Gather(freelist=[await pages.alloc(purpose="table")])
        assert await machine.driver.iotlb_sync(domain, gather) is True
        assert not gather.freelist

    before = pages.purposes()
    machine.run(freed())
    assert machine.commands() == [vma(1), FENCE]
    assert pages.purposes() == before


def test_an_unmap_of_which_a_part_was_not_flushed_has_failed_though_the_rest_was() -> None:
    """The driver of a device may sync in between; and what was flushed is not kept."""
    machine, domain = stalled("ideal", 95 * S)
    gather, told = Gather(), list[bool | None]()

    async def unmap() -> list[int]:
        pages = [await machine.kernel.pages.alloc(purpose="buffer") for _ in range(2)]
        for n, page in enumerate(pages):
            await iommu_map(machine.driver, domain.domain, IOVA + n * PAGE, page, PAGE, BOTH)
        for n in range(3):
            if n < len(pages):
                await iommu_unmap_fast(machine.driver, domain.domain, IOVA + n * PAGE, PAGE, gather)
            told.append(await machine.driver.iotlb_sync(domain.domain, gather))
        return pages

    pages = machine.run(unmap())
    assert told == [False] * 3, "also the last one, which has nothing to flush"
    assert [known.address for known, _ in machine.kernel.pages.quarantined] == pages[:1]


@pytest.mark.parametrize("unmapped", [True, False])
@pytest.mark.parametrize(("size", "order"), [(64 * KIB, 0), (2 * MIB, 8)])
def test_a_large_page_that_an_iommu_may_still_use_is_kept_to_its_end(size: int, order: int, unmapped: bool) -> None:
    """Though its memory was allocated bit by bit; it was unmapped, or goes with its domain."""
    machine, domain = stalled("ideal")
    pages, step = machine.kernel.pages, PAGE << order

    async def leave() -> int:
        taken = {await pages.alloc(order, zero=False, purpose="buffer") for _ in range(2 * size // step - 1)}
        start = next(page for page in taken if not page % size and {*range(page, page + size, step)} <= taken)
        await iommu_map(machine.driver, domain.domain, IOVA, start, size, BOTH)
        if unmapped:
            await iommu_unmap(machine.driver, domain.domain, IOVA, size)
        else:
            await machine.core.release_device("dev0")
            await machine.core.domain_free("d")
        return start

    start = machine.run(leave())
    kept = sorted(known.address for known, _ in pages.quarantined if known.purpose == "buffer")
    assert kept == [*range(start, start + size, step)]


@pytest.mark.parametrize(("state", "told"), [(0, False), (GONE, False), (IN_DOUBT, True), (GONE | IN_DOUBT, True)])
def test_an_iommu_in_doubt_alone_is_told_of_a_context_that_was_not_valid(state: int, told: bool) -> None:
    machine = Machine("ideal")
    domain = machine.boot()
    machine.run(machine.core.probe_device("dev1", (2,), "iommu0"))
    machine.run(machine.core.iommus["iommu0"].state.store(state))
    machine.trace()
    machine.run(machine.core.attach("dev1", domain))
    assert machine.commands() == ([context(2), FENCE] if told else [])


def test_an_untranslated_device_leaves_no_domain_in_doubt_when_its_fence_fails() -> None:
    machine = Machine("ideal")
    machine.boot()
    machine.run(machine.core.replace("dev0", machine.driver.identity))
    machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)
    machine.run(machine.core.release_device("dev0"))
    assert [line.split(": ", 2)[2] for line in machine.log] == ["hardware error: command execution timed out"]
    assert not machine.kernel.pages.quarantined


def test_a_context_whose_command_was_lost_is_not_forgotten_by_the_fence_behind_it() -> None:
    """Three commands fill the ring; the fourth, which names the context, waits 150 ms for room, and there is none."""
    machine = Machine("ideal", cells={"queue": {"turn_ps": "150 ms"}}, iommu={"geometry": {"cq_log2": 2}})
    machine.boot()
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.iommus[0].commands.stall(machine.sim.now, 200 * MS)

    async def move() -> None:
        for _ in range(3):
            await machine.driver.send(machine.core.iommus["iommu0"], Iotinval.vma(pscid=9))
        await machine.core.replace("dev0", other)

    with pytest.raises(KernelError, match="ETIMEDOUT"):
        machine.run(move())


@dataclass(frozen=True)
class Loses(CheckedQueue):
    """A queue without room for commands of one kind, of the contexts for that of device 1 alone."""

    kind: type[Command] = Command

    async def send(self, driver: Skeleton, iommu: IommuDevice, command: Command) -> int:
        lost = isinstance(command, self.kind) and (not isinstance(command, Iodir) or command.did == 1)
        return LOST if lost else await super().send(driver, iommu, command)


def test_all_contexts_of_a_device_have_to_be_forgotten() -> None:
    """Of two commands that name one each, the first is lost."""
    machine = Machine(replace(variant("ideal"), queue=Loses(kind=Iodir)))
    machine.boot(ids=lambda _: (1, 2))
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    with pytest.raises(KernelError, match="ETIMEDOUT"):
        machine.run(machine.core.replace("dev0", other))


def test_a_number_whose_flush_was_lost_stays_taken_and_its_iommu_is_in_doubt() -> None:
    """Though the fence behind it has completed."""
    machine = Machine(replace(variant("ideal"), queue=Loses(kind=Iotinval)))
    machine.boot()
    machine.run(machine.core.replace("dev0", machine.driver.identity))
    assert pscids(machine) == {"iommu0": {1}}
    assert machine.memory.peek(machine.core.iommus["iommu0"].state.address, 8) == IN_DOUBT
    assert machine.log == ["error: iommu0: a fence has failed: what leads to a domain's tables is kept"]
