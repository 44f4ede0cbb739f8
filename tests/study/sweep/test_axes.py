"""Axes: every combination, or only some of them; and what cannot be meant is told with the nearest that can."""

import pytest

from cosim.study.sweep.axes import Axes, AxesError, Axis, driver_names
from cosim.study.sweep.where import Where

ENTRIES = Axis.parse("iommu0.geometry.iotlb_entries=8..32*2")
WALKERS = Axis.parse("iommu0.geometry.walkers=1,2,4")
WINDOW = Axis.parse("gpu0.traffic.window=64KiB,1MiB")


def test_the_last_axis_varies_fastest() -> None:
    grid = [tuple(point.values()) for point in Axes([WALKERS, WINDOW]).grid()]
    assert grid == [(walkers, window) for walkers in "124" for window in ("64KiB", "1MiB")]


def test_axes_that_are_zipped_vary_together_and_stay_in_their_order() -> None:
    axes = Axes([ENTRIES, WINDOW, WALKERS], [["walkers", "geometry.iotlb_entries"]])
    grid = [tuple(point.values()) for point in axes.grid()]
    assert grid == [(n, window, w) for n, w in (("8", "1"), ("16", "2"), ("32", "4")) for window in ("64KiB", "1MiB")]


@pytest.mark.parametrize(
    ("zips", "said"),
    [
        ([["walkers", "window"]], "equally many values; iommu0.geometry.walkers has 3, gpu0.traffic.window has 2"),
        ([["walkers", "walkrs"]], "walkrs is no axis; did you mean walkers?"),
        ([["walkers"]], "name two axes at least, with a comma between them"),
        ([["walkers", "iotlb_entries"], ["iotlb_entries", "walkers"]], "iommu0.geometry.iotlb_entries is in another"),
    ],
)
def test_what_cannot_vary_together_is_told(zips: list[list[str]], said: str) -> None:
    with pytest.raises(AxesError, match=said.replace("?", r"\?")):
        Axes([ENTRIES, WALKERS, WINDOW], zips)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("walkers <= 2", 12),
        ("walkers * 8 <= iotlb_entries and window < 1 MiB", 6),
        ("walkers * 8 <= iommu0.geometry.iotlb_entries", 12),
        ("window == 1048576 B or walkers == 4", 12),
        ("not walkers in (1, 2)", 6),
        ("walkers not in (1, 2)", 6),
        ("1 < walkers < 4", 6),
        ("iotlb_entries % 16 == 0 and -walkers < -1", 8),
        ("window / walkers >= 512 KiB and window > 0", 6),
        ("window // 64 KiB == 16 or walkers ** 2 == 16 and not window in (1 MiB, 2 MiB)", 12),
        ("window / 1 us > 8 Gb/s and window - 64 KiB == 0", 9),
        ("window / 1 us == 524.288 Gb/s", 9),
        ("window / 1 \u03bcs == 524.288 Gb/s", 9),
        ("(walkers > 1) + (iotlb_entries > 8) == 2 and window != 'none'", 8),
        ("window in (64 KiB, 'none')", 9),
        ("0 + window > 100 KiB", 9),
    ],
)
def test_a_condition_chooses_among_points(condition: str, met: int) -> None:
    axes = Axes([ENTRIES, WALKERS, WINDOW])
    where = Where(condition, axes)
    assert sum(map(where, axes.grid())) == met


def test_text_is_compared_as_text() -> None:
    axes = Axes([Axis.of("driver", ["v2", "merged"]), WALKERS])
    assert sum(map(Where("driver == 'v2' and walkers > 1", axes), axes.grid())) == 2


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("walker < 2", "walker is no axis; did you mean walkers"),
        ("walkers <", "not a condition"),
        ("open('x')", "call has no place here"),
        ("walkers.__class__", "walkers.__class__ is no axis"),
        ("[w for w in walkers]", "no axis|has no place here"),
        ("walkers / 0 > 1", "division by 0, at iommu0.geometry.walkers=1"),
        (
            "window > 100",
            r"a size \(4 KiB\) and a number cannot be compared; write both with units, at gpu0.traffic.window",
        ),
        ("window == 100 ns", r"a size \(4 KiB\) and a time \(80 ns\) cannot be compared"),
        ("window in (100, 200)", "cannot be compared"),
        ("window + 1 > 4 KiB", "cannot be added"),
        ("window * window > 4 KiB", "a product of quantities and a size"),
        ("driver == merged", "merged is no axis, but a value of driver; write it in quotes: 'merged'"),
        ("driver > 3", "v2 is no number, at driver=v2"),
        ("walkers in 4", "`in` is followed by values in brackets"),
        ("9**9**9**9 > walkers", "a power of more than 4000 bits is too large"),
        ("((9**999)**99)**99 > walkers", "a power of more than 4000 bits is too large"),
        ("2 ** (walkers / 3) > 1", "a power is a whole number"),
    ],
)
def test_a_condition_that_is_none_is_told(condition: str, said: str) -> None:
    axes = Axes([ENTRIES, WALKERS, WINDOW, Axis.of("driver", ["v2", "merged"])])
    with pytest.raises(AxesError, match=said):
        list(map(Where(condition, axes), axes.grid()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("walkers", "write PATH=VALUES"),
        ("walkers=", "write PATH=VALUES"),
        ("walkers=8..1", "a range goes up"),
    ],
)
def test_an_axis_that_is_none_is_told(text: str, said: str) -> None:
    with pytest.raises(AxesError, match=said):
        Axis.parse(text)


def test_a_value_is_twice_in_an_axis_only_where_another_varies_with_it() -> None:
    twice = Axis.parse("nic0.traffic.interval=1 us,2 us,1 us")
    with pytest.raises(AxesError, match="1 us is there twice"):
        Axes([twice]).check_alone()
    once = Axis.parse("walkers=1,2,4")
    zipped = Axes([twice, once], [["interval", "walkers"]])
    zipped.check_alone()
    assert [list(point.values()) for point in zipped.grid()] == [["1 us", "1"], ["2 us", "2"], ["1 us", "4"]]
    with pytest.raises(AxesError, match="1 us, 1 is there twice"):
        Axes([twice, Axis.parse("walkers=1,2,1")], [["interval", "walkers"]])


def test_two_axes_of_one_path_are_one_too_many_and_a_short_name_has_to_be_clear() -> None:
    with pytest.raises(AxesError, match="this axis is there twice"):
        Axes([WALKERS, WALKERS])
    with pytest.raises(AxesError, match=r"window may be gpu0\.traffic\.window or nic0\.traffic\.window; write more"):
        Axes([WINDOW, Axis.parse("nic0.traffic.window=4KiB")]).called("window", "--where")
    until = Axes([Axis.parse("run.until=1 us"), Axis.parse("parts.run.until=2 us")])
    assert until.called("run.until", "--where") == "run.until", "which is the whole path of one"


def test_axes_of_python_are_lists_numbers_and_texts() -> None:
    assert Axis.of("a", [1, 2.5, True, "4 KiB", [1, 2]]).values == ("1", "2.5", "true", "4 KiB", "[1, 2]")
    assert Axis.of("a", range(3)).values == ("0", "1", "2")
    assert Axis.of("a", "1..3").values == ("1", "2", "3")
    assert Axis.of("a", 7).values == ("7",)


def test_a_glob_stands_for_the_drivers_that_it_fits() -> None:
    assert driver_names(["v2*", "mine.py:X"]) == ["v2", "v2-as-posted", "mine.py:X"]
