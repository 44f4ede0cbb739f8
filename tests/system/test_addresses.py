"""Where parts answer that the file gives no address: beside those that it gives, and never on top of them."""

from pathlib import Path

import pytest

from cosim.config.problems import TopologyError
from cosim.system.address_map import device_registers, interrupt_files
from cosim.system.load import load
from cosim.system.topology import Topology

PARTS = """\
parts:
  dram0: {{kind: memory, base: {dram0}, size: 16 MiB}}
  cpu0: {{kind: cpu}}
  cpu1: {{kind: cpu{cpu1}}}
  iommu0: {{kind: iommu, base: {iommu0}, interrupts_to: cpu1, capabilities: {{igs: {igs}, pas: {pas}}}}}
  nic0: {{kind: ring, through: iommu0}}
  nic1: {{kind: ring, through: iommu0{nic1}}}
"""
GIVEN = {"dram0": "0x8000_0000", "iommu0": "0x0300_0000", "igs": "wsi", "pas": "46", "cpu1": "", "nic1": ""}


@pytest.fixture
def topology(tmp_path: Path):
    def made(**given: str) -> Topology:
        path = tmp_path / "topology.yaml"
        path.write_text(PARTS.format(**(GIVEN | given)))
        return load(path)

    return made


def test_rings_are_placed_one_after_the_other(topology):
    assert device_registers(topology()) == {"nic0": 0x1000_0000, "nic1": 0x1000_1000}


@pytest.mark.parametrize("taken", [{"nic1": ", base: 0x1000_0000"}, {"iommu0": "0x1000_0000"}])
def test_what_the_file_gives_goes_first(topology, taken):
    assert device_registers(topology(**taken))["nic0"] == 0x1000_1000


def test_what_has_no_address_is_behind_all_of_what_is_there(topology):
    assert device_registers(topology(dram0="0x1000_0000")) == {"nic0": 0x1100_0000, "nic1": 0x1100_1000}
    assert device_registers(topology(dram0="0x0f80_0000")) == {"nic0": 0x1080_0000, "nic1": 0x1080_1000}


def test_only_a_cpu_that_is_sent_messages_has_an_interrupt_file(topology):
    assert interrupt_files(topology()) == {}
    for igs in ("msi", "both"):
        assert interrupt_files(topology(igs=igs)) == {"cpu1": 0x2800_0000}
    assert interrupt_files(topology(cpu1=", interrupt_file: 0x2400_0000")) == {"cpu1": 0x2400_0000}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nic1": ", base: 0x8000_1000"}, "7:45: parts.nic1.base: 0x80001000..0x80001fff overlaps with dram0"),
        ({"nic1": ", base: 0x1000_0800"}, "parts.nic1.base: 0x10000800 of 0x1000 bytes is not a whole number"),
        ({"dram0": "0xff_ffff_ff00_1000"}, "2:31: parts.dram0.base: 0x100000000000fff needs more than the 56 bits"),
        ({"cpu1": ", interrupt_file: 0x0300_0000"}, "4:37: parts.cpu1.interrupt_file: 0x3000000..0x3000fff overlaps"),
    ],
)
def test_what_would_be_on_top_of_something_else_or_beyond_all_addresses_is_an_error(topology, given, message):
    with pytest.raises(TopologyError, match=message.replace(".", r"\.")):
        topology(**given)


def test_a_memory_may_end_where_physical_addresses_do(topology):
    assert topology(dram0="0xff_ffff_ff00_0000", pas="56").parts["dram0"].base == (1 << 56) - (16 << 20)


def test_a_memory_that_is_given_out_is_where_an_iommu_with_devices_can_name_it(topology):
    assert topology(dram0="0x3fff_ff00_0000")
    for base, field, last in (
        ("0x3fff_ff80_0000", "size", "0x4000007fffff"),
        ("0x4000_0000_0000", "base", "0x400000ffffff"),
    ):
        with pytest.raises(TopologyError) as raised:
            topology(dram0=base)
        assert f"parts.dram0.{field}: {last} needs more than the 46 bits of a physical address of iommu0" in str(
            raised.value
        )
    assert topology(dram0="0x4000_0000_0000", pas="47")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run", "run is a section of the file, and no part's name; use another, such as run0"),
        ("parts", "parts is a section"),
        ("nic.1", "a part's name is of letters, digits, _ and -; use another, such as nic_1"),
        ("'nic*'", "a part's name is of letters, digits, _ and -; use another, such as nic"),
    ],
)
def test_a_part_has_a_name_by_which_an_override_can_reach_it(tmp_path: Path, name: str, says: str):
    path = tmp_path / "topology.yaml"
    path.write_text(PARTS.format(**GIVEN).replace("  nic1:", f"  {name}:"))
    with pytest.raises(TopologyError) as raised:
        load(path)
    (problem,) = raised.value.problems
    assert (problem.position.line, problem.position.column) == (7, 3)
    assert problem.message.startswith(says)
