"""A device that bypasses every IOMMU: its window is plain memory, and its latency that of the links and the memory."""

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.units.quantities import NS

DIRECT = """\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 16 MiB}}
  cpu0: {{kind: cpu}}
  nic0: {{kind: dma, direct: true, traffic: {{pattern: {pattern}, window: {window}}}}}
run: {{until: 20 us}}
"""


@pytest.fixture
def run(tmp_path):
    def run(pattern="sequential", window="64 KiB", **changes):
        path = tmp_path / "direct.yaml"
        path.write_text(DIRECT.format(pattern=pattern, window=window))
        return cosim.run(path, **changes)

    return run


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_it_reaches_memory_without_a_translation(run, executor):
    latency = run(set={"run.executor": executor}).latencies["nic0.read"]
    assert latency.count > 70
    assert latency.parts == {"link": 100 * NS, "memory": 80 * NS}
    assert latency.max_ps == 180 * NS


def test_its_window_is_no_larger_than_a_block_of_memory_can_be(run):
    with pytest.raises(TopologyError, match=r"parts.nic0.traffic.window: without an iommu a window is one block"):
        run(window="8 MiB")


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
def test_a_ring_needs_no_iommu(run, wait):
    """Fetch, data and status are each two hops and the memory; nothing of the ring is lost."""
    ring = {"on": "cpu0", "does": "receive-ring", "device": "nic0", "entries": 8, "wait": wait}
    nic0 = {"kind": "ring", "direct": True, "interval": "2 us"}
    result = run(set={"threads": [ring], "nic0": nic0, "run.until": "200 us"})
    assert result.outcome == "ok"
    assert result.latencies["nic0.write"].count > 60
    assert {result.latencies[f"nic0.{what}"].max_ps for what in ("fetch", "write", "status")} == {180 * NS}
    assert result.latencies["cpu0.receive-ring.unmap"].parts["cpu"] == 5 * NS
    assert result.scalars["kernel.leaked_pages"] == 0


def test_a_thread_can_map_for_it(run):
    thread = {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "device": "nic0", "pages": 4, "free": False}
    result = run(set={"threads": [thread | {"hold": "1 us"}], "run.until": "100 us"})
    assert result.outcome == "ok"
    assert result.latencies["cpu0.map-unmap.map"].max_ps == 5 * NS, "one block, since the device has one range"
