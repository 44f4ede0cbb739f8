"""Times in violations: points exactly, durations to a few digits, each in a unit that fits."""

from cosim.oracles.oracle import exact, span


def test_a_point_in_time_is_exact_in_the_largest_unit_that_it_fills():
    assert exact(480_000) == "480 ns"
    assert exact(118_697_002) == "118.697002 us"
    assert exact(91_200_074_756_003) == "91.200074756003 s"
    assert exact(7) == "7 ps"
    assert exact(0) == "0 ps"


def test_a_duration_is_rounded_only_where_it_is_long():
    assert span(30_000) == "30 ns"
    assert span(190_001) == "190 ns"
    assert span(199_997_823_002) == "200 ms"
    assert span(1_234_567) == "1.235 us"
