"""A compiled driver drives the system: the small one in C, in shipped topologies and in one of its own."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

import cosim
from cosim.cli.main import main
from cosim.config.problems import TopologyError
from cosim.study.explore.mutants import mutants
from cosim.study.finding.driver_files import moved, names_of
from cosim.study.run.result import Result
from cosim.sw.driver.compiled import paths_of
from cosim.sw.object_driver.loading import load_objects
from cosim.system.load import load

DRIVER = Path(__file__).parent / "driver"
OWN = f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}"
RACES = Path(__file__).parent / "races.yaml"
SMALL = {"run.until": "60 us"}


@cache
def run(name: str, driver: str, *changes: tuple[str, Any]) -> Result:
    return cosim.run(name, driver=driver, set=dict(changes))


def calls(result: Result) -> set[str]:
    return {name for name in result.latencies if name.startswith("cpu")}


@pytest.mark.slow
def test_quickstart_has_the_same_table_as_with_policies() -> None:
    result, policies = run("quickstart", OWN), run("quickstart", "merged")
    assert not result.violations
    assert calls(result) == calls(policies)
    assert set(result.latencies["cpu1.map-unmap.unmap"].parts) == {"cpu", "lock", "fence", "fence_instr", "mmio"}
    for name in calls(policies):
        mine, theirs = result.latencies[name].mean_ps, policies.latencies[name].mean_ps
        assert 0.4 * theirs < mine < 2.5 * theirs, name
    assert result.scalars["kernel.leaked_pages"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart", "shared_domain"])
def test_both_executors_make_the_same_run(name: str) -> None:
    digests = {run(name, OWN, ("run.executor", executor), *SMALL.items()).digest for executor in ("agenda", "plain")}
    assert len(digests) == 1


def test_a_small_run_attaches_unmaps_and_flushes_with_no_violation() -> None:
    result = run(str(RACES), OWN, ("threads.0.start", "6 us"))
    assert not result.violations
    assert {"cpu0.unmap.iotlb_inval", "cpu0.unmap.cmd_sync", "cpu1.attach.cmd_sync"} <= result.latencies.keys()


# --- Its two races ---------------------------------------------------------------------------------------------------

RACY = {
    "RACE_DOORBELL": (f"object:{DRIVER / 'queue.race-doorbell.o'},{DRIVER / 'domain.o'}", "cpu1.attach.st#0:1", "0 ns"),
    "RACE_ATTACH": (f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.race-attach.o'}", "", "1700 ns"),
}
"""The objects, the schedule that shows the race, and when the thread unmaps."""


@pytest.mark.slow
@pytest.mark.parametrize("race", RACY)
def test_a_race_is_seen_under_the_schedule_that_shows_it_and_not_without_the_race(race: str) -> None:
    objects, schedule, start = RACY[race]
    for driver, seen in ((objects, True), (OWN, False)):
        result = cosim.run(
            str(RACES), driver=driver, schedule=[schedule] if schedule else [], set={"threads.0.start": start}
        )
        assert bool(result.violations) is seen


# --- Without the order that a line makes -----------------------------------------------------------------------------


def lines_without() -> dict[str, str]:
    return {line: driver.variant for line, driver in mutants(load("quickstart", driver=OWN).driver)}


def test_each_line_that_makes_order_or_sends_can_be_taken_out() -> None:
    made = lines_without()
    assert {line.partition(":")[0] for line in made} >= {"queue.c", "domain.c"}
    for line, driver in made.items():
        assert line not in {other for other, _ in mutants(load("quickstart", driver=driver).driver)}


def test_of_several_lines_that_are_taken_out_each_is_and_no_other() -> None:
    paths = paths_of(OWN)
    whole = load_objects(paths).image
    orders = whole.orders()
    lines = list(orders)[:3]
    image = load_objects([*paths, *(Path(f"-{line}") for line in lines)]).image
    changed = {at for places in orders.values() for at in places if image.fetch(at) != whole.fetch(at)}
    assert changed == {at for line in lines for at in orders[line]}


@pytest.mark.slow
def test_a_fence_taken_out_is_the_race_that_a_macro_switches_on() -> None:
    _, schedule, start = RACY["RACE_DOORBELL"]
    barrier = next(n for n, line in enumerate((DRIVER / "queue.c").read_text().splitlines(), 1) if "dma_wmb" in line)
    driver = lines_without()[f"queue.c:{barrier}"]
    result = cosim.run(str(RACES), driver=driver, schedule=[schedule], set={"threads.0.start": start})
    assert result.violations


@pytest.mark.slow
def test_what_a_line_sends_is_not_sent_without_it() -> None:
    """By one line IOTINVAL; by another IOFENCE, for which nobody waits then."""
    sources = {name: (DRIVER / name).read_text().splitlines() for name in ("queue.c", "domain.c")}
    for name, call, kind in (
        ("queue.c", "own_send(iommu, 1 | 1ul << 10", "never invalidated"),
        ("domain.c", "\town_sync(domain->iommu)", "invalidation sent but not executed"),
    ):
        line = next(n for n, text in enumerate(sources[name], 1) if text.startswith(call) or call in text)
        result = run(str(RACES), lines_without()[f"{name}:{line}"], ("threads.0.start", "6 us"))
        assert kind in str(result.violations)


def test_a_line_that_makes_no_order_and_sends_nothing_is_refused() -> None:
    assert "-queue.c:1: no order is made there" in problem(driver=f"{OWN},-queue.c:1")


# --- What is refused -------------------------------------------------------------------------------------------------


def problem(**options: Any) -> str:
    with pytest.raises(TopologyError) as caught:
        load("quickstart", **options)
    return str(caught.value)


def test_a_message_names_the_first_of_several_objects_and_not_all_their_paths() -> None:
    assert problem(driver=f"{OWN},-queue.c:1").startswith(
        f"--driver object:{DRIVER / 'queue.o'},...: driver.variant: -q"
    )
    assert problem(driver="object:none.o").startswith("--driver object:none.o: driver.variant: none.o: no such file")


def test_the_policies_of_an_object_cannot_be_set() -> None:
    assert "an object has no policies that could be set" in problem(driver=OWN, sets=["driver.attach=context-first"])


def test_objects_may_be_given_as_a_list(tmp_path: Path) -> None:
    file = tmp_path / "listed.yaml"
    file.write_text(f"driver: {{object: [{DRIVER / 'queue.o'}, {DRIVER / 'domain.o'}]}}\n")
    assert load("quickstart", overlays=[file]).driver.variant == OWN


def test_an_object_that_is_not_there_is_a_problem_of_the_topology() -> None:
    assert "none.o: no such file" in problem(driver="object:none.o")


def test_objects_that_are_no_whole_driver_are_a_problem_of_the_topology(tmp_path: Path) -> None:
    file = tmp_path / "more.py"
    names = ("own_domains_start", "own_domains_stop")
    file.write_text(f"async def nothing(call):\n    return 0\n\nFUNCTIONS = dict.fromkeys({names}, nothing)\n")
    assert "no variables of struct iommu_ops" in problem(driver=f"object:{DRIVER / 'queue.o'},{file}")


def test_the_command_says_so_with_exit_code_2() -> None:
    done = CliRunner().invoke(main, ["run", "quickstart", "--driver", f"object:{DRIVER / 'queue.o'}"])
    assert done.exit_code == 2
    assert "own_domains_start (asked for by queue.o)" in done.output
    assert "Traceback" not in done.output


# --- What is told of it ----------------------------------------------------------------------------------------------


def test_a_finding_names_the_objects_and_finds_them_where_they_were_moved() -> None:
    options = load("quickstart", driver=OWN).driver
    assert names_of(options) == [str(DRIVER / "queue.o"), str(DRIVER / "domain.o")]
    elsewhere = moved(options, {str(DRIVER / "queue.o"): "/elsewhere/queue.o"})
    assert elsewhere.variant == f"object:/elsewhere/queue.o,{DRIVER / 'domain.o'}"


def test_the_list_of_actions_has_the_line_of_c_of_each_that_the_driver_asks_for() -> None:
    listed = CliRunner().invoke(main, ["explore", str(RACES), "--driver", OWN, "--one-cell", "--list-actions"])
    clears = next(n for n, line in enumerate((DRIVER / "domain.c").read_text().splitlines(), 1) if "*entry, 0)" in line)
    lines = [line for line in listed.output.splitlines() if ".unmap." in line]
    named = {next(word for word in line.split() if "#" in word): line for line in lines}
    assert named["cpu0.unmap.st#0"].endswith(f"  domain.c:{clears} in own_unmap_pages")
    assert re.search(r"changes 0x\w+  queue.c:\d+ in own_send$", named["cpu0.unmap.amo#0"]), "the lock of the queue"
    assert named["cpu0.unmap.ld#0"].split()[-3:-1] == ["looks", "at"], "what the core reads has none"


@pytest.mark.slow
def test_a_search_finds_a_race_of_the_objects_and_names_its_file_by_them(tmp_path: Path) -> None:
    objects, _, _ = RACY["RACE_DOORBELL"]
    done = CliRunner().invoke(
        main,
        [*("explore", str(RACES), "--driver", objects, "--one-cell", "-j", "1", "-q"), *("-o", str(tmp_path))],
    )
    assert done.exit_code == 1, done.output
    valid = next(n for n, line in enumerate((DRIVER / "domain.c").read_text().splitlines(), 1) if "->tc, 0)" in line)
    assert f"held: cpu1.attach.st#0, which is domain.c:{valid} in enter\n" in done.output
    assert [path.name for path in tmp_path.glob("races*.json")] == [
        "races-object-queue.race-doorbell.o-domain.o-context-update-3us.json"
    ]
