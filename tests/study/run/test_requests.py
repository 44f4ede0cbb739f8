"""What is gathered from requests and calls: which latencies count, under which name, and who is told of failures."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.events import CallDone, DmaDone
from cosim.sim.simulation import Sim
from cosim.sim.spent import Parts, spent_in
from cosim.study.gather.event_digest import EventDigest
from cosim.study.gather.latencies_by_name import LatenciesByName
from cosim.study.gather.requests import Requests
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin


class Gathered:
    """Requests and calls of a run whose window opens at 100 ps, at once unless it is to `open` later."""

    def __init__(self, *, opens: bool = True) -> None:
        sim = Sim()
        self.window = Window(sim, 0, Origin())
        self.latencies = LatenciesByName(sim, self.window)
        self.requests = Requests(EventDigest(sim), self.latencies)
        self.told: list[int] = []
        self.requests.listeners.append(lambda event: self.told.append(event.sequence))
        self._call_done = sim.probe(CallDone)
        if opens:
            self.open()

    def open(self) -> None:
        self.window.opened = 100
        for call in self.window.on_open:
            call()

    def over(
        self, sequence: int, status: str = "SUCCESS", *, issued: int = 100, write: bool = False, purpose: str = "data"
    ) -> None:
        parts: Mapping[str, int] = Parts(spent_in({"link": 1000}))
        self.requests.done(DmaDone(issued + 1000, "nic0", 1, sequence, 0, 8, write, issued, status, parts, purpose))

    def returned(self, call: str = "map", *, began: int = 100) -> None:
        self._call_done(CallDone(began + 1000, "cpu0.t", call, began, Parts(spent_in({"cpu": 1000})), ""))

    @property
    def counts(self) -> dict[str, int]:
        return {name: latency.count for name, latency in self.latencies.summaries().items()}


def test_a_latency_counts_if_its_request_was_issued_inside_the_window():
    gathered = Gathered()
    gathered.over(1, issued=99)
    assert (gathered.counts, gathered.latencies.ended) == ({}, 1)
    gathered.over(2, issued=100)
    assert (gathered.counts, gathered.latencies.ended) == ({"nic0.read": 1}, 2)


def test_a_latency_and_the_rate_of_calls_count_those_that_began_inside_the_window():
    gathered = Gathered()
    gathered.returned(began=99)
    assert (gathered.counts, gathered.latencies.rates(1000), gathered.latencies.ended) == ({}, {}, 1)
    gathered.returned(began=100)
    gathered.returned("unmap", began=101)
    gathered.returned("unmap", began=2000)
    assert gathered.counts == {"cpu0.t.map": 1, "cpu0.t.unmap": 2}
    assert gathered.latencies.rates(1_000_000) == {"cpu0.t.map.per_s": 1e6, "cpu0.t.unmap.per_s": 2e6}
    assert gathered.latencies.ended == 4


def test_what_ends_before_the_window_opens_counts_nowhere():
    gathered = Gathered(opens=False)
    gathered.over(1, issued=100)
    gathered.returned(began=100)
    gathered.open()
    assert (gathered.counts, gathered.latencies.rates(1000), gathered.latencies.ended) == ({}, {}, 0)


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
