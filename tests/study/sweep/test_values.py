"""The values of an axis: lists and ranges, with and without units, and what is wrong with others."""

import pytest

from cosim.study.sweep.values import ValuesError, span_of, values_of


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("8,16,32", ["8", "16", "32"]),
        ("16..1024*4", ["16", "64", "256", "1024"]),
        ("10..50:10", ["10", "20", "30", "40", "50"]),
        ("1..4", ["1", "2", "3", "4"]),
        ("1..6:2,16", ["1", "3", "5", "16"]),
        ("10..50 ns:20 ns", ["10 ns", "30 ns", "50 ns"]),
        ("10 ns..50 ns:20", ["10 ns", "30 ns", "50 ns"]),
        ("0.5 us..2 us*2", ["500 ns", "1 us", "2 us"]),
        ("1 \u00b5s..2 us:0.5", ["1 us", "1.5 us", "2 us"]),
        ("1 us..2 \u03bcs:0.5", ["1 us", "1.5 us", "2 us"]),
        ("4KiB..64KiB*4", ["4 KiB", "16 KiB", "64 KiB"]),
        ("0.5..1:0.25", ["0.5", "0.75", "1"]),
        ("0x10..0x30:0x10", ["16", "32", "48"]),
        ("1 GB/s..4 GB/s*2", ["1 GB/s", "2 GB/s", "4 GB/s"]),
        ("v2, merged", ["v2", "merged"]),
        ("[1, 2],{a: 1, b: 2}", ["[1, 2]", "{a: 1, b: 2}"]),
        pytest.param("'a, \"b',\"it's, c\",d", ["'a, \"b'", '"it\'s, c"', "d"], id="quoted"),
    ],
)
def test_values_are_lists_and_ranges(written: str, values: list[str]) -> None:
    assert list(values_of(written)) == values


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("50..10", "50..10: a range goes up; write 10..50"),
        ("1..many", "1..many: many is no number; a range is 16..1024*2, 10..50:10 or 10 ns..50 ns:20 ns"),
        ("10 ns..50 ns", "10 ns..50 ns has no step; write 10 ns..50 ns:STEP, or 10 ns..50 ns*FACTOR"),
        ("1..8*1", "1..8*1: a factor is above 1"),
        ("1..8:0", "1..8:0: a step is above 0"),
        ("0..8*2", "0..8*2: what is multiplied begins above 0"),
        ("1..8:x", "1..8:x: x is no number"),
        ("1,,2", "a value is missing; write them with commas between them: 8,16,32"),
        ("1..1e9", "1..1e9 makes more than 100_000 values"),
    ],
)
def test_values_that_cannot_be_read_say_what_is_wrong(written: str, said: str) -> None:
    with pytest.raises(ValuesError) as error:
        values_of(written)
    assert str(error.value) == said


def test_a_range_without_a_step_is_a_span_to_draw_from() -> None:
    span = span_of("10..13")
    assert span is not None
    assert [span.at(part) for part in (0, 0.24, 0.26, 0.99, 1)] == ["10", "10", "11", "13", "13"]
    time = span_of("1 us..2 us")
    assert time is not None
    assert time.at(0.5) == "1.5 us"
    broken = span_of("0.5..1.5")
    assert broken is not None
    assert broken.at(0.25) == "0.75"
    for bounds, half in (("10..12.5", "11.25"), ("10.5..12", "11.25")):
        broken = span_of(bounds)
        assert broken is not None
        assert broken.at(0.5) == half
    assert span_of("10..20:2") is span_of("1,2") is span_of("merged") is None
