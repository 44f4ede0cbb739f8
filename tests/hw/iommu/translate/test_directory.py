"""The device directory: where a context is found, how many reads that takes, and what makes one misconfigured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import CacheLookup
from cosim.hw.dma.transaction import Status
from cosim.hw.iommu.translate.context_checks import misconfigured
from cosim.hw.iommu.warl import Reset
from cosim.sim.chooser import Scheduled
from cosim.spec.faults import Cause
from cosim.spec.pagetable import SV39
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Capabilities, Ddtp, Fctl, IommuMode
from cosim.spec.translation import Dc, DcExtended, Tc
from tests.hw.iommu.harness import CAPABILITIES, DATA, System
from tests.hw.iommu.translate.test_invalidate_in_flight import FIRST_READ, HOP, NEW, OLD, READ

FORMATS = [0, 1]
DEPTHS = [1, 2, 3]
WIDTH = {(0, 1): 7, (0, 2): 16, (0, 3): 24, (1, 1): 6, (1, 2): 15, (1, 3): 24}
"""Bits of a device_id, by capabilities.MSI_FLAT and levels."""


def machine(msi_flat: int, levels: int, **options: object) -> System:
    return System(levels=levels, capabilities={"msi_flat": msi_flat}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("msi_flat", FORMATS)
def test_a_cold_context_takes_one_read_for_each_level(msi_flat: int, levels: int) -> None:
    system = machine(msi_flat, levels)
    device_id = (1 << WIDTH[msi_flat, levels]) - 1
    system.context(device_id, system.dc())
    assert system.translate(0x1234, device_id).address == 0x1234
    assert system.count("ddt_reads", "ddt_walks", "walk_reads") == (levels, 1, 0)


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("msi_flat", FORMATS)
def test_context_and_page_walk_add_up(msi_flat: int, levels: int) -> None:
    """Validation target A1: the reads of the directory and of the first stage, cold."""
    system = machine(msi_flat, levels)
    device_id = (1 << WIDTH[msi_flat, levels]) - 1
    system.device(device_id).map(0x1000, DATA)
    assert system.reads(lambda: system.translate(0x1000, device_id)) == levels + 3
    assert system.reads(lambda: system.translate(0x1000, device_id)) == 0


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("msi_flat", FORMATS)
def test_a_neighbour_in_the_same_table_takes_one_read(msi_flat: int, levels: int) -> None:
    system = machine(msi_flat, levels)
    for device_id in (2, 3):
        system.context(device_id, system.dc())
    system.translate(0, 2)
    assert system.reads(lambda: system.translate(0, 3)) == 1


@pytest.mark.parametrize("msi_flat", FORMATS)
def test_devices_that_share_upper_tables_only_take_the_lower_reads(msi_flat: int) -> None:
    leaf, middle = WIDTH[msi_flat, 1], WIDTH[msi_flat, 2]
    for other, reads in ((1, 1), (1 << leaf, 2), (1 << middle, 3)):
        system = machine(msi_flat, 3)
        for device_id in (0, other):
            system.context(device_id, system.dc())
        system.translate(0, 0)
        assert system.reads(lambda other=other, system=system: system.translate(0, other)) == reads


def test_without_caches_every_request_reads_the_whole_directory() -> None:
    system = machine(0, 3, geometry={"ddtc_entries": 0, "ddt_nonleaf_entries": 0})
    system.context(5, system.dc())
    assert [system.reads(lambda: system.translate(0, 5)) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("levels", DEPTHS)
@pytest.mark.parametrize("msi_flat", FORMATS)
def test_a_device_id_wider_than_the_mode_is_a_disallowed_transaction(msi_flat: int, levels: int) -> None:
    system = machine(msi_flat, levels)
    for bit in range(WIDTH[msi_flat, levels], 24):
        assert system.translate(0, 1 << bit).status is Status.UR
    assert set(system.causes()) <= {Cause.TTYP_DISALLOWED}
    assert len(system.causes()) == 24 - WIDTH[msi_flat, levels]
    assert system.count("ddt_reads") == (0,)


# --- Faults of the walk -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("msi_flat", FORMATS)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_an_entry_with_v_0_is_not_valid_and_is_not_remembered(msi_flat: int, level: int) -> None:
    system = machine(msi_flat, 3)
    system.context(9, system.dc())
    at = system.ddte(9, level)
    valid = system.peek(at)
    system.poke(at, valid & ~1)
    assert system.translate(0, 9).status is Status.UR
    assert system.causes() == [Cause.DDT_NOT_VALID]
    system.poke(at, valid)
    assert system.translate(0, 9).status is Status.SUCCESS


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("bit", [1, 9, 54, 63])
def test_a_pointer_with_reserved_bits_is_misconfigured(level: int, bit: int) -> None:
    system = machine(0, 3)
    system.context(9, system.dc())
    at = system.ddte(9, level)
    system.poke(at, system.peek(at) | 1 << bit)
    system.translate(0, 9)
    assert system.causes() == [Cause.DDT_MISCONFIGURED]
    assert system.count("ddt_reads") == (3 - level,)


@pytest.mark.parametrize("kind", ["access_fault", "corrupt"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_memory_refuses_or_poisons_is_reported_as_the_directory_s_fault(level: int, kind: str) -> None:
    system = machine(0, 3)
    system.context(9, system.dc())
    system.memory.fault(kind, system.ddte(9, level), 8)  # type: ignore[arg-type]
    system.translate(0, 9)
    expected = Cause.DDT_LOAD_ACCESS_FAULT if kind == "access_fault" else Cause.DDT_DATA_CORRUPTION
    assert system.causes() == [expected]


def test_a_directory_table_beyond_the_physical_addresses_is_an_access_fault() -> None:
    system = machine(0, 2)
    system.poke(system.root, (1 << 46 - 12) << 10 | 1)
    system.translate(0, 0)
    assert system.causes() == [Cause.DDT_LOAD_ACCESS_FAULT]
    assert system.count("ddt_reads") == (1,)


def test_a_mode_without_directory_reads_nothing() -> None:
    system = System()
    system.mode(IommuMode.BARE)
    assert system.translate(0x5678, 0xABCDEF).address == 0x5678
    system.mode(IommuMode.OFF)
    assert system.translate(0x5678).status is Status.UR
    assert system.causes() == [Cause.ALL_INBOUND_DISALLOWED]
    assert system.count("ddt_reads") == (0,)


def test_who_is_not_translated_yet_when_the_iommu_is_turned_off_is_refused_wherever_it_stands() -> None:
    """It waits for the walker, reads the directory or a page table, or fills a cache.

    It might as well be processed as before (5.5 "Device-directory-table pointer"); this IOMMU aborts it.
    """
    off, read = Ddtp.of(iommu_mode=IommuMode.OFF), 10_000

    def outcomes(after: int) -> list[tuple[int, int]]:
        system = System(levels=2, memory_ps=read, hop_ps=1_000, geometry={"walkers": 1}, timing={"fill": read})
        for device in (1, 1 << 8):
            system.device(device).map(0, DATA)
        start = system.sim.now + 1_000_000
        txns = [system.request(0, device, at_ps=start) for device in (1, 1 << 8)]
        if after:
            system.at(start + after, lambda: system.iommu.registers.write(DDTP.offset, 8, off))
        system.run()
        return [(txn.translated - start, txn.cause) for txn in txns]

    translated = [time for time, _ in outcomes(0)]
    assert len(set(translated)) == 2
    for after in range(100, max(translated) + read, 4_300):
        assert [cause for _, cause in outcomes(after)] == [
            Cause.ALL_INBOUND_DISALLOWED if time > after else 0 for time in translated
        ]


@pytest.mark.parametrize(
    ("named", "changed", "read"),
    [(1 << 7, 0, 2), (None, 0, 1), (None, 1, 1)],
    ids=["its context", "a context of all", "a pointer of all"],
)
def test_an_invalidation_of_contexts_overtakes_who_has_read_what_it_names(
    named: int | None, changed: int, read: int
) -> None:
    """One device is its context, the second entry that is read; all devices are every entry from the first one on."""
    one, device = READ + 2 * HOP, 1 << 7
    times, restarts = sorted({*range(-HOP, 5 * one + READ, 2_900), FIRST_READ}), []
    for after in times:
        system = System(memory_ps=READ, hop_ps=HOP, levels=2)
        system.device(device, pscid=1).map(0, OLD)
        start = system.sim.now + 1_000_000
        txn = system.request(0, device, at_ps=start)

        def attach(system: System = system) -> None:
            if changed:
                system.poke(system.ddte(device, 1), 0)
            system.device(device, pscid=2).map(0, NEW)
            system.invalidations.invalidate_ddt(named)

        system.at(start + after, attach)
        late = system.request(0, device, at_ps=start + max(after, 0) + 1)
        system.run()
        assert late.address == NEW
        assert txn.address == (NEW if txn.translated > start + after else OLD)
        if system.count("restarts")[0]:
            restarts.append(after)
    assert restarts == [after for after in times if read * one - HOP < after <= 5 * one]


@pytest.mark.parametrize("after", [FIRST_READ, READ + 2 * HOP - 1])
def test_a_context_that_an_invalidation_went_past_is_used_and_not_kept(after: int) -> None:
    system = System(memory_ps=READ, hop_ps=HOP, latitude={"walk_across_invalidation": "on"})
    system.device(pscid=1).map(0, OLD)
    space = system.space(pscid=2)
    space.map(0, NEW)
    start = system.sim.now + 1_000_000
    txn = system.request(0, at_ps=start)

    def attach() -> None:
        system.context(1, system.dc(space))
        system.invalidations.invalidate_ddt(1)

    system.at(start + after, attach)
    system.run()
    assert (txn.address, *system.count("restarts", "ddtc.fills")) == (OLD, 0, 0)
    assert system.translate(0).address == NEW


def test_a_context_that_two_have_walked_to_together_is_kept_once() -> None:
    """Whoever finds it in the cache by then spends no time on it."""
    system = System(memory_ps=READ, timing={"context_fill": 500})
    system.device().map(0, OLD)
    start = system.sim.now + 1_000_000
    first, second = (system.request(0, at_ps=start + n) for n in range(2))
    system.run()
    assert system.count("ddtc.fills", "ddt_walks") == (1, 1)
    assert (first.parts["ddt"], second.parts.get("ddt", 0)) == (READ + 500, 0)


# --- "Device-context configuration checks" ----------------------------------------------------------------------------

FULL = Capabilities.of(
    **{
        **CAPABILITIES,
        **dict.fromkeys(("msi_flat", "ats", "t2gpa", "end", "pd8", "pd17", "pd20", "qosid"), 1),
        **dict.fromkeys(("sv32x4", "sv39x4", "sv48x4", "sv57x4"), 1),
    }
)
SECOND = 8 << 60 | 0x80004
GOOD = DcExtended((1, SECOND, 0, 8 << 60 | 0x80000, 0, 0, 0, 0))
FREE = Reset(gxl_writable=1, be_writable=1, qosid_mask=0x0FFF0FFF)


def rule(dc: Dc, capabilities: Capabilities = FULL, fctl: int = 0, reset: Reset = FREE) -> str:
    """The number of the rule that a context breaks."""
    return misconfigured(dc, capabilities, Fctl(fctl), reset).partition(":")[0]


def tc(**bits: int) -> DcExtended:
    """The good context with other bits of tc."""
    return DcExtended((Tc.of(v=1, **bits), *GOOD[1:]))


def word(index: int, value: int, dc: Dc = GOOD) -> DcExtended:
    """A context with another doubleword."""
    return DcExtended((*dc[:index], value, *dc[index + 1 :]))


def test_a_context_that_obeys_all_rules_is_not_misconfigured() -> None:
    assert rule(GOOD) == ""
    assert rule(tc(en_ats=1, en_pri=1, prpr=1, t2gpa=1, gade=1, sade=1, dtf=1)) == ""
    assert rule(Dc(GOOD[:4]), FULL.replace(msi_flat=0)) == ""
    assert rule(word(0, 1 | 0xFF << 24)) == ""  # custom bits


@pytest.mark.parametrize("bit", [*range(12, 24), *range(32, 64)])
def test_rule_1_refuses_reserved_bits_of_tc(bit: int) -> None:
    assert rule(word(0, 1 | 1 << bit)) == "1"


@pytest.mark.parametrize(
    ("index", "bits"),
    [(2, (0, 11, 32, 39)), (3, (44, 59)), (4, (44, 59)), (5, (52, 63)), (6, (52, 63)), (7, (0, 63))],
)
def test_rule_1_refuses_reserved_bits_of_the_other_doublewords(index: int, bits: tuple[int, ...]) -> None:
    for bit in bits:
        assert rule(word(index, GOOD[index] | 1 << bit)) == "1"


def test_rule_1_refuses_bits_that_no_guest_address_has() -> None:
    for width, capabilities in (
        (59, FULL),
        (50, FULL.replace(sv57x4=0)),
        (41, FULL.replace(sv57x4=0, sv48x4=0)),
    ):
        for index in (5, 6):
            assert rule(word(index, 1 << width - 13), capabilities) == ""
            if width < 59:
                assert rule(word(index, 1 << width - 12), capabilities) == "1"


@pytest.mark.parametrize(
    ("number", "dc", "missing"),
    [
        ("2", tc(en_ats=1), {"ats": 0}),
        ("2", tc(en_pri=1, en_ats=1), {"ats": 0}),
        ("2", tc(prpr=1), {"ats": 0}),
        ("3", tc(t2gpa=1), {}),
        ("4", tc(en_pri=1), {}),
        ("5", tc(en_ats=1, prpr=1), {}),
        ("6", tc(en_ats=1, t2gpa=1), {"t2gpa": 0}),
        ("7", word(1, 0, tc(en_ats=1, t2gpa=1)), {}),
        ("8", word(3, 1 << 60, tc(pdtv=1)), {"pd8": 0}),
        ("8", word(3, 2 << 60, tc(pdtv=1)), {"pd17": 0}),
        ("8", word(3, 3 << 60, tc(pdtv=1)), {"pd20": 0}),
        ("8", word(3, 4 << 60, tc(pdtv=1)), {}),
        ("8", word(3, 14 << 60, tc(pdtv=1)), {}),
        *(("9 to 11", word(3, mode << 60), {}) for mode in (1, 7, 11, 13, 14, 15)),
        ("9 to 11", word(3, 8 << 60), {"sv39": 0}),
        ("9 to 11", word(3, 9 << 60), {"sv48": 0}),
        ("9 to 11", word(3, 10 << 60), {"sv57": 0}),
        ("9 to 11", word(3, 9 << 60, tc(sxl=1)), {}),
        ("9 to 11", word(3, 8 << 60, tc(sxl=1)), {"sv32": 0}),
        ("12", tc(dpe=1), {}),
        *(("13 to 15", word(1, mode << 60), {}) for mode in (1, 7, 11, 15)),
        ("13 to 15", word(1, 8 << 60), {"sv39x4": 0}),
        ("13 to 15", word(1, 9 << 60), {"sv48x4": 0}),
        ("13 to 15", word(1, 10 << 60), {"sv57x4": 0}),
        ("16", word(4, 2 << 60), {}),
        ("16", word(4, 14 << 60), {}),
        ("msiptp.MODE must be Off where iohgatp.MODE is Bare", word(4, 1 << 60, word(1, 0)), {}),
        *(("17", word(1, SECOND | page), {}) for page in (1, 2)),
        ("18", tc(sade=1), {"amo_hwad": 0}),
        ("18", tc(gade=1), {"amo_hwad": 0}),
        ("19", tc(sbe=1), {"end": 0}),
    ],
)
def test_a_context_breaks_a_rule_by_one_field(number: str, dc: Dc, missing: dict[str, int]) -> None:
    assert rule(dc, FULL.replace(**missing)) == number
    if missing:
        assert rule(dc) in ("", "3", "4", "5")  # with the capability only what else is wrong with it remains


@pytest.mark.parametrize(
    ("gxl", "writable", "sxl", "legal"),
    [(0, 0, 0, True), (0, 0, 1, False), (0, 1, 0, True), (0, 1, 1, True), (1, 1, 0, False), (1, 1, 1, True)],
)
def test_rule_20_ties_sxl_to_gxl(gxl: int, writable: int, sxl: int, legal: bool) -> None:
    dc = word(3, 0, word(1, 0, tc(sxl=sxl)))
    assert rule(dc, fctl=gxl << 2, reset=replace(FREE, gxl_writable=writable)) == ("" if legal else "20")


def test_rule_21_ties_sbe_to_be_where_be_is_hardwired() -> None:
    assert rule(tc(sbe=1), reset=replace(FREE, be_writable=0)) == "21"
    assert rule(tc(sbe=1), fctl=1, reset=replace(FREE, be_writable=0)) == ""
    assert rule(tc(sbe=1)) == ""


def test_rule_22_refuses_qos_ids_that_are_too_wide() -> None:
    assert rule(word(2, 0xFFF << 40 | 0xFFF << 52)) == ""
    assert rule(word(2, 0x800 << 40), reset=replace(FREE, qosid_mask=0x0FFF07FF)) == "22"
    assert rule(word(2, 0x800 << 52), reset=replace(FREE, qosid_mask=0x07FF0FFF)) == "22"
    assert rule(word(2, 1 << 40), FULL.replace(qosid=0)) == "1"


def test_a_misconfigured_context_is_reported_and_not_kept() -> None:
    system = System()
    space = system.space(SV39)
    space.map(0x1000, DATA)
    system.context(1, system.dc(space, dpe=1))
    assert system.translate(0x1000).status is Status.UR
    system.context(1, system.dc(space))
    assert system.translate(0x1000).status is Status.SUCCESS
    assert system.causes() == [Cause.DDT_MISCONFIGURED]


def test_latitude_may_drop_a_context_at_any_time_and_costs_only_walks() -> None:
    walks = {}
    for evict in ("off", "on"):
        system = System(latitude={"evict": evict}, seed=3)
        system.device().map(0, DATA)
        seen: list[CacheLookup] = []
        system.sim.probe(CacheLookup).watch(seen.append)
        assert [system.translate(0).address for _ in range(20)] == [DATA] * 20
        walked = walks[evict] = system.count("ddt_walks")[0]
        counts = system.count("ddtc.hits", "ddtc.misses", "ddtc.fills", "ddtc.dropped")
        assert counts == (20 - walked, walked, walked, walked - 1)
        assert sum(event.hit for event in seen if event.who == "iommu0.ddtc") == 20 - walked
    assert walks["off"] == 1 < walks["on"] < 20


@pytest.mark.parametrize(("answers", "reads"), [({}, 0), ({"iommu0.evict#0": 1}, 1), ({"iommu0.evict#1": 1}, 3)])
def test_a_schedule_may_drop_a_context_or_a_translation_just_before_it_is_looked_up(
    answers: dict[str, int], reads: int
) -> None:
    system = System(latitude={"evict": "explore"}, geometry={"nonleaf_entries": 0}, chooser=Scheduled(0, answers))
    system.device().map(0, DATA)
    system.translate(0)
    system.sim.explore()
    assert system.reads(lambda: system.translate(0)) == reads
