"""Quantities are exact: what is written is what is simulated, and what cannot be exact is refused."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from cosim.units import field_types as quantities
from cosim.units import quantities as units
from cosim.units.quantities import (
    GIB,
    KIB,
    MIB,
    MS,
    NS,
    US,
    Rate,
    S,
    UnitError,
    format_address,
    format_frequency,
    format_like,
    format_rate,
    format_size,
    format_time,
    parse_address,
    parse_count,
    parse_rate,
    parse_size,
    parse_time,
)

exhaustive = settings(derandomize=True, deadline=None, max_examples=50)


@pytest.mark.parametrize(
    ("text", "ps"),
    [
        ("80 ns", 80 * NS),
        ("80ns", 80 * NS),
        ("  80   ns ", 80 * NS),
        ("1 ms", MS),
        ("1.5 us", 1500 * NS),
        ("1.5 \N{MICRO SIGN}s", 1500 * NS),
        ("1.5 \N{GREEK SMALL LETTER MU}s", 1500 * NS),
        ("90 s", 90 * S),
        ("250 ps", 250),
        ("0.001 ns", 1),
        ("1_000 ns", US),
        ("1e3 ns", US),
        ("25e-2 ns", 250),
        ("0", 0),
        (0, 0),
        ("0 s", 0),
        ("0.1 s", S // 10),
    ],
)
def test_a_time_is_whole_picoseconds(text, ps):
    assert parse_time(text) == ps


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1500 B", 1500),
        ("4 kB", 4000),
        ("4 KiB", 4096),
        ("256 MiB", 256 * MIB),
        ("0.5 GiB", GIB // 2),
        ("16777216 TiB", 1 << 64),
        (0, 0),
    ],
)
def test_a_size_is_whole_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("16 GB/s", 128 * 10**9),
        ("400 Gb/s", 400 * 10**9),
        ("25 GB/s", 200 * 10**9),
        ("1 MiB/s", 8 * MIB),
        ("12.5 b/s", None),
        ("0.125 B/s", 1),
    ],
)
def test_a_rate_is_whole_bits_per_second(text, bits_per_second):
    if bits_per_second is None:
        with pytest.raises(UnitError, match="not a whole number of bits per second"):
            parse_rate(text)
    else:
        assert parse_rate(text) == bits_per_second


@exhaustive
@given(rate=st.integers(1, 10**13), size=st.integers(0, 10**9))
def test_a_transfer_ends_with_the_first_whole_picosecond_after_its_last_bit(rate, size):
    needed = Fraction(size * 8 * S, rate)
    assert needed <= Rate(rate).transfer_ps(size) < needed + 1


def test_addresses_and_counts_are_plain_numbers():
    assert parse_address("0x8000_0000") == parse_address(0x8000_0000) == parse_address("2147483648")
    assert parse_count(16) == parse_count("16") == parse_count(16.0)
    assert parse_count("1_000") == parse_count("1e3") == 1000


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (parse_time, "80", "80 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns"),
        (parse_time, 80, "80 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns"),
        (parse_time, 1.5, "1.5 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns"),
        (parse_time, "1e3", "1e3 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns"),
        (parse_time, "0x10", "0x10 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns"),
        (
            parse_time,
            "80 MiB",
            "80 MiB is a size, not a time; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        (
            parse_time,
            "1 GHz",
            "1 GHz is a frequency, not a time; a time is in ps, ns, us, ms or s, such as 80 ns",
        ),
        (parse_time, "80 nsec", "80 nsec: unknown unit nsec; did you mean ns?"),
        (parse_time, "80 NS", "80 NS: unknown unit NS; did you mean ns?"),
        (parse_time, "2 microseconds", "2 microseconds: unknown unit microseconds; did you mean us?"),
        (parse_time, "5 fortnights", "5 fortnights: unknown unit fortnights; a time is in ps, ns, us, ms or s"),
        (parse_time, "0.5 ps", "0.5 ps is not a whole number of picoseconds; write 0 ps or 1 ps"),
        (parse_time, "1.2345 ns", "1.2345 ns is not a whole number of picoseconds; write 1.234 ns or 1.235 ns"),
        (parse_time, "-3 ns", "-3 ns is negative; a time is 0 or more"),
        (parse_time, -3, "-3 is negative; a time is 0 or more"),
        (parse_time, "", "'' is not a time; write one such as 80 ns"),
        (parse_time, "soon", "soon is not a time; write one such as 80 ns"),
        (parse_time, "1,000 ns", "1,000 ns is not a time; write one such as 80 ns"),
        (parse_time, ".5 ns", ".5 ns is not a time; write one such as 80 ns"),
        (parse_time, "80 ns\x07", "'80 ns\\x07' is not a time; write one such as 80 ns"),
        (parse_time, "\u0661 ns", "\u0661 ns is not a time; write one such as 80 ns"),
        (parse_time, None, "null is not a time; write one such as 80 ns"),
        (parse_time, True, "true is not a time; write one such as 80 ns"),
        (parse_time, [80], "a list is not a time; write one such as 80 ns"),
        (parse_time, {}, "a mapping is not a time; write one such as 80 ns"),
        (parse_time, float("nan"), "nan is not a time; write one such as 80 ns"),
        (parse_time, float("inf"), "inf is not a time; write one such as 80 ns"),
        (parse_time, "1e9 s", "1e9 s is too large; a time is at most 9223372.036854775807 s"),
        (parse_time, "9" * 5000 + " s", "9" * 57 + "... is not a time; write one such as 80 ns"),
        (parse_size, 4096, "4096 has no unit; for bytes write 4 KiB"),
        (parse_size, "0x1000", "0x1000 has no unit; for bytes write 4 KiB"),
        (parse_size, "4 KB", "4 KB: unknown unit KB; did you mean kB or KiB?"),
        (parse_size, "4 K", "4 K: unknown unit K; did you mean KiB?"),
        (parse_size, "1500 bytes", "1500 bytes: unknown unit bytes; did you mean B?"),
        (parse_size, "1 Mb", "1 Mb: unknown unit Mb; did you mean MB?"),
        (parse_size, "0.3 KiB", "0.3 KiB is not a whole number of bytes; write 307 B or 308 B"),
        (parse_size, "2e7 TiB", "2e7 TiB is too large; a size is at most 16777216 TiB"),
        (parse_rate, "25 Gbps", "25 Gbps: unknown unit Gbps; did you mean Gb/s?"),
        (parse_rate, "16 gb/s", "16 gb/s: unknown unit gb/s; did you mean GB/s or Gb/s?"),
        (
            parse_rate,
            "1 GB",
            "1 GB is a size, not a rate; a rate is in B/s, MB/s, GiB/s, Gb/s, ..., such as 16 GB/s",
        ),
        (parse_rate, "0 B/s", "0 B/s is no rate: nothing would ever arrive; write one such as 16 GB/s"),
        (parse_rate, 0, "0 is no rate: nothing would ever arrive; write one such as 16 GB/s"),
        (parse_address, "2 GiB", "2 GiB is a size, not an address; write one without unit, such as 0x8000_0000"),
        (parse_address, "dram", "dram is not an address; write one such as 0x8000_0000"),
        (parse_address, 1 << 64, "18446744073709551616 is too large; an address is at most 0xffff_ffff_ffff_ffff"),
        (parse_address, -1, "-1 is negative; an address is 0 or more"),
        (parse_count, 1.5, "1.5 is not a whole number; write 1 or 2"),
        (parse_count, "16 B", "16 B is a size, not a count; write one without unit, such as 16"),
        (parse_count, "16 entries", "16 entries is not a count; write one without unit, such as 16"),
        (parse_count, True, "true is not a count; write one such as 16"),
        (parse_count, 10**100, "a huge number is too large; a count is at most 9223372036854775807"),
    ],
)
def test_what_cannot_be_read_says_what_was_found_and_what_would_be_right(parse, value, message):
    with pytest.raises(UnitError) as caught:
        parse(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0, "0 ps"),
        (1, "1 ps"),
        (999, "999 ps"),
        (1000, "1 ns"),
        (1234 * NS, "1.234 us"),
        (1234567, "1.234567 us"),
        (90 * S, "90 s"),
        (-1500, "-1.5 ns"),
    ],
)
def test_a_time_is_shown_in_the_largest_unit_that_it_fills(ps, text):
    assert format_time(ps) == text


def test_a_shown_time_may_be_rounded_to_significant_digits():
    assert format_time(1234567, digits=3) == "1.23 us"
    assert format_time(999960, digits=4) == "1 us"
    assert format_time(1234567.8) == "1.235 us"
    assert format_time(0.0) == "0 ps"


@pytest.mark.parametrize("text", ["0 B", "1500 B", "4 KiB", "1 kB", "256 MiB", "1536 MiB", "64 kB", "1 TiB"])
def test_a_size_is_shown_as_briefly_as_it_can_be(text):
    assert format_size(parse_size(text)) == text


def test_a_rate_is_shown_in_bytes_unless_bits_are_shorter():
    assert format_rate(parse_rate("128 Gb/s")) == "16 GB/s"
    assert format_rate(parse_rate("12.5 GB/s")) == "100 Gb/s"
    assert format_rate(1) == "1 b/s"
    assert format_rate(127.96e9, digits=3) == "16 GB/s"


def test_other_quantities_are_shown_as_they_are_written():
    assert format_address(0x8000_0000) == "0x8000_0000"
    assert format_frequency(1_500_000_000) == "1.5 GHz"
    assert format_like("3 ns", 1000) == "1 ns"
    assert format_like("3 KiB", 4096) == "4 KiB"
    assert format_like("3", 4096) == "4096"


@exhaustive
@given(st.integers(0, 2**63 - 1))
def test_a_shown_time_reads_back_exactly(ps):
    assert parse_time(format_time(ps)) == ps


@exhaustive
@given(st.integers(0, 2**64))
def test_a_shown_size_reads_back_exactly(size):
    assert parse_size(format_size(size)) == size


@exhaustive
@given(st.integers(1, 10**18))
def test_a_shown_rate_reads_back_exactly(rate):
    assert parse_rate(format_rate(rate)) == rate


@exhaustive
@given(st.integers(0, 2**64 - 1))
def test_a_shown_address_reads_back_exactly(address):
    assert parse_address(format_address(address)) == address


@exhaustive
@given(
    number=st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=6),
    unit=st.sampled_from(["ps", "ns", "us", "ms", "s"]),
)
def test_a_time_is_its_decimal_number_times_its_unit_or_refused(number, unit):
    exact = Fraction(Decimal(number)) * {"ps": 1, "ns": NS, "us": US, "ms": MS, "s": S}[unit]
    if exact.denominator == 1:
        assert parse_time(f"{number:f} {unit}") == exact
    else:
        with pytest.raises(UnitError, match="not a whole number of picoseconds"):
            parse_time(f"{number:f} {unit}")


@exhaustive
@given(
    parse=st.sampled_from([parse_time, parse_size, parse_rate, parse_address, parse_count]),
    value=st.text("0123456789.eE_+-x nsuGMKkiBb/\t\0\u0663\u00b5", max_size=12) | st.floats() | st.integers(),
)
def test_whatever_is_given_a_parser_answers_with_a_number_or_a_unit_error(parse, value):
    try:
        result = parse(value)
    except UnitError as error:
        result = len(str(error)) if str(error).isprintable() else -1
    assert result >= 0


class Timing(BaseModel):
    """A small group of options with each type of field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hit: quantities.Time = 80 * NS
    poll: quantities.PositiveTime = NS
    window: quantities.Size = 4 * KIB
    burst: quantities.PositiveSize = 64
    link: quantities.Rate = parse_rate("16 GB/s")
    base: quantities.Address = 0x8000_0000
    ways: quantities.Count = 0
    walkers: quantities.PositiveCount = 1
    limit: quantities.Time | None = None


def test_a_dumped_model_is_readable_and_reads_back_equal():
    written = {
        "hit": "1.5 us",
        "poll": "2 ns",
        "window": "256 MiB",
        "burst": "1500 B",
        "link": "400 Gb/s",
        "base": "0x300_0000",
        "ways": 4,
        "walkers": 8,
        "limit": "90 s",
    }
    timing = Timing(**written)
    assert (timing.hit, timing.link.transfer_ps(50)) == (1_500_000, NS)
    assert timing.model_dump() == written | {"link": "50 GB/s"}
    assert Timing(**timing.model_dump()) == timing
    assert Timing.model_validate_json(timing.model_dump_json(), strict=True) == timing


@pytest.mark.parametrize("field", ["poll", "burst", "walkers"])
def test_a_positive_quantity_is_not_zero(field):
    with pytest.raises(ValidationError) as caught:
        Timing(**{field: 0})
    assert [error["type"] for error in caught.value.errors()] == ["greater_than"]


def test_a_bare_number_is_not_a_time_from_python_either():
    with pytest.raises(ValidationError, match="80000 has no unit"):
        Timing(hit=80_000)


def test_the_json_schema_shows_defaults_as_they_are_written():
    fields = Timing.model_json_schema(schema_generator=quantities.ReadableSchema)["properties"]
    assert [fields[name]["default"] for name in ("hit", "poll", "window", "link", "base", "limit")] == [
        "80 ns",
        "1 ns",
        "4 KiB",
        "16 GB/s",
        "0x8000_0000",
        None,
    ]
    assert fields["hit"]["examples"] == ["80 ns", "1.5 us", "90 s"]


def test_the_dimension_of_a_text_is_that_of_its_unit():
    assert units.dimension_of("80 ns") is units.TIME
    assert units.dimension_of("80 GB/s") is units.RATE
    assert units.dimension_of("80") is None
    assert units.dimension_of("nic0") is None
