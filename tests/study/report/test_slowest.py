"""The report of the slowest: a line for each step that is long or waits for somebody."""

from __future__ import annotations

from cosim.study.report.page import Page
from cosim.study.report.slowest import slowest
from cosim.study.slowest.slow import Slow, Step
from cosim.study.slowest.slowest import Slowest
from tests.study.run.results import result

STEPS = (
    Step("slot", 1_000_000, 40_000, "nic0 #6"),
    Step("link", 1_040_000, 50_000),
    Step("iotlb", 1_090_000, 1),
    Step("walker_wait", 1_090_001, 1_000, "the walk of disk0 #3"),
    Step("memory", 1_091_001, 80_000),
)
CALL = (
    Step("cpu", 0, 900_000, call="unmap"),
    Step("fence", 900_000, 100_000, "commands of iommu0: 2 of cpu1.x", "cmd_sync"),
)


def lines(*, requests: tuple[Slow, ...] = (), calls: tuple[Slow, ...] = ()) -> list[str]:
    found = slowest(result(slowest=Slowest(requests, calls)), Page(80))
    return [line.plain for line in found]


def test_each_wait_names_whom_it_is_behind_and_what_is_short_is_added_up() -> None:
    request = Slow("nic0.read", "#7, 64 bytes at IOVA 0x1000", 1_000_000, 171_001, STEPS)
    assert lines(requests=(request,)) == [
        "Slowest requests",
        "  nic0.read #7, 64 bytes at IOVA 0x1000: 171 ns from 1.000 us on",
        "         +0.00      40.00 ns   23 %  slot, behind nic0 #6",
        "        +40.00      50.00 ns   29 %  link",
        "        +90.00       1.00 ns    1 %  walker_wait, behind the walk of disk0 #3",
        "        +91.00      80.00 ns   47 %  memory",
        "    and 1 shorter step, 0.001 ns in all",
    ]


def test_a_call_says_in_which_call_it_waited_and_how_it_ended() -> None:
    call = Slow("cpu0.map-unmap.unmap", "failed with ETIMEDOUT", 0, 1_000_000, CALL)
    found = lines(calls=(call,))
    assert found[1] == "  cpu0.map-unmap.unmap, which failed with ETIMEDOUT: 1.00 us from 0.000 us on"
    assert found[3].endswith("fence in cmd_sync, during commands of")
    assert found[4].strip() == "iommu0: 2 of cpu1.x"


def test_without_having_asked_there_is_nothing() -> None:
    assert lines() == []
    assert slowest(result(), Page(80)) == []
