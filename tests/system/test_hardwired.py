"""What is hardwired in a topology: where it may be, and that the kernel gives out all other memory, and none of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from cosim.config.problems import TopologyError
from cosim.events import PageAllocated
from cosim.sim.chooser import Chooser
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.kernel import STATIC_BYTES
from cosim.system.build import build
from cosim.system.hardwired import regions, static_bytes, structures
from cosim.system.load import load
from cosim.system.topology import Topology

HEAD = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  sram0: {kind: memory, base: 0x0200_0000, size: 64 KiB, latency: 5 ns, reserved: true}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 8, fq_log2: 8}, hardwired: {HARDWIRED}}
  iommu1: {kind: iommu, base: 0x0300_1000, geometry: {cq_log2: 8, fq_log2: 8}, hardwired: {OTHER}}
  nic0: {kind: dma, through: iommu0, traffic: {requests: 100, window: 64 KiB}}
"""
IN_SRAM = "cqb: 0x0200_0000, fqb: 0x0200_2000, ddtp: 0x0200_1000"
IN_DRAM = "cqb: 0x8000_0000, fqb: 0x8080_0000, ddtp: 0x80ff_f000"


@pytest.fixture
def topology(tmp_path: Path) -> Any:
    def made(hardwired: str = "", other: str = "", **changes: object) -> Topology:
        path = tmp_path / "topology.yaml"
        path.write_text(HEAD.replace("HARDWIRED", hardwired).replace("OTHER", other))
        return load(path, set={name.replace("__", "."): value for name, value in changes.items()})

    return made


def ranges(topology: Topology) -> list[tuple[int, int]]:
    return [(region.base, region.base + region.size) for region in regions(topology)]


# --- What is left to the kernel --------------------------------------------------------------------------------------


def test_without_any_the_kernel_has_every_memory_that_is_not_reserved(topology):
    assert ranges(topology()) == [(0x8000_0000, 0x8100_0000)]
    assert ranges(topology(sram0__reserved=False)) == [(0x8000_0000, 0x8100_0000), (0x0200_0000, 0x0201_0000)]
    assert ranges(topology(IN_SRAM)) == ranges(topology())


def test_a_part_of_the_main_memory_is_cut_out_of_it(topology):
    assert ranges(topology(IN_DRAM)) == [
        (0x8000_1000, 0x8080_0000),
        (0x8080_2000, 0x80FF_F000),
    ]


def test_what_is_left_of_a_memory_is_on_its_node(topology):
    found = regions(topology(IN_DRAM, dram0__node=2, iommu0__node=2, iommu1__node=2))
    assert {region.node for region in found} == {2}


def test_the_kernel_s_own_words_are_where_there_is_room_for_them(topology):
    """Behind a piece that is too small, and not in a small memory that the file names first."""
    assert ranges(topology("cqb: 0x8000_8000"))[0] == (0x8000_9000, 0x8100_0000)
    system = build(topology("cqb: 0x8000_8000"), Chooser())
    assert 0x8000_9000 <= system.kernel.static(8) < 0x8000_9000 + STATIC_BYTES


@pytest.mark.parametrize(("devices", "parts"), [(0, 1), (1, 1), (256, 1), (257, 2), (300, 2), (512, 2), (513, 3)])
def test_the_kernel_has_as_much_room_again_for_its_words_with_every_256_devices(devices, parts):
    held = {"dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB"}, "cpu0": {"kind": "cpu"}}
    nics = {f"nic{number}": {"kind": "dma", "direct": True} for number in range(devices)}
    assert static_bytes(Topology.model_validate({"parts": held | nics})) == parts * STATIC_BYTES


@settings(derandomize=True, deadline=None, max_examples=12)
@given(
    dram=st.lists(st.integers(0, 15), max_size=4, unique=True),
    sram=st.lists(st.integers(0, 15), max_size=4, unique=True),
)
def test_every_page_is_the_kernel_s_or_hardwired_or_reserved(dram: list[int], sram: list[int]) -> None:
    """By a twin that looks at each page alone."""
    bases = [0x8000_0000 + 0x2000 * page for page in dram] + [0x0200_0000 + 0x2000 * page for page in sram]
    parts: dict[str, Any] = {
        "sram0": {"kind": "memory", "base": 0x0200_0000, "size": "128 KiB", "reserved": True},
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "1 MiB"},
        "cpu0": {"kind": "cpu"},
    }
    for number, base in enumerate(bases):
        register = ("cqb", "fqb", "ddtp")[number % 3]
        parts[f"iommu{number}"] = {
            "kind": "iommu",
            "base": 0x0300_0000 + PAGE * number,
            "geometry": {"cq_log2": 9, "fq_log2": 8},
            "hardwired": {register: base},
        }
    made = Topology.model_validate({"parts": parts})
    hardwired = {page for one in structures(made) for page in range(one.base, one.base + one.size, PAGE)}
    assert len(hardwired) == sum(one.size for one in structures(made)) // PAGE
    given_out = [page for region in regions(made) for page in range(region.base, region.base + region.size, PAGE)]
    assert sorted(given_out) == sorted({*range(0x8000_0000, 0x8010_0000, PAGE)} - hardwired)


# --- Runs ------------------------------------------------------------------------------------------------------------

EXHAUST = [{"on": "cpu0", "does": "exhaust-memory", "count": 1}]


@pytest.mark.slow
@pytest.mark.parametrize("hardwired", [IN_SRAM, IN_DRAM, ""], ids=["of its own", "a part of dram0", "none"])
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_a_device_works_and_nothing_leaks_wherever_it_is(topology, driver, hardwired):
    made = topology(hardwired, driver=driver, run__until="30 us")
    result = cosim.run(made)
    assert result.outcome == "ok", result.failures
    assert result.latencies["nic0.read"].count == 100
    assert result.scalars["kernel.leaked_pages"] == 0
    assert (result.scalars["sram0.reads"] > 0) == (hardwired == IN_SRAM)


@pytest.mark.slow
@pytest.mark.parametrize("hardwired", [IN_SRAM, IN_DRAM, ""], ids=["of its own", "a part of dram0", "none"])
def test_a_kernel_that_is_asked_for_all_memory_gives_out_nothing_that_is_hardwired(topology, hardwired):
    made = topology(hardwired, dram0__size="16 MiB", threads=EXHAUST, run__until="1 ms")
    system = build(made, Chooser())
    pages: set[int] = set()
    system.sim.probe(PageAllocated).watch(
        lambda event: pages.update(range(event.address, event.address + event.size, PAGE))
    )
    system.start()
    system.sim.env.run(until=1_000_000_000)
    fixed = {page for one in structures(made) for page in range(one.base, one.base + one.size, PAGE)}
    dram = range(0x8000_0000, 0x8100_0000, PAGE)
    assert len(pages) > 3_000
    assert pages <= {*dram} - fixed
    held = [system.kernel.static(8) // PAGE * PAGE + PAGE * n for n in range(STATIC_BYTES // PAGE)]
    assert {*dram} - fixed - pages <= {*held}
    system.close()


# --- Errors ----------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no address": (
        {"hardwired": "cqb: 0"},
        "5:97: parts.iommu0.hardwired.cqb: a PPN that reads 0 tells software that nothing is hardwired; leave it out",
    ),
    "an unknown register": (
        {"hardwired": "pqb: 0x0200_0000"},
        "5:92: parts.iommu0.hardwired.pqb: unknown field; did you mean fqb?",
    ),
    "in no memory": (
        {"hardwired": "cqb: 0x0400_0000"},
        "5:97: parts.iommu0.hardwired.cqb: 0x4000000 is in no memory; there are: dram0 at 0x80000000..0x80ffffff, "
        "sram0 at 0x2000000..0x200ffff",
    ),
    "behind the end of a memory": (
        {"hardwired": "ddtp: 0x0201_0000"},
        "5:98: parts.iommu0.hardwired.ddtp: 0x2010000 is in no memory",
    ),
    "not at a page": (
        {"hardwired": "ddtp: 0x0200_1800"},
        "0x2001800 is not a multiple of the size of a directory's root page (4 KiB); use 0x2001000 or 0x2002000",
    ),
    "not at a multiple of its size": (
        {"hardwired": "fqb: 0x0200_1000"},
        "0x2001000 is not a multiple of the size of a fault queue of 2^8 entries (8 KiB); use 0x2000000 or 0x2002000 "
        "or geometry.fq_log2: 7",
    ),
    "with others in the way of what is proposed": (
        {"hardwired": "fqb: 0x0200_1000, ddtp: 0x0200_2000", "other": "cqb: 0x0200_0000"},
        "fault queue of 2^8 entries (8 KiB); use geometry.fq_log2: 7",
    ),
    "larger than what is behind it": (
        {"hardwired": "cqb: 0x0200_8000", "iommu0__geometry__cq_log2": 11, "sram0__size": "36 KiB"},
        "a command queue of 2^11 entries (32 KiB) does not fit between 0x2008000 and the end of sram0 at 0x2008fff; "
        "use geometry.cq_log2: 8",
    ),
    "larger than what is behind it, with another in the way of a shorter one": (
        {
            "hardwired": "cqb: 0x0200_8000, ddtp: 0x0200_9000",
            "iommu0__geometry__cq_log2": 11,
            "sram0__size": "40 KiB",
        },
        "does not fit between 0x2008000 and the end of sram0 at 0x2009fff; use geometry.cq_log2: 8",
    ),
    "beyond the physical address space": (
        {"hardwired": "cqb: 0x1_0000_0000", "dram0__base": 0x1_0000_0000, "iommu0__capabilities__pas": 32},
        "0x100000fff needs more than the 32 bits of a physical address; raise capabilities.pas",
    ),
    "on another of the same IOMMU": (
        {"hardwired": "cqb: 0x0200_0000, fqb: 0x0200_2000, ddtp: 0x0200_3000"},
        "parts.iommu0.hardwired.ddtp: 0x2003000..0x2003fff overlaps with iommu0's fqb at 0x2002000..0x2003fff; the "
        "nearest that is free is 0x2004000",
    ),
    "shared by two IOMMUs": (
        {"hardwired": "cqb: 0x0200_f000", "other": "cqb: 0x0200_f000"},
        "6:97: parts.iommu1.hardwired.cqb: 0x200f000..0x200ffff overlaps with iommu0's cqb at 0x200f000..0x200ffff; "
        "the nearest that is free is 0x2000000",
    ),
    "shared, with half of its size free behind it": (
        {"hardwired": "fqb: 0x0200_c000", "other": "fqb: 0x0200_c000", "sram0__size": "60 KiB"},
        "overlaps with iommu0's fqb at 0x200c000..0x200dfff; the nearest that is free is 0x2000000",
    ),
    "shared, with others behind it": (
        {"hardwired": "cqb: 0x0200_0000", "other": "cqb: 0x0200_0000, fqb: 0x0200_2000, ddtp: 0x0200_1000"},
        "parts.iommu1.hardwired.cqb: 0x2000000..0x2000fff overlaps with iommu0's cqb at 0x2000000..0x2000fff; the "
        "nearest that is free is 0x2004000",
    ),
    "where nothing else is free": (
        {"hardwired": "cqb: 0x0200_0000", "other": "cqb: 0x0200_0000", "sram0__size": "4 KiB"},
        "overlaps with iommu0's cqb at 0x2000000..0x2000fff; make sram0 larger",
    ),
    "all memory reserved": (
        {"hardwired": "cqb: 0x8000_0000", "dram0__reserved": True},
        "the kernel needs more than 64 KiB in one piece, and has 0 B; leave it out, or add a memory",
    ),
    "all memory hardwired": (
        {"hardwired": "cqb: 0x8000_0000", "dram0__size": "1 MiB", "iommu0__geometry__cq_log2": 16},
        "parts.dram0.size: the kernel needs more than 64 KiB in one piece, and has 0 B; make it larger",
    ),
    "too little left in one piece": (
        {"hardwired": "cqb: 0x8001_0000", "dram0__size": "128 KiB"},
        "parts.dram0.size: the kernel needs more than 64 KiB in one piece, and has 64 KiB; make it larger",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_told_with_the_place_and_the_nearest_that_can(topology, case):
    changes, message = WRONG[case]
    with pytest.raises(TopologyError) as error:
        topology(**changes)
    assert message in str(error.value)


def test_each_mistake_is_told_once(topology):
    """A structure that is wrong itself does not get in the way of others."""
    with pytest.raises(TopologyError) as error:
        topology("cqb: 0x0200_0800, fqb: 0x0200_0000", "cqb: 0x0200_0000")
    assert [".".join(map(str, problem.path)) for problem in error.value.problems] == [
        "parts.iommu0.hardwired.cqb",
        "parts.iommu1.hardwired.cqb",
    ]


def test_a_queue_that_is_too_large_by_far_leaves_no_second_error(topology):
    """That the kernel has no memory then is no news."""
    with pytest.raises(TopologyError) as error:
        topology("cqb: 0x8000_0000", iommu0__geometry__cq_log2=31)
    (told,) = error.value.problems
    assert told.message.endswith("use geometry.cq_log2: 20")


def test_what_an_error_proposes_is_right(topology):
    for proposal in ({"hardwired": "fqb: 0x0200_2000"}, {"iommu0__geometry__fq_log2": 7}):
        topology(**({"hardwired": "fqb: 0x0200_1000"} | proposal))
    topology("cqb: 0x0200_f000", "cqb: 0x0200_0000")
    topology("cqb: 0x0200_0000, fqb: 0x0200_2000, ddtp: 0x0200_4000")


def test_what_is_hardwired_is_in_the_file_of_what_ran(topology, tmp_path):
    again = tmp_path / "again.yaml"
    again.write_text(cosim.system.load.resolved(topology(IN_SRAM)))
    assert yaml.safe_load(again.read_text())["parts"]["iommu0"]["hardwired"]["fqb"] == 0x0200_2000
    assert load(again) == topology(IN_SRAM)
