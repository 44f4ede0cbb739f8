"""A workload's fields say what they name; boot and the checks of a topology know no workload by its class."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.sw.workloads import AnyWorkload
from cosim.sw.workloads.map_unmap import DomainCycle
from cosim.sw.workloads.references import DmaDomainName, Reference, Role
from cosim.sw.workloads.workload import WorkloadOptions

WORKLOADS = get_args(get_args(AnyWorkload)[0])


def takes_text(annotation: Any) -> bool:
    """Whether a field's value can be any text."""
    return annotation is str or any(takes_text(member) for member in get_args(annotation))


class TwoDomains(WorkloadOptions):
    """A workload that neither boot nor the checks have heard of."""

    source: DmaDomainName
    other: DmaDomainName | None = None


def test_a_field_says_by_its_type_what_it_names() -> None:
    thread = TwoDomains(on="cpu0", source="nic0", other="nic1")
    assert list(thread.references()) == [
        Reference("on", "cpu0", Role.CPU),
        Reference("source", "nic0", Role.DMA_DOMAIN),
        Reference("other", "nic1", Role.DMA_DOMAIN),
    ]
    assert len(TwoDomains(on="cpu0", source="nic0").references()) == 2


def test_a_list_of_globs_is_as_many_references() -> None:
    cycle = DomainCycle.model_validate({"on": "cpu0", "does": "domain-cycle", "devices": ["nic*", "gpu0"]})
    named = [reference for reference in cycle.references() if reference.role is Role.ATTACHABLE]
    assert [(reference.name, reference.several) for reference in named] == [("nic*", True), ("gpu0", True)]


@pytest.mark.parametrize("field", ["domain", "device"])
def test_a_glob_where_one_thing_is_named_is_refused(field: str) -> None:
    """Nothing could be told to `nic*`: the thread would fail in each of its rounds."""
    thread = {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "device": "nic0"}
    glob = thread[field][:-1] + "*"
    with pytest.raises(TopologyError) as caught:
        cosim.load("quickstart", set={"threads": [thread | {field: glob}]})
    assert f"threads.0.{field}: {glob} stands for several, and one is named here; name one of " in str(caught.value)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__)
def test_every_field_that_takes_a_name_says_of_what(workload: type[WorkloadOptions]) -> None:
    texts = {name: "x" for name, field in workload.model_fields.items() if takes_text(field.annotation)}
    every = dict.fromkeys(workload.model_fields)
    found = {reference.field for reference in workload.model_construct(**{**every, **texts}).references()}
    assert found == set(texts)


@pytest.mark.parametrize("place", ["boot", "checks"])
def test_neither_boot_nor_the_checks_know_a_workload_by_its_class(place: str) -> None:
    path = {"boot": "sw/boot.py", "checks": "system/checks.py"}[place]
    text = (Path(cosim.__file__).parent / path).read_text(encoding="utf-8")
    names = [name for name in (workload.__name__ for workload in WORKLOADS) if re.search(rf"\b{name}\b", text)]
    assert not names
    assert "isinstance(thread" not in text
    assert "getattr(thread" not in text


TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0}
  nic1:   {kind: dma, direct: true}
"""

MAP = {"on": "cpu0", "does": "map-unmap", "domain": "nic0"}


@pytest.mark.parametrize(
    ("thread", "message"),
    [
        (MAP | {"domain": "nic2"}, r"threads.0.domain: nic2 is not a domain; did you mean nic1"),
        (MAP | {"domain": "cpu0"}, r"threads.0.domain: cpu0 is of kind cpu, not a domain"),
        (MAP | {"device": "nic2"}, r"threads.0.device: nic2 is not a device; did you mean nic1"),
        (MAP | {"on": "cpu1"}, r"threads.0.on: cpu1 is not a cpu; did you mean cpu0"),
        ({"on": "cpu0", "does": "unplug", "devices": "nic1"}, r"threads.0.devices: nic1 is of kind dma, not a device"),
        ({"on": "cpu0", "does": "unplug-iommu", "iommu": "iommu1"}, r"threads.0.iommu: iommu1 is not an iommu"),
        (
            {"on": "cpu0", "does": "receive-ring", "device": "nic0"},
            r"threads.0.device: nic0 is of kind dma",
        ),
    ],
)
def test_a_name_of_nothing_is_an_error_at_its_field(tmp_path: Path, thread: dict[str, Any], message: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(TOPOLOGY, encoding="utf-8")
    assert cosim.load(path, set={"threads": [MAP, MAP | {"domain": "nic1"}]})
    with pytest.raises(TopologyError, match=message):
        cosim.load(path, set={"threads": [thread]})
