"""The oracle of isolation: a device reaches only what is mapped for it, where that is, as it may."""

from __future__ import annotations

import pytest

from cosim.events import Attached, Attaching, DmaCommitted, MapBegun, Mapped, UnmapBegun, Unmapped
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.translate import process
from cosim.hw.iommu.translate.leaf import Leaf
from cosim.oracles import ForeignDma, StaleDma
from cosim.spec.pagetable import PAGE
from cosim.sw.iommu_ops import Prot
from tests.oracles.judging import Small, judged, said

ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "mine")
MAP = Mapped(10, "cpu0.t", "mine", 0x1000, 0x2000, 0x8000_0000)
OTHERS = Mapped(10, "cpu0.t", "theirs", 0x5000, 0x1000, 0x9000_0000)


def dma(address: int, iova: int = 0x1000, *, write: bool = False, who: str = "nic0") -> DmaCommitted:
    return DmaCommitted(500_000, who, 1, 0, iova, address, 64, write, 0, "iommu0")


def signatures(*events: object) -> list[str]:
    return [violation.signature.removeprefix("foreign-dma: ") for violation in judged(ForeignDma, *events)]


@pytest.mark.parametrize(
    "events",
    [
        (ATTACH, MAP, dma(0x8000_0008, 0x1008), dma(0x8000_1000, 0x2000, write=True)),
        (ATTACH, MapBegun(5, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000), dma(0x8000_0000)),
        (ATTACH, MAP, UnmapBegun(20, "cpu0.t", "mine", 0x1000, 0x2000), dma(0x8000_0000)),
        (ATTACH, MAP, Unmapped(30, "cpu0.t", "mine", 0x1000, 0x2000), dma(0x8000_0000)),
        (ATTACH, OTHERS, Attaching(20, "cpu0.t", "nic0", "theirs"), dma(0x9000_0000, 0x5000)),
        (Attached(0, "cpu0.boot", "nic0", (1,), "identity"), dma(0x8000_0000, 0x8000_0000, write=True)),
        (dma(0x8000_0000, 0x8000_0000, who="nic7"),),
    ],
    ids=["mapped", "being mapped", "being unmapped", "unmapped", "entering", "identity", "no IOMMU"],
)
def test_what_is_mapped_for_a_device_or_was_is_its_own(events: tuple[object, ...]):
    assert not signatures(*events)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ((ATTACH, MAP, dma(0x8000_1000)), "read of another frame than the page's"),
        ((ATTACH, MAP, dma(0x8000_0010, 0x1008)), "read of another frame than the page's"),
        ((ATTACH, MAP, OTHERS, dma(0x9000_0000, 0x5000, write=True)), "write of a page of another domain"),
        (
            (ATTACH, MapBegun(10, "cpu0.t", "theirs", 0x5000, 0x1000, 0x9000_0000), dma(0x9000_0000, 0x5000)),
            "read of a page of another domain",
        ),
        (
            (ATTACH, OTHERS, Unmapped(30, "cpu0.t", "theirs", 0x5000, 0x1000), dma(0x9000_0000, 0x5000)),
            "read of a page unmapped from another domain",
        ),
        (
            (ATTACH, OTHERS, Unmapped(30, "cpu0.t", "theirs", 0x5000, 0x1000), dma(0x8000_4000, 0x5000)),
            "read of a page that is not mapped",
        ),
        ((ATTACH, MAP, dma(0x8000_4000, 0x5000)), "read of a page that is not mapped"),
        (
            (ATTACH, Mapped(10, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000, "r"), dma(0x8000_0000, write=True)),
            "write of a page without that permission",
        ),
        (
            (
                *(ATTACH, MAP, Unmapped(30, "cpu0.t", "mine", 0x1000, 0x2000)),
                Mapped(40, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000, "r"),
                dma(0x8000_0000, write=True),
            ),
            "write of a page without that permission",
        ),
        (
            (ATTACH, MAP, Mapped(40, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000, "r"), dma(0x8000_0000, write=True)),
            "write of a page without that permission",
        ),
        ((Attached(0, "cpu0.boot", "nic0", (1,), ""), dma(0x8000_0000)), "read of a page that is not mapped"),
        ((dma(0x8000_0000),), "read of a device in no domain"),
    ],
)
def test_what_is_not_is_told_by_whose_it_is(events: tuple[object, ...], kind: str):
    assert signatures(*events) == [kind]


@pytest.mark.parametrize("oracle", [ForeignDma, StaleDma])
@pytest.mark.parametrize(
    ("events", "enough"),
    [
        ((ATTACH, MAP, dma(0x8000_0000)), True),
        ((ATTACH, MapBegun(5, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000), dma(0x8000_0000)), False),
        ((ATTACH, MAP, Unmapped(30, "cpu0.t", "mine", 0x1000, 0x2000), dma(0x8000_0000)), False),
        ((ATTACH, MAP, dma(0x8000_1000)), False),
        ((dma(0x8000_0000),), False),
    ],
    ids=["mapped", "being mapped", "unmapped", "elsewhere", "in no domain"],
)
def test_an_access_stands_for_those_alike_that_come_later_only_through_what_is_mapped(
    oracle: type[ForeignDma | StaleDma], events: tuple[object, ...], enough: bool
):
    """A map that is under way may fail, and the next one begin to lead elsewhere. What is wrong counts each time."""
    assert said(oracle, *events) is enough


def test_a_violation_says_where_the_device_is():
    (found,) = judged(ForeignDma, ATTACH, OTHERS, dma(0x9000_0000, 0x5000))
    assert found.message == (
        "nic0 (device 1) read 0x90000000 by IOVA 0x5000 at 500 ns, which is theirs's, and the device is in mine"
    )


# --- In a system -------------------------------------------------------------------------------------------------


def test_translations_that_lead_to_the_neighbouring_frame_are_seen(monkeypatch: pytest.MonkeyPatch):
    done = process.Translation._done

    def next_frame(self: process.Translation, txn: Transaction, space: object, address: int, hit: str) -> None:
        done(self, txn, space, address + PAGE, hit)

    right, wrong = Small(), Small()
    for small in (right, wrong):
        iova, _ = small.map("nic0")
        if small is wrong:
            monkeypatch.setattr(process.Translation, "_done", next_frame)
        small.dma("nic0", iova)
    assert right.signatures == []
    assert wrong.signatures == ["foreign-dma: read of another frame than the page's"]


def test_a_permission_that_the_iommu_does_not_mind_is_seen(monkeypatch: pytest.MonkeyPatch):
    small = Small()
    iova, _ = small.map("nic0", Prot.READ)
    small.dma("nic0", iova)
    small.dma("nic0", iova, write=True)
    assert small.signatures == []
    for field, anything in (("grants", ~0), ("must_update", (False, False))):
        monkeypatch.setattr(Leaf, field, property(lambda leaf, anything=anything: anything, lambda leaf, value: None))
    small.dma("nic0", iova, write=True)
    assert small.signatures == ["foreign-dma: write of a page without that permission"]


@pytest.mark.parametrize(
    ("attach", "found"), [("bond-first", []), ("no-old-flush", ["foreign-dma: read of a page of another domain"])]
)
def test_a_domain_that_inherits_a_pscid_with_its_translations_is_seen(attach: str, found: list[str]):
    """Defect C3: nic0 leaves X, X and its PSCID are freed, Z takes the PSCID; nic1, in Z, is answered with X's."""
    small = Small(sets=[f"driver.attach={attach}"])
    small.make("x")
    iova, _ = small.map("x")
    small.move("nic0", "x")
    small.dma("nic0", iova)
    small.move("nic0", "nic0")
    small.free("x")
    small.make("z")
    assert small.map("z")[0] == iova
    small.move("nic1", "z")
    small.dma("nic1", iova)
    assert [signature for signature in small.signatures if signature.startswith("foreign-dma")] == found
