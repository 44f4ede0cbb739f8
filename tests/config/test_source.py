"""From a topology's text to a model: all its errors at once, each at its place and in words that help."""

import pickle
import subprocess
import sys
from datetime import date
from typing import cast

import pytest
from pydantic import BaseModel, Field

from cosim.config.merging import apart, merged
from cosim.config.source import Override, Position, Problem, Source, TopologyError, dump, legal_names, validate
from cosim.config.yaml_reader import Node, read
from tests.system.little_topology import NICS, TEXT, Topology, check, edited, load, problems, resolved


class Little(BaseModel):
    name: str
    size: int = 1


def test_a_topology_becomes_a_model():
    topology = load()
    assert list(topology.parts) == ["dram0", "iommu0", *NICS]
    assert topology.parts["dram0"].latency == 80_000
    assert topology.parts["nic9"].traffic.size == 1500
    assert topology.driver.variant == "merged"
    assert topology.stalls[0].for_ == (0, 200 * 10**9)
    assert topology.expect.scalars["iommu0.walks"].max == 5


def test_a_dumped_topology_is_the_same_topology():
    topology = load()
    written = dump(topology.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert load(text=written) == topology
    assert Source.parse(dump(resolved().data)).data == resolved().data


def test_plain_data_is_a_source_too():
    source = Source.of(Source.parse(TEXT).data, "mine").resolved(shorthand={"driver": "variant"})
    assert validate(Topology, source, check) == load()
    with pytest.raises(TopologyError) as caught:
        validate(Topology, Source.of({"parts": {"dram0": {"kind": "memory", "size": 5}}}, "mine"))
    assert str(caught.value).splitlines() == [
        "mine: parts.dram0.base: missing; write for example `base: 0x8000_0000`",
        "mine: parts.dram0.size: 5 has no unit; for bytes write 5 B",
    ]
    with pytest.raises(TopologyError, match=r"^mine: parts\.a: .* is neither text, number, list nor mapping$"):
        Source.of({"parts": {"a": object()}}, "mine")


IOMMU = "{kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 32, walkers: 4}}"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "iotlb_entries",
            "iotlb_entires",
            "4:55: parts.iommu0.geometry.iotlb_entires: unknown field; did you mean iotlb_entries?",
        ),
        (
            "walkers: 4",
            "ports: 4",
            "4:74: parts.iommu0.geometry.ports: unknown field; there are: iotlb_entries, walkers, levels, replacement",
        ),
        (
            "kind: memory",
            "kind: memorry",
            "3:18: parts.dram0.kind: unknown kind memorry; did you mean memory? There are: memory, iommu, dma",
        ),
        ("kind: memory", "kind: disk", "3:18: parts.dram0.kind: unknown kind disk; there are: memory, iommu, dma"),
        ("kind: memory", "kind: 5", "3:18: parts.dram0.kind: unknown kind 5; there are: memory, iommu, dma"),
        ("kind: memory, ", "", "3:3: parts.dram0.kind: missing; one of: memory, iommu, dma"),
        ("base: 0x8000_0000, ", "", "3:3: parts.dram0.base: missing; write for example `base: 0x8000_0000`"),
        ("part: iommu0.commands, ", "", "17:5: stalls.0.part: missing"),
        ("for: [0, 200 ms]", "fro: 1 s", "17:29: stalls.0.fro: unknown field; did you mean for?"),
        ("does: receive, ", "", "15:5: threads.1.does: missing; one of: map-unmap, receive"),
        (
            "does: receive",
            "does: recieve",
            "15:22: threads.1.does: recieve is unknown here; did you mean receive? There are: map-unmap, receive",
        ),
        (
            "latency: 80 ns",
            "latency: 80",
            "3:69: parts.dram0.latency: 80 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        (
            "latency: 80 ns",
            "latency: 80 kB",
            "3:69: parts.dram0.latency: 80 kB is a size, not a time; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        (
            "base: 0x8000_0000",
            "base: -1",
            "3:32: parts.dram0.base: -1 is negative; an address is 0 or more",
        ),
        ("walkers: 4", "walkers: 0", "4:83: parts.iommu0.geometry.walkers: 0 is out of bounds: it must be at least 1"),
        (
            "walkers: 4",
            "walkers: 65",
            "4:83: parts.iommu0.geometry.walkers: 65 is out of bounds: it must be at most 64",
        ),
        ("walkers: 4", "walkers: four", "4:83: parts.iommu0.geometry.walkers: expected a whole number, found four"),
        ("walkers: 4", "walkers: 4.5", "4:83: parts.iommu0.geometry.walkers: expected a whole number, found 4.5"),
        ("walkers: 4", "walkers: true", "4:83: parts.iommu0.geometry.walkers: expected a whole number, found true"),
        ("walkers: 4", "walkers:", "4:82: parts.iommu0.geometry.walkers: expected a whole number, found null"),
        (
            "walkers: 4",
            "walkers: '4'",
            "4:83: parts.iommu0.geometry.walkers: expected a whole number, found 4 as text; leave out the quotes",
        ),
        ("walkers: 4", "levels: 4", "4:82: parts.iommu0.geometry.levels: 4 is not possible here; there are: 1, 2, 3"),
        (
            "walkers: 4",
            "replacement: LRUx",
            "4:87: parts.iommu0.geometry.replacement: LRUx is not possible here; did you mean lru?",
        ),
        (IOMMU, "5", "4:11: parts.iommu0: expected a mapping of fields, found 5"),
        (IOMMU, "", "4:10: parts.iommu0: expected a mapping of fields, found null"),
        (
            "geometry: {",
            "bypass: on, geometry: {",
            "4:52: parts.iommu0.bypass: expected true or false, found on; write true",
        ),
        ("geometry: {", "bypass: 1, geometry: {", "4:52: parts.iommu0.bypass: expected true or false, found 1"),
        ("through: iommu0", "through: 5", "8:14: parts.nic.through: expected text, found 5; quote it: '5'"),
        ("    through: iommu0\n", "", "5:3: parts.nic: a device needs either `through` or `direct: true`"),
        ("through: iommu0", "through: iommu1", "8:14: parts.nic.through: iommu1 is not an iommu; did you mean iommu0?"),
        ("count: 10", "colour: bleu", "7:13: parts.nic.colour: bleu is not possible here; there are: red, green"),
        (
            "pattern: ring",
            "pattern: rng",
            "9:24: parts.nic.traffic.pattern: rng is not possible here; did you mean ring?",
        ),
        (
            "size: 1500 B",
            "size: 8 KiB",
            "9:36: parts.nic.traffic.size: 8 KiB is out of bounds: it must be at most 4 KiB",
        ),
        (
            "size: 1500 B",
            "size: 1501 B",
            "9:36: parts.nic.traffic.size: 1501 B is out of bounds: it must be a multiple of 4 B",
        ),
        ("size: 1500 B", "read: 2.0", "9:36: parts.nic.traffic.read: 2.0 is out of bounds: it must be below 2.0"),
        ("size: 1500 B", "read: all", "9:36: parts.nic.traffic.read: expected a number, found all"),
        ("devices: nic*", "devices: 5", "11:21: domains.shared.devices: expected text or a list, found 5"),
        ("devices: nic*", "devices: {}", "11:12: domains.shared.devices: expected text or a list, found a mapping"),
        ("devices: nic*", "devices: [a, 5]", "11:25: domains.shared.devices.1: expected text, found 5; quote it: '5'"),
        ("shared: {devices: nic*}", "[a]", "10:1: domains: expected a mapping, found a list"),
        ("driver: merged", "driver: 5", "12:9: driver: expected a mapping of fields, found 5"),
        ("driver: merged", "driver: x", "12:9: driver.variant: has 1 characters, and must have at least 2"),
        ("pages: 256", "pages: 0", "14:40: threads.0.pages: 0 is out of bounds: it must be above 0"),
        ("pages: 256", "buffers: [1]", "14:33: threads.0.buffers: unknown field; there are: does, on, pages"),
        ("on: cpu1", "on: cpu0", "15:10: threads.1.on: cpu0 has a thread already"),
        ("[1, 2]", "[]", "15:31: threads.1.buffers: has 0 entries, and must have at least 1"),
        ("[1, 2]", "[1, 2, 3, 4]", "15:31: threads.1.buffers: has 4 entries, and must have at most 3"),
        ("[1, 2]", "[1, x]", "15:44: threads.1.buffers.1: x is not a count; write one such as 16"),
        (
            "[0, 200 ms]",
            "[0, 200]",
            "17:38: stalls.0.for.1: 200 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        (
            "[0, 200 ms]",
            "200",
            "17:34: stalls.0.for: 200 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        ("seed: 1", "sed: 1", "18:20: run.sed: unknown field; did you mean seed?"),
        ("faults: 0", "faults: few", "19:18: expect.faults: expected a whole number or a mapping of fields, found few"),
        ("faults: 0", "faults: {max: x}", "19:24: expect.faults.max: expected a number, found x"),
        ("{max: 5}", "x", "19:45: expect.scalars.iommu0.walks: expected a number or a mapping of fields, found x"),
        ("domains:", "domain:", "10:1: domain: unknown field; did you mean domains?"),
        ("parts:", "prats:", "2:1: prats: unknown field; did you mean parts?"),
    ],
)
def test_an_error_says_where_what_and_what_would_be_right(old, new, error):
    assert problems(text=edited((old, new))) == [f"ten.yaml:{error}"]


def test_all_errors_of_a_file_come_at_once_in_its_order():
    text = edited(
        ("latency: 80 ns", "latency: 80"),
        ("walkers: 4", "wakers: 4"),
        ("iotlb_entries: 32", "iotlb_entries: 32, iotlb_entries: 64"),
        ("through: iommu0", "through: iommu1"),
        ("{pattern: ring, size: 1500 B}", "{pattern: ring, size: 1500 B, read: x}"),
        ("  - {on: cpu0, does: map-unmap, pages: 256}", "  - 5\n  - {on: cpu1, does: map-unmap, pages: 010}"),
        ("until: 1 ms", "until: 0"),
    )
    assert problems("nic3.traffic.sise=3", "run.seed=-1", text=text) == [
        "ten.yaml:3:69: parts.dram0.latency: 80 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns",
        "ten.yaml:4:74: parts.iommu0.geometry.iotlb_entries: given twice; the first is in line 4",
        "ten.yaml:4:93: parts.iommu0.geometry.wakers: unknown field; did you mean walkers?",
        "ten.yaml:8:14: parts.nic.through: iommu1 is not an iommu; did you mean iommu0?",
        "ten.yaml:9:50: parts.nic.traffic.read: expected a number, found x",
        "ten.yaml:14:5: threads.0: expected a mapping of fields, found 5",
        "ten.yaml:15:40: threads.1.pages: 010: a number does not begin with 0; "
        "write 10 (0o10 if it is octal), or quote it if it is text",
        "ten.yaml:16:10: threads.2.on: cpu1 has a thread already",
        "ten.yaml:19:14: run.until: 0 is out of bounds: it must be above 0",
        "-s nic3.traffic.sise=3: parts.nic3.traffic.sise: unknown field; did you mean size?",
        "-s run.seed=-1: run.seed: -1 is out of bounds: it must be at least 0",
    ]


def test_what_follows_from_a_reported_error_is_not_reported_again():
    text = edited(("kind: iommu", "kind: iomu"))
    assert problems(text=text) == [
        "ten.yaml:4:18: parts.iommu0.kind: unknown kind iomu; did you mean iommu? There are: memory, iommu, dma"
    ], "that the devices name an unusable part is no second error"
    assert problems(text=edited(("through: iommu0", "through: [iommu0]"))) == [
        "ten.yaml:8:5: parts.nic.through: expected text, found a list"
    ], "and neither is that they have no way to memory"


def test_an_error_of_a_part_written_out_many_times_is_one_error():
    assert problems(text=edited(("size: 1500 B", "size: 1500"))) == [
        "ten.yaml:9:36: parts.nic.traffic.size: 1500 has no unit; for bytes write 1500 B"
    ]


def test_what_is_missing_at_the_top_is_said_at_the_top():
    assert problems(text="run: {until: 1 ms}\n") == ["ten.yaml:1:1: parts: missing"]


def test_an_error_is_a_value_that_travels_between_processes():
    error = TopologyError([Problem(Position("f.yaml", 3, 4), ("run", 0), "is wrong")])
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert str(copy) == "f.yaml:3:4: run.0: is wrong"
    assert copy.exit_code == 2


def test_a_source_with_an_error_keeps_what_it_says() -> None:
    """What an error makes unusable is left out of a copy: the source is asked once more, such as for the same error."""
    source = Source.parse("name: one\nsize: many\n", "little.yaml")
    before, said = source.root.plain, []
    for _ in range(2):
        with pytest.raises(TopologyError) as error:
            validate(Little, source)
        said.append(str(error.value))
    assert source.data == before
    assert said[0] == said[1]


def test_rules_speak_of_the_data_as_it_was_written():
    """The first thread is unusable and left out, and yet the third is called the third."""
    text = edited(("on: cpu0", "on: [cpu0]"), ("[1, 2]}", "[1, 2]}\n  - {on: cpu1, does: receive}"))
    assert problems(text=text) == [
        "ten.yaml:14:6: threads.0.on: expected text, found a list",
        "ten.yaml:16:10: threads.2.on: cpu1 has a thread already",
    ]


def test_the_legal_names_at_a_path_are_those_of_the_part_that_is_there():
    legal, data = legal_names(Topology), resolved().data
    assert set(legal(data, ("parts", "nic3"))) == {"kind", "through", "direct", "colour", "traffic"}
    assert set(legal(data, ("parts", "iommu0", "geometry"))) == {"iotlb_entries", "walkers", "levels", "replacement"}
    assert set(legal(data, ("threads", 1))) == {"does", "on", "buffers"}
    assert set(legal(data, ("stalls", 0))) == {"part", "for"}
    assert set(legal(data, ("domains",))) == set()
    assert legal(data, ("driver",)) is None, "which policies there are is not the schema's to say"


def test_reading_topologies_needs_neither_numpy_nor_rich_nor_simpy():
    program = "import sys, cosim.config.source; print(*sys.modules.keys() & {'numpy', 'rich', 'simpy', 'click'})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


class Odd(BaseModel):
    """Types that no topology has yet, whose errors have no words of their own."""

    day: date | None = None
    code: str = Field(default="a", pattern="^a+$")


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("day", "soon", "f:1:6: day: expected date, found soon"),
        ("code", "b", "f:1:7: code: b is not possible here: string should match pattern '^a+$'"),
    ],
)
def test_an_error_without_words_of_its_own_is_still_told_without_jargon(field, value, error):
    with pytest.raises(TopologyError) as caught:
        validate(Odd, Source.parse(f"{field}: {value}\n", "f"))
    assert str(caught.value) == error


def test_a_thread_on_several_cpus_is_one_on_each_after_all_else_was_set() -> None:
    text = """\
parts:
  cpu: {kind: cpu, count: 2}
  dram0: {kind: memory}
threads:
  - {on: cpu*, does: wait}
  - {on: dram*, does: wait}
"""
    counted = Override.parse("cpu.count=3")
    source = Source.parse(text, "t.yaml").resolved(overrides=[counted, Override.parse("threads.0.does=work")])
    assert [thread["on"] for thread in source.data["threads"]] == ["cpu0", "cpu1", "cpu2", "dram*"]
    assert [thread["does"] for thread in source.data["threads"]] == ["work"] * 3 + ["wait"]
    assert source.where(("threads", 2, "on")) == source.where(("threads", 0, "on"))


def test_a_list_and_a_mapping_take_one_anothers_place() -> None:
    there, other = (cast(Node, read(text, "t.yaml")[0]) for text in ("a: [1, 2]\nb: {c: 3}\n", "a: {d: 4}\nb: [5]\n"))
    assert merged(there, other).plain == {"a": {"d": 4}, "b": [5]}
    assert merged(other, there).plain == {"a": [1, 2], "b": {"c": 3}}


def test_a_single_member_is_one_of_those_that_the_overlay_makes() -> None:
    two, three = (
        cast(Node, read(f"parts: {{{parts}}}\n", "t.yaml")[0])
        for parts in ("cpu: {kind: cpu, count: 2}", "cpu: {count: 3}, cpu2: {node: 1}")
    )
    rest, members = apart(two, three)
    assert rest.plain == {"parts": {"cpu": {"count": 3}}}
    assert members is not None
    assert members.plain == {"cpu2": {"node": 1}}
