"""The drivers send what real kernels were seen to send: register accesses and commands, one for one and in order.

`merged` is held to a kernel with the driver of Linux 6.14 to 6.16, `current` to Linux 7.1.8, `latest` to Linux 7.2.13,
all recorded under an emulator that logged every register access and command. Reads of one register in a row count as
one, and the wait for a fence as ``poll`` (of `cqh`, from 7.1 on of `cqh` and `cqcsr` in turn).
"""

from __future__ import annotations

import re

from cosim.hw.dma.transaction import Transaction
from cosim.sw.iommu_ops import Domain
from tests.sw.driver.expected import FLUSHING, PAGE, VARIANTS, context, fence, lines, vma
from tests.sw.driver.machine import Machine

IOVA = 0x4000_0000


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
    mode, root, pscid = machine.table_of(domain)
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
    flush = [vma(1)] if variant in FLUSHING else []
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
    flush = [vma()] if variant in FLUSHING else []
    assert machine.trace() == [context(), *flush, *fence(variant)]


@VARIANTS
def test_paging_to_paging(variant: str) -> None:
    """The old context goes, the new one comes, and the old domain's last bond flushes its PSCID."""
    machine, _ = attached(variant)
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.trace()
    machine.run(machine.core.replace("dev0", other))
    old, new = ([vma(1)], [vma(2)]) if variant in FLUSHING else ([], [])
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
    old, new = ([vma(1)], [vma(2)]) if variant in FLUSHING else ([], [])
    assert machine.trace() == [context(), *old, *fence(variant), context(), *new, *fence(variant)]


@VARIANTS
def test_identity_to_paging(variant: str) -> None:
    """7.1 asks for a flush of everything in the first half, since a Bare context names no PSCID."""
    machine, domain = attached(variant)
    machine.run(machine.core.replace("dev0", machine.driver.identity))
    machine.trace()
    machine.run(machine.core.replace("dev0", domain))
    old, new = ([vma()], [vma(1)]) if variant in FLUSHING else ([], [])
    assert machine.trace() == [
        *("DC.tc=0x0", context(), *old, *fence(variant)),
        *(*dc(machine, domain), "DC.tc=0x1", context(), *new, *fence(variant)),
    ]


@VARIANTS
def test_removal_of_the_device(variant: str) -> None:
    machine, _ = attached(variant)
    machine.run(machine.core.release_device("dev0"))
    old, new = ([vma(1)], [vma()]) if variant in FLUSHING else ([], [])
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
    told = [line for line in machine.log if line.startswith("warning: ")]
    assert re.fullmatch(r"warning: iommu0: [Ff]ault 13 dev.* 0x1 iotval:? (0x)?40000000 iotval2:? (0x)?0", told[0])
    assert len(told) == 10
