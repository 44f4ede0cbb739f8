"""Pictures of what a compiled driver does: with each action of it stand its line of C and its function."""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim import events
from cosim.sim.simulation import Sim
from cosim.spec.register_map import CQB
from cosim.study.explore.keep import keep
from cosim.study.explore.row import Found, Row
from cosim.study.finding import Finding, read
from cosim.study.finding.replay import replay
from cosim.study.report.ordering import Picture, html, picture_of, plain
from cosim.study.report.ordering.picture import Cell
from cosim.study.report.ordering.recording import Recording, lines_held
from cosim.study.report.ordering.steps import Source, Step, source_of
from cosim.study.report.replayed import print_replayed
from cosim.study.run.run import Point, UnderWay
from cosim.study.run.stop import Stop
from cosim.system.load import load
from tests.study.finding.systems import found, record_of

DRIVER = Path(__file__).parent / "driver"
RACES = str(Path(__file__).parent / "races.yaml")
ATTACH = (f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.race-attach.o'}", (), "1700 ns")
DOORBELL = (f"object:{DRIVER / 'queue.race-doorbell.o'},{DRIVER / 'domain.o'}", ("cpu1.attach.st#0:1",), "6 us")
OWN = (f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}", (), "4 us")
CORE = ("attach", "unmap", "free page", "nic0 is in")
"""Beginnings of what the core and the DMA API do, which are no C."""


def point(driver: str, schedule: tuple[str, ...], start: str) -> Point:
    return Point(load(RACES, driver=driver, set={"threads.0.start": start}), "races", schedule)


@cache
def picture(which: tuple[str, tuple[str, ...], str]) -> Picture:
    at = point(*which)
    record = record_of(at)
    return picture_of(Finding.of(at, record, record.signs[0]), "cosim replay found.json")


@cache
def steps(which: tuple[str, tuple[str, ...], str]) -> list[Step]:
    """What threads do in a run, from the end of boot on."""
    at = point(*which)
    recording = Recording(at.topology, at.schedule)
    begun = UnderWay(at, [recording.watch])
    begun.advance()
    begun.close()
    return [step for step in recording.steps if step.who.startswith("cpu") and "." in step.who]


def line_of(file: str, text: str, nth: int = 0) -> int:
    return [number for number, line in enumerate((DRIVER / file).read_text().splitlines(), 1) if text in line][nth]


def cells(drawn: Picture, column: str) -> list[Cell]:
    at = drawn.columns.index(column)
    return [line.cells[at] for line in drawn.lines if line.cells[at].text]


def sources(drawn: Picture, column: str, text: str) -> list[tuple[str, int, str]]:
    """The lines of the cells that say `text`."""
    return [tuple(source) for cell in cells(drawn, column) if cell.text == text for source in cell.sources]


# --- Which line ------------------------------------------------------------------------------------------------------


def test_each_action_of_the_driver_has_its_line_and_function_and_none_of_the_core_has() -> None:
    for which in (ATTACH, DOORBELL):
        drawn = picture(which)
        threads = [cell for column in drawn.columns if column.startswith("cpu") for cell in cells(drawn, column)]
        assert len(threads) > 5
        assert all(bool(cell.sources) != cell.text.startswith(CORE) for cell in threads), threads
        hardware = [cell for column in drawn.columns if not column.startswith("cpu") for cell in cells(drawn, column)]
        assert not any(cell.sources for cell in hardware)


def test_a_command_has_the_line_that_asks_for_it_and_not_the_one_that_fills_its_slot() -> None:
    drawn = picture(ATTACH)
    context = ("queue.c", line_of("queue.c", "own_send(iommu, 3"), "own_forget_context")
    assert sources(drawn, "cpu1.attach", "send IODIR nic0") == [context, context]
    everything = ("queue.c", line_of("queue.c", "own_send(iommu, 1 | (u64)pscid"), "own_forget_all")
    assert sources(drawn, "cpu1.attach", "send IOTINVAL pscid 1") == [everything]
    fences = [("domain.c", line_of("domain.c", "own_sync(iommu);", nth), "enter") for nth in (0, 1)]
    assert sources(drawn, "cpu1.attach", "send IOFENCE") == fences
    slots = [step.source for step in steps(ATTACH) if step.text.startswith("fill slot")]
    assert {(one.line, one.function) for one in slots if one} == {
        (line_of("queue.c", f"WRITE_ONCE(slot[{word}]"), "own_send") for word in (0, 1)
    }


def test_what_the_core_calls_is_no_sender_though_its_name_is_like_that_of_one() -> None:
    """own_iotlb_sync asks for its commands itself."""
    sent = [step.source for step in steps(OWN) if step.who == "cpu0.unmap" and step.text.startswith("send")]
    assert sent == [
        Source("queue.c", line_of("queue.c", "own_send(iommu, 1 | 1ul << 10"), "own_forget_page"),
        Source("domain.c", line_of("domain.c", "\town_sync(domain->iommu)"), "own_iotlb_sync"),
    ]


def test_a_driver_may_ask_how_large_a_queue_can_be_before_it_has_one() -> None:
    """As Linux does: where it has none yet, nothing is a queue."""
    at = point(*ATTACH)
    sim, recording = Sim(), Recording(at.topology, ())
    recording.watch(sim)
    sim.probe(events.BootDone)(events.BootDone(1))
    for value in (15, 0x80001 << 10 | 6):
        sim.probe(events.RegisterWritten)(events.RegisterWritten(1, "iommu0", CQB.offset, 8, value, "cpu0.unmap"))
    for address in (0x8FF8, 0x8000_1010):
        sim.actions.announce("cpu0.unmap.st", "cpu0.unmap", (address,), changes=True, size=8)
    assert [step.text for step in recording.steps] == ["writes 0x8ff8", "writes a queue"]


def test_a_fence_has_the_line_that_makes_it() -> None:
    barrier = ("domain.c", line_of("domain.c", "smp_mb();"), "own_iotlb_sync")
    assert sources(picture(ATTACH), "cpu0.unmap", "fence") == [barrier]


def test_words_of_a_context_that_are_drawn_as_one_line_keep_their_lines_of_c() -> None:
    [cell] = [cell for cell in cells(picture(ATTACH), "cpu1.attach") if cell.text == "DC nic0: fsc, ta pscid 2, V=1"]
    writes = [line_of("domain.c", f"WRITE_ONCE(context->{field})", 0) for field in ("fsc, fsc", "ta, ta", "tc, tc")]
    assert cell.sources == tuple(Source("domain.c", line, "enter") for line in writes)


def test_a_leaf_is_cleared_by_the_thread_that_does_it_when_its_store_takes_hold() -> None:
    """Though the device that finds the page has not yet come back from its attach."""
    place = ("domain.c", line_of("domain.c", "WRITE_ONCE(*entry, 0)"), "own_unmap_pages")
    assert sources(picture(ATTACH), "cpu0.unmap", "clear PTE x") == [place]
    [clear] = [step for step in steps(ATTACH) if step.text.startswith("clear PTE")]
    assert clear.taken is not None
    assert (clear.who, clear.taken.agent, clear.time) == ("cpu0.unmap", "cpu0.unmap.st", clear.taken.time)


def test_what_the_kernel_does_for_the_driver_has_the_line_of_the_call() -> None:
    """The lock of the queue: its atomic, and the store that gives it back, which takes hold later."""
    takes, gives = (
        {step.source for step in steps(ATTACH) if step.taken and step.taken.place.startswith(f"{place}+")}
        for place in ("object_driver.functions.locks.WordLock.take", "object_driver.functions.locks.WordLock.give")
    )
    taken = {line_of("queue.c", "_raw_spin_lock_irqsave", 0), line_of("queue.c", "_raw_spin_lock_irqsave", 1)}
    given = {line_of("queue.c", "_raw_spin_unlock_irqrestore", n) for n in (0, 1)}
    assert {source.line for source in takes if source} == taken
    assert {source.line for source in gives if source} == given
    assert None not in takes | gives


def test_a_call_that_makes_no_effect_has_its_line_until_the_thread_leaves_the_driver() -> None:
    at = point(*ATTACH)
    sim, recording = Sim(), Recording(at.topology, ())
    recording.watch(sim)
    sim.probe(events.BootDone)(events.BootDone(1))
    for place in ("queue.c:5, in own_read", ""):
        sim.probe(events.LineReached)(events.LineReached(2, "cpu0.unmap", place))
        sim.probe(events.ReadSectionBegun)(events.ReadSectionBegun(2, "cpu0.unmap"))
    assert [step.source for step in recording.steps] == [Source("queue.c", 5, "own_read"), None]


def test_what_a_schedule_holds_is_told_with_its_line_however_often_it_asks() -> None:
    driver, _, start = DOORBELL
    valid = f"domain.c:{line_of('domain.c', 'WRITE_ONCE(context->tc, 0)')} in enter"
    for schedule in (("cpu1.attach.st#0:1", "nic0.issue#0:1"), ("cpu1.attach.st#0:1", "cpu1.attach.st#0.1:2")):
        assert lines_held(point(driver, schedule, start)) == {"cpu1.attach.st#0": valid}
    assert lines_held(point(driver, ("cpu1.attach.st#0.1:1",), start)) == {"cpu1.attach.st#0": valid}


def test_a_finding_that_is_kept_and_one_that_is_replayed_say_which_line_of_c_is_held(tmp_path: Path) -> None:
    driver, schedule, start = DOORBELL
    line = f"domain.c:{line_of('domain.c', 'WRITE_ONCE(context->tc, 0)')} in enter"
    at = point(driver, schedule, start)
    row = Row("races", driver, found=Found(1, 1, record_of(at).signs[0], "", at, ""))
    keep(row, tmp_path, small=False, jobs=1, stop=Stop())
    assert row.found
    assert row.found.held == {"cpu1.attach.st#0": line}
    told = io.StringIO()
    print_replayed(replay(read(row.found.path)), told)
    assert f"  held: cpu1.attach.st#0, which is {line}\n" in told.getvalue()


def test_places_of_python_are_no_lines_of_c() -> None:
    assert source_of("domain.c:230, in enter") == Source("domain.c", 230, "enter")
    assert source_of("policies.attach.FenceFirst.paging+7") is None
    assert not any(cell.sources for line in picture_of(found()).lines for cell in line.cells)


# --- How it is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [ATTACH, DOORBELL], ids=["attach", "doorbell"])
@pytest.mark.parametrize("width", [60, 80])
def test_as_text_it_fits(which: tuple[str, tuple[str, ...], str], width: int) -> None:
    assert max(map(len, plain(picture(which), width).splitlines())) <= width


def test_as_text_a_function_is_said_where_a_column_comes_to_it() -> None:
    text = plain(picture(DOORBELL))
    barrier = line_of("domain.c", "smp_mb();", 1)
    assert text.startswith("races, driver object:queue.race-doorbell.o,domain.o, seed 0, hold 3 us\n")
    assert f"fence (domain.c:{barrier} in enter)" in text
    told = re.findall(r"\((?:queue|domain)\.c:[^)]*\)", " ".join(text.replace("|", " ").split()))
    valid = line_of("domain.c", "WRITE_ONCE(context->tc, 0)")
    assert told == [
        f"(domain.c:{barrier} in enter)",
        f"(domain.c:{valid})",
        f"(queue.c:{line_of('queue.c', 'own_send(iommu, 3')} in own_forget_context)",
        f"(domain.c:{valid} in enter)",
        f"(domain.c:{line_of('domain.c', 'own_sync(iommu);')})",
        f"(domain.c:{line_of('domain.c', 'WRITE_ONCE(context->fsc')})",
    ]
    assert "a line of C without a function is in the last one named above it\n" in text


def test_as_a_page_each_action_has_both() -> None:
    text = html(picture(DOORBELL))
    found = re.findall(r"<td [^>]*>([^<]*) <small>([^<]*)</small></td>", text)
    assert len(found) == sum(bool(cell.sources) for line in picture(DOORBELL).lines for cell in line.cells) > 4
    assert all(re.fullmatch(r"\w+\.c:\d+ in \w+", source) for _, source in found)
    valid = line_of("domain.c", "WRITE_ONCE(context->tc, 0)")
    assert ("DC nic0: V=0: held", f"domain.c:{valid} in enter") in found
