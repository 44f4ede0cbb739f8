"""The oracle of devices that fault for ever: nothing but software could end that, and no software is about to."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import Attached, Attaching, DmaDone, RunEnded
from cosim.oracles import Bounds, EndlessFaults
from cosim.spec.faults import Cause
from tests.oracles.judging import judged

US = 1_000_000
BOUNDS = Bounds(store_ps=15 * US, answer_ps=5 * US, call_ps=50 * US)
ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "mine")
LEAVE = Attached(20 * US, "cpu0.boot", "nic0", (1,), "")
END = RunEnded(100 * US)


def answer(issued_us: int, cause: int = Cause.DDT_NOT_VALID, who: str = "nic0") -> DmaDone:
    status = "UR" if cause else "SUCCESS"
    return DmaDone((issued_us + 1) * US, who, 1, 0, 0x1000, 8, False, issued_us * US, status, {}, cause=cause)


def test_a_device_whose_context_refuses_it_to_the_end_is_told_with_since_when():
    (found,) = judged(EndlessFaults, ATTACH, answer(10, 0), answer(30), answer(40), END, bounds=BOUNDS)
    assert found.since_ps == 30 * US
    assert found.signature == "endless-faults: ddt_not_valid"
    assert found.message == (
        "nic0 is in mine, and each of its 2 requests since 30 us was refused, for 70 us by now: ddt_not_valid"
    )


@pytest.mark.parametrize(
    "events",
    [
        (ATTACH, answer(30), answer(40, 0)),
        (ATTACH, answer(30), answer(40, Cause.READ_PAGE_FAULT)),
        (ATTACH, answer(30, Cause.READ_PAGE_FAULT), answer(90, Cause.READ_PAGE_FAULT)),
        (ATTACH, answer(19)),
        (ATTACH, LEAVE, answer(30)),
        (answer(30),),
        (ATTACH, answer(30, who="nic1")),
        (ATTACH, Attaching(45 * US, "cpu0.t", "nic0", "other"), answer(50)),
        (ATTACH, answer(30), Attaching(45 * US, "cpu0.t", "nic0", "other"), answer(50)),
        (ATTACH, answer(30), Attached(60 * US, "cpu0.t", "nic0", (1,), "other")),
    ],
    ids=[
        "ended by itself",
        "its context is found",
        "its addresses are wrong",
        "issued before the attach could be seen",
        "blocked",
        "never attached",
        "another device",
        "an attach is under way",
        "an attach is under way that it was refused before as well",
        "attached anew",
    ],
)
def test_a_device_that_may_yet_be_let_in_or_should_not_be_is_not(events: tuple[object, ...]):
    assert not judged(EndlessFaults, *events, END, bounds=BOUNDS)


@pytest.mark.parametrize(
    "cause",
    [
        Cause.ALL_INBOUND_DISALLOWED,
        Cause.DDT_LOAD_ACCESS_FAULT,
        Cause.DDT_NOT_VALID,
        Cause.DDT_MISCONFIGURED,
        Cause.TTYP_DISALLOWED,
        Cause.DDT_DATA_CORRUPTION,
    ],
)
def test_whatever_of_its_context_or_of_the_way_to_it_refuses_a_device_is_told(cause: Cause):
    (found,) = judged(EndlessFaults, ATTACH, answer(30, cause), END, bounds=BOUNDS)
    assert found.signature == f"endless-faults: {cause.name.lower()}"


def test_an_attach_that_does_not_end_well_is_waited_for_as_long_as_a_call_may_take():
    begun = Attaching(20 * US, "cpu0.t", "nic0", "other")
    assert judged(EndlessFaults, ATTACH, begun, answer(49), END, bounds=BOUNDS)
    assert not judged(EndlessFaults, ATTACH, begun, answer(50), END, bounds=BOUNDS)
    done = Attached(30 * US, "cpu0.t", "nic0", (1,), "other")
    assert judged(EndlessFaults, ATTACH, begun, done, answer(50), END, bounds=BOUNDS), "it has ended well"


OWN = """\
from cosim.sw.driver.policies.attach import BondFirst


class Forgets(BondFirst):
    async def update(self, driver, iommu, device, fsc, ta, valid):
        await super().update(driver, iommu, device, fsc, ta, 0)
"""


@pytest.mark.slow
def test_an_attach_that_forgets_v_leaves_a_device_that_faults_for_ever(tmp_path: Path):
    own = tmp_path / "own.py"
    own.write_text(OWN, encoding="utf-8")
    found = cosim.run("quickstart", set={"driver.attach": f"{own}:Forgets"})
    assert found.signatures["endless-faults: ddt_not_valid"] == sum(count > 0 for count in found.requests.values())
    assert "endless-faults: ddt_not_valid" not in cosim.run("quickstart").signatures
