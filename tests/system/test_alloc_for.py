"""For which device a domain is made, and what a thread does with a device that does not fit into it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim

TWO = """\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 64 MiB}}
  cpu0: {{kind: cpu}}
  iommu0: {{kind: iommu, base: 0x0300_0000}}
  iommu1: {{kind: iommu, base: 0x0300_1000, capabilities: {{sv57: false}}}}
  nic0: {{kind: dma, through: iommu0, traffic: {{pattern: none}}}}
  nic1: {{kind: dma, through: iommu1, traffic: {{pattern: none}}}}
domains: {{shared: {domain}, other: {{alloc_for: nic1}}}}
threads:
  - {{on: cpu0, does: attach, devices: nic1, domain: shared, or_else: other}}
  - {{on: cpu0, does: attach, devices: nic0, domain: other, start: 20 us}}
run: {{until: threads + 10 us}}
"""


@pytest.fixture
def tried(tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(domain: str, driver: str = "merged") -> cosim.Result:
        file = tmp_path / "two.yaml"
        file.write_text(TWO.format(domain=domain), encoding="utf-8")
        return cosim.run(file, driver=driver)

    return run


def texts(result: cosim.Result) -> list[str]:
    return [line.text for line in result.log]


def test_a_domain_has_the_scheme_of_the_iommu_that_it_is_made_for(tried) -> None:  # type: ignore[no-untyped-def]
    assert not texts(tried("{alloc_for: nic1}"))
    assert texts(tried("{alloc_for: nic0}")) == [
        "nic1: attach to shared failed: -ENODEV: the IOMMU has no SV57",
        "-ENODEV: the IOMMU has no SV57",
    ]


@pytest.mark.parametrize("domain", ["{}", "{devices: nic0}"])
def test_if_nothing_is_said_it_is_made_for_the_first_device(tried, domain: str) -> None:  # type: ignore[no-untyped-def]
    assert "-ENODEV: the IOMMU has no SV57" in texts(tried(domain))


@pytest.mark.parametrize("domain", ["{alloc_for: null}", "{devices: nic0, alloc_for: null}"])
def test_a_driver_that_refuses_a_domain_for_no_device_loses_nothing(tried, domain: str) -> None:  # type: ignore[no-untyped-def]
    result = tried(domain, "ideal")
    assert any(text.endswith("-ENODEV: a domain is made for a device, and none is given") for text in texts(result))
    assert result.violation_count == 0
    assert not any("none is given" in text for text in texts(tried(domain, "v2")))


@pytest.mark.parametrize("driver", ["merged", "current", "latest"])
def test_a_driver_that_takes_the_device_for_granted_dies_of_a_domain_for_none(tried, driver: str) -> None:  # type: ignore[no-untyped-def]
    result = tried("{alloc_for: null}", driver)
    why = "null pointer dereference: the device that a domain is made for"
    assert result.signatures == {f"kernel: {why}": 1}
    assert f"nothing was measured: boot has died: {why}" in result.failures


def test_who_does_not_fit_goes_elsewhere_if_the_driver_says_einval_as_ideal_does(tried) -> None:  # type: ignore[no-untyped-def]
    assert texts(tried("{devices: nic0}", "ideal")) == ["nic1: attach to shared failed: -EINVAL: the IOMMU has no SV57"]


def test_a_domain_is_made_for_a_device_that_there_is_and_for_no_other_than_its_first(tried) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(cosim.TopologyError, match=r"nic7 is not a device behind an iommu; did you mean nic1"):
        tried("{alloc_for: nic7}")
    with pytest.raises(cosim.TopologyError, match="is made for the first of them"):
        tried("{devices: nic0, alloc_for: nic1}")
