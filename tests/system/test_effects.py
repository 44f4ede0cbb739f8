"""Options that another one makes idle: an error at the line of each; and no option of a topology is left out."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

import cosim
from cosim.config.problems import TopologyError
from cosim.config.source import Source, validate
from cosim.study.run.run import Point, run
from cosim.sw.driver.costs import DriverCosts
from cosim.system.driver_options import DriverOptions
from cosim.system.effects import TABLE, ineffective
from cosim.system.load import load, resolved
from cosim.system.topology import Topology

BASE: dict[str, Any] = {
    "parts": {
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
        "cpu0": {"kind": "cpu"},
        "iommu0": {"kind": "iommu", "base": 0x0300_0000},
        "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"requests": 20}},
        "ring0": {"kind": "ring", "through": "iommu0"},
        "off0": {"kind": "dma", "direct": True, "traffic": {"requests": 1}},
    },
    "threads": [
        {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "hold": "5 us", "count": 2},
        {"on": "cpu0", "does": "receive-ring", "device": "ring0", "entries": 4, "count": 4},
    ],
    "run": {"until": "60 us"},
}
NIC, GEOMETRY, THREAD = "parts.nic0", "parts.iommu0.geometry", "threads.0"
RECORDING = str(Path(__file__).with_name("requests.csv"))
MAP = {"on": "cpu0", "does": "map", "domain": "nic0", "buffer": "x"}
TELL = {"on": "cpu0", "does": "tell", "device": "nic0", "iova": 0}
FAR = {"kind": "iommu", "base": 0x0300_2000, "node": 1}
LESS = {"threads": BASE["threads"][:1]}
SRAM = {"kind": "memory", "base": 0x0200_0000, "size": "64 KiB", "reserved": True}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "parts.dram0.cache_latency",
        {"parts.dram0.cache_latency": "20 ns"},
        {"parts.dram0.cache_lines": 64},
    ),
    ("parts.dram0.remote", {"parts.dram0.remote": "100 ns"}, {"parts.iommu0.node": 1}),
    ("parts.dram0.remote", {"parts.dram0.remote": "100 ns"}, {"parts.iommu1": FAR}),
    *(
        (f"iova.{field}", {f"iova.{field}": value}, {"threads.0.mode": "lazy"})
        for field, value in {"flush_entries": 64, "flush_timeout": "1 ms"}.items()
    ),
    *(
        (f"{NIC}.{field}", {f"{NIC}.{field}": value, f"{NIC}.traffic.pattern": "none"}, {f"{NIC}.traffic.pattern": ok})
        for ok in ("strided",)
        for field, value in {
            "traffic.requests": 100,
            "traffic.outstanding": 4,
            "traffic.interval": "1 us",
            "traffic.read": 0.5,
            "traffic.size": "128 B",
            "traffic.window": "8 KiB",
            "traffic.page": "2 MiB",
            "traffic.start": "1 us",
            "traffic.stride": "8 KiB",
            "link": "20 ns",
            "bandwidth": "4 GB/s",
            "posted": True,
        }.items()
    ),
    *(
        (
            f"{NIC}.traffic.{field}",
            {f"{NIC}.traffic.{field}": value, f"{NIC}.traffic.pattern": "told", f"{THREAD}.device": "nic0"},
            {f"{NIC}.traffic.pattern": "sequential"},
        )
        for field, value in {"window": "8 KiB", "page": "2 MiB", "start": "1 us"}.items()
    ),
    (
        f"{NIC}.traffic.outstanding",
        {f"{NIC}.traffic.outstanding": 4, f"{NIC}.traffic.pattern": "told"},
        {f"{THREAD}.device": "nic0"},
    ),
    (
        f"{NIC}.traffic.outstanding",
        {
            f"{NIC}.traffic": {"pattern": "told", "outstanding": 4},
            f"{THREAD}": {"on": "cpu0", "does": "domain-cycle", "devices": "nic*", "use": False},
        },
        {f"{THREAD}.use": True},
    ),
    (f"{NIC}.traffic.stride", {f"{NIC}.traffic.stride": "8 KiB"}, {f"{NIC}.traffic.pattern": "strided"}),
    (f"{NIC}.traffic.arrivals", {f"{NIC}.traffic.arrivals": "poisson"}, {f"{NIC}.traffic.interval": "1 us"}),
    ("parts.ring0.arrivals", {"parts.ring0.arrivals": "poisson"}, {"parts.ring0.interval": "1 us"}),
    ("parts.ring0.size", {**LESS, "parts.ring0.size": "1 KiB"}, {"threads": BASE["threads"]}),
    ("parts.ring0.posted", {**LESS, "parts.ring0.posted": True}, {"threads": BASE["threads"]}),
    (f"{NIC}.header", {f"{NIC}.header": "12 B"}, {f"{NIC}.bandwidth": "4 GB/s"}),
    ("parts.ring0.header", {"parts.ring0.header": "12 B"}, {"parts.ring0.bandwidth": "4 GB/s"}),
    ("parts.sram0.node", {"parts.sram0": SRAM | {"node": 1}}, {"parts.sram0.reserved": False}),
    ("costs.instruction", {"costs": {"instruction": "1 ns"}}, {"costs": {}}),
    ("parts.off0.device_id", {"parts.off0.device_id": 7}, {"parts.off0.through": "iommu0", "parts.off0.direct": False}),
    (
        "parts.cpu0.history",
        {"parts.cpu0.history": "1 us", "parts.cpu0.memory_model": "tso"},
        {"parts.cpu0.memory_model": "rvwmo"},
    ),
    (
        "parts.cpu0.timing.drain",
        {"parts.cpu0.timing.drain": "50 ns", "parts.cpu0.memory_model": "sequential"},
        {"parts.cpu0.memory_model": "tso"},
    ),
    *(
        (
            f"parts.iommu0.{field}",
            {f"parts.iommu0.{field}": value, f"{GEOMETRY}.{entries}": 0},
            {f"{GEOMETRY}.{entries}": 8},
        )
        for field, value, entries in (
            ("geometry.iotlb_ways", 4, "iotlb_entries"),
            ("geometry.iotlb_replacement", "random", "iotlb_entries"),
            ("timing.fill", "1 ns", "iotlb_entries"),
            ("geometry.ddtc_ways", 4, "ddtc_entries"),
            ("geometry.ddtc_replacement", "random", "ddtc_entries"),
            ("timing.context_fill", "1 ns", "ddtc_entries"),
            ("geometry.nonleaf_replacement", "random", "nonleaf_entries"),
        )
    ),
    (
        f"{GEOMETRY}.iotlb_napot",
        {f"{GEOMETRY}.iotlb_napot": False, f"{GEOMETRY}.iotlb_entries": 0, "driver": "current"},
        {f"{GEOMETRY}.iotlb_entries": 8},
    ),
    (f"{GEOMETRY}.iotlb_napot", {f"{GEOMETRY}.iotlb_napot": False}, {"driver": "current"}),
    *(
        (
            f"{GEOMETRY}.{cache}_replacement",
            {f"{GEOMETRY}.{cache}_replacement": "random", f"{GEOMETRY}.{shape}": 1},
            {f"{GEOMETRY}.{shape}": 2},
        )
        for cache, shape in (("iotlb", "iotlb_ways"), ("ddtc", "ddtc_ways"), ("nonleaf", "nonleaf_entries"))
    ),
    (
        f"{GEOMETRY}.plru_free_first",
        {f"{GEOMETRY}.plru_free_first": False},
        {f"{GEOMETRY}.ddtc_replacement": "plru"},
    ),
    *(
        (
            "parts.iommu0.timing.interrupt",
            {"parts.iommu0.timing.interrupt": "1 us", "parts.iommu0.capabilities.igs": "msi"},
            {"parts.iommu0.capabilities.igs": igs},
        )
        for igs in ("wsi", "both")
    ),
    (
        "parts.iommu0.defects.lose_buffered",
        {"parts.iommu0.defects.lose_buffered": "1 ns"},
        {f"{GEOMETRY}.fault_buffer": 4},
    ),
    (f"{THREAD}.gap", {f"{THREAD}.gap": "1 us", f"{THREAD}.count": 1}, {f"{THREAD}.count": 2}),
    (
        f"{NIC}.traffic.size",
        {f"{NIC}.traffic": {"pattern": "replay", "file": RECORDING, "size": "128 B"}},
        {f"{NIC}.traffic": {"pattern": "random", "size": "128 B"}},
    ),
    (
        f"{NIC}.traffic.size",
        {f"{NIC}.traffic": {"pattern": "random", "size": "128 B", "sizes": {"64 B": 1}}},
        {f"{NIC}.traffic": {"pattern": "random", "size": "128 B"}},
    ),
    (
        f"{NIC}.traffic.burst_times",
        {f"{NIC}.traffic": {"pattern": "random", "interval": "1 us", "burst_times": "exponential"}},
        {f"{NIC}.traffic": {"pattern": "random", "interval": "1 us"}},
    ),
    (f"{THREAD}.gaps", {f"{THREAD}.gaps": "exponential"}, {f"{THREAD}.gap": "1 us"}),
    (f"{THREAD}.contiguous", {f"{THREAD}.contiguous": True}, {f"{THREAD}.pages": 2}),
    (f"{THREAD}.mode", {f"{THREAD}.mode": "lazy", f"{THREAD}.domain": "off0"}, {f"{THREAD}.domain": "nic0"}),
    (f"{THREAD}.mode", {f"{THREAD}.mode": "lazy", f"{THREAD}.domain": "identity"}, {f"{THREAD}.domain": "nic0"}),
    (
        f"{THREAD}.direction",
        {f"{THREAD}.direction": "to-device", f"{THREAD}.domain": "identity"},
        {f"{THREAD}.domain": "nic0"},
    ),
    (
        f"{THREAD}.device",
        {f"{THREAD}.device": "nic0", f"{NIC}.traffic": {"pattern": "none"}},
        {f"{NIC}.traffic.pattern": "told"},
    ),
    (f"{THREAD}.device", {f"{THREAD}.device": "ring0"}, {f"{THREAD}.device": "nic0"}),
    (
        "threads.0.size",
        {
            "prepare": [MAP],
            "threads.0": {"on": "cpu0", "does": "tell", "device": "nic0", "buffer": "x", "size": "8 KiB"},
        },
        {"threads.0": {"on": "cpu0", "does": "tell", "device": "nic0", "iova": 4096, "size": "8 KiB"}},
    ),
    (
        "threads.0.device",
        {"threads.0": {"on": "cpu0", "does": "tell", "device": "ring0", "iova": 0}},
        {f"{THREAD}": TELL},
    ),
    ("prepare.0.contiguous", {"prepare": [MAP | {"contiguous": True}]}, {"prepare.0.pages": 2}),
    ("prepare.0.mode", {"prepare": [MAP | {"mode": "lazy", "domain": "off0"}]}, {"prepare.0.domain": "nic0"}),
    ("prepare.0.after", {"prepare": [MAP | {"after": "cpu0.map-unmap"}]}, {"prepare": [MAP]}),
    ("prepare.0.beside", {"prepare": [MAP | {"beside": True}]}, {"prepare": [MAP, TELL | {"beside": True}]}),
    (
        "threads.1.beside",
        {"threads.1.beside": True},
        {"prepare": [MAP, TELL | {"beside": True}], "threads.1.beside": False},
    ),
    ("threads.1.poll", {"threads.1.poll": "2 us"}, {"threads.1.wait": "poll"}),
    ("kernel.dma_direct_cost", {"kernel.dma_direct_cost": "9 ns"}, {f"{THREAD}.domain": "off0"}),
    ("run.limit", {"run.limit": "1 ms"}, {"run.until": "threads", "threads.1.count": 1}),
    ("iova.trim", {"iova.trim": "1 ms", "iova.classes": 0}, {"iova.classes": 1}),
    (
        "iova.search_cost",
        {
            "iova.search_cost": "1 us",
            "parts.nic0": {"kind": "dma", "direct": True},
            "parts.ring0": {"kind": "ring", "direct": True},
        },
        {"parts.nic0": {"kind": "dma", "through": "iommu0"}},
    ),
]
"""The field that is idle, what makes the base so, and what gives the field its effect again."""


def changed(*changes: dict[str, Any]) -> dict[str, Any]:
    """The base with values at dotted paths."""
    data = copy.deepcopy(BASE)
    for path, value in (item for change in changes for item in change.items()):
        *holders, last = path.split(".")
        inner: Any = data
        for key in holders:
            inner = inner[int(key)] if isinstance(inner, list) else inner.setdefault(key, {})
        inner[int(last) if isinstance(inner, list) else last] = copy.deepcopy(value)
    return data


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def written(*changes: dict[str, Any]) -> Path:
        path = tmp_path / "case.yaml"
        path.write_text(yaml.safe_dump(changed(*changes), sort_keys=False), encoding="utf-8")
        return path

    return written


def line_of(path: Path, field: str) -> int:
    """The line of a field's last key in a file in block style, looked for below the keys before it."""
    lines = path.read_text().splitlines()
    node = yaml.compose(path.read_text())
    for key in field.split("."):
        node = node.value[int(key)] if key.isdigit() else next(v for k, v in node.value if k.value == key)
    assert node.start_mark.line < len(lines)
    return int(node.start_mark.line) + 1


@pytest.mark.parametrize(("field", "idle", "mended"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_an_idle_field_is_an_error_at_its_line_and_with_its_partner_it_is_none(written, field, idle, mended):
    path = written(idle)
    with pytest.raises(TopologyError) as error:
        load(path)
    (told,) = [problem for problem in error.value.problems if ".".join(map(str, problem.path)) == field]
    assert told.position.line == line_of(path, field)
    assert "has no effect" in told.message
    mended_topology = load(written(idle, mended))
    assert field not in {".".join(map(str, complaint.path)) for complaint in ineffective(mended_topology)}


def test_the_base_has_nothing_idle(written):
    assert not list(ineffective(load(written())))


def test_what_an_instruction_costs_is_felt_where_the_driver_has_instructions(written):
    topology = load(written()).model_copy(update={"costs": DriverCosts(instruction="1 ns")})
    assert [".".join(map(str, complaint.path)) for complaint in ineffective(topology)] == ["costs.instruction"]
    compiled = topology.model_copy(update={"driver": DriverOptions(variant="object:iommu.o")})
    assert not list(ineffective(compiled))


def test_a_device_that_is_told_and_never_answers_is_pointed_to_the_pattern_told(written):
    path = written({f"{NIC}.traffic": {"pattern": "none", "requests": 100}, f"{THREAD}.device": "nic0"})
    with pytest.raises(TopologyError) as error:
        load(path)
    assert [problem.message.rpartition("use ")[2] for problem in error.value.problems] == [
        "pattern: told",
        "pattern: told there",
    ]


@pytest.mark.slow
def test_no_row_is_without_a_case(written):
    seen = set()
    for _, idle, _ in CASES:
        with pytest.raises(TopologyError) as error:
            load(written(idle))
        seen |= {problem.message for problem in error.value.problems}
    for row in TABLE:
        if isinstance(row.says, str):
            assert row.says in seen, row


# --- Layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "idle", "mended"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_what_idles_a_field_may_be_laid_over_it(written, field, idle, mended):
    """The topology that runs does not have it, and as a file of its own it is the same."""
    said = {path: value for path, value in idle.items() if path == field}
    over = {path: value for path, value in idle.items() if path != field}
    if not over or field not in idle:
        pytest.skip("idle by default")
    topology = load(written(mended, said), set=over)
    assert not list(ineffective(topology))
    text = resolved(topology)
    again = load(topology)
    assert resolved(again) == text


@pytest.mark.parametrize(
    ("said", "over", "gone"),
    [
        ({f"{THREAD}.gap": "1 us", f"{THREAD}.gaps": "exponential"}, {f"{THREAD}.count": 1}, ["gap", "gaps"]),
        ({f"{THREAD}.mode": "lazy", "iova.flush_entries": 64}, {f"{THREAD}.domain": "off0"}, ["mode", "flush_entries"]),
    ],
)
def test_what_has_its_effect_by_an_idle_field_alone_is_left_out_with_it(written, said, over, gone):
    topology = load(written(said), set=over)
    assert not list(ineffective(topology))
    assert not {*gone} & (topology.threads[0].model_fields_set | topology.iova.model_fields_set)


def test_an_override_that_is_idle_itself_is_an_error(written):
    with pytest.raises(TopologyError, match=r"-s nic0\.traffic\.stride=8192"):
        load(written(), sets=["nic0.traffic.stride=8192"])


@pytest.mark.parametrize("glob", ["[nr]i*0", "???0", "[no][if][cf]0"])
def test_an_override_of_many_devices_may_be_idle_in_some(written, glob):
    file = written({f"{NIC}.traffic": {"pattern": "none"}})
    topology = load(file, sets=[f"{glob}.link=45 ns"])
    assert "link" not in topology.parts["nic0"].model_fields_set
    with pytest.raises(TopologyError, match="has no effect"):
        load(file, sets=["nic0.link=45 ns"])
    with pytest.raises(TopologyError, match="has no effect"):
        load(file, sets=["nic0.traffic={pattern: none, requests: 4}"])


def test_a_default_that_is_written_out_is_no_error(written, tmp_path):
    everything = tmp_path / "all.yaml"
    everything.write_text(resolved(load(written({f"{NIC}.traffic": {"pattern": "none"}})), everything=True))
    load(everything)


@pytest.mark.slow
@pytest.mark.parametrize(
    "over", [["nic0.traffic.pattern=none"], ["threads=[]"], ["iommu0.geometry.iotlb_entries=0"], ["nic0.traffic={}"]]
)
def test_a_silenced_topology_runs_alike_from_the_file_of_what_ran(written, tmp_path, over):
    file = written(
        {f"{THREAD}.device": "nic0", f"{NIC}.traffic": {"outstanding": 4, "interval": "1 us", "arrivals": "poisson"}}
        | {f"{GEOMETRY}.iotlb_ways": 4, "parts.ring0.size": "1 KiB"}
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text(resolved(load(file, sets=over)))
    assert cosim.run(mine).digest == cosim.run(load(file, sets=over)).digest


IDLE_ALONE = [
    case for case in CASES if case[0].startswith("parts") and case[0] in case[1] and case[0] != "parts.off0.device_id"
]


@pytest.mark.slow
@pytest.mark.parametrize("case", IDLE_ALONE, ids=[f"{n}-{case[0]}" for n, case in enumerate(IDLE_ALONE)])
def test_what_the_table_calls_idle_changes_no_event(written, case):
    """With the field, past the check, and without."""
    field, idle, _ = case
    source = Source.load(written(idle))
    with_field = validate(Topology, source)
    without = validate(
        Topology, source.without([tuple(int(key) if key.isdigit() else key for key in field.split("."))])
    )
    assert run(Point(with_field)).digest == run(Point(without)).digest
