"""The drivers send what real kernels were seen to send: register accesses and commands, one for one and in order.

`merged` is held to a kernel with the driver of Linux 6.14 to 6.16, `current` to Linux 7.1.8, both recorded under an
emulator that logged every register access and command. Reads of one register in a row count as one, and the wait
for a fence as ``poll`` (of `cqh`, in 7.1 of `cqh` and `cqcsr` in turn).
"""

from __future__ import annotations

import pytest

from cosim.hw.transaction import Transaction
from cosim.spec.queues import Iotinval
from cosim.sw.driver.domain import Domain, Gather, Prot
from cosim.sw.mapping import iommu_map, iommu_unmap, iommu_unmap_fast
from tests.sw.driver.machine import DRAM, Machine

PAGE, HUGE = 4096, 2 << 20
BOTH = Prot.READ | Prot.WRITE
IOVA = 0x4000_0000

VARIANTS = pytest.mark.parametrize("variant", ["merged", "current"])


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def fence(variant: str) -> list[str]:
    return ["IOFENCE.C(pr=0x1,pw=0x1)", "poll cqcsr" if variant == "current" else "poll"]


def vma(pscid: int | None = None) -> str:
    return "IOTINVAL.VMA()" if pscid is None else f"IOTINVAL.VMA(pscid={pscid:#x},pscv=0x1)"


def page(iova: int, pscid: int = 1) -> str:
    words = Iotinval.vma(pscid=pscid, addr=iova)
    return f"IOTINVAL.VMA(av=0x1,pscid={pscid:#x},pscv=0x1,addr={words.addr:#x})"


def context(device_id: int = 1) -> str:
    return f"IODIR.INVAL_DDT(dv=0x1,did={device_id:#x})"


# --- Probe, shutdown ------------------------------------------------------------------------------------------------


@VARIANTS
def test_probe(variant: str) -> None:
    """Vectors, root, queues, modes: every access of the probe, with its value where the kernel chooses it."""
    machine = Machine(variant, iommu={})
    machine.run(machine.core.probe_iommu(machine.hardware[0]))
    registers = machine.iommus[0].registers
    cqb, fqb, ddtp = int(registers.cqb), int(registers.fqb), int(registers.ddtp)
    assert (cqb & 0x1F, fqb & 0x1F, ddtp & 0xF) == (0xC, 0xB, 4)
    assert machine.trace() == [
        *lines(
            f"""
            R capabilities={int(registers.capabilities):#x}
            R fctl=0x2
            R ddtp=0x0
            W icvec=0x2310
            R icvec=0x2310
            R ddtp=0x0
            W ddtp=0x0
            R ddtp=0x0
            W cqb=0x1f
            R cqb=0xe
            W cqb={cqb:#x}
            R cqb={cqb:#x}
            W fqb=0x1f
            R fqb=0xe
            W fqb={fqb:#x}
            R fqb={fqb:#x}
            W cqt=0x0
            W cqcsr=0x103
            R cqcsr=0x10003
            W ipsr=0x1
            W fqh=0x0
            W fqcsr=0x103
            R fqcsr=0x10003
            W ipsr=0x2
            R ddtp=0x0
            W ddtp={ddtp:#x}
            R ddtp={ddtp:#x}
            IODIR.INVAL_DDT()
            IOTINVAL.VMA()
            """
        ),
        *fence(variant),
    ]


@VARIANTS
def test_shutdown_lets_requests_pass_and_looks_at_nothing(variant: str) -> None:
    machine = Machine(variant)
    machine.boot()
    machine.run(machine.driver.shutdown(machine.core.iommus["iommu0"]))
    assert machine.trace() == lines("W ddtp=0x1\n W cqcsr=0x0\n W fqcsr=0x0\n W pqcsr=0x0")


def test_v2_neither_resets_indices_nor_hands_over() -> None:
    machine = Machine("v2")
    machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert not {"W cqt=0x0", "W fqh=0x0", "W ddtp=0x0"} & set(machine.trace())
    machine.run(machine.driver.shutdown(machine.core.iommus["iommu0"]))
    assert machine.trace() == []


# --- Attach ---------------------------------------------------------------------------------------------------------


def attached(variant: str) -> tuple[Machine, Domain]:
    """A device in a domain with PSCID 1, its context watched."""
    machine = Machine(variant)
    domain = machine.boot()
    machine.watch_context(1)
    return machine, domain


def dc(machine: Machine, domain: Domain) -> tuple[str, str]:
    """DC.fsc and DC.ta of a domain, as they are written."""
    mode = machine.memory.peek(domain.object.mode.address, 8)
    root = machine.memory.peek(domain.object.root.address, 8)
    pscid = machine.memory.peek(domain.object.pscid.address, 8)
    return f"DC.fsc={mode << 60 | root >> 12:#x}", f"DC.ta={pscid << 12:#x}"


@VARIANTS
def test_first_attach(variant: str) -> None:
    machine = Machine(variant)

    async def prepare() -> Domain:
        await machine.core.probe_iommu(machine.hardware[0])
        await machine.core.probe_device("dev0", (1,), "iommu0")
        return await machine.core.domain_alloc("d", "dev0")

    domain = machine.run(prepare())
    machine.trace()
    machine.watch_context(1)
    machine.run(machine.core.attach("dev0", domain))
    flush = [vma(1)] if variant == "current" else []
    assert machine.trace() == [*dc(machine, domain), "DC.tc=0x1", context(), *flush, *fence(variant)]


@VARIANTS
def test_first_attach_of_the_identity_domain(variant: str) -> None:
    machine = Machine(variant)

    async def prepare() -> None:
        await machine.core.probe_iommu(machine.hardware[0])
        await machine.core.probe_device("dev0", (1,), "iommu0")

    machine.run(prepare())
    machine.trace()
    machine.run(machine.core.attach("dev0", machine.driver.identity))
    flush = [vma()] if variant == "current" else []
    assert machine.trace() == [context(), *flush, *fence(variant)]


@VARIANTS
def test_paging_to_paging(variant: str) -> None:
    """The old context goes, the new one comes, and the old domain's last bond flushes its PSCID."""
    machine, _ = attached(variant)
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.trace()
    machine.run(machine.core.replace("dev0", other))
    old, new = ([vma(1)], [vma(2)]) if variant == "current" else ([], [])
    assert machine.trace() == [
        *("DC.tc=0x0", context(), *old, *fence(variant)),
        *(*dc(machine, other), "DC.tc=0x1", context(), *new, *fence(variant)),
        *(vma(1), *fence(variant)),
    ]


@VARIANTS
def test_the_old_pscid_is_not_flushed_while_another_device_uses_it(variant: str) -> None:
    machine = Machine(variant)
    machine.boot(devices=2)
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.run(machine.core.replace("dev0", other))
    old, new = ([vma(1)], [vma(2)]) if variant == "current" else ([], [])
    assert machine.trace() == [context(), *old, *fence(variant), context(), *new, *fence(variant)]


@VARIANTS
def test_identity_to_paging(variant: str) -> None:
    """7.1 asks for a flush of everything in the first half, since a Bare context names no PSCID."""
    machine, domain = attached(variant)
    machine.run(machine.core.replace("dev0", machine.driver.identity))
    machine.trace()
    machine.run(machine.core.replace("dev0", domain))
    old, new = ([vma()], [vma(1)]) if variant == "current" else ([], [])
    assert machine.trace() == [
        *("DC.tc=0x0", context(), *old, *fence(variant)),
        *(*dc(machine, domain), "DC.tc=0x1", context(), *new, *fence(variant)),
    ]


@VARIANTS
def test_removal_of_the_device(variant: str) -> None:
    machine, _ = attached(variant)
    machine.run(machine.core.release_device("dev0"))
    old, new = ([vma(1)], [vma()]) if variant == "current" else ([], [])
    assert machine.trace() == [
        *("DC.tc=0x0", context(), *old, *fence(variant)),
        *("DC.fsc=0x0", "DC.ta=0x0", context(), *new, *fence(variant)),
        *(vma(1), *fence(variant)),
    ]


@VARIANTS
def test_a_second_bond_of_the_same_device_does_not_keep_the_pscid_from_being_flushed(variant: str) -> None:
    """Attached again to the domain that it is in, a device is bonded twice for a while."""
    machine, domain = attached(variant)
    machine.run(machine.driver.attach_dev(domain, machine.core.devices["dev0"], domain))
    assert machine.trace()[-3:] == [vma(1), *fence(variant)]


def test_v2_says_nothing_of_a_context_that_becomes_invalid() -> None:
    """C1: only a fence; the IOMMU may go on with what it has cached."""
    machine, _ = attached("v2")
    machine.run(machine.core.release_device("dev0"))
    assert machine.trace() == ["DC.fsc=0x0", "DC.ta=0x0", "DC.tc=0x0", *fence("v2")]


def test_v2_rewrites_a_live_context_and_flushes_the_new_pscid() -> None:
    """C3 and C4: nothing flushes the old PSCID, and the context is valid all the time."""
    machine, _ = attached("v2")
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.run(machine.core.replace("dev0", other))
    assert machine.trace() == [*dc(machine, other), context(), vma(2), *fence("v2")]


# --- Unmap ----------------------------------------------------------------------------------------------------------


def unmapped(
    variant: str, pages: int, *, base: int = DRAM, devices: int = 1, iova: int = IOVA, scattered: bool = False
) -> list[str]:
    """What an unmap of so many pages sends that were mapped to memory from `base` on, or each by itself."""
    machine = Machine(variant, iommu={} if pages == 511 else None)
    domain = machine.boot(devices)

    async def there_and_back() -> None:
        if scattered:
            for n in range(pages):
                await iommu_map(machine.driver, domain, iova + n * PAGE, base + 2 * n * PAGE, PAGE, BOTH)
        else:
            await iommu_map(machine.driver, domain, iova, base, pages * PAGE, BOTH)
        assert machine.trace() == []
        assert await iommu_unmap(machine.driver, domain, iova, pages * PAGE) == pages * PAGE

    machine.run(there_and_back())
    return machine.trace()


def each(pages: int, iova: int = IOVA) -> list[str]:
    return [page(iova + n * PAGE) for n in range(pages)]


@VARIANTS
@pytest.mark.parametrize("pages", [1, 2, 64])
def test_unmap_of_a_few_pages(variant: str, pages: int) -> None:
    assert unmapped(variant, pages) == [*each(pages), *fence(variant)]


@pytest.mark.slow
@VARIANTS
def test_unmap_of_511_pages(variant: str) -> None:
    assert unmapped(variant, 511) == [*each(511), *fence(variant)]


@VARIANTS
def test_unmap_of_a_2m_page(variant: str) -> None:
    assert unmapped(variant, 512) == [vma(1), *fence(variant)]


def test_unmap_of_a_2m_page_and_a_4k_page() -> None:
    """6.13 flushes when the page size changes; 7.1 gathers the range as one."""
    assert unmapped("merged", 513) == [vma(1), *fence("merged"), page(IOVA + HUGE), *fence("merged")]
    assert unmapped("current", 513) == [vma(1), *fence("current")]


@VARIANTS
def test_unmap_of_two_2m_pages(variant: str) -> None:
    assert unmapped(variant, 1024) == [vma(1), *fence(variant)]


@VARIANTS
def test_scattered_pages(variant: str) -> None:
    """The range does not cover their table: it stays."""
    assert unmapped(variant, 3, scattered=True) == [*each(3), *fence(variant)]


@pytest.mark.slow
@VARIANTS
def test_scattered_pages_that_fill_a_table(variant: str) -> None:
    """7.1 frees the table, which takes a flush of the whole PSCID; 6.13 flushes it for its size."""
    assert unmapped(variant, 512, scattered=True) == [vma(1), *fence(variant)]


@pytest.mark.slow
def test_scattered_pages_of_more_than_a_table() -> None:
    """513 pages of 4 KiB, no page of 2 MiB: both flush the PSCID once, 7.1 for the table that it frees."""
    for variant in ("merged", "current"):
        assert unmapped(variant, 513, scattered=True) == [vma(1), *fence(variant)]


@VARIANTS
def test_a_2m_page_over_an_empty_table_flushes_at_map_time(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()

    async def there() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)
        machine.trace()
        await iommu_map(machine.driver, domain, IOVA, DRAM, HUGE, BOTH)

    machine.run(there())
    assert machine.trace() == [vma(1), *fence(variant)]


def test_v2_sends_everything_once_for_each_device() -> None:
    """An unmap of 1 MiB in a domain of ten devices behind one IOMMU: 2,570 commands, where `merged` sends 257."""
    few = unmapped("v2", 4, devices=10)
    assert few == 10 * each(4) + 10 * fence("v2")
    assert unmapped("merged", 4, devices=10) == [*each(4), *fence("merged")]


@pytest.mark.slow
def test_v2_sends_2570_commands_where_merged_sends_257() -> None:
    for variant, commands in (("v2", 2570), ("merged", 257)):
        sent = [line for line in unmapped(variant, 256, devices=10) if line.startswith("IO")]
        assert len(sent) == commands


@pytest.mark.parametrize(("variant", "sent"), [("merged", []), ("current", [page((1 << 64) - PAGE)])])
def test_nothing_gathered_is_a_fence_and_in_7_1_a_harmless_flush(variant: str, sent: list[str]) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.iotlb_sync(domain, Gather()))
    assert machine.trace() == [*sent, *fence(variant)]


@VARIANTS
def test_flushing_everything_is_one_command(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    machine.run(machine.driver.flush_iotlb_all(domain))
    assert machine.trace() == [vma(1), *fence(variant)]


@VARIANTS
def test_a_gap_in_what_is_gathered_flushes_early(variant: str) -> None:
    machine = Machine(variant)
    domain = machine.boot()

    async def apart() -> None:
        for iova in (IOVA, IOVA + 16 * PAGE):
            await iommu_map(machine.driver, domain, iova, DRAM, PAGE, BOTH)
        gather = Gather()
        for iova in (IOVA, IOVA + 16 * PAGE):
            await iommu_unmap_fast(machine.driver, domain, iova, PAGE, gather)
        await machine.driver.iotlb_sync(domain, gather)

    machine.run(apart())
    assert machine.trace() == [page(IOVA), *fence(variant), page(IOVA + 16 * PAGE), *fence(variant)]


# --- Faults ---------------------------------------------------------------------------------------------------------


@VARIANTS
def test_fault_service(variant: str) -> None:
    """Cleared before it is drained; one write of `fqh` a drain, and one that is redundant."""
    machine = Machine(variant)
    machine.boot()
    machine.dma(*(Transaction(1, IOVA + n * PAGE, 64) for n in range(16)))
    machine.go(machine.sim.now + 1_000_000_000)
    assert machine.trace() == lines(
        """
        R ipsr=0x2
        W ipsr=0x2
        R fqt=0x10
        W fqh=0x10
        R fqt=0x10
        W fqh=0x10
        R fqcsr=0x10003
        """
    )
    assert machine.log[0] == "warning: iommu0: fault 13 device 0x1 iotval 0x40000000 iotval2 0x0"
    assert len(machine.log) == 10


@VARIANTS
def test_two_iommus_get_the_commands_before_either_is_waited_for(variant: str) -> None:
    """All commands first, then the fences, one IOMMU after the other."""
    machine = Machine(variant, iommus=2)
    domain = machine.boot(devices=4)

    async def there_and_back() -> None:
        await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)

    machine.run(there_and_back())
    sent = [line for line in machine.trace() if "IO" in line]
    assert sorted(sent[:2]) == [f"iommu0: {page(IOVA)}", f"iommu1: {page(IOVA)}"]
    assert sorted(sent[2:]) == ["iommu0: IOFENCE.C(pr=0x1,pw=0x1)", "iommu1: IOFENCE.C(pr=0x1,pw=0x1)"]
