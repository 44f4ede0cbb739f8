"""The first oracle: a DMA committed through a translation whose unmap has returned."""

from cosim.events import Attached, DmaCommitted, Mapped, Unmapped
from cosim.oracles import StaleDma, Violation


def dma(time: int, address: int, iova: int = 0x1000, who: str = "nic0") -> DmaCommitted:
    return DmaCommitted(time, who, 1, 0, iova, address, 64, True, time)


def judged(*events: object) -> list[Violation]:
    found: list[Violation] = []
    listeners = dict(StaleDma(found.append).listeners())
    for event in events:
        listeners[type(event)](event)
    return found


ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "shared")
MAP = Mapped(10, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
UNMAP = Unmapped(100_000, "cpu0.t", "shared", 0x1000, 0x1000)


def test_dma_before_the_unmap_returns_is_legal():
    assert not judged(ATTACH, MAP, dma(50_000, 0x8000_0040), UNMAP)


def test_dma_after_the_unmap_returned_is_a_violation_that_says_since_when():
    (found,) = judged(ATTACH, MAP, UNMAP, dma(130_000, 0x8000_0040))
    assert found.since_ps == 100_000
    assert found.message == (
        "nic0 (device 1) wrote 0x80000040 by IOVA 0x1000 at 130 ns, 30 ns after its unmap from shared returned"
    )


def test_the_old_page_stays_forbidden_when_the_iova_is_mapped_again():
    again = Mapped(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_5000)
    assert not judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_5000))
    assert judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_0000))


def test_mapping_the_same_page_again_makes_it_legal_again():
    again = Mapped(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
    assert not judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_0000))


def test_a_translation_of_a_domain_that_the_device_left_is_a_violation():
    leave = Attached(200_000, "cpu0.t", "nic0", (1,), "other")
    (found,) = judged(ATTACH, MAP, leave, dma(230_000, 0x8000_0000))
    assert "30 ns after it was detached from shared" in found.message


def test_a_map_that_is_visible_before_it_returns_is_legal():
    assert not judged(ATTACH, dma(5_000, 0x8000_0000), MAP)


def test_each_page_of_a_range_is_judged_by_itself():
    map_two = Mapped(10, "cpu0.t", "shared", 0x1000, 0x2000, 0x8000_0000)
    assert not judged(ATTACH, map_two, UNMAP, dma(130_000, 0x8000_1000, 0x2000))
    assert judged(ATTACH, map_two, UNMAP, dma(130_000, 0x8000_0000, 0x1000))
