"""The command queue against queueing theory (A2 of the validation targets): no parameter is fitted.

Means come with a confidence interval from batch means; a formula for another queue must lie outside of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from statistics import mean, stdev
from typing import Any, NamedTuple

import pytest

from cosim.events import CommandExecuted
from cosim.sim.chooser import Chooser
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.stream import Stream
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.queues import Iofence, Iotinval
from cosim.spec.register_map import CQT
from tests.hw.iommu.register_bench import BASE, RING, Bench

MEMORY_PS, FETCH_PS, INVALIDATE_PS = 80_000, 20_000, 40_000
SERVICE_PS = MEMORY_PS + FETCH_PS + INVALIDATE_PS
"""What one command takes the consumer: its read, its decoding, its invalidation."""

BATCHES = 20
T_999 = 3.883
"""The two-sided 99.9 % quantile of Student's t with 19 degrees of freedom."""

LOG2_ENTRIES = 12


class Interval(NamedTuple):
    """A confidence interval for a mean."""

    middle: float
    half: float

    def __contains__(self, x: object) -> bool:
        return isinstance(x, float) and abs(x - self.middle) <= self.half


def batch_means(samples: list[float]) -> Interval:
    """The 99.9 % interval of the mean, from 20 batches that are long enough to be nearly independent."""
    size = len(samples) // BATCHES
    means = [mean(samples[n * size : (n + 1) * size]) for n in range(BATCHES)]
    return Interval(mean(means), T_999 * stdev(means) / sqrt(BATCHES))


class Queue:
    """A command queue that devices, rather than CPUs, put commands into."""

    def __init__(self, seed: int, **options: Any) -> None:
        self.bench = bench = Bench(chooser=Chooser(seed), **options)
        bench.enable(log2_entries=LOG2_ENTRIES)
        self.sim = bench.sim
        self.port = bench.bus.port("submitters")
        self.initiator = self.sim.initiator("submitters")
        self.submitted: list[int] = []
        self.executed: list[int] = []
        self.waiting: dict[int, Gate] = {}
        self.sim.probe(CommandExecuted).watch(self._done)

    def start(self, routine: Iterator[Any]) -> None:
        self.sim.start(routine, self.initiator.rank(Stage.CPU))  # type: ignore[arg-type]

    def submit(self, command: Iotinval | Iofence) -> Iterator[Any]:
        """Write a command behind the tail and ring the doorbell, all in one tick."""
        number = len(self.submitted)
        for n, word in enumerate(command):
            self.bench.memory.poke(RING + 16 * (number % (1 << LOG2_ENTRIES)) + 8 * n, 8, word)
        self.submitted.append(self.sim.now + 1)
        tail = (number + 1) % (1 << LOG2_ENTRIES)
        yield Access(self.port, AccessKind.WRITE, BASE + CQT.offset, 4, CountsFor("mmio"), (tail,))

    def submit_and_wait(self, command: Iofence) -> Iterator[Any]:
        """Submit a command, and go on when it is executed."""
        gate = self.waiting[len(self.submitted)] = Gate(self.sim, 0, "fence")
        yield from self.submit(command)
        yield gate

    def _done(self, event: CommandExecuted) -> None:
        if gate := self.waiting.pop(len(self.executed), None):
            gate.open()
        self.executed.append(event.time)


def poisson(queue: Queue, interval_ps: int, count: int) -> Iterator[Any]:
    """Submit commands at the times of a Poisson process, whatever becomes of them."""
    stream = queue.sim.chooser.stream("arrivals")
    for _ in range(count):
        yield Server(0, "sleep", latency_ps=stream.exponential(interval_ps))
        queue.start(queue.submit(Iotinval.vma(pscid=1, addr=0x1000)))


def waits(load: float, count: int, invalidate_ps: int = INVALIDATE_PS) -> list[float]:
    """How long each of `count` commands waits before it is served, under a load of SERVICE_PS each."""
    timing = {"command_fetch": FETCH_PS, "invalidate_entry": invalidate_ps}
    queue = Queue(1, timing=timing, memory_ps=MEMORY_PS)
    queue.start(poisson(queue, round(SERVICE_PS / load), count))
    queue.bench.run()
    residence = zip(queue.submitted, queue.executed, strict=True)
    return [float(out - entered - SERVICE_PS) for entered, out in residence]


def md1_wait(load: float) -> float:
    return load * SERVICE_PS / (2 * (1 - load))


class TestPoissonSubmissions:
    """M/D/1: Wq = rho S / (2 (1 - rho))."""

    def check(self, load: float, count: int, precision: float) -> None:
        interval = batch_means(waits(load, count))
        assert md1_wait(load) in interval
        assert 2 * md1_wait(load) not in interval, "M/M/1 waits twice as long"
        assert interval.half < precision * interval.middle, "or else the test says nothing"

    def test_a_queue_under_half_load(self) -> None:
        self.check(0.5, 1000, 0.65)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("load", "count", "precision"), [(0.3, 60_000, 0.06), (0.5, 60_000, 0.07), (0.8, 60_000, 0.2)]
    )
    def test_light_and_heavy_load(self, load: float, count: int, precision: float) -> None:
        self.check(load, count, precision)

    @pytest.mark.slow
    def test_a_consumer_that_is_a_tenth_slower_is_noticed(self) -> None:
        slower = batch_means(waits(0.5, 60_000, INVALIDATE_PS + SERVICE_PS // 10))
        assert md1_wait(0.5) not in slower

    def test_the_first_command_of_a_busy_period_waits_for_nothing_but_the_wake_up(self) -> None:
        assert min(waits(0.5, 200)) == 1.0


def mva(submitters: int, think_ps: float, service_ps: float) -> float:
    """Exact throughput of M/M/1//N, in commands per picosecond: R = S (1 + Q), X = n / (Z + R), Q = X R."""
    queued = throughput = 0.0
    for n in range(1, submitters + 1):
        response = service_ps * (1 + queued)
        throughput = n / (think_ps + response)
        queued = throughput * response
    return throughput


def thinker(queue: Queue, stream: Stream, think_ps: int) -> Iterator[Any]:
    """Think, submit a fence, wait for it, and so on."""
    while True:
        yield Server(0, "sleep", latency_ps=stream.exponential(think_ps))
        yield from queue.submit_and_wait(Iofence.c())


def throughputs(submitters: int, think_ps: int, service_ps: int, batches_ps: int, *, exponential: bool) -> list[float]:
    """Commands per picosecond in each of 20 stretches of time, after one to warm up."""
    queue = Queue(2, timing={} if exponential else {"fence": service_ps})
    if exponential:  # stalls of exponential length are the service; all else takes a few picoseconds
        draw = queue.sim.chooser.stream("service")
        total = 4 * (BATCHES + 1) * batches_ps // service_ps
        queue.bench.commands.stall(0, *(draw.exponential(service_ps) for _ in range(total)))
    for n in range(submitters):
        queue.start(thinker(queue, queue.sim.chooser.stream(f"thinker{n}"), think_ps))
    counts = []
    for n in range(BATCHES + 1):
        before = len(queue.executed)
        queue.bench.run((n + 1) * batches_ps)
        counts.append((len(queue.executed) - before) / batches_ps)
    return counts[1:]


class TestClosedLoop:
    """N submitters that each wait for their own fence: Z = 1.4 us of thinking, S = 140 ns of service."""

    THINK_PS = 10 * SERVICE_PS

    @pytest.mark.parametrize(("submitters", "services"), [(1, 400), (8, 100)])
    def test_throughput_is_that_of_mean_value_analysis(self, submitters: int, services: int) -> None:
        self.check(submitters, services * SERVICE_PS, 0.25)

    @pytest.mark.slow
    @pytest.mark.parametrize("submitters", [2, 4, 16, 32])
    def test_throughput_over_the_whole_range(self, submitters: int) -> None:
        self.check(submitters, 2000 * SERVICE_PS, 0.06)

    def check(self, submitters: int, batches_ps: int, precision: float) -> None:
        found = throughputs(submitters, self.THINK_PS, SERVICE_PS, batches_ps, exponential=True)
        interval = batch_means(found)
        assert mva(submitters, self.THINK_PS, SERVICE_PS) in interval
        assert interval.half < precision * interval.middle
        if submitters > 1:
            assert mva(submitters // 2, self.THINK_PS, SERVICE_PS) not in interval

    @pytest.mark.parametrize("submitters", [1, 12, 40])
    def test_deterministic_service_stays_below_both_bounds_and_above_exponential_service(self, submitters: int) -> None:
        found = batch_means(throughputs(submitters, self.THINK_PS, SERVICE_PS, 45 * SERVICE_PS, exponential=False))
        least = mva(submitters, self.THINK_PS, SERVICE_PS)
        most = min(submitters / (self.THINK_PS + SERVICE_PS), 1 / SERVICE_PS)
        assert least - found.half <= found.middle <= most + found.half


def test_littles_law_holds_exactly() -> None:
    """The integral of the depth of the queue is the sum of the times that commands spent in it."""
    queue = Queue(3, timing={"command_fetch": FETCH_PS, "invalidate_entry": INVALIDATE_PS}, memory_ps=MEMORY_PS)
    queue.start(poisson(queue, SERVICE_PS, 300))
    queue.bench.run()
    residence = sum(out - entered for entered, out in zip(queue.submitted, queue.executed, strict=True))
    assert queue.bench.commands.queue.occupancy == residence
