"""Two drivers side by side: the small one in C, as it is and with its races, and a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.cli.main import main
from cosim.study.conform.drivers.compare import Handlers, compared
from cosim.study.conform.drivers.deed import Deed
from cosim.study.conform.drivers.judge import deeds_of
from cosim.study.conform.drivers.scenes import drawn, loaded

DRIVER = Path(__file__).parent / "driver"
RACES = str(Path(__file__).parent / "races.yaml")
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
RACY = f"object:{DRIVER / 'queue.race-doorbell.o'},{DRIVER / 'domain.o'}"


def conform(*words: str) -> Result:
    return CliRunner().invoke(main, ["conform", *words])


@cache
def own() -> Mapping[str, Sequence[Deed]]:
    return deeds_of(RACES, OWN)


def test_a_fence_that_is_missing_is_the_first_difference_with_its_lines() -> None:
    done = conform(RACES, "--driver", OWN, "--against", RACY)
    assert done.exit_code == 1, done.output
    missing = next(line for line in done.output.splitlines() if "fence ow,ow  [queue.c:" in line)
    assert "write iommu0.cqt = the slot behind it" in missing
    assert "0 equal, 1 different" in done.output


def test_a_driver_does_what_it_does_itself() -> None:
    deeds = own()
    assert not list(compared(deeds, deeds_of(RACES, OWN), Handlers()))
    told = [deed.what for thread in deeds.values() for deed in thread]
    for kind in ("write iommu0.ddtp = page", "send IOFENCE.C", "fence ow,ow", "fence o,w", "lock", "cas of page"):
        assert any(what.startswith(kind) for what in told), kind


def test_what_the_kernel_is_asked_for_has_the_line_of_the_call_and_a_command_that_of_who_asks_for_it() -> None:
    lines = (DRIVER / "queue.c").read_text().splitlines()
    sends, gives = (
        [number for number, line in enumerate(lines, 1) if text in line] for text in ("own_send(iommu, 3", "unlock_irq")
    )
    deeds = own()["cpu1.attach"]
    sent = {deed.place for deed in deeds if deed.what.startswith("send IODIR")}
    assert sent == {f"queue.c:{sends[0]}, in own_forget_context"}
    given = {deed.place for deed in deeds if deed.what.startswith("unlock") and deed.place.startswith("queue.c")}
    assert given == {f"queue.c:{gives[0]}, in own_send", f"queue.c:{gives[1]}, in own_sync"}


def test_the_release_that_a_compiler_left_out_of_an_exchange_is_there_by_hand() -> None:
    deeds = own()["cpu0.prepare-map"]
    swaps = [number for number, deed in enumerate(deeds) if deed.what.startswith("cas of page")]
    assert swaps
    assert {deeds[number - 1].what for number in swaps} == {"fence rw,w"}


def test_a_policy_and_an_object_part_where_the_policy_has_a_bond() -> None:
    done = conform(RACES, "--driver", "latest", "--against", OWN)
    assert done.exit_code == 1
    assert "cpu1.attach, in attach, deed 2" in done.output
    assert "allocate a Bond" in done.output


def deeds(*what: str) -> list[Deed]:
    return [Deed("x", each, f"line {number}") for number, each in enumerate(what)]


def test_handlers_may_come_more_often_and_may_not_do_something_else() -> None:
    once, twice = deeds("read i.fqt", "write i.fqh = 0x1"), deeds("read i.fqt", "write i.fqh = 0x2", "read i.fqt")
    other = deeds("read i.fqt", "fence o,w", "write i.fqh = 0x1")
    steps = Handlers()
    assert not list(compared({"cpu0.irq17": once * 2}, {"cpu0.irq17-b": twice, "cpu0.irq17": once * 2}, steps))
    assert not list(steps.differences())
    assert not list(compared({"cpu0.irq17": once}, {"cpu0.irq17": other}, steps))
    assert [str(difference.right[0]) for difference in steps.differences() if difference.right] == [
        "fence o,w",
        "write i.fqh = 0x1",
    ]


def test_one_name_stands_for_one_name() -> None:
    left = [Deed("lock", "lock", "", name) for name in ("a", "b", "a")]
    right = [Deed("lock", "lock", "", name) for name in ("x", "y", "y")]
    (difference,) = compared({"t": left}, {"t": right}, Handlers())
    assert difference.number == 2
    assert difference.why == "y was b before"
    assert not list(compared({"t": left[:2]}, {"t": right[:2]}, Handlers()))


def test_scenes_are_drawn_alike_from_equal_seeds() -> None:
    def texts(seed: int) -> list[str]:
        return [str(scene.data) for _, scene in drawn(seed, 2)]

    assert texts(1) == texts(1) != texts(2)
    for _, scene in drawn(0, 6):
        loaded(scene, "latest")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--driver", "latest"), "--driver and --against go together"),
        ((RACES, "--against", "latest"), "--driver and --against go together"),
        ((), "Missing argument 'FILE...'"),
        (("x.jsonl", "--random", "2"), "--random draws scenes for two drivers"),
        (("nothing", "--driver", "latest", "--against", "merged"), "no topology of that name"),
        ((RACES, "--driver", "latest", "--against", "newest"), "newest"),
        ((RACES, "--driver", "latest", "--against", "object:none.o"), "none.o: no such file"),
    ],
)
def test_what_cannot_be_compared_is_said(words: tuple[str, ...], said: str) -> None:
    done = conform(*words)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output
