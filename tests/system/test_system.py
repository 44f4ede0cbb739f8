"""A system as it is built: what each part is given of the others, and what the system tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cosim.events import KernelLog
from cosim.sim.chooser import Chooser
from cosim.sw.kernel.objects import Object, cell
from cosim.system.all_memory import AllMemory
from cosim.system.build import build
from cosim.system.load import load
from cosim.system.system import System
from cosim.units.quantities import MS, US

TWO_NODES = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  dram1: {kind: memory, base: 0x9000_0000, size: 8 MiB, node: 1}
  sram0: {kind: memory, base: 0x0200_0000, size: 4 MiB, reserved: true}
  cpu0: {kind: cpu, memory_model: rvwmo, history: 20 us}
  cpu1: {kind: cpu, memory_model: rvwmo, history: 50 us, node: 1}
  cpu2: {kind: cpu, memory_model: tso}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {in_flight: 6}}
  nic0: {kind: dma, through: iommu0, traffic: {outstanding: 3, window: 64 MiB, start: 7 us}}
  nic1: {kind: dma, through: iommu0, posted: true, traffic: {outstanding: 4, window: 4 KiB}}
  nic2: {kind: dma, direct: true, posted: true, traffic: {outstanding: 5, window: 4 KiB}}
prepare:
  - {on: cpu0, does: map, domain: nic1, buffer: x}
"""


class Node(Object):
    next = cell()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Builds the system, with overrides."""
    path = tmp_path / "two_nodes.yaml"
    path.write_text(TWO_NODES, encoding="utf-8")
    systems: list[System] = []

    def made(*sets: str) -> System:
        systems.append(build(load(path, sets=sets), Chooser()))
        return systems[-1]

    yield made
    for system in systems:
        system.close()


def test_memory_remembers_what_the_cpu_with_the_longest_history_may_read(made: Callable[..., System]) -> None:
    system = made()
    assert {memory.known_since for memory in system.memories.values()} == {-50 * US}


@pytest.mark.parametrize(("since", "all_known"), [(49 * US, False), (50 * US, True), (90 * US, True)])
def test_of_a_word_is_told_whether_all_is_known_that_it_has_been(
    made: Callable[..., System], since: int, all_known: bool
) -> None:
    system = made()
    system.sim.env.run(until=100 * US)
    assert AllMemory(system.bus).past(0x8000_0000, since) == ([0], all_known)
    assert AllMemory(system.bus).past(0x0300_0000, since) == ((), False)


@pytest.mark.parametrize("cpu", ["cpu0", "cpu1"])
def test_what_a_thread_allocates_is_on_the_node_of_its_cpu(made: Callable[..., System], cpu: str) -> None:
    system, found = made(), []

    async def allocates() -> None:
        found.append((await system.kernel.pages.new(Node)).address)

    system.kernel.start(cpu, "one", allocates())
    system.sim.env.run(until=1 * MS)
    assert [address >> 28 for address in found] == [{"cpu0": 8, "cpu1": 9}[cpu]]


def test_what_is_in_flight_is_bounded_by_slots_and_for_posted_writes_by_places_as_well(
    made: Callable[..., System],
) -> None:
    """And by nothing that is known where these go to memory directly."""
    slots = {"nic0.in_flight": {"nic0's outstanding": 3}, "nic1.in_flight": {"nic1's outstanding": 4}}
    posted = slots["nic1.in_flight"] | {"iommu0's in_flight": 6}
    assert made().bounds() == slots | {"nic1.in_flight": posted}


@pytest.mark.parametrize(("level", "told"), [("info", False), ("warning", False), ("error", True), ("oops", True)])
def test_what_a_thread_warns_of_while_it_prepares_is_prepared_all_the_same(
    made: Callable[..., System], level: str, told: bool
) -> None:
    system = made()
    system.start()
    for who in ("cpu0.prepare-map", "cpu0.map"):
        system.sim.probe(KernelLog)(KernelLog(0, who, level, "no page"))
    assert system.unprepared == ["cpu0.prepare-map: no page"] * told


@pytest.mark.parametrize(("window", "node"), [("~", 1), ("0", 0), ("1", 1)])
def test_a_window_is_on_the_node_that_is_said_or_on_that_of_the_iommu(
    made: Callable[..., System], window: str, node: int
) -> None:
    sets = ("iommu0.node=1", "nic0.traffic.window=4 KiB", f"nic0.traffic.node={window}")
    assert {device.name: device.node for device in made(*sets).plan.devices}["nic0"] == node


def test_a_device_begins_when_its_traffic_is_to_start(made: Callable[..., System]) -> None:
    assert {device.name: device.start_ps for device in made().plan.devices} == {"nic0": 7 * US, "nic1": 0, "nic2": 0}


def test_memory_that_is_not_given_out_is_none_that_a_window_could_be_in(made: Callable[..., System]) -> None:
    system = made()
    system.runtime.not_started["nic0"] = "-ENOMEM"
    assert system.not_started() == {"nic0": "no window of 64 MiB in 24 MiB of memory (-ENOMEM)"}


def test_how_busy_memory_was_is_the_mean_of_its_ports(made: Callable[..., System]) -> None:
    system = made("dram1.ports=4")
    used = system.derived({"dram0.port.busy_ps": 50, "dram1.port.busy_ps": 50, "dram1.port2.busy_ps": 30}, 100)
    assert used == {
        "dram0.port.utilisation": 0.5,
        "dram1.port.utilisation": 0.125,
        "dram1.port2.utilisation": 0.3,
    }
