"""What is gathered from each request: which latencies count, under which name, and who is told of failures."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.events import DmaDone
from cosim.sim.simulation import Sim
from cosim.sim.spent import Parts, spent_in
from cosim.study.gather.event_digest import EventDigest
from cosim.study.gather.latencies_by_name import LatenciesByName
from cosim.study.gather.requests import Requests
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin


class Gathered:
    """Requests of a run whose window opens at 100 ps."""

    def __init__(self) -> None:
        sim = Sim()
        window = Window(sim, 0, Origin())
        self.latencies = LatenciesByName(sim, window)
        self.requests = Requests(EventDigest(sim), self.latencies)
        self.told: list[int] = []
        self.requests.listeners.append(lambda event: self.told.append(event.sequence))
        window.opened = 100
        for call in window.on_open:
            call()

    def over(
        self, sequence: int, status: str = "SUCCESS", *, issued: int = 100, write: bool = False, purpose: str = "data"
    ) -> None:
        parts: Mapping[str, int] = Parts(spent_in({"link": 1000}))
        self.requests.done(DmaDone(issued + 1000, "nic0", 1, sequence, 0, 8, write, issued, status, parts, purpose))

    @property
    def counts(self) -> dict[str, int]:
        return {name: latency.count for name, latency in self.latencies.summaries().items()}


def test_a_latency_counts_if_its_request_was_issued_inside_the_window():
    gathered = Gathered()
    gathered.over(1, issued=99)
    assert (gathered.counts, gathered.latencies.ended) == ({}, 1)
    gathered.over(2, issued=100)
    assert (gathered.counts, gathered.latencies.ended) == ({"nic0.read": 1}, 2)


def test_each_kind_of_request_is_gathered_under_its_name():
    gathered = Gathered()
    for write in (False, True, True):
        gathered.over(1, write=write)
    for purpose, write in (("fetch", False), ("status", True)):
        gathered.over(1, write=write, purpose=purpose)
    assert gathered.counts == {"nic0.fetch": 1, "nic0.read": 1, "nic0.status": 1, "nic0.write": 2}


def test_failures_and_the_end_of_each_row_of_them_are_told():
    gathered = Gathered()
    for sequence, status in enumerate(["SUCCESS", "UR", "CA", "SUCCESS", "SUCCESS"]):
        gathered.over(sequence, status)
    assert gathered.told == [1, 2, 3]
