"""An IOMMU whose queues and directory are at addresses that it fixes: found by the probe, or missed as by v2."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from cosim.hw.dma.transaction import Status, Transaction
from cosim.spec.faults import Cause
from cosim.spec.register_map import DDTP
from cosim.spec.registers import IommuMode
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import KIB
from tests.sw.driver.machine import DRAM, SIZE, SMALL_QUEUES, Machine

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
KEPT = 64 * KIB
AT = DRAM + SIZE - KEPT
ALL = {"cqb": AT, "fqb": AT + 2 * PAGE, "ddtp": AT + 4 * PAGE}
"""A fault queue of 256 entries takes two pages."""


def machine(*registers: str, driver: str = "merged", bringup: str = "", **options: Any) -> Machine:
    """A machine whose IOMMU fixes the PPN of these registers, of all if none is named."""
    hardwired = {register: ALL[register] for register in registers or ALL}
    cells = {"bringup": bringup} if bringup else {}
    return Machine(driver, cells=cells, iommu={"geometry": SMALL_QUEUES, "hardwired": hardwired}, kept=KEPT, **options)


def probed(made: Machine) -> Machine:
    made.run(made.core.probe_iommu(made.hardware[0]))
    return made


@pytest.mark.parametrize("registers", [(), ("cqb",), ("fqb",), ("ddtp",)], ids=lambda names: "+".join(names) or "all")
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_the_driver_uses_what_is_hardwired_and_allocates_the_rest(driver: str, registers: tuple[str, ...]) -> None:
    """Maps, reads, unmaps and faults with it; what is fixed takes no page of the kernel's."""
    made = machine(*registers, driver=driver)
    domain = made.boot()
    used = made.kernel.pages.purposes()
    fixed = registers or tuple(ALL)
    assert used["queue"] == (0 if "cqb" in fixed else PAGE) + (0 if "fqb" in fixed else 2 * PAGE)
    assert used["ddt"] == (2 if "ddtp" in fixed else 3) * PAGE
    made.run(iommu_map(made.driver, domain, IOVA, DATA, PAGE, Prot.READ))
    assert made.read(1, IOVA) == DATA
    made.run(iommu_unmap(made.driver, domain, IOVA, PAGE))
    assert made.read(1, IOVA) is None
    (told,) = made.log
    assert "fault 13 device 0x1 iotval 0x40000000" in told, "the record was read where it had been written"


def test_the_probe_asks_as_kernels_do() -> None:
    """A PPN of 0 is written and the fixed one read, of the directory by writing back the mode."""
    trace = probed(machine()).trace()
    asked = [line for line in trace if line[2:].startswith(("ddtp", "cqb", "fqb"))]
    cqb, fqb, ddtp = (ALL[register] >> 12 << 10 for register in ("cqb", "fqb", "ddtp"))
    assert asked == [
        f"R ddtp={ddtp:#x}",
        f"R ddtp={ddtp:#x}",
        "W ddtp=0x0",
        f"R ddtp={ddtp:#x}",
        "W cqb=0x1f",
        f"R cqb={cqb | 7:#x}",
        f"W cqb={cqb | 7:#x}",
        f"R cqb={cqb | 7:#x}",
        "W fqb=0x1f",
        f"R fqb={fqb | 7:#x}",
        f"W fqb={fqb | 7:#x}",
        f"R fqb={fqb | 7:#x}",
        f"R ddtp={ddtp:#x}",
        f"W ddtp={ddtp | IommuMode.LVL3:#x}",
        f"R ddtp={ddtp | IommuMode.LVL3:#x}",
    ]


def test_a_fixed_root_is_found_where_the_iommu_is_bare_and_requests_pass_meanwhile() -> None:
    made = machine("ddtp")
    registers = made.iommus[0].registers
    registers.put(DDTP, registers.ddtp.replace(iommu_mode=IommuMode.BARE))
    trace = probed(made).trace()
    assert [line for line in trace if line.startswith("W ddtp")] == [
        f"W ddtp={IommuMode.BARE:#x}",
        f"W ddtp={ALL['ddtp'] >> 12 << 10 | IommuMode.LVL3:#x}",
    ]


def test_a_fixed_queue_that_is_longer_than_the_driver_asks_for_is_cut() -> None:
    room = 256 * KIB
    geometry = {"cq_log2": 14, "fq_log2": 4}
    made = probed(Machine(iommu={"geometry": geometry, "hardwired": {"cqb": DRAM + SIZE - room}}, kept=room))
    cqb = made.iommus[0].registers.cqb
    assert (cqb.address, cqb.entries) == (DRAM + SIZE - room, 8192)


def test_a_fixed_root_is_zeroed_before_it_is_used() -> None:
    """What an earlier kernel, or an earlier probe, left there points to pages that are somebody else's by now."""
    made = machine()
    for offset in range(0, PAGE, 8):
        made.memory.poke(ALL["ddtp"] + offset, 8, 0xFFFF_FFFF)
    probed(made)
    assert made.memory.peek(ALL["ddtp"], PAGE) == 0

    async def again() -> None:
        await made.core.remove_iommu("iommu0")
        await made.core.probe_iommu(made.hardware[0])

    made.run(made.core.probe_device("dev0", (1,), "iommu0"))
    assert made.memory.peek(ALL["ddtp"], PAGE)
    made.run(made.core.release_device("dev0"))
    made.run(again())
    assert made.memory.peek(ALL["ddtp"], PAGE) == 0


# --- What v2 does ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [{"driver": "v2"}, {"bringup": "ppn-shifted-twice"}], ids=["v2", "alone"])
@pytest.mark.parametrize(("register", "queue"), [("cqb", "command"), ("fqb", "fault")])
def test_a_ppn_that_is_shifted_twice_is_not_read_back(register: str, queue: str, driver: dict[str, str]) -> None:
    """The driver takes bits of the PPN for bits of an address: what it then writes is ignored, and it gives up."""
    made = machine(register, **driver)
    with pytest.raises(KernelError) as error:
        probed(made)
    assert error.value.code == errno.ENODEV
    assert made.log == [f"error: iommu0: probe failed: -ENODEV: the {queue} queue is not taken"]
    shifted = ALL[register] >> 12 << 2 & -PAGE
    assert f"W {register}={shifted >> 2 | 7:#x}" in made.trace()
    assert made.kernel.pages.purposes() == {}


@pytest.mark.parametrize("bringup", ["root-not-probed", "v2"])
def test_a_root_that_is_not_probed_leaves_the_directory_where_the_iommu_does_not_look(bringup: str) -> None:
    """Only the mode is read back, so the probe succeeds; then no device gets through."""
    made = machine("ddtp", bringup=bringup)
    domain = made.boot()
    made.run(iommu_map(made.driver, domain, IOVA, DATA, PAGE, Prot.READ))
    request = Transaction(1, IOVA, 8)
    made.dma(request)
    made.go(made.sim.now + 10**7)
    assert (request.status, request.cause) == (Status.UR, Cause.DDT_NOT_VALID)
    assert made.kernel.pages.purposes()["ddt"] == 3 * PAGE


@pytest.mark.parametrize("bringup", ["root-not-probed", "ppn-shifted-twice", "v2"])
def test_none_of_this_matters_where_nothing_is_hardwired(bringup: str) -> None:
    made = Machine(cells={"bringup": bringup})
    domain = made.boot()
    made.run(iommu_map(made.driver, domain, IOVA, DATA, PAGE, Prot.READ))
    assert made.read(1, IOVA) == DATA
