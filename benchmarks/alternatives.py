"""What a request that hits costs here, and in what one would write instead: a queueing model of the same hardware.

Usage: python benchmarks/alternatives.py [--transactions N] [--repetitions N]

The hardware is that of the row *hit* of `bench.py`: 8 masters with 4 requests under way each, a link, the look-up of
an IOMMU one after the other, a hop, memory, and back. Cosim has a context and an IOTLB looked up, tables in memory and
whatever else may happen to a request. The queueing model has the times alone: no address, nothing that could miss,
fault or be invalidated. It is written once in SimPy's processes and resources, and once in `cimba`, which compiles
such models (`queueing_in_cimba.py`; `pip install cimba`, or that line is left out). All end as many requests in the
same simulated time, or the comparison is none.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import simpy
from bench import Rig, rows_of, timeout_s

from cosim import compiled
from cosim.sim.agenda import Agenda

MASTERS, OUTSTANDING = 8, 4
NS = 1000


class Times(NamedTuple):
    """Of a rig, in picoseconds: link, look-up and how soon the next one begins, hop, memory; and how long to run."""

    link: int
    lookup: int
    interval: int
    hop: int
    memory: int
    duration: int


class Model(NamedTuple):
    """One way to have the hardware: how many requests end, and in how many seconds of the host."""

    requests: int
    seconds: float


def of_cosim(transactions: int) -> tuple[Times, int]:
    """The times of the rig, and how many requests it ends in them, caches warmed up or not."""
    rig = Rig(Agenda, MASTERS, 0, transactions)
    timing, options = rig.iommus[0].options.timing, rig.masters[0].options
    duration = 150 * NS * transactions // (MASTERS * OUTSTANDING)  # before the first master has made all of its own
    rig.sim.env.run(until=duration)
    times = Times(
        options.link, timing.lookup, timing.lookup_interval, timing.link, rig.memory.options.latency, duration
    )
    return times, sum(sum(master.requests) for master in rig.masters)


def in_simpy(times: Times) -> Model:
    """Processes, a resource, and time-outs."""
    env, ended = simpy.Environment(), [0]
    lookup = simpy.Resource(env)

    def slot() -> Generator[Any, Any, None]:
        while True:
            yield env.timeout(times.link)
            with lookup.request() as turn:
                yield turn
                yield env.timeout(times.interval)
            yield env.timeout(times.lookup - times.interval)
            yield env.timeout(times.hop)
            yield env.timeout(times.memory)
            yield env.timeout(times.hop)
            yield env.timeout(times.link)
            ended[0] += 1

    for _ in range(MASTERS * OUTSTANDING):
        env.process(slot())
    gc.collect()
    began = time.process_time()
    env.run(until=times.duration)
    return Model(ended[0], time.process_time() - began)


def in_cimba(times: Times) -> Callable[[], Model] | None:
    """The same, compiled before it is timed; None if there is no cimba."""
    try:
        from queueing_in_cimba import experiment
    except ImportError:
        return None
    run = experiment(MASTERS * OUTSTANDING, times)
    run()

    def timed() -> Model:
        began = time.process_time()
        requests = run()
        return Model(requests, time.process_time() - began)

    return timed


def compared(name: str, requests: int, seconds: float, unit: float, wanted: int) -> str:
    """One line of the table. ValueError if it is not the same model."""
    if abs(requests - wanted) > 0.01 * wanted:
        raise ValueError(f"{name} ends {requests:,} requests where cosim ends {wanted:,}: it is another model")
    return f"{name:38} {requests:9,} {seconds / requests / unit:9.1f} {1e6 * seconds / requests:9.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=40_000, help="in each measurement (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the cheapest counts (%(default)s)")
    asked = parser.parse_args()
    times, wanted = of_cosim(asked.transactions)
    print("timeouts: how many bare SimPy timeouts cost as much as one request that hits")
    print(f"{'':38} {'requests':>9} {'timeouts':>9} {'us':>9}")
    models: list[tuple[str, Callable[[], Model] | None]] = [
        ("SimPy, queueing model alone", lambda: in_simpy(times)),
        ("cimba, queueing model alone, compiled", in_cimba(times)),
    ]
    for name, model in models:
        if model is None:
            print(f"{name:38} not installed: pip install cimba")
            continue
        costs = []
        for _ in range(asked.repetitions):
            unit = timeout_s(MASTERS * OUTSTANDING)
            found = model()
            unit = min(unit, timeout_s(MASTERS * OUTSTANDING))
            costs.append((found.seconds / unit, found.requests, found.seconds, unit))
        print(compared(name, *min(costs)[1:], wanted))
    for name, core in (("cosim, interpreted", "0"), *([("cosim, compiled", "1")] if compiled.runs() else [])):
        unit = timeout_s(MASTERS)
        hit = rows_of(core, 8000, asked.repetitions)["hit"]["timeouts"]
        print(compared(name, wanted, hit * wanted * unit, unit, wanted), flush=True)


if __name__ == "__main__":
    main()
