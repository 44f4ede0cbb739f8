"""What is named together, and what is not: blame traced from utilisations that a run might have given back."""

import pytest

from cosim.system.topology import Topology
from tests.study.run.results import NS, SYSTEM, US, latency, limit

BACKLOG = {"nic0.backlog_mean": 5}
"""No request of nic0 ends in the window: what is in the way is told without a latency."""

MORE_PLACES = "-s iommu0.geometry.in_flight=128"
MORE_WALKERS = "-s iommu0.geometry.walkers=8"
FASTER_PORT = "-s 'dram0.bandwidth=32 GB/s'"
FASTER_LINK = "-s 'nic0.bandwidth=32 GB/s'"


def system(read: float = 1.0, **geometry: object) -> Topology:
    """The system of results made by hand, with another IOMMU; nic0 reads this fraction of the time."""
    iommu, nic = SYSTEM.of_kind("iommu")["iommu0"], SYSTEM.of_kind("dma")["nic0"]
    iommu = iommu.model_copy(update={"geometry": iommu.geometry.model_copy(update=geometry)})
    nic = nic.model_copy(update={"traffic": nic.traffic.model_copy(update={"read": read})})
    return SYSTEM.model_copy(update={"parts": {**SYSTEM.parts, "iommu0": iommu, "nic0": nic}})


def full(*names: str, use: float = 1.0) -> dict[str, float]:
    return {f"{name}.utilisation": use for name in names}


def proposed(said: str) -> str:
    return said.partition("; try ")[2]


@pytest.mark.parametrize(
    ("read", "served", "others", "overtaken"),
    [(0.5, 0, 9, True), (0.0, 0, 9, True), (0.5, 3, 9, False), (0.5, 0, 0, False), (1.0, 0, 9, False)],
    ids=["reads and writes", "writes", "writes are served", "no other reads", "no writes"],
)
def test_reads_go_first_where_others_read_and_no_write_is_served(
    read: float, served: int, others: int, overtaken: bool
) -> None:
    reads = {f"{path}.reads": 0 for path in SYSTEM.of_kind("dma")} | {"nic0.reads": 9, "gpu0.reads": others}
    scalars = BACKLOG | reads | {"nic0.writes": served} | full("iommu0.places")
    said = limit({}, scalars, system(read, arbitration="reads-first"))
    assert said.endswith("; try -s iommu0.geometry.arbitration=arrival" if overtaken else f"; try {MORE_PLACES}")
    assert ("with reads, which go first" in said) == overtaken


def test_reads_of_who_passes_no_iommu_take_no_places() -> None:
    devices = {path: nic.model_copy(update={"through": None}) for path, nic in SYSTEM.of_kind("dma").items()}
    behind = system(0.0, arbitration="reads-first")
    alone = behind.model_copy(update={"parts": behind.parts | devices | {"nic0": behind.parts["nic0"]}})
    reads = {f"{path}.reads": 9 for path in devices}
    said = limit({}, BACKLOG | reads | {"nic0.writes": 0} | full("iommu0.places"), alone)
    assert proposed(said) == MORE_PLACES


@pytest.mark.parametrize(
    ("busy", "named"),
    [
        (["dram0.port", "nic0.link_up"], [FASTER_PORT, FASTER_LINK]),
        (["iommu0.places", "nic0.link_down"], [MORE_PLACES, FASTER_LINK]),
        (["dram0.port", "iommu0.walkers", "iommu0.places"], [FASTER_PORT]),
        (["iommu0.walkers", "iommu0.places"], [MORE_WALKERS]),
        ([], ["-s nic0.traffic.outstanding=32"]),
    ],
    ids=["port and link", "places and link", "all that wait for a port", "places that wait for walkers", "slots"],
)
def test_a_device_far_behind_is_told_with_all_that_is_full_and_holds_nothing_else(
    busy: list[str], named: list[str]
) -> None:
    """And with the innermost, even if it is held while its holders wait for what is not full."""
    assert proposed(limit({}, BACKLOG | full(*busy), system())) == " ".join(named)


def test_a_device_far_behind_is_told_with_the_places_that_bound_its_walkers() -> None:
    said = limit({}, BACKLOG | full("iommu0.walkers", "iommu0.places"), system(in_flight=4))
    assert proposed(said) == f"{MORE_WALKERS} -s iommu0.geometry.in_flight=8"


@pytest.mark.parametrize(("use", "named"), [(0.85, True), (0.7, False)])
@pytest.mark.parametrize("way", ["up", "down"])
def test_slots_are_told_with_a_link_that_would_be_full_with_twice_as_many(way: str, use: float, named: bool) -> None:
    reads = latency(link=900 * NS, link_wait=50 * NS, memory=80 * NS)
    said = limit({"nic0.read": reads}, full(f"nic0.link_{way}", use=use), system())
    assert (f"nic0's link {way} " in said) == named
    assert proposed(said) == f"{FASTER_LINK} " * named + "-s nic0.traffic.outstanding=32"


def test_one_place_whose_holder_walks_is_told_with_the_link_that_is_full_as_well() -> None:
    """A second one may wait for that walk, so that the walk is told with it; neither hides the link."""
    reads = latency(place=900 * NS, link_wait=300 * NS, walk=300 * NS, memory=80 * NS)
    scalars = {"iommu0.walkers.busy_ps": 6 * US, "iommu0.places.busy_ps": 10 * US, "iommu0.merge_wait_ps": 0}
    scalars |= {"iommu0.walks": 10, "iommu0.walk_reads": 10}
    one = system(in_flight=1)
    said = limit({"nic0.read": reads}, scalars | full("iommu0.places", "nic0.link_down"), one)
    assert "iommu0's places were 100 % busy and nic0's link down from the IOMMU was 100 % busy; try " in said
    walk = "-s 'dram0.latency=40 ns'"
    assert proposed(said) == f"-s iommu0.geometry.in_flight=2 {walk} {FASTER_LINK}"
    alone = limit({"nic0.read": reads}, scalars | full("iommu0.places"), one)
    assert proposed(alone) == f"-s iommu0.geometry.in_flight=2 {walk}"
    many = limit({"nic0.read": reads}, scalars | full("iommu0.places"), system())
    assert proposed(many) == MORE_PLACES, "of many, not all have the walk to wait for"
    idle = scalars | {"iommu0.walkers.busy_ps": 3 * US} | full("iommu0.places")
    assert proposed(limit({"nic0.read": reads}, idle, one)) == "-s iommu0.geometry.in_flight=2"


def test_what_two_resources_need_is_proposed_once() -> None:
    """A faster port is what the port needs that is full, and a walk that waits at it for most of its time."""
    reads = latency(place=900 * NS, queue=200 * NS, walk=300 * NS, memory=80 * NS)
    scalars = {"iommu0.walkers.busy_ps": 60 * US, "iommu0.places.busy_ps": 100 * US, "iommu0.merge_wait_ps": 0}
    scalars |= {"iommu0.walks": 10, "iommu0.walk_reads": 10, "dram0.reads": 90, "dram0.port.waited_ps": 90 * US}
    said = limit({"nic0.read": reads}, scalars | full("iommu0.places", "dram0.port"), system(in_flight=1))
    assert proposed(said) == f"{FASTER_PORT} -s iommu0.geometry.in_flight=2"


def test_faults_that_wait_for_one_anothers_records_are_told_with_the_recorder_and_no_advice() -> None:
    """With more slots, or more places, more of them would wait; what others wait for places with is the same."""
    reads = latency(fault=7000 * NS, link=40 * NS)
    busy = full("iommu0.fq") | {"iommu0.fq.busy_ps": 10 * US}
    recorder = "iommu0's fault recorder was 100 % busy"
    said = limit({"nic0.read": reads}, busy, system())
    assert (said.partition("; ")[2], proposed(said)) == (recorder, "")
    nearly = limit({"nic0.read": reads}, busy | full("iommu0.fq", use=0.95), system())
    assert ("nic0's slots were 100 % busy" in nearly, proposed(nearly)) == (True, "")
    behind = full("iommu0.places") | {"iommu0.places.busy_ps": 3000 * US}
    others = {"nic0.read": reads, "gpu0.read": latency(place=9000 * NS, memory=80 * NS)}
    said = limit(others, busy | behind, system())
    assert (said.partition("; ")[2], proposed(said)) == (recorder, "")


def test_slots_of_a_device_whose_requests_are_refused_are_not_to_be_more() -> None:
    """It would have more faults: in a record that is its own there is no wait, either."""
    alone = {"nic0.in_flight_mean": 1.0, "iommu0.fq.busy_ps": 220 * US}
    said = limit({"nic0.read": latency(fault=220 * NS, link=40 * NS)}, alone, system())
    assert said == "nothing is saturated: nic0 keeps 1 request in flight, and its latency is 85 % reporting faults"
    said = limit({"nic0.read": latency(fault=220 * NS, memory=240 * NS)}, alone, system())
    assert proposed(said) == "-s nic0.traffic.outstanding=32"
