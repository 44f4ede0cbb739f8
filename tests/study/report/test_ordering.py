"""The picture of a finding: columns, the span that was held, what it met, and the rule that was violated."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from inspect import iscoroutinefunction

import pytest

from cosim import events
from cosim.config.source import Source
from cosim.oracles import Violation
from cosim.sim.simulation import Sim
from cosim.study.finding import Finding
from cosim.study.report.ordering import Picture, html, picture_of, plain
from cosim.study.report.ordering import picture as picture_module
from cosim.study.report.ordering.picture import Cell
from cosim.study.report.ordering.recording import Recording
from cosim.study.report.ordering.steps import ROUTINES, Step, Weight
from cosim.study.report.ordering.steps import Source as InC
from cosim.study.run.run import Point
from cosim.sw.kernel.rcu_callbacks import Batch
from cosim.system.load import as_data, load, resolved
from cosim.units.quantities import format_time
from tests.study.finding.systems import HELD, UNFLUSHED, beside, found, record_of

COMMAND = "cosim replay found.json"


@cache
def picture() -> Picture:
    return picture_of(found(), COMMAND)


def lines_of(drawn: Picture, column: str) -> list[str]:
    """The texts in a column, in order."""
    at = drawn.columns.index(column)
    return [line.cells[at].text for line in drawn.lines if line.cells[at].text]


def in_order(texts: list[str], *wanted: str) -> bool:
    """Whether these come one after the other."""
    rest = iter(texts)
    return all(any(text == each for text in rest) for each in wanted)


def test_each_thread_the_hardware_and_the_device_has_a_column() -> None:
    assert picture().columns == ("cpu0.unmap", "cpu1.attach", "IOMMUs", "nic0")


def test_a_reviewer_s_steps_of_the_unmap_are_there_in_their_order() -> None:
    assert in_order(
        lines_of(picture(), "cpu0.unmap"),
        *(
            "unmap x",
            "clear PTE x: held",
            "clear PTE x",
            "fence",
            "read the bonds",
            "send IOTINVAL x pscid 2 to iommu1",
        ),
        *("unmap x returns", "free page x"),
    )


def test_the_attach_writes_the_context_before_it_links_the_bond_and_the_merged_one_behind_it() -> None:
    attach = lines_of(picture(), "cpu1.attach")
    assert in_order(attach, "attach nic0 to shared", "DC nic0: V=0", "DC nic0: fsc, ta pscid 2, V=1", "link bond")
    merged = picture_of(replace(found(), topology=resolved(load(beside(), driver="merged"))), COMMAND)
    assert in_order(lines_of(merged, "cpu1.attach"), "link bond", "fence", "DC nic0: fsc, ta pscid 2, V=1")


def test_the_hardware_caches_what_the_held_store_has_not_cleared_yet() -> None:
    hardware = lines_of(picture(), "IOMMUs")
    assert in_order(hardware, "iommu0: walk reads PTE x for nic0", "iommu0: caches x, pscid 2")
    assert "iommu1: IOTINVAL x pscid 2: drops nothing" in hardware
    assert lines_of(picture(), "nic0") == ["reads x: a walk", "reads x: a hit", "reads x: a hit, a freed page"]


def test_what_was_held_is_a_span_from_its_question_to_its_effect() -> None:
    held = [line.cells[0].held for line in picture().lines]
    assert re.fullmatch(r"(,)*,begins(,goes on)+,ends(,)*", "," + ",".join(held))
    begins, ends = (picture().lines[held.index(which)] for which in ("begins", "ends"))
    assert ends.time - begins.time > 3_000_000
    assert ends.cells[0].text == "clear PTE x"


def test_what_is_held_beyond_the_violation_is_a_span_without_an_end() -> None:
    early = Violation("kernel-health", "kernel-health: too early", "too early", found().shown.time_ps - 5_000_000, 0)
    finding = replace(found(), schedule=("cpu0.unmap.amo#0:2",), signature=early.signature, violations=(early,))
    held = [line.cells[0].held for line in picture_of(finding).lines if line.cells[0].held]
    assert held[0] == "begins"
    assert set(held[1:]) == {"goes on"}


def test_times_never_go_back_and_the_last_line_is_a_violation() -> None:
    times = [line.time for line in picture().lines]
    assert times == sorted(times)
    assert picture().lines[-1].violates
    assert [line.cells[0].text for line in picture().lines if line.violates] == ["unmap x returns", ""]


def test_to_watch_a_run_changes_nothing_of_it() -> None:
    assert picture().digest == found().digest


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_as_text_it_fits_and_has_the_rule_and_the_command_at_its_foot(width: int) -> None:
    text = plain(picture(), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()
    foot = " ".join(text.partition("\nx: IOVA 0xfffff000 in shared\n")[2].split())
    assert foot.startswith("violated: flush-promises: What software takes for flushed is flushed")
    assert " ".join(found().shown.message.split()) in foot
    assert foot.endswith(f"replay: {COMMAND}")


def test_it_says_how_its_times_lead_to_those_of_all_other_outputs() -> None:
    drawn = {line.time + picture().origin for line in picture().lines if line.violates}
    assert found().shown.time_ps in drawn
    for text in (plain(picture()), html(picture())):
        assert f"from the end of boot and preparation, {format_time(picture().origin)} after reset" in text


def test_as_text_the_held_span_is_marked_on_every_line() -> None:
    lines = plain(picture()).splitlines()
    begin, end = (
        next(at for at, line in enumerate(lines) if mark in line) for mark in ("+ clear PTE x:", "+ clear PTE x\n"[:-1])
    )
    end = next(at for at, line in enumerate(lines) if at > begin and "+ clear PTE x" in line)
    assert end > begin + 3
    assert all(line[9] == "|" for line in lines[begin + 1 : end])


class Page(HTMLParser):
    """What tags and texts a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_as_a_page_it_is_whole_and_needs_nothing_else() -> None:
    text = html(picture())
    page = Page(text)
    assert not page.open
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "onclick"} & set(page.attributes)
    assert "url(" not in text
    assert "@import" not in text
    for wanted in ("prefers-color-scheme: dark", "max-width", "clear PTE x: held", COMMAND, found().digest):
        assert wanted in text
    assert {cell.text for line in picture().lines for cell in line.cells if cell.text} <= set(page.texts)


def test_as_a_page_names_are_texts_and_no_markup() -> None:
    odd = replace(picture(), title="<script>alert(1)</script>", columns=('a"b', "<i>", "c", "d"))
    page = Page(html(odd))
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert "<script>alert(1)</script>" in page.texts


@pytest.mark.slow
def test_a_failure_that_is_no_violation_is_drawn_as_one() -> None:
    slow = load(beside(), set={"driver.attach": "bond-first", "run.limit": "3 us"})
    point = Point(slow, "slow", HELD)
    record = record_of(point)
    sign = next(sign for sign in record.signs if "had not ended" in sign)
    drawn = picture_of(Finding.of(point, record, sign), COMMAND)
    foot = plain(drawn)[-400:]
    assert "failed, with no violation of its own:" in foot
    assert "had not ended 3 us after the origin" in foot
    assert in_order(lines_of(drawn, "cpu0.unmap"), "unmap x", "amo#0 is answered 1")
    assert "<b>failed</b>" in html(drawn)


def test_a_command_that_has_no_room_in_a_line_can_be_copied_all_the_same() -> None:
    command = "cosim replay " + "explored/a_finding_with_a_name_that_is_longer_than_what_is_left_of_a_line.json"
    text = plain(replace(picture(), command=command))
    assert text.endswith("replay: cosim replay \\\n  " + command.split()[-1] + "\n")


def test_where_there_are_many_columns_the_hardware_shares_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "MOST_COLUMNS", 3)
    drawn = picture_of(found(), COMMAND)
    assert drawn.columns == ("cpu0.unmap", "cpu1.attach", "hardware")
    assert "nic0: reads x: a walk" in lines_of(drawn, "hardware")
    assert "iommu0: caches x, pscid 2" in lines_of(drawn, "hardware")


@pytest.mark.slow
def test_a_thread_that_has_nothing_to_do_with_it_has_no_column() -> None:
    data = as_data(beside())
    other = {"on": "cpu2", "does": "map", "domain": "shared", "buffer": "y"}
    unmaps = {"on": "cpu2", "does": "unmap", "buffer": "y"}
    more = {"threads": [*data["threads"], unmaps], "prepare": [*data["prepare"], other]}
    point = Point(load(Source.of(data | more)), "crowded", HELD)
    drawn = picture_of(Finding.of(point, record_of(point), UNFLUSHED), COMMAND)
    assert "cpu2.unmap" not in drawn.columns


def test_a_word_that_has_no_room_breaks_behind_a_dot() -> None:
    line = replace(picture().lines[0], cells=(Cell("reads DevIommu.iommu_dev of it"),))
    text = plain(replace(picture(), columns=("cpu0.unmap",), lines=(line,)), 9 + 16)
    assert "reads DevIommu.\n         iommu_dev of it\n" in text


def test_the_name_of_a_column_that_has_no_room_goes_on_in_the_next_line() -> None:
    lines = plain(replace(picture(), columns=("cpu0.detach-in-a-hurry", "IOMMUs")), 9 + 2 * 12).splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:1] == ["us"])
    heads = [line[9:21].strip() for line in lines[at : at + 3]]
    assert heads == ["cpu0.", "detach-in-", "a-hurry"]


def test_long_times_take_their_room_from_the_columns() -> None:
    late = tuple(replace(line, time=line.time + 10**12) for line in picture().lines)
    lines = plain(replace(picture(), lines=late)).splitlines()
    assert max(map(len, lines)) <= 80
    begin = next(line for line in lines if line.endswith("unmap x"))
    assert begin.split() == ["1000001.520", "unmap", "x"]
    assert begin.index("unmap") == next(line for line in lines if line.split()[:1] == ["us"]).index("cpu0")


def test_routines_that_have_words_of_their_own_are_there() -> None:
    assert {f"Batch.{name}" for name, what in vars(Batch).items() if iscoroutinefunction(what)} == {*ROUTINES}


# --- Lines of a compiled driver --------------------------------------------------------------------------------------


def recording() -> tuple[Sim, Recording]:
    """One that watches what a test tells it, from the end of boot on."""
    sim, made = Sim(), Recording(beside(), ())
    made.watch(sim)
    sim.probe(events.BootDone)(events.BootDone(1))
    return sim, made


def test_lines_of_c_are_kept_where_steps_are_drawn_as_one_and_a_function_is_said_where_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, made = recording()
    time = found().shown.time_ps
    made.steps += [
        Step(time, "cpu1.attach", text, Weight.CAUSE, head=head, source=InC("domain.c", line, function))
        for head, text, line, function in (
            ("", "begin", 1, "enter"),
            ("DC nic0", "fsc", 5, "enter"),
            ("DC nic0", "ta", 6, "enter"),
            ("DC nic0", "V=1", 6, "enter"),
            ("", "send", 20, "forget"),
            ("", "fence", 21, "forget"),
            ("", "end", 8, "enter"),
        )
    ]
    monkeypatch.setattr(picture_module, "recorded", lambda point: (made, "0"))
    drawn = picture_of(replace(found(), schedule=()), COMMAND)
    assert [(cell.text, [one.line for one in cell.sources]) for line in drawn.lines for cell in line.cells] == [
        ("begin", [1]),
        ("DC nic0: fsc, ta, V=1", [5, 6]),
        ("send", [20]),
        ("fence", [21]),
        ("end", [8]),
    ]
    assert re.findall(r"\(domain\.c:[^)]*\)", plain(drawn)) == [
        "(domain.c:1 in enter)",
        "(domain.c:5, 6)",
        "(domain.c:20 in forget)",
        "(domain.c:21)",
        "(domain.c:8 in enter)",
    ]


@pytest.mark.parametrize("within", [0, 2, 4])
def test_what_the_kernel_stores_for_a_driver_has_the_line_of_the_call_wherever_in_a_word_it_is(within: int) -> None:
    """As a lock that is given back: it takes hold when the thread is elsewhere, or back from the driver."""
    sim, made = recording()
    word, who = 0x8000_1000, "cpu0.unmap"
    for address, place in ((word + within, "queue.c:5, in own_send"), (word + 8, "queue.c:9, in own_send")):
        sim.probe(events.LineReached)(events.LineReached(2, who, place))
        sim.probe(events.StoreIssued)(events.StoreIssued(2, who, "cpu0", address, 2))
    sim.probe(events.LineReached)(events.LineReached(2, who, ""))
    sim.actions.announce(f"{who}.st", who, (word,), changes=True, size=2)
    assert [step.source for step in made.steps] == [InC("queue.c", 5, "own_send")]
