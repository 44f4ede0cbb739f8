"""How long what was unmapped stays within reach: up to the end of the first flush that began once it was queued."""

from __future__ import annotations

from cosim.events import FlushEnded, FlushGivenUp, FlushQueued
from cosim.sim.simulation import Sim
from cosim.study.run.exposures import Exposures
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin


class Queues:
    """The flush queues of a run whose window opens at 100 ps, unless it never does."""

    def __init__(self, *, opens: bool = True) -> None:
        self.sim = Sim()
        window = Window(self.sim, 0, Origin())
        self._exposures = Exposures(self.sim, window)
        if opens:
            window.opened = 100

    def queued(self, *times: int, domain: str = "nic0") -> None:
        """A range is queued at each of these times, by which its IOVA is known."""
        for time in times:
            self.sim.probe(FlushQueued)(FlushQueued(time, "cpu0.t", "cpu0", domain, time << 12, 4096))

    def given_up(self, queued: int, domain: str = "nic0") -> None:
        self.sim.probe(FlushGivenUp)(FlushGivenUp(queued + 1, domain, queued << 12))

    def flushed(self, began: int, ended: int, domain: str = "nic0") -> None:
        self.sim.probe(FlushEnded)(FlushEnded(ended, domain, began))

    @property
    def found(self) -> dict[str, tuple[float, ...]]:
        """By domain how many ranges were flushed, and how long they were exposed on average and at most."""
        numbers = self._exposures.numbers()
        domains = dict.fromkeys(name.partition(".")[0] for name in numbers)
        return {
            domain: tuple(numbers[f"{domain}.exposed.{what}"] for what in ("ranges", "mean_ps", "max_ps"))
            for domain in domains
        }


def test_a_flush_reaches_what_was_queued_by_its_beginning_and_the_next_one_the_rest() -> None:
    queues = Queues()
    queues.queued(110, 120, 121, 140)
    queues.flushed(120, 150)
    assert queues.found == {"nic0": (2, 35, 40)}
    queues.flushed(150, 160)
    assert queues.found == {"nic0": (4, (40 + 30 + 39 + 20) / 4, 40)}
    queues.flushed(160, 200)
    assert queues.found["nic0"][0] == 4, "nothing is flushed twice"


def test_a_flush_reaches_what_its_own_domain_has_unmapped() -> None:
    queues = Queues()
    queues.queued(110)
    queues.queued(115, domain="nic1")
    queues.flushed(120, 130, domain="nic1")
    assert queues.found == {"nic1": (1, 15, 15)}


def test_what_was_queued_before_the_window_opened_does_not_count() -> None:
    queues = Queues()
    queues.queued(99, 100)
    queues.flushed(100, 130)
    assert queues.found == {"nic0": (1, 30, 30)}
    early = Queues(opens=False)
    early.queued(110)
    early.flushed(120, 130)
    assert early.found == {}


def test_a_range_whose_flush_has_failed_does_not_count() -> None:
    queues = Queues()
    queues.queued(110, 112)
    queues.queued(110, domain="nic1")
    queues.given_up(110)
    for domain in ("nic0", "nic1"):
        queues.flushed(120, 130, domain=domain)
    assert queues.found == {"nic0": (1, 18, 18), "nic1": (1, 20, 20)}
