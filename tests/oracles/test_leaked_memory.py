"""The oracle of leaks: at the end of a run something points to all that is in use, or has put it aside on purpose."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.events import ContextChanged, KernelLog, Leaked, NumberLost
from cosim.oracles import LeakedMemory, Violation
from cosim.oracles.bounds import Bounds
from cosim.spec.translation import DcTa
from cosim.sw.contract import WrongThing
from cosim.sw.driver.device import IN_DOUBT, IommuDevice
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.numbers import NUMBERED, OF, lost_numbers
from cosim.sw.driver.policies.pscid import EVERY, PerIommuPscids, Shared
from cosim.units.quantities import MS, US
from tests.oracles.judging import Small
from tests.oracles.judging import judged as books_judged

MOVES = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}, other: {}}
threads:
  - {on: cpu0, does: attach-detach, devices: nic0, domains: other, detach: false, count: 1}
run: {until: 60 us}
"""
DRIVER = """
from dataclasses import dataclass

from cosim.sw.driver.policies.bonds import Grouped


@dataclass(frozen=True)
class Loses(Grouped):
    async def dispose(self, driver, bond):
        pass


@dataclass(frozen=True)
class Quarantines(Grouped):
    async def dispose(self, driver, bond):
        driver.kernel.pages.quarantine(bond.address, "its fence has failed")
"""


def run(folder: Path, bonds: str = "") -> cosim.Result:
    topology, driver = folder / "moves.yaml", folder / "driver.py"
    topology.write_text(MOVES, encoding="utf-8")
    driver.write_text(DRIVER, encoding="utf-8")
    return cosim.run(topology, driver=f"{driver}:{bonds}" if bonds else "merged")


def judged(*events: object) -> list[Violation]:
    found: list[Violation] = []
    listeners = dict(LeakedMemory(found.append, Bounds()).listeners())
    for event in events:
        listeners[type(event)](event)
    return found


LEAKED = Leaked(500_000, "cpu0.t", 0x8000_0000, 64, "Bond", 480_000)


@pytest.mark.slow
def test_a_bond_that_is_unlinked_and_never_freed_is_a_leak_and_one_that_is_freed_later_is_none(tmp_path: Path) -> None:
    assert not run(tmp_path).violations, "kfree_rcu still has it"
    assert list(run(tmp_path, "Loses").signatures) == ["leaked-memory: Bond is lost"]


@pytest.mark.slow
def test_what_is_quarantined_is_no_leak_and_is_counted(tmp_path: Path) -> None:
    result = run(tmp_path, "Quarantines")
    assert not result.violations
    assert result.scalars["kernel.quarantined"] == 1


def test_a_leak_says_what_is_lost_and_whose_it_was() -> None:
    (found,) = judged(LEAKED)
    assert found.signature == "leaked-memory: Bond is lost"
    assert found.message == (
        "nothing points to 0x80000000 (Bond, 64 bytes) at the end, which cpu0.t allocated at 480 ns"
    )
    assert found.since_ps == 480_000
    (found,) = judged(replace(LEAKED, place="queue.c:7, in own_start"))
    assert found.message.endswith("allocated at 480 ns (queue.c:7, in own_start)")
    assert found.signature == "leaked-memory: Bond is lost"


def test_after_an_oops_what_the_thread_held_is_not_judged() -> None:
    oops = KernelLog(1, "cpu0.t", "oops", "null pointer")
    assert not judged(oops, LEAKED)
    assert not judged(oops, KernelLog(2, "cpu1.u", "warning", "page allocation failure"), LEAKED)
    assert judged(KernelLog(1, "cpu0.t", "error", "no memory"), LEAKED)
    assert judged(KernelLog(1, "cpu0.t", "warning", "page allocation failure"), LEAKED)


@pytest.mark.parametrize(("purpose", "lost"), [("spare", []), ("ddt", ["ddt"])])
def test_a_page_that_is_kept_until_its_iommu_goes_is_no_leak_unless_it_is_to_be_in_the_directory(
    purpose: str, lost: list[str]
) -> None:
    small = Small()
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    core, pages, kept = small.runtime.core, small.runtime.kernel.pages, list[int]()

    async def keep() -> None:
        iommu = IommuDevice(core.iommus["iommu1"].address)
        kept.append(int(await driver.keep_page(iommu, purpose=purpose)))

    small.do(keep())
    assert [each.purpose for each in small.system.leaks()] == lost
    small.do(core.remove_iommu("iommu1"), wait_ps=1 * MS)
    assert kept[0] not in [each.address for each in pages.in_use()]
    assert not small.system.leaks()


# --- PSCIDs -----------------------------------------------------------------------------------------------------------

LOST = NumberLost(500_000, "PSCIDs of iommu0", "iommu0", 3)


def test_a_pscid_that_no_context_names_is_lost() -> None:
    valid = ContextChanged(3, "iommu0", 1, "tc", 1)
    names = [ContextChanged(1, "iommu0", 1, "ta", DcTa.of(pscid=3)), ContextChanged(2, "iommu0", 1, "fsc", 8 << 60)]
    elsewhere = [replace(each, who="iommu1") for each in (*names, valid)]
    assert [each.signature for each in books_judged(LeakedMemory, LOST)] == ["leaked-memory: a PSCID is lost"]
    assert not books_judged(LeakedMemory, *names, valid, LOST)
    assert books_judged(LeakedMemory, *elsewhere, LOST)
    assert not books_judged(LeakedMemory, *elsewhere, replace(LOST, iommu=""))
    assert books_judged(LeakedMemory, *names, LOST), "the context is not valid"
    assert not books_judged(LeakedMemory, KernelLog(1, "cpu0.t", "oops", "null pointer"), LOST)


class Lossy(Shared):
    """The number of a domain that is freed is not given back."""

    async def died(self, driver, domain):  # type: ignore[no-untyped-def]
        await driver.policies.tables.free(driver, domain)


class LossyTags(PerIommuPscids):
    """A number that is taken for a device is not given back."""

    async def drop(self, driver, iommu, domain):  # type: ignore[no-untyped-def]
        tag = await self._find(iommu, domain)
        await tag.list.delete()
        await driver.kernel.pages.delete(tag)


@pytest.mark.parametrize(
    ("pscid", "lost"),
    [
        (Shared, []),
        (PerIommuPscids, []),
        (Lossy, [("", 4)]),
        (LossyTags, [("iommu0", 2), ("iommu0", 3), ("iommu1", 1)]),
    ],
)
def test_a_number_that_is_taken_and_that_no_object_names_is_found(pscid: type[Shared], lost: list[object]) -> None:
    small = Small(
        sets=["driver.pscid=per-iommu", "driver.bonds=holds-iommu"] if issubclass(pscid, PerIommuPscids) else []
    )
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    driver.policies = replace(driver.policies, pscid=pscid())
    small.make("other")
    small.make("third")
    assert not lost_numbers(driver, small.system.kernel.stored())
    small.move("nic1", "other")
    small.move("nic1", "third")
    small.move("nic2", "third")
    small.free("other")
    assert [each[1:] for each in lost_numbers(driver, small.system.kernel.stored())] == lost
    small.system.end([])
    assert small.signatures == ["leaked-memory: a PSCID is lost"] * bool(lost)


def test_a_number_is_not_judged_while_a_thread_may_hold_it_or_has_died() -> None:
    for state in ("_running", "kernel.died"):
        small = Small()
        driver = small.runtime.driver
        assert isinstance(driver, Driver)
        small.do(driver.policies.pscid.ids(driver).alloc())
        attrgetter(state)(small.system)["cpu0.t"] = "null pointer"
        small.system.end([])
        assert not small.signatures


def test_after_a_failed_fence_and_before_a_callback_has_returned_no_number_is_lost() -> None:
    small = Small()
    driver, kernel = small.runtime.driver, small.system.kernel
    assert isinstance(driver, Driver)
    small.do(driver.policies.pscid.ids(driver).alloc())
    assert [each.number for each in lost_numbers(driver, {})] == [4]

    async def nothing() -> None:
        """Nothing."""

    small.do(kernel.rcu.call(nothing), wait_ps=5 * US)
    assert not lost_numbers(driver, {})
    small.wait(100 * MS)
    assert lost_numbers(driver, {})
    (iommu,) = (one for one in kernel.pages.in_use() if one.purpose == "IommuDevice" and _is_first(driver, one.address))
    assert not lost_numbers(driver, {int(IommuDevice(iommu.address).state.address): IN_DOUBT})
    kernel.pages.quarantine(next(one.address for one in kernel.pages.in_use() if one.purpose == "Bond"), "a fence")
    assert not lost_numbers(driver, {})


def test_a_number_in_any_word_of_what_is_the_users_own_is_not_lost() -> None:
    small = Small()
    driver, kernel = small.runtime.driver, small.system.kernel
    assert isinstance(driver, Driver)
    small.do(driver.policies.pscid.ids(driver).alloc())
    small.do(kernel.pages.kmalloc(64, purpose="Mine"))
    (lost,) = lost_numbers(driver, {})
    (mine,) = (one for one in kernel.pages.in_use() if one.purpose == "Mine")
    for offset in (0, 8, mine.size - 8):
        assert not lost_numbers(driver, {mine.address + offset: lost.number})
    assert lost_numbers(driver, {mine.address + mine.size: lost.number}) == [lost]


@pytest.mark.parametrize(
    ("ids", "iommu", "named"),
    [
        ("iommu0", "iommu0", True),
        ("iommu0", "iommu1", False),
        ("iommu0", "", True),
        (EVERY, "iommu1", True),
        (EVERY, "", True),
    ],
)
def test_a_number_is_named_by_what_is_of_its_iommu_or_does_not_say_of_which_it_is(
    ids: str, iommu: str, named: bool
) -> None:
    """One for all IOMMUs is named whichever it is said to be of."""
    small = Small()
    driver, in_use = small.runtime.driver, small.system.kernel.pages.in_use
    assert isinstance(driver, Driver)
    for _ in range(9):
        small.do(driver.policies.pscid.ids(driver, ids).alloc())
    *_, lost = lost_numbers(driver, {})
    bond = next(one.address for one in in_use() if one.purpose == "Bond")
    iommus = [one.address for one in in_use() if one.purpose == "IommuDevice"]
    known = {driver.hardware(IommuDevice(address)).name: address for address in iommus}
    words = {bond + OF["Bond"]: known.get(iommu, 0), bond + NUMBERED["Bond"]: lost.number}
    assert (lost not in lost_numbers(driver, words)) is named


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ({"mine": [7]}, r"driver\.ids\['mine'\] as \[7\], which is not an Ida"),
        ([7], r"driver\.ids as \[7\], which is not a dict"),
    ],
)
def test_a_policy_that_keeps_something_else_than_allocators_is_named(ids: Any, said: str) -> None:
    small = Small()
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    driver.policies = replace(driver.policies, pscid=Lossy())
    driver.ids = ids
    with pytest.raises(WrongThing, match=f"^Lossy leaves {said}$") as failed:
        small.system.end([])
    assert failed.value.method is vars(Lossy)["died"]


def _is_first(driver: Driver, address: int) -> bool:
    return driver.hardware(IommuDevice(address)).name == "iommu0"
