"""A call that does not return is in no latency table; the report and the result name it all the same."""

from __future__ import annotations

import io

import pytest

import cosim
from cosim.study.report.report import print_report
from cosim.study.run.result import Result
from cosim.units.quantities import MS, US

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


def test_a_call_that_waits_longer_than_any_has_is_named_with_how_long_so_far(run):
    result = run()
    (unfinished,) = result.unfinished.items()
    assert unfinished[0] == "cpu0.map-unmap.unmap"
    assert 1.8 * MS < unfinished[1] < 1.9 * MS
    assert result.latencies["cpu0.map-unmap.unmap"].max_ps < 2 * US
    assert result.as_json()["unfinished"] == dict([unfinished])
    report = io.StringIO()
    print_report(result, report)
    assert "  ? cpu0.map-unmap.unmap has not returned for 1.8" in report.getvalue()


def test_one_that_only_happens_to_be_under_way_is_not(run):
    ends = [run(set={"stalls": []}, until=f"{300 * US + step * 130_000} ps") for step in range(8)]
    assert not any(result.unfinished for result in ends)
