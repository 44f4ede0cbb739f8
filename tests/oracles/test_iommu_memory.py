"""What registers of an IOMMU lead to stays the kernel's, and an IOMMU that was removed uses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cosim.events import IommuProbed, IommuRemoved, KernelEnded, PageAllocated, PageFreed, StructureUsed
from cosim.oracles import IommuMemory
from cosim.spec.register_map import CQCSR, DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.sw.driver import device_directory, queue_setup
from cosim.sw.driver.policies.bringup import HandsOver
from cosim.sw.workloads.trouble import ProbeAgain, Shutdown
from cosim.units.quantities import US
from tests.oracles.contexts import found
from tests.oracles.judging import SMALL, Small, judged

REMOVED = "iommu-memory: removed, the"
FREED = "iommu-memory: memory freed,"
OLD = "memory of the kernel before"

# --- A removal -------------------------------------------------------------------------------------------------------


def removed(small: Small) -> list[str]:
    small.do(small.runtime.core.remove_iommu("iommu1"), wait_ps=300 * US)
    assert "iommu1" not in small.runtime.core.iommus
    return small.signatures


@pytest.mark.parametrize("driver", ["v2", "merged", "current", "latest", "ideal"])
def test_an_iommu_that_is_removed_is_off_and_only_then_its_memory_is_freed(driver: str) -> None:
    assert [each for each in removed(Small(driver)) if each.startswith("iommu-memory: ")] == []


@pytest.mark.parametrize(
    ("mode", "signatures"),
    [
        (None, [f"{FREED} ddtp leads there", f"{REMOVED} directory is lvl3"]),
        (IommuMode.BARE, [f"{REMOVED} directory is bare"]),
    ],
)
def test_a_directory_that_is_left_on_is_seen_though_no_device_makes_a_request(
    mode: IommuMode | None, signatures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = device_directory.set_mode

    async def planted(driver: Any, iommu: Any, wanted: IommuMode) -> None:
        if mode is not None:
            await right(driver, iommu, mode)

    small = Small("latest")
    monkeypatch.setattr(device_directory, "set_mode", planted)
    assert removed(small) == signatures


@pytest.mark.parametrize(("form", "name"), [(queue_setup.COMMANDS, "command"), (queue_setup.FAULTS, "fault")])
def test_a_queue_that_is_left_on_is_seen(form: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = queue_setup.disable

    async def planted(driver: Any, iommu: Any, which: Any) -> None:
        if which is not form:
            await right(driver, iommu, which)

    small = Small("latest")
    monkeypatch.setattr(queue_setup, "disable", planted)
    assert removed(small) == [f"{FREED} {form.base.name} leads there", f"{REMOVED} {name} queue is on"]


# --- The next kernel -------------------------------------------------------------------------------------------------


async def leaves_faults_on(self: Any, driver: Any, iommu: Any) -> None:
    """A shutdown that switches the command queue off, and the fault queue not."""
    await iommu.write(DDTP, Ddtp.of(iommu_mode=IommuMode.BARE))
    await iommu.write(CQCSR, 0)


HARDWIRED = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  sram0: {kind: memory, base: 0x7000_0000, size: 64 KiB, reserved: true}
  cpu: {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {fq_log2: 7}, hardwired: {fqb: 0x7000_0000}}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
run: {until: 100 ms}
"""


@pytest.mark.parametrize(
    ("shutdown", "text", "signatures"),
    [
        (HandsOver.shutdown, SMALL, []),
        (leaves_faults_on, SMALL, [f"iommu-memory: probe returned, fqb leads to {OLD}"]),
        (leaves_faults_on, HARDWIRED, []),
    ],
    ids=["off", "on", "hardwired"],
)
def test_a_fault_queue_that_the_kernel_before_has_left_on_is_none_of_the_next_one_s(
    shutdown: Callable[..., Any], text: str, signatures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `fqb` reads back then is taken for hardwired; what is so in fact is nobody's but the IOMMU's."""
    monkeypatch.setattr(HandsOver, "shutdown", shutdown)
    small = Small("latest", (), text)
    small.do(Shutdown(on="cpu0", does="shutdown").round(small.runtime), wait_ps=50 * US)
    assert small.signatures == []
    small.do(ProbeAgain(on="cpu0", does="probe-again").round(small.runtime), wait_ps=300 * US)
    assert small.signatures == signatures


# --- Events by hand --------------------------------------------------------------------------------------------------


def given(time: int, address: int, size: int = 0x1000) -> PageAllocated:
    return PageAllocated(time, "cpu0.t", address, size, 0, "queue")


def freed(time: int, address: int, size: int = 0x1000) -> PageFreed:
    return PageFreed(time, "cpu0.t", address, size, "queue")


def uses(time: int, address: int, size: int = 0x2000, *, mode: str = "on", hardwired: bool = False) -> StructureUsed:
    return StructureUsed(time, "iommu0", "fqb", mode, address, size, hardwired)


ENDED, PROBED = KernelEnded(50), IommuProbed(100, "iommu0")
LEADS = "memory freed, fqb leads there"
NOBODY = "probe returned, fqb leads to memory that nobody has given out"
BEFORE = f"probe returned, fqb leads to {OLD}"


@pytest.mark.parametrize(
    ("address", "size", "kinds"),
    [
        (0x8000, 0x1000, [LEADS]),
        (0x9000, 0x1000, [LEADS]),
        (0x0, 0x1_0000, [LEADS]),
        (0x7000, 0x1000, []),
        (0xA000, 0x1000, []),
    ],
    ids=["the first page", "the last", "more than it", "in front", "behind"],
)
def test_a_block_that_is_freed_is_held_against_all_that_a_register_leads_to(
    address: int, size: int, kinds: list[str]
) -> None:
    assert found(IommuMemory, uses(10, 0x8000), freed(20, address, size)) == kinds
    off = uses(15, 0x8000, 0, mode="off")
    assert found(IommuMemory, uses(10, 0x8000), off, freed(20, address, size)) == []


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ([given(1, 0x8000, 0x2000), uses(10, 0x8000)], []),
        ([given(1, 0x4000, 0x8000), uses(10, 0x8000)], []),
        ([given(1, 0x8000, 0x1000), uses(10, 0x8000)], [NOBODY]),
        ([given(1, 0x9000, 0x4000), uses(10, 0x8000)], [NOBODY]),
        ([uses(10, 0x8000)], [NOBODY]),
        ([uses(10, 0x8000, hardwired=True)], []),
        ([given(1, 0x8000, 0x2000), uses(10, 0x8000), ENDED], [BEFORE]),
        ([given(1, 0x8000, 0x2000), ENDED, uses(60, 0x8000)], [BEFORE]),
        ([given(1, 0x8000, 0x2000), uses(10, 0x8000), ENDED, KernelEnded(60)], [BEFORE]),
        ([given(1, 0x8000, 0x2000), ENDED, freed(55, 0x8000), given(56, 0x8000, 0x2000), uses(60, 0x8000)], []),
        ([uses(10, 0x8000, hardwired=True), ENDED], []),
        ([StructureUsed(10, "iommu0", "ddtp", "bare", 0, 0, False)], []),
        ([StructureUsed(10, "iommu1", "fqb", "on", 0x8000, 0x2000, False)], []),
    ],
)
def test_what_a_register_leads_to_when_a_probe_returns_was_given_out_by_this_kernel(
    events: list[object], kinds: list[str]
) -> None:
    assert found(IommuMemory, *events, PROBED) == kinds


def test_a_removal_is_of_one_iommu_and_tells_all_that_is_on() -> None:
    on = [uses(10, 0x8000), StructureUsed(12, "iommu0", "ddtp", "lvl1", 0x4000, 0x1000, False)]
    kinds = ["removed, the fault queue is on", "removed, the directory is lvl1"]
    assert found(IommuMemory, *on, IommuRemoved(20, "iommu0")) == kinds
    assert found(IommuMemory, *on, IommuRemoved(20, "iommu1")) == []
    assert found(IommuMemory, uses(10, 0x8000), uses(11, 0x8000, 0, mode="off"), IommuRemoved(20, "iommu0")) == []


def test_a_message_says_what_is_on_and_since_when() -> None:
    (first,) = judged(IommuMemory, uses(10_000, 0x8000), freed(20_000, 0x8000))
    assert first.message == (
        "cpu0.t freed 0x8000 (queue) at 20 ns, which is in the fault queue of iommu0 (fqb in use since 10 ns)"
    )
    assert (first.time_ps, first.since_ps) == (20_000, 10_000)
