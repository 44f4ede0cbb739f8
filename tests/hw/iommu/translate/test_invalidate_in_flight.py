"""Invalidations and fences against walks under way (3.1.1, 3.1.2).

```
device    request ---- reads tables ---- access ---- done
software       PTE changes, IOTINVAL takes hold, IOFENCE waits, memory is reused
```

After IOTINVAL has taken hold no request may be given what was in the entry before it; and once IOFENCE is complete,
neither an access by the old translation nor a read of the old tables is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import DmaCommitted, Invalidated
from cosim.hw.iommu.translate.invalidations import Invalidations
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Scheduled
from cosim.sim.plain import Plain
from cosim.spec.queues import Iotinval
from tests.hw.iommu.harness import DATA, LEAF, System

READ, HOP = 10_000, 1_000
PAGE, MB2 = 1 << 12, 1 << 21
OLD, NEW = DATA + 0x10000, DATA + 0x20000
WALK = 3 * (READ + 2 * HOP)
"""A walk of Sv39, from its start to its last entry."""
FIRST_READ = READ + HOP + HOP // 2
"""The first entry has given its value away, and it is on its way back."""
TIMES = sorted({*range(-HOP, WALK + READ + 4 * HOP, 2_900), FIRST_READ, WALK - HOP // 2, WALK, WALK + 1})
"""When software acts, after the request was issued: before, during and after walk and access.

Of what happens at the same time, requests come before commands.
"""
IN_WALK = [after for after in TIMES if 0 <= after <= WALK]


def machine(**options: Any) -> tuple[System, Any]:
    """A system whose context is cached, with one page mapped to OLD; pointers are not cached."""
    geometry = {"nonleaf_entries": 0, "ddt_nonleaf_entries": 0, **options.pop("geometry", {})}
    system = System(memory_ps=READ, hop_ps=HOP, geometry=geometry, **options)
    space = system.device(pscid=1)
    space.map(0, OLD)
    space.map(MB2, OLD)
    system.translate(MB2)
    return system, space


def remap(space: Any, command: Iotinval) -> Any:
    """Software changes the entry, and the invalidation takes hold at once."""

    def act() -> None:
        space.map(0, NEW)
        space.system.invalidate(command)

    return act


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize(("entries", "step"), [(0, 0), (8, 0), (0, READ)])
@pytest.mark.parametrize("command", [Iotinval.vma(pscid=1, addr=0), Iotinval.vma(pscid=1), Iotinval.vma()], ids=str)
def test_nothing_old_is_given_out_or_kept_after_an_invalidation(
    command: Iotinval, entries: int, step: int, executor: Any
) -> None:
    for after in (*TIMES, WALK + 3 * step - READ // 2):  # the last one while the leaf is judged, if that takes a step
        system, space = machine(executor=executor, geometry={"iotlb_entries": entries}, timing={"walk_step": step})
        start = system.sim.now + 1_000_000
        txn = system.request(0, at_ps=start)
        system.at(start + after, remap(space, command))
        late = system.request(0, at_ps=start + max(after, 0) + 1)
        system.run()
        assert late.address == NEW
        assert txn.address == (NEW if txn.translated > start + after else OLD)
        assert system.translate(0).address == NEW


@pytest.mark.parametrize(
    "command",
    [Iotinval.vma(pscid=2), Iotinval.vma(pscid=1, addr=PAGE), Iotinval.vma(gscid=1), Iotinval.vma(pscid=2, addr=0)],
    ids=str,
)
def test_an_unrelated_invalidation_neither_repeats_a_walk_nor_keeps_it_from_filling(command: Iotinval) -> None:
    for after in TIMES:
        system, _ = machine()
        start = system.sim.now + 1_000_000
        txn = system.request(0, at_ps=start, translate_only=True)
        system.at(start + after, lambda system=system: system.invalidate(command))
        system.run()
        assert system.count("restarts", "overtaken") == (0, 0)
        assert system.latency(txn) == WALK + 1
        assert system.probe(0)


def test_an_address_overtakes_a_walk_only_once_its_leaf_was_read() -> None:
    """AV=1 names leaf entries only: the pointers above may be old, and a leaf that is yet to be read is not."""
    restarts = []
    for after in IN_WALK:
        system, space = machine()
        start = system.sim.now + 1_000_000
        system.request(0, at_ps=start, translate_only=True)
        system.at(start + after, remap(space, Iotinval.vma(pscid=1, addr=0)))
        system.run()
        restarts.append((after, system.count("restarts")[0]))
    leaf_read = WALK - HOP + 1
    assert [after for after, restarted in restarts if restarted] == [
        after for after, _ in restarts if leaf_read <= after <= WALK
    ]


def unmapped(space: Any) -> None:
    """The walk of page 0 ends at a pointer that is not there."""
    space.system.poke(space.pte(0, 1), 0)


@pytest.mark.parametrize(
    ("change", "reads", "lg2"),
    [
        pytest.param(lambda space: space.map(0, NEW), 3, 12, id="4 KiB"),
        pytest.param(lambda space: space.map(0, NEW, napot=True), 3, 16, id="64 KiB"),
        pytest.param(lambda space: space.map(0, NEW & -MB2, 1), 2, 21, id="2 MiB"),
        pytest.param(lambda space: space.unmap(0), 3, 12, id="an empty entry"),
        pytest.param(unmapped, 2, 21, id="an empty entry above"),
        *(
            pytest.param(lambda space, kind=kind: space.system.memory.fault(kind, space.pte(0, 1), 8), 2, 21, id=kind)
            for kind in ("access_fault", "corrupt")
        ),
    ],
)
def test_any_address_that_an_entry_speaks_for_overtakes_who_has_read_it(
    change: Callable[[Any], None], reads: int, lg2: int
) -> None:
    for page, overtaken in ((0, 1), ((1 << lg2) - PAGE, 1), (1 << lg2, 0), (-PAGE, 0)):
        system, space = machine()
        change(space)
        start = system.sim.now + 1_000_000
        system.request(8, at_ps=start, translate_only=True)
        leaf_read = start + reads * (READ + 2 * HOP) - HOP // 2
        system.at(leaf_read, partial(system.invalidate, Iotinval.vma(pscid=1, addr=page % (1 << 64))))
        system.run()
        assert system.count("overtaken", "restarts") == (overtaken, overtaken), hex(page)


def test_a_request_that_comes_after_an_invalidation_does_not_join_an_older_walk() -> None:
    system, space = machine()
    start = system.sim.now + 1_000_000
    first = system.request(0, at_ps=start, translate_only=True)
    in_second_read = start + READ + 2 * HOP + READ // 2
    system.at(in_second_read, remap(space, Iotinval.vma(pscid=1)))
    second = system.request(0, at_ps=in_second_read + 100, translate_only=True)
    system.run()
    assert (first.address, second.address) == (NEW, NEW)
    assert system.latency(second) == WALK + 1
    assert "merge_wait" not in second.parts


def test_a_walk_that_begins_after_an_invalidation_leads_in_the_place_of_the_overtaken_one() -> None:
    """Both read the same entry; who comes later, or starts again, joins the one that may be trusted."""
    system, space = machine()
    start = system.sim.now + 1_000_000
    txns = [system.request(0, at_ps=start, translate_only=True)]
    in_first_read = start + FIRST_READ
    system.at(in_first_read, remap(space, Iotinval.vma()))
    txns += [system.request(0, at_ps=in_first_read + after, translate_only=True) for after in (100, 200)]
    system.run()
    assert [txn.address for txn in txns] == [NEW] * 3
    assert ["merge_wait" in txn.parts for txn in txns] == [True, False, True]


@pytest.mark.parametrize("entries", [0, 8])
@pytest.mark.parametrize("command", [Iotinval.vma(pscid=1, addr=0), Iotinval.vma(pscid=1)], ids=str)
def test_those_who_had_joined_an_overtaken_walk_start_again_as_well(command: Iotinval, entries: int) -> None:
    for after in TIMES:
        system, space = machine(geometry={"iotlb_entries": entries})
        start = system.sim.now + 1_000_000
        txns = [system.request(8 * n, at_ps=start + n, translate_only=True) for n in range(4)]
        system.at(start + after, remap(space, command))
        system.run()
        for n, txn in enumerate(txns):
            assert txn.address == 8 * n + (NEW if txn.translated > start + after else OLD)


@pytest.mark.parametrize("entries", [0, 8])
def test_a_page_that_is_remapped_while_its_bits_are_set_is_not_given_out_as_it_was(entries: int) -> None:
    for after in range(WALK, WALK + READ + 2 * HOP, 1_900):
        system, space = machine(geometry={"iotlb_entries": entries})
        system.context(1, system.dc(space, sade=1))
        system.invalidations.invalidate_ddt(1)
        space.map(0, OLD, flags=LEAF.replace(a=0))
        start = system.sim.now + 1_000_000
        system.translate(MB2)
        txn = system.request(0, at_ps=start, translate_only=True)
        system.at(start + after, remap(space, Iotinval.vma(pscid=1, addr=0)))
        system.run()
        assert txn.address == (NEW if txn.translated > start + after else OLD)


# --- Latitude and defects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, READ])
def test_latitude_lets_an_overtaken_walk_complete_but_the_fence_waits_for_its_access(step: int) -> None:
    """With a `step`, invalidations also come between the reads of the walk."""
    seen_old = 0
    for after in range(0, WALK + 3 * step, 900 + step // 10):
        system, space = machine(
            latitude={"walk_across_invalidation": "on"}, geometry={"nonleaf_entries": 4}, timing={"walk_step": step}
        )
        committed: list[tuple[int, int]] = []
        system.sim.probe(DmaCommitted).watch(lambda e, committed=committed: committed.append((e.time, e.address)))
        start = system.sim.now + 1_000_000
        txns = [system.request(0, at_ps=start + n) for n in range(3)]
        system.at(start + after, remap(space, Iotinval.vma(pscid=1)))
        done = system.fence(False, False, at_ps=start + after + 1)
        system.run()
        if all(txn.translated > start + after for txn in txns):
            assert all(address == NEW or time < done[0] for time, address in committed)
            seen_old += committed[-1][1] == OLD
        assert system.count("restarts") == (0,)
        assert system.translate(0).address == NEW
    assert seen_old


@pytest.mark.parametrize(("master", "agent"), [("nic1", "nic1"), ("", "iommu0")])
def test_a_schedule_decides_whether_an_overtaken_walk_completes(master: str, agent: str) -> None:
    """Where nobody says whose it is, it is the IOMMU's."""
    addresses = {}
    for answer in (0, 1):
        chooser = Scheduled(0, {f"{agent}.across#0": answer} if answer else {})
        system, space = machine(latitude={"walk_across_invalidation": "explore"}, chooser=chooser)
        system.sim.explore()
        start = system.sim.now + 1_000_000
        txn = system.request(0, at_ps=start)
        txn.master = master
        system.at(start + WALK, remap(space, Iotinval.vma(pscid=1)))
        system.run()
        addresses[answer] = txn.address
    assert addresses == {0: NEW, 1: OLD}


def test_before_exploring_begins_no_schedule_is_asked() -> None:
    chooser = Scheduled(0, {"iommu0.more#0": 1, "nic1.across#0": 1, "iommu0.evict#0": 1})
    latitude = dict.fromkeys(("invalidate_more", "walk_across_invalidation", "evict"), "explore")
    system, space = machine(latitude=latitude, chooser=chooser)
    start = system.sim.now + 1_000_000
    txn = system.request(0, at_ps=start)
    system.at(start + WALK, remap(space, Iotinval.vma(pscid=1)))
    system.run()
    assert txn.address == NEW
    assert len(chooser.unasked) == 3


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(lambda by: by.invalidate_ddt(2), id="of another device"),
        pytest.param(lambda by: by.invalidate_vma(Iotinval.vma(pscid=2)), id="of another process"),
    ],
)
@pytest.mark.parametrize(
    ("setting", "answer", "more"), [("off", 0, 0), ("on", 0, 1), ("explore", 0, 0), ("explore", 1, 1)]
)
def test_an_invalidation_that_drops_more_than_it_names_overtakes_those_who_use_that(
    command: Callable[[Invalidations], None], setting: str, answer: int, more: int
) -> None:
    """In the cache that it goes to is one entry, and one request is under way."""
    chooser = Scheduled(0, {"iommu0.more#0": answer} if answer else {})
    system, _ = machine(latitude={"invalidate_more": setting}, chooser=chooser)
    told: list[tuple[int, int]] = []
    system.sim.probe(Invalidated).watch(lambda event: told.append((event.dropped, event.overtaken)))
    system.sim.explore()
    start = system.sim.now + 1_000_000
    system.request(0, at_ps=start)
    system.at(start + FIRST_READ, partial(command, system.invalidations))
    system.run()
    assert told == [(more, more)]
    assert system.count("overtaken", "restarts") == (more, more)


@pytest.mark.parametrize("defective", [False, True])
def test_only_defective_hardware_lets_an_old_translation_survive_the_fence(defective: bool) -> None:
    system, space = machine(defects={"stale_fill": defective})
    start = system.sim.now + 1_000_000
    system.request(0, at_ps=start)
    system.at(start + WALK, remap(space, Iotinval.vma(pscid=1)))
    system.fence(True, True, at_ps=start + WALK + 1)
    system.run()
    assert system.translate(0).address == (OLD if defective else NEW)


# --- Actions ----------------------------------------------------------------------------------------------------------


def test_look_ups_reads_and_fills_are_actions_with_names_of_their_own() -> None:
    system, _ = machine(chooser=Scheduled(0, {}))
    names: list[tuple[str, bool]] = []
    system.sim.actions.watchers.append(lambda taken: names.append((taken.name, taken.changes)))
    system.sim.explore()
    system.translate(0)
    system.translate(0)
    assert names == [
        ("nic1.issue#0", False),
        ("nic1.walk#0", False),
        ("nic1.walk#1", False),
        ("nic1.walk#2", False),
        ("nic1.fill#0", True),
        ("nic1.issue#1", False),
    ]


def test_a_fill_that_is_held_past_an_invalidation_is_not_made() -> None:
    system, space = machine(chooser=Scheduled(0, {"nic1.fill#0": 2}), hold_ps=50_000)
    system.sim.explore()
    start = system.sim.now + 1_000_000
    txn = system.request(0, at_ps=start)
    system.at(start + WALK + 20_000, remap(space, Iotinval.vma(pscid=1, addr=0)))
    system.run()
    assert txn.address == NEW
    assert system.translate(0).address == NEW
    assert system.count("restarts") == (1,)


# --- Anything against anything ----------------------------------------------------------------------------------------

SCOPES = [{"pscid": 1}, {"pscid": 1, "addr": 0}, {"pscid": 1, "addr": PAGE}, {}, {"pscid": 2}, {"addr": 0}]


@settings(derandomize=True, deadline=None, max_examples=8)
@given(
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 2), st.booleans()), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.integers(0, 90_000), st.integers(0, 2), st.integers(1, 9), st.sampled_from(SCOPES)), max_size=5
    ),
    st.sampled_from([0, 1, 4]),
    st.sampled_from([1, 4]),
    st.booleans(),
)
def test_a_translation_was_in_memory_since_the_last_invalidation_that_names_it(
    requests: list[tuple[int, int, bool]],
    changes: list[tuple[int, int, int, dict[str, int]]],
    entries: int,
    walkers: int,
    sade: bool,
) -> None:
    """The consequence that the specification draws (3.1.1), whatever requests and commands meet."""
    geometry = {"iotlb_entries": entries, "nonleaf_entries": entries, "walkers": walkers}
    outcomes = [play(executor, geometry, sade, requests, changes) for executor in (Plain, Agenda)]
    assert outcomes[0] == outcomes[1]


def play(
    executor: Any,
    geometry: dict[str, int],
    sade: bool,
    requests: list[tuple[int, int, bool]],
    changes: list[tuple[int, int, int, dict[str, int]]],
) -> list[Any]:
    """Carry all out, judge each translation by the history of its page, and return what became of the requests."""
    system = System(memory_ps=READ, hop_ps=HOP, geometry=geometry, executor=executor)
    space = system.device(pscid=1, sade=int(sade))
    flags = LEAF.replace(a=1 - sade, d=1 - sade)
    pages = [0, PAGE, MB2]
    start = system.sim.now + 1_000_000
    history: dict[int, list[tuple[int, int]]] = {page: [(0, DATA)] for page in pages}
    named: dict[int, list[int]] = {page: [0] for page in pages}
    for page in pages:
        space.map(page, DATA, flags=flags)

    def change(page: int, address: int, operands: dict[str, int]) -> None:
        now = system.sim.now
        space.map(page, address, flags=flags)
        history[page].append((now, address))
        system.invalidate(Iotinval.vma(**operands))
        for other in pages:
            if operands.get("pscid", 1) == 1 and operands.get("addr", other) == other:
                named[other].append(now)

    for at, index, value, operands in changes:
        system.at(start + at, partial(change, pages[index], DATA + value * PAGE, operands))
    txns = [system.request(pages[index], write=write, at_ps=start + at) for at, index, write in requests]
    system.run()
    for txn in txns:
        last = max(time for time in named[txn.iova] if time < txn.translated)
        states = history[txn.iova]
        ends = [time for time, _ in states[1:]] + [1 << 62]
        legal = [
            address for (began, address), end in zip(states, ends, strict=True) if began < txn.translated and end > last
        ]
        assert txn.address in legal
    return [(txn.address, system.ended[txn], txn.parts) for txn in txns]
