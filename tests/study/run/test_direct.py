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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"set": {"nic0": {"kind": "ring", "direct": True}}},
            "nic0.kind: a ring's buffers are mapped by an iommu",
        ),
        ({"window": "8 MiB"}, "parts.nic0.traffic.window: without an iommu a window is one block of memory"),
    ],
)
def test_what_only_an_iommu_can_give_it_is_an_error(run, changed, message):
    with pytest.raises(TopologyError, match=message):
        run(**changed)
