"""A call that does not return is in no latency table; the report and the result split it into parts all the same."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

import cosim
from cosim.oracles import Bounds
from cosim.sim.chooser import Chooser
from cosim.sim.operations import Body, Oops, Sleep, Work
from cosim.study.report.report import print_report
from cosim.study.run.calls_under_way import Unfinished
from cosim.study.run.measure import Meter
from cosim.study.run.named import Named
from cosim.study.run.result import Result
from cosim.sw.kernel.locks import SpinLock
from cosim.system.build import build
from cosim.system.load import load
from cosim.system.system import System
from cosim.units.quantities import MS, NS, US

STALLED = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0, gap: 1 us}
stalls:
  - {part: iommu0.commands, at: 150 us, for: 100 ms}
run: {until: 2 ms}
"""


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "stalled.yaml"
    path.write_text(STALLED)

    def run(**changes) -> Result:
        return cosim.run(path, **changes)

    return run


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_a_call_that_waits_longer_than_any_has_is_named_with_what_it_has_spent_its_time_on(run, executor):
    result = run(set={"run.executor": executor})
    ((name, call),) = result.unfinished.items()
    assert name == "cpu0.map-unmap.unmap"
    assert 1.8 * MS < call.age_ps < 1.9 * MS
    assert sum(call.parts.values()) == call.age_ps
    assert call.age_ps - 1 * US < call.parts["fence"] < call.age_ps
    assert result.latencies["cpu0.map-unmap.unmap"].max_ps < 2 * US
    assert result.as_json()["unfinished"] == {name: {"age_ps": call.age_ps, "parts": dict(call.parts)}}
    report = io.StringIO()
    print_report(result, report)
    assert "  ? cpu0.map-unmap.unmap has not returned for 1.8" in report.getvalue()
    assert "\n    = fence 1.8" in report.getvalue()


def test_a_run_whose_threads_are_in_a_call_at_its_limit_is_longer_only_if_that_gets_on(run):
    thread = {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "count": 1, "start": "160 us"}
    result = run(set={"threads": [thread], "run": {"until": "threads + 1 us", "limit": "300 us"}})
    late = "cpu0.map-unmap had not ended 300 us after the origin; raise run.limit if what they are in gets on"
    assert result.failures == (late,)


@pytest.mark.parametrize("part", ["cq_full", "fence"])
@pytest.mark.parametrize("depth_ps", [0, 1])
def test_room_that_is_waited_for_though_the_queue_is_empty_is_told(run, part, depth_ps):
    result = run(until="200 us")
    depths = {name: depth_ps for name in result.scalars if name.endswith(".cq.depth_ps")}
    assert set(depths) == {"iommu0.cq.depth_ps"}
    waits = {"cpu0.map-unmap.unmap": Unfinished(1 * MS, {part: 1 * MS})}
    report = io.StringIO()
    print_report(replace(result, unfinished=waits, scalars=Named({**result.scalars, **depths})), report)
    told = "  ? every command queue was empty in the measured window" in report.getvalue()
    assert told is (part == "cq_full" and not depth_ps)


@pytest.mark.slow
def test_one_that_only_happens_to_be_under_way_is_not(run):
    ends = [run(set={"stalls": []}, until=f"{300 * US + step * 130_000} ps") for step in range(8)]
    assert not any(result.unfinished for result in ends)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_calls_stuck_in_a_fence_are_split_at_any_end(executor):
    for until in ("1001 ms", "60 s", "90 s"):
        result = cosim.run("iofence_timeout", until=until, set={"run.executor": executor})
        assert result.unfinished
        for call in result.unfinished.values():
            assert sum(call.parts.values()) == call.age_ps
            assert max(call.parts, key=lambda part: call.parts[part]) == "fence" or until == "1001 ms"


class Two:
    """A booted system whose two CPUs run what a test gives them, until one instant after boot."""

    def __init__(self, tmp_path, executor: str = "agenda") -> None:
        path = tmp_path / "two.yaml"
        path.write_text(STALLED.replace("cpu0: {kind: cpu}", "cpu: {kind: cpu, count: 2}").split("threads:")[0])
        self.system: System = build(load(path, set={"run.executor": executor, "run.until": "200 ms"}), Chooser())
        self.meter = Meter(
            self.system.sim,
            warmup_ps=0,
            counters=self.system.counters,
            occupancies=self.system.occupancies(),
            patience=Bounds(),
        )
        self.system.start()
        self.wait(1 * MS)
        self.began = self.system.sim.now

    def wait(self, ps: int) -> None:
        self.system.sim.env.run(until=self.system.sim.now + ps)

    def call(self, cpu: str, name: str, body: Body) -> None:
        """A thread that makes one call."""

        async def thread() -> None:
            async with self.system.runtime.core.calls.measured("call"):
                await body

        self.system.kernel.start(cpu, name, thread())

    def unfinished(self) -> dict[str, Unfinished]:
        found = self.meter.calls.unfinished(self.system.clocks(), self.meter.latencies.longest)
        assert all(sum(call.parts.values()) == call.age_ps for call in found.values())
        return found


@pytest.fixture(params=["agenda", "plain"])
def two(tmp_path, request):
    made = Two(tmp_path, request.param)
    yield made
    made.system.close()


async def work(ps: int) -> None:
    await Work(ps)


async def sleep(ps: int) -> None:
    await Sleep(ps)


def test_a_call_that_sleeps_is_asleep_up_to_the_end(two):
    two.call("cpu0", "sleeper", sleep(5 * MS))
    two.wait(3 * MS)
    call = two.unfinished()["cpu0.sleeper.call"]
    assert call == Unfinished(call.age_ps, {"sleep": call.age_ps})
    assert call.age_ps > 2.9 * MS


def test_a_call_that_spins_waits_for_the_lock_and_its_holder_computes(two):
    kernel = two.system.kernel
    lock = SpinLock(kernel.static(SpinLock.SIZE))

    async def hold() -> None:
        async with kernel.spin(lock):
            await Work(5 * MS)

    two.call("cpu0", "holder", hold())
    two.wait(1 * US)
    two.call("cpu1", "waiter", hold())
    two.wait(3 * MS)
    found = two.unfinished()
    assert set(found["cpu0.holder.call"].parts) <= {"cpu", "lock"}
    assert found["cpu0.holder.call"].parts["cpu"] > 2.9 * MS
    assert found["cpu1.waiter.call"].parts["lock"] > 2.9 * MS


def test_a_call_that_is_put_off_its_cpu_is_preempted_up_to_the_end(two):
    two.call("cpu0", "one", work(40 * MS))
    two.call("cpu0", "two", work(40 * MS))
    two.wait(7 * MS)
    found = two.unfinished()
    assert 3.9 * MS < found["cpu0.one.call"].parts["cpu"] < 4.1 * MS
    assert 2.9 * MS < found["cpu0.one.call"].parts["preempted"] < 3.1 * MS
    assert set(found["cpu0.two.call"].parts) == {"cpu"}, "its call began when it first had the CPU"


def test_a_call_that_an_interrupt_keeps_waiting_counts_for_that_and_so_does_the_handler_for_itself(two):
    kernel = two.system.kernel

    async def handle() -> None:
        async with two.system.runtime.core.calls.measured("served"):
            await Work(5 * MS)

    two.system.cpus["cpu0"].interrupts.connect(60, kernel.handler(handle))
    two.call("cpu0", "one", work(40 * MS))
    two.wait(1 * MS)
    two.system.cpus["cpu0"].message(60)
    two.wait(3 * MS)
    found = two.unfinished()
    assert 3 * MS - 1 * NS < found["cpu0.one.call"].parts["irq"] <= 3 * MS
    assert set(found["cpu0.one.call"].parts) == {"cpu", "irq"}
    assert found["cpu0.irq60.served"].parts == {"cpu": found["cpu0.irq60.served"].age_ps}
    two.wait(5 * MS)
    assert set(two.unfinished()) == {"cpu0.one.call"}
    assert 5 * MS < two.unfinished()["cpu0.one.call"].parts["irq"] < 5 * MS + 100 * US


def test_a_call_that_an_oops_ends_is_not_waited_for(two):
    async def die() -> None:
        await Work(1 * US)
        raise Oops("a page fault")

    two.call("cpu0", "one", die())
    two.wait(1 * MS)
    assert two.unfinished() == {}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["agenda", "plain"])
@pytest.mark.parametrize("topology", ["concurrent_attach", "zero_day_rtl"])
def test_at_every_instant_the_clocks_add_up_and_no_part_of_one_is_taken_back(topology, executor):
    """What a thread is in the middle of counts for the part that the end of the operation will count."""
    system = build(load(topology, set={"run.executor": executor}), Chooser())
    system.start()
    before: dict[str, dict[str, int]] = {}
    begun: dict[str, int] = {}
    for _ in range(4000):
        system.sim.env.run(until=system.sim.now + 73 * NS)
        for name, clock in system.clocks().items():
            if ".irq" in name:
                continue  # a handler of the same name begins anew
            age = sum(clock.parts.values())
            assert begun.setdefault(name, clock.time - age) == clock.time - age
            taken = {part for part, ps in before.get(name, {}).items() if clock.parts.get(part, 0) < ps}
            assert not taken, f"{name} at {clock.time}: {before[name]}, then {clock.parts}"
            before[name] = dict(clock.parts)
    assert {part for parts in before.values() for part in parts} >= {"cpu", "lock", "fence"}
    system.close()
