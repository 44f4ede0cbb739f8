"""Numbers for people: units, rounding that still adds up, and columns that fit."""

from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from cosim.study.report.busy_bars import bar
from cosim.study.report.columns import Columns
from cosim.study.report.families import families
from cosim.study.report.page import Page, flow
from cosim.study.report.rounding import UNITS, WIDEST, Unit, apportion, own_unit, unit_for
from cosim.study.report.sweep_table import table
from cosim.study.results.estimate import Estimate, Mean

NS, US, MS, S = (UNITS[name] for name in ("ns", "us", "ms", "s"))
TIMES = st.integers(0, 100 * S)
PARTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**9), min_size=1)


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ((312_400, 912_000), Unit("ns", 1)),
        ((20 * NS, 900 * NS), Unit("ns", 2)),
        ((2 * NS, 900 * NS), Unit("ns", 2)),
        ((1_131_200, 1_630_000), Unit("ns", 1)),
        ((1_200 * NS, 400 * US), Unit("ns", 0)),
        ((1_200 * NS, 4 * MS), Unit("us", 2)),
        ((15 * US, 80 * US), Unit("us", 2)),
        ((80 * NS, 400 * US), Unit("ns", 0)),
        ((80 * NS, 9 * MS), Unit("us", 2)),
        ((300, 700), Unit("ns", 2)),
        ((0, 0), Unit("ns", 2)),
        ((3 * S, 10 * S), Unit("ms", 1)),
    ],
)
def test_a_table_has_the_unit_in_which_its_smallest_and_largest_can_be_read(times, unit):
    assert unit_for(times) == unit


def test_times_too_far_apart_have_no_unit_in_common():
    assert unit_for((80 * NS, 90 * S)) is None


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(TIMES, min_size=1, max_size=6))
def test_a_common_unit_keeps_every_number_narrow_and_no_mean_is_zero(times):
    unit = unit_for(times)
    if unit is not None:
        assert all(len(unit.show(ps)) <= WIDEST for ps in times)
        assert all(unit.rounded(ps) for ps in times if ps >= 10 * unit.quantum_ps)
        assert min(unit.rounded(ps) for ps in times if ps) if any(times) and min(filter(None, times)) >= NS else True


@settings(derandomize=True, deadline=None, max_examples=50)
@given(TIMES)
def test_a_time_by_itself_has_three_digits(ps):
    unit = own_unit(ps)
    assert abs(unit.rounded(ps) * unit.quantum_ps - ps) * 100 <= max(ps, 100)
    assert len(unit.show(ps)) <= WIDEST


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**9), min_size=1), st.sampled_from([1, 100, 10**4])
)
def test_rounded_parts_add_up_to_the_rounded_sum(parts, quantum):
    total = (2 * sum(parts.values()) + quantum) // (2 * quantum)
    shares = apportion(parts, total, quantum)
    assert sum(shares.values()) == total
    assert all(abs(shares.get(part, 0) * quantum - ps) <= quantum for part, ps in parts.items())
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_a_number_shows_all_its_decimals_and_its_thousands():
    assert Unit("ns", 1).show(1_234_560) == "1,234.6"
    assert Unit("us", 0).show(1_499_999) == "1"
    assert Unit("us", 2).show(5_000) == "0.01"


def test_columns_are_aligned_and_a_long_name_stands_above_its_numbers():
    table = Columns(("Name", "count", "mean"))
    table.add("short", "1", "2.0")
    table.add("a-very-long-name-of-something", "1,000", "31.5", below=[Text("  below")])
    assert [line.plain for line in table.lines(30)] == [
        "Name                count mean",
        "short                   1  2.0",
        "a-very-long-name-of-something",
        "                    1,000 31.5",
        "  below",
    ]
    assert table.lines(80)[2].plain == "a-very-long-name-of-something  1,000  31.5"


def test_pieces_flow_into_lines_and_are_never_cut():
    lines = flow([Text("one "), Text("two "), Text("three "), Text("x" * 20 + " "), Text("end")], 12, "= ", "    ")
    assert [line.plain for line in lines] == ["= one two", "    three", "    " + "x" * 20, "    end"]


def test_bars_have_eighths_and_ascii_has_none():
    assert bar(0.5, 4, unicode=True) == "██"
    assert bar(0.53125, 4, unicode=True) == "██▏"
    assert bar(1.2, 4, unicode=True) == "████"
    assert bar(0.53125, 4, unicode=False) == "##"
    assert bar(0, 4, unicode=True) == ""


def test_like_names_are_a_family_only_if_they_are_many():
    few = [f"nic{n}.read" for n in range(8)]
    assert [family.label for family in families([*few, "gpu.read"])] == [*few, "gpu.read"]
    many = [f"nic{n}.{kind}" for n in range(10) for kind in ("read", "write")]
    found = families(["dram0", *many])
    assert [family.label for family in found] == ["dram0", "nic0..9.read", "nic0..9.write"]
    assert len(found[1].members) == 10


def test_numbers_that_are_wider_than_the_page_are_folded_below_their_name():
    table = Columns(("Name", "count", "mean", "most"))
    table.add("nic0.read", "1,000", "202.0", "1,012.0", below=[Text("  = link 202.0")])
    assert [line.plain for line in table.lines(20)] == [
        "Name",
        "    count  mean",
        "       most",
        "nic0.read",
        "    1,000 202.0",
        "    1,012.0",
        "  = link 202.0",
    ]


def swept(width: int) -> list[str]:
    """The table of an axis of its own, of two that go with one another, and of one with one value."""
    names = ["nic0.traffic.interval", "run.until", "dram0.latency", "iommu0.geometry.walkers"]
    rows = [("40 ns", "60 us", "80 ns"), ("20 ns", "30 us", "80 ns")]
    points = [dict(zip(names, (*row, walkers), strict=True)) for row in rows for walkers in ("1", "2")]
    estimates = [Estimate("", point, 1, 0, {"nic0.write.mean_ps": Mean(1e6, inf, 1)}) for point in points]
    return [line.plain for line in table(estimates, Page(width))]


def test_where_a_table_is_too_wide_only_axes_that_tell_rows_apart_have_columns():
    assert swept(70)[0].split()[:5] == ["interval", "until", "latency", "walkers", "runs"]
    assert not any("not shown" in line for line in swept(70))
    narrow = swept(44)
    assert narrow[0].split() == ["interval", "walkers", "runs", "nic0.write.mean", "ns"]
    assert narrow[1].split() == ["40", "ns", "1", "1", "1,000"]
    assert " ".join(narrow[5:7]) == "not shown: until goes with interval, latency is 80 ns"


WALK = "iommu0.walkers.utilisation"
FIVE = ["gpu0.read.mean_ps", "gpu0.read.p99_ps", "iommu0.iotlb.hit_rate", "cpu1.map-unmap.unmap.mean_ps", WALK]


def wide(width: int, names: Sequence[str], *missing: str, asked: Sequence[str] = ()) -> list[str]:
    """A table of so many numbers over two axes, of which the last point has not all, and has failed once."""
    points = [
        Estimate(
            walkers, {"iommu0.walkers": walkers, "iommu0.iotlb_entries": "64"}, 2, failed, means, "stuck: " * failed
        )
        for walkers, failed, means in (
            ("1", 0, {name: Mean(0.3, inf, 1) for name in names}),
            ("2", 1, {name: Mean(0.3, inf, 1) for name in names if name not in missing}),
        )
    ]
    return [line.plain for line in table(points, Page(width), asked)]


@pytest.mark.parametrize("width", [60, 80])
def test_numbers_for_which_a_page_has_no_room_stand_in_blocks_that_begin_with_the_axes(width):
    lines = wide(width, FIVE)
    assert max(map(len, lines)) <= width
    blocks = "\n".join(lines).split("\n\n")
    assert len(blocks) == {60: 3, 80: 2}[width]
    tables = [block.splitlines() for block in blocks]
    assert all(lines[0].startswith("walkers ") for lines in tables)
    assert all([line[:1] for line in lines if line[:1].isdigit()] == ["1", "2"] for lines in tables)
    headings = " ".join(lines[0] for lines in tables)
    found = [headings.find(name) for name in ("gpu0.read.mean ns", "read.p99 ns", "hit_rate %", "unmap.mean ns", WALK)]
    assert -1 not in found
    assert found == sorted(found)
    assert [("runs" in lines[0], "  stuck:" in lines) for lines in tables] == [
        (number == 0, number == 0) for number in range(len(tables))
    ]
    assert "" not in wide(160, FIVE)


def test_a_mean_that_there_is_none_of_is_explained_and_only_then():
    said = "- is not measured: no run of this point that ended well has this number"
    assert said in wide(80, FIVE, WALK)
    assert said not in wide(80, FIVE)
    assert "2                              0.0003                             -" in wide(80, FIVE, WALK)


def test_numbers_that_nobody_named_are_counted_where_they_are_too_many_to_be_shown():
    many = [f"dev{number}.reads" for number in range(9)]
    assert "and 3 more numbers, which --json and --csv have" in wide(80, many)
    named = wide(80, many, asked=["dev*.reads", "dev8.reads"])
    assert "and 2 more numbers, which --json and --csv have" in named
    assert "dev8.reads" in " ".join(named)
    assert not [line for line in wide(80, many, asked=many) if "more numbers" in line]
