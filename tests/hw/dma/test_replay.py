"""Replay of recorded requests: what a device makes of a file, and what is said of one that is none."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.hw.dma.recording import RecordingError, Survey, read, survey
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from tests.hw.dma.masters import BASE, Rig

HEAD = "time_ns,device,iova,size,access\n"
LINES = """\
100,nic0,0xffff2040,64,read
100,gpu0,0x0,64,write
112.5,nic0,0xffff1000,16,write
400,nic0,0xffff2ff8,16,read
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text(HEAD + LINES, encoding="utf-8")
    return path


def replayed(path: Path, executor: Any = Agenda, **options: Any) -> Rig:
    rig = Rig(executor, latency="80 ns")
    options = {"pattern": "replay", "file": str(path), "outstanding": 4, "link": "0 ns", **options}
    rig.device = rig.master(**options)  # type: ignore[attr-defined]
    rig.device.start(BASE)  # type: ignore[attr-defined]
    rig.run()
    return rig


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_requests_come_at_their_times_at_their_distances_with_their_sizes(file: Path, executor: Any) -> None:
    """From its lowest page on, cut at 4 KiB, and those of another device are not its own."""
    found = replayed(file, executor).issued
    first = found[0].time
    assert first < 10, "the file's first line is the start"
    assert [(e.time - first, e.iova - BASE, e.size, e.write) for e in found] == [
        (0, 0x1040, 64, False),
        (12_500, 0, 16, True),
        (300_000, 0x1FF8, 8, False),
        (300_000, 0x2000, 8, False),
    ]


def test_a_file_is_surveyed_for_each_device(file: Path) -> None:
    assert survey(str(file), "nic0") == Survey(100_000, 0xFFFF1000, 0x2008, 3)
    assert survey(str(file), "gpu0") == Survey(100_000, 0, 64, 1)


def test_the_bytes_of_a_recording_count_from_the_page_of_its_lowest_request(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(HEAD + "0,nic0,0x1f80,64,read\n1,nic0,0x2040,64,read\n", encoding="utf-8")
    assert survey(str(path), "nic0") == Survey(0, 0x1000, 0x1080, 2)


@pytest.mark.parametrize("requests", ["0x1000,64 0x1020,64", "0x1020,64 0x1000,64", "0x1000,96 0x1020,8"])
def test_the_window_of_a_device_ends_where_the_farthest_of_its_requests_does(tmp_path: Path, requests: str) -> None:
    """Wherever that begins, and whichever comes first."""
    path = tmp_path / "requests.csv"
    lines = (f"{number},nic0,{request},read\n" for number, request in enumerate(requests.split()))
    path.write_text(HEAD + "".join(lines), encoding="utf-8")
    assert survey(str(path), "nic0").span == 96


def test_a_file_that_changes_within_a_second_and_keeps_its_size_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "quick.csv"
    for number, time_ns in enumerate((3, 7)):
        path.write_text(f"time_ns,device,iova,size,access\n{time_ns},nic0,0,8,read\n")
        os.utime(path, ns=(10**18 + number, 10**18 + number))
        assert survey(str(path), "nic0").first_ps == 1000 * time_ns


def crowd(tmp_path: Path, count: int = 40) -> Path:
    """One request each nanosecond, for a device that takes 80 ns for each."""
    path = tmp_path / "crowd.csv"
    path.write_text(HEAD + "".join(f"{n},nic0,{64 * n},8,r\n" for n in range(count)), encoding="utf-8")
    return path


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_requests_ahead_of_the_device_wait_in_it_and_their_wait_counts_from_their_time(
    tmp_path: Path, executor: Any
) -> None:
    rig = replayed(crowd(tmp_path), executor, outstanding=1)
    assert [event.issued // 1000 for event in rig.done] == list(range(40))
    assert all(event.parts.get("slot", 0) // 1000 == 79 * n for n, event in enumerate(rig.done))
    assert rig.device.backlog.most == 39  # type: ignore[attr-defined]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_a_full_queue_holds_the_recording_up(tmp_path: Path, executor: Any) -> None:
    rig = replayed(crowd(tmp_path), executor, outstanding=1, queue=3)
    assert rig.device.backlog.most == 3  # type: ignore[attr-defined]
    assert len(rig.done) == 40
    assert [event.issued // 1000 for event in rig.done][:6] == [0, 1, 2, 3, 80, 160]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("until", [500, 100_000], ids=["before its next request", "while it waits for room"])
def test_a_replay_that_is_stopped_leaves_all_slots_and_no_more_to_the_one_that_is_started_then(
    tmp_path: Path, until: int, executor: Any
) -> None:
    rig = Rig(executor, latency="80 ns")
    device = rig.master(pattern="replay", file=str(crowd(tmp_path)), outstanding=4, queue=3, link="0 ns")
    device.start(BASE)
    rig.run(until)
    made = device.occupancy.left + device.occupancy.inside + device.backlog.inside
    assert made == (1 if until == 500 else 4 + 4 + 3)
    device.stop()
    device.start(BASE)
    rig.run()
    assert len(rig.done) == made + 40
    assert (device.slots.free, device.occupancy.most) == (4, 4)


def test_requests_end_a_replay_early(tmp_path: Path) -> None:
    assert len(replayed(crowd(tmp_path), requests=7).done) == 7


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path = crowd(tmp_path, 5000)

    def peak() -> int:
        tracemalloc.start()
        count = sum(1 for _ in read(str(path)))
        survey(str(path), "nic0")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 5000
        return most

    assert path.stat().st_size > 100_000
    assert peak() < 50_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r":1: the first line is '', and has to name the columns: time_ns,device,iova,size,access"),
        ("time,device,iova,size,access\n", r":1: the first line is 'time,device,iova,size,access', and has to name"),
        (HEAD + "1,nic0,0,8\n", r":2: 4 fields, and the first line has 5: time_ns, device"),
        (HEAD + "1,nic0,0,8,read\nsoon,nic0,0,8,read\n", r":3: time_ns: 'soon' is not a time"),
        (HEAD + "-1,nic0,0,8,read\n", r":2: time_ns: '-1' is not a time"),
        (HEAD + "0.0001,nic0,0,8,read\n", r":2: time_ns: '0.0001' is not a time"),
        (HEAD + "nan,nic0,0,8,read\n", r":2: time_ns: 'nan' is not a time"),
        (
            HEAD + "7,nic0,0,8,read\n\n5,nic0,0,8,read\n",
            r":4: time_ns: 5 is before 7 of the line above; sort",
        ),
        (HEAD + "1,nic0,here,8,read\n", r":2: iova: 'here' is not an integer from 0 to 0xffffffffffffffff"),
        (HEAD + "1,nic0,0,0,read\n", r":2: size: '0' is not an integer from 1 to 0x1000000"),
        (HEAD + "1,nic0,0,8,fetch\n", r":2: access: 'fetch' is neither read nor write"),
        (HEAD + '1,nic0,0,8,"read\n', r":2: unexpected end of data"),
        (HEAD + "1,gpu0,0,8,read\n", r": no line is of device nic0; there are: gpu0"),
        (HEAD, r": no line is of device nic0; there are: no request at all"),
        ("\xff", r": not UTF-8 text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordingError, match=r"wrong\.csv" + says):
        survey(str(path), "nic0")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.csv: no such file"):
        survey(str(tmp_path / "none.csv"), "nic0")
    with pytest.raises(RecordingError, match=": is a directory"):
        list(read(str(tmp_path)))


def test_a_relative_path_that_is_not_there_is_told_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordingError) as raised:
        survey("none.csv", "nic0")
    assert str(raised.value).startswith(f"none.csv: no such file in {tmp_path}, nor beside a topology file")
    with pytest.raises(RecordingError, match=r"none\.csv: no such file$"):
        survey(str(tmp_path / "none.csv"), "nic0")


TOPOLOGY = """\
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 32 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: replay, file: FILE, window: 16 KiB, outstanding: 4}}
run: {until: 20 us, executor: agenda}
"""


@pytest.fixture
def topology(tmp_path: Path, file: Path) -> Path:
    path = tmp_path / "replay.yaml"
    path.write_text(TOPOLOGY.replace("FILE", str(file)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_topology_replays_a_file_through_an_iommu_with_equal_digests(topology: Path) -> None:
    result = cosim.run(topology)
    assert (result.scalars["nic0.reads"], result.scalars["nic0.writes"], result.faults) == (3, 1, {})
    assert cosim.run(topology, set={"run.executor": "plain"}).digest == result.digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nic0.traffic.window": "8 KiB"}, r"from 0xffff1000 to 0xffff3007, which needs 12 KiB, and not 8 KiB"),
        ({"nic0.traffic.file": "none.csv"}, r"none\.csv: no such file"),
        ({"nic0.traffic.size": "8 B"}, r"size: has no effect with pattern: replay"),
        ({"nic0.traffic.interval": "8 ns"}, r"interval: has no effect with pattern: replay"),
        ({"nic0.traffic.file": None}, r"pattern: replay needs the file that is replayed"),
    ],
)
def test_a_topology_that_cannot_be_is_refused(topology: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TopologyError, match=says):
        cosim.load(topology, set=change)


def test_a_recording_lies_in_the_current_folder_or_beside_the_topology_that_names_it(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an override names is looked for in the current folder alone, as everything else in a command is."""
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "replay.yaml").write_text(TOPOLOGY.replace("FILE", "its.csv"), encoding="utf-8")
    (folder / "over.yaml").write_text("parts: {nic0: {traffic: {file: other.csv}}}", encoding="utf-8")
    for name in ("its.csv", "other.csv"):
        (folder / name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)

    def replayed(**changes: Any) -> str:
        return cosim.load("sub/replay.yaml", **changes).devices()["nic0"].traffic.file

    assert replayed() == "sub/its.csv"
    assert replayed(overlays=["sub/over.yaml"]) == "sub/other.csv"
    assert cosim.load(cosim.load("sub/replay.yaml")) == cosim.load("sub/replay.yaml")
    with pytest.raises(TopologyError, match=r"other\.csv: no such file in "):
        replayed(sets=["nic0.traffic.file=other.csv"])
    (tmp_path / "its.csv").write_bytes(file.read_bytes())
    assert replayed() == "its.csv"
