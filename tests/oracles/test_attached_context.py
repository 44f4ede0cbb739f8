"""The oracle of device contexts: they say what the device is attached to, also where no device makes a request."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import ContextSeen, RegisterWritten
from cosim.oracles import AttachedContext, Bounds
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Capabilities, Ddtp, IommuMode
from cosim.spec.translation import DcTa, Fsc, IohgatpMode, IosatpMode, Tc
from tests.oracles.contexts import found
from tests.oracles.judging import SMALL, Small, judged

POLICIES = Path(__file__).with_name("policies.py")
TABLE = Fsc.of(mode=IosatpMode.SV48, ppn=0x80018)
INVALID = "in a paging domain with a context that is not valid"
BARE = "in a paging domain with a context that is Bare"
MODE, ELSEWHERE = (f"a context with another {what} than its domain has" for what in ("mode", "table"))
REFUSED = "a context that its IOMMU refuses"
RESERVED = "a context with reserved bits set"
NO_IDENTITY = "in the identity domain with a context that is not valid"
OPEN, LEADS = (f"blocked with a context that {what}" for what in ("is Bare", "leads to leaves"))


def seen(domain: str, tc: int, fsc: int, *, ta: int = 0, iohgatp: int = 0, leads: bool = False) -> ContextSeen:
    """What the context of nic0 says in a domain, whose table is known if it has one."""
    table = TABLE if domain not in ("", "identity") else None
    return ContextSeen(5, "iommu0", 1, "nic0", domain, (tc, iohgatp, ta, fsc), table, leads)


def contexts(small: Small) -> list[str]:
    """What was seen of contexts."""
    return [each for each in small.signatures if each.startswith("attached-context: ")]


# --- By hand ---------------------------------------------------------------------------------------------------------

SECOND = {"iohgatp": IohgatpMode.SV39X4 << 60}


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (seen("d", 1, TABLE, ta=DcTa.of(pscid=7)), []),
        (seen("d", Tc.of(v=1, sade=1), TABLE), []),
        (seen("d", 0, TABLE), [INVALID]),
        (seen("d", 1, 0), [BARE]),
        (seen("d", 1, TABLE.replace(mode=IosatpMode.SV39)), [MODE]),
        (seen("d", 1, TABLE.replace(mode=3)), [MODE]),
        (seen("d", Tc.of(v=1, sxl=1), TABLE), [MODE]),
        (seen("d", 1, TABLE.replace(ppn=1)), [ELSEWHERE]),
        (seen("d", 1, TABLE | 1 << 50), [RESERVED]),
        (seen("d", 1, TABLE, ta=7), [RESERVED]),
        (seen("d", 1 | 1 << 12, TABLE), [RESERVED]),
        (seen("d", 0, TABLE | 1 << 50), [INVALID]),
        (seen("d", Tc.of(v=1, pdtv=1), 0), []),
        (seen("d", 1, 0, **SECOND), []),
        (seen("identity", 1, 0), []),
        (seen("identity", 0, 0), [NO_IDENTITY]),
        (seen("identity", 1, TABLE), ["in the identity domain with a context that names a table"]),
        (seen("identity", 1, 1 << 50), [RESERVED]),
        (seen("", 0, 0), []),
        (seen("", 0, TABLE, leads=True), []),
        (seen("", 1, TABLE), []),
        (seen("", 1, TABLE, leads=True), [LEADS]),
        (seen("", 1, 0), [OPEN]),
        (seen("", 1 | 1 << 40, 0), []),
        (seen("", 1, 0, **SECOND), []),
    ],
)
def test_a_context_is_held_against_what_its_device_is_attached_to(event: ContextSeen, kinds: list[str]) -> None:
    assert found(AttachedContext, event) == kinds


def test_a_paging_domain_whose_table_is_not_known_wants_a_context_that_leads_somewhere() -> None:
    def of(tc: int, fsc: int) -> list[str]:
        return found(AttachedContext, ContextSeen(5, "iommu0", 1, "nic0", "d", (tc, 0, 0, fsc)))

    assert (of(1, TABLE), of(0, TABLE), of(1, 0)) == ([], [INVALID], [BARE])


def test_what_is_told_names_the_device_and_both_tables() -> None:
    (violation,) = judged(AttachedContext, seen("d", 1, TABLE.replace(ppn=0x80019)))
    assert violation.message == (
        "nic0 is in d since 5 ps, and the context of device 1 of iommu0 names 0x80019000 (Sv48), and its table is "
        "0x80018000 (Sv48)"
    )
    (violation,) = judged(AttachedContext, seen("", 1, 0))
    assert violation.message == (
        "nic0 is to be blocked since 5 ps, and the context of device 1 of iommu0 is valid and Bare: its requests "
        "reach all of memory"
    )
    (violation,) = judged(AttachedContext, seen("d", 1 | 1 << 40, TABLE, ta=7))
    assert violation.message.endswith("has reserved bits set: 0x10000000000 of tc, 0x7 of ta")


@pytest.mark.parametrize(
    ("tc", "mode", "has", "why"),
    [
        (Tc.of(v=1), IosatpMode.SV48, {"sv48": 1}, ""),
        (
            Tc.of(v=1),
            IosatpMode.SV48,
            {"sv39": 1, "sv57": 1},
            "names 0x80018000 (Sv48), a mode that the IOMMU does not",
        ),
        (Tc.of(v=1, sade=1), IosatpMode.SV48, {"sv48": 1, "amo_hwad": 1}, ""),
        (Tc.of(v=1, sade=1), IosatpMode.SV48, {"sv48": 1}, "has SADE, and the IOMMU no AMO_HWAD"),
        (Tc.of(v=1, sade=1), IosatpMode.BARE, {"sv48": 1}, "has SADE, and the IOMMU no AMO_HWAD"),
        (Tc.of(v=1), IosatpMode.BARE, {"sv48": 1}, ""),
        (Tc.of(v=1, pdtv=1), IosatpMode.SV48, {"sv39": 1}, ""),
        (Tc.of(sade=1), IosatpMode.SV39, {"sv48": 1}, ""),
    ],
)
def test_a_context_asks_for_nothing_that_its_iommu_does_not_have(
    tc: int, mode: IosatpMode, has: dict[str, int], why: str
) -> None:
    where = "" if not tc & 1 else "identity" if mode is IosatpMode.BARE else "d"
    fsc = Fsc(0) if mode is IosatpMode.BARE else TABLE.replace(mode=mode)
    for bounds, told in (
        (Bounds(capabilities={"iommu0": Capabilities.of(**has)}), why),
        (Bounds(capabilities={"iommu1": Capabilities.of(**has)}), ""),
    ):
        violations = judged(AttachedContext, seen(where, tc, fsc), bounds=bounds)
        assert [each.signature for each in violations] == [f"attached-context: {REFUSED}"] * bool(told)
        assert all(told in each.message for each in violations)


def test_a_driver_that_enters_with_a_mode_which_the_iommu_does_not_have_is_seen() -> None:
    """The attach succeeds, and the device is quiet."""
    attach = {"driver.attach": f"{POLICIES}:AnyMode"}
    ran = cosim.run("enodev_where_einval", driver="latest", set=attach)
    assert ran.signatures == {f"attached-context: {REFUSED}": 1}
    assert cosim.run("enodev_where_einval", driver="ideal").outcome == "ok"


@pytest.mark.parametrize(
    ("mode", "kinds"), [(IommuMode.OFF, []), (IommuMode.BARE, []), (IommuMode.LVL1, [INVALID]), (None, [INVALID])]
)
def test_a_context_counts_while_the_iommu_has_a_directory(mode: IommuMode | None, kinds: list[str]) -> None:
    def written(mode: IommuMode, who: str = "iommu0") -> RegisterWritten:
        return RegisterWritten(1, who, DDTP.offset, 8, Ddtp.of(iommu_mode=mode), "cpu0")

    events = [] if mode is None else [written(IommuMode.OFF), written(mode), written(IommuMode.OFF, "iommu1")]
    assert found(AttachedContext, *events, seen("d", 0, 0)) == kinds


# --- A system --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attach", "kinds"),
    [
        ("NeverValid", [INVALID]),
        ("PagingBare", [BARE]),
        ("WrongMode", [MODE]),
        ("PpnUnshifted", [ELSEWHERE]),
        ("ReservedTc", [RESERVED]),
        ("OneStoreToBare", []),
    ],
)
def test_a_driver_whose_contexts_do_not_lead_to_the_domain_s_table_is_seen(attach: str, kinds: list[str]) -> None:
    """The devices are quiet, and boot has attached them."""
    small = Small(sets=[f"driver.attach={POLICIES}:{attach}"])
    assert small.signatures == [f"attached-context: {kind}" for kind in kinds]


def test_each_id_of_a_device_has_a_context() -> None:
    text = SMALL.replace("nic0: {kind: dma,", "nic0: {kind: dma, device_id: [5, 7],")
    small = Small(sets=[f"driver.attach={POLICIES}:FirstIdOnly"], text=text)
    assert contexts(small) == [f"attached-context: {INVALID}"]


@pytest.mark.parametrize(
    ("attach", "kinds"), [("BlocksByEmptyTable", []), ("IdentityBlocks", [NO_IDENTITY]), ("BlocksByFscOnly", [OPEN])]
)
def test_a_device_that_is_in_identity_and_then_blocked_is_judged(attach: str, kinds: list[str]) -> None:
    small = Small(sets=[f"driver.attach={POLICIES}:{attach}"])
    core = small.runtime.core
    small.move("nic0", "identity")
    assert core.driver.blocked is not None
    small.do(core.replace("nic0", core.driver.blocked))
    assert contexts(small) == [f"attached-context: {kind}" for kind in kinds]


@pytest.mark.parametrize(
    ("attach", "kinds"),
    [
        ("bond-first", []),
        (f"{POLICIES}:BlocksOnRelease", []),
        (f"{POLICIES}:BlocksByEmptyTable", []),
        (f"{POLICIES}:BlocksByFscOnly", [OPEN]),
        (f"{POLICIES}:ReleasesValid", [LEADS]),
    ],
)
def test_a_device_that_is_released_reaches_nothing(attach: str, kinds: list[str]) -> None:
    small = Small(sets=[f"driver.attach={attach}"])
    small.map("nic0")
    small.do(small.runtime.core.release_device("nic0"))
    assert contexts(small) == [f"attached-context: {kind}" for kind in kinds]


def test_what_is_in_a_store_buffer_when_the_attach_returns_counts() -> None:
    """`ideal` waits for nothing behind V, and a store takes 10 us."""
    small = Small("ideal", sets=["cpu*.timing.drain=10 us"])
    small.make("other")
    small.move("nic0", "other")
    small.move("nic0", "identity")
    assert small.signatures == []


@pytest.mark.parametrize("driver", ["v2", "latest"])
def test_a_driver_that_writes_what_it_is_to_write_is_right(driver: str) -> None:
    """`v2` rewrites a context while it is valid, and has no domain that blocks."""
    small = Small(driver)
    small.make("other")
    small.move("nic0", "other")
    small.move("nic0", "identity")
    small.do(small.runtime.core.release_device("nic0"))
    assert contexts(small) == []
