"""Where in the C source something is that a violation is about: the line of a store, of an allocation, of a thread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

import cosim
from cosim.events import CommandExecuted, CommandSent
from cosim.sim.places import awaits
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, UnderWay
from cosim.sw.driver.compiled import paths_of
from cosim.sw.object_driver.loading import load_objects
from cosim.sw.object_driver.standing import standing
from cosim.system.load import load
from cosim.system.sources import Sources
from cosim.system.system import System

DRIVER = Path(__file__).parent / "driver"
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
RACES = str(Path(__file__).parent / "races.yaml")
LATER = {"threads.0.start": "6 us"}


def line_of(text: str, source: str = "domain.c") -> int:
    lines = (DRIVER / source).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


RETURNED = f" (cpu0.unmap has returned from domain.c:{line_of('static void own_iotlb_sync(') + 1}, in own_iotlb_sync)"


def first(oracle: str, without: str) -> str:
    """The first message of an oracle where a line is taken out of the driver."""
    result = cosim.run(RACES, driver=f"{OWN},-{without}", set=LATER)
    return next(found.message for found in result.violations if found.oracle == oracle)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "text", "state"),
    [
        ("queue.c", "own_send(iommu, 3 | 1ul << 33", "never invalidated"),
        ("domain.c", "\t\t\town_sync(iommu", "invalidation sent but not executed"),
    ],
)
def test_a_context_that_may_be_cached_is_told_with_what_is_missing_and_the_line_that_changes_it(
    source: str, text: str, state: str
) -> None:
    message = first("context-update", f"{source}:{line_of(text, source)}")
    assert f": {state} since the old one left memory at " in message
    line = line_of("WRITE_ONCE(context->fsc, fsc)")
    assert message.endswith(f" (stored by cpu1.attach at domain.c:{line}, in enter)")


@pytest.mark.slow
def test_of_a_call_that_has_returned_the_function_of_the_driver_is_told() -> None:
    message = first("flush-promises", f"queue.c:{line_of('own_send(iommu, 1 | 1ul << 10', 'queue.c')}")
    assert message.endswith(RETURNED)


# --- Threads ---------------------------------------------------------------------------------------------------------


@cache
def stood() -> tuple[System, set[tuple[str, str]]]:
    """The run of two threads, and who was where at moments when either of them acts, or an IOMMU."""
    found: set[tuple[str, str]] = set()
    run: UnderWay

    def look(kind: str) -> None:
        for cpu in run.system.cpus.values():
            for thread in cpu.all_threads:
                place, (_, op) = standing(thread.body), awaits(thread.body)
                found.add((f"{kind} {thread.name}", place))
                if op is not None and op.place:
                    found.add((f"asks for {op.place}", place))

    def watch(sim: Sim) -> None:
        sim.probe(CommandSent).watch(lambda event: look("sends" if event.who.endswith("attach") else ""))
        sim.probe(CommandExecuted).watch(lambda event: look("executed"))

    run = UnderWay(Point(load(RACES, driver=OWN)), [watch])
    run.advance()
    run.close()
    return run.system, found


def places(who: str) -> Iterator[str]:
    return (place for name, place in stood()[1] if name == who)


def test_a_thread_that_runs_is_found_in_the_frames_of_who_asks() -> None:
    found = [place for place in places("sends cpu1.attach") if place.startswith("queue.c:")]
    assert {place.rpartition(" ")[2] for place in found} == {"own_send"}


def test_a_thread_that_waits_is_found_in_its_own() -> None:
    """Before an access, or for one, whose own line it is."""
    assert any(place.startswith("queue.c:") for place in places("executed cpu1.attach"))
    asked = [who.removeprefix("asks for ") for who, _ in stood()[1] if who.startswith("asks for ")]
    assert asked
    assert all(set(places(f"asks for {place}")) == {place} for place in asked)


def test_a_thread_that_is_not_in_the_driver_is_nowhere() -> None:
    assert "" in {place for _, place in stood()[1]}


def test_a_message_that_has_a_line_gets_no_other_and_a_call_of_before_is_of_no_account() -> None:
    source = stood()[0].source
    assert isinstance(source, Sources)
    assert source.stands("an unmap by cpu0.unmap", 0) == RETURNED
    assert not source.stands("an unmap by cpu0.unmap", 1 << 60)
    assert not source.stands("an unmap by cpu0.unmap (domain.c:7, in own_unmap_pages)", 0)
    assert not source.stands("nic0 has read 0x1000", 0)


def test_a_driver_of_policies_has_no_source_in_c() -> None:
    assert UnderWay(Point(load("quickstart"))).system.source is None


# --- Objects ---------------------------------------------------------------------------------------------------------


def test_the_structure_of_an_object_is_the_one_of_its_size_that_a_variable_of_the_function_points_to() -> None:
    info = load_objects([*paths_of(OWN), DRIVER / "trouble.o"]).image.info
    size = info.structures["own_domain"].size
    assert info.structure_of("own_domain_alloc_paging", size) == "own_domain"
    assert info.structure_of("own_domain_alloc_paging.constprop.0", size) == "own_domain"
    assert not info.structure_of("own_domain_alloc_paging", size + 8)
    assert info.structure_of("trouble_reads_what_it_allocated", 16) == "pair"
    inside = info.field("own_domain.domain").offset + info.field("iommu_domain.geometry.aperture_end").offset
    assert info.member_at("own_domain", inside) == "own_domain.domain.geometry.aperture_end"
    assert info.member_at("own_domain", info.field("own_domain.attached").offset) == "own_domain.attached"
    assert info.member_at("pair", 40) == "pair.+0x28"


def test_an_object_of_the_driver_knows_its_members_and_where_it_was_allocated() -> None:
    system, _ = stood()
    assert system.source is not None
    domains = [one for one in system.kernel.pages.in_use() if one.purpose == "object of own_domain_alloc_paging"]
    assert domains
    info = load_objects(paths_of(OWN)).image.info
    assert {one.place for one in domains} == {
        f"domain.c:{line_of('domain = __kmalloc_noprof')}, in own_domain_alloc_paging"
    }
    assert system.source.member(domains[0].address + info.field("own_domain.root").offset) == "own_domain.root"
    assert not system.source.member(0x8000_0000)
