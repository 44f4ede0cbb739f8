"""Axes of pictures: numbers in their order and to scale, whatever order they were written in; words side by side."""

import pytest

from cosim.study.pictures.scale import Scale, scale_of


def places(*values: str) -> dict[str, float]:
    """Each value and its place, as a fraction of the way from the first to the last one."""
    scale = scale_of(values).places
    low, high = min(scale.values()), max(scale.values())
    return {value: round((at - low) / (high - low), 3) for value, at in scale.items()}


def test_numbers_stand_in_their_order_and_to_scale() -> None:
    assert list(places("1 us", "100 ns", "300 ns").items()) == [("100 ns", 0.0), ("300 ns", 0.222), ("1 us", 1.0)]
    assert places("1", "2", "4", "8") == {"1": 0.0, "2": 0.143, "4": 0.429, "8": 1.0}
    assert places("-4", "0", "400") == {"-4": 0.0, "0": 0.01, "400": 1.0}
    assert places("0", "8 GB/s", "16 Gb/s") == {"0": 0.0, "16 Gb/s": 0.25, "8 GB/s": 1.0}
    assert places("0x10", "0x20", "0") == {"0": 0.0, "0x10": 0.5, "0x20": 1.0}


def test_numbers_of_equal_ratios_stand_at_equal_distances() -> None:
    assert places("1024", "4", "64", "16", "256") == {"4": 0, "16": 0.25, "64": 0.5, "256": 0.75, "1024": 1}
    assert scale_of(["4", "1 KiB"]).words, "a number and a size"
    assert scale_of(["4 B", "1 KiB", "16 B"]).axis("nic0.traffic.size") == "nic0.traffic.size (log)"


def test_numbers_of_equal_distances_do_however_large_their_ratio() -> None:
    scale = scale_of([str(10 * at) for at in range(1, 41)])
    assert (scale.log, scale.axis("x")) == (False, "x")


def test_on_a_logarithmic_scale_0_stands_apart() -> None:
    scale = scale_of(["0", "1", "10", "100"])
    assert (scale.places, scale.apart) == ({"0": -1.0, "1": 0.0, "10": 1.0, "100": 2.0}, {"0"})
    assert not scale_of(["0", "1", "2"]).apart


@pytest.mark.parametrize("values", [["random", "hot", "4"], ["none", "4 KiB"], ["4 KiB", "4 ns"], ["true", "false"]])
def test_what_is_no_number_stands_where_it_was_written(values: list[str]) -> None:
    assert scale_of(values) == Scale({value: float(at) for at, value in enumerate(values)}, words=True)


def test_values_whose_texts_would_meet_have_none_but_for_the_last_one() -> None:
    said = [text for _, text in scale_of([f"{at} ns" for at in range(100, 1_100, 20)]).ticks()]
    assert said[-1] == "1080 ns"
    assert 4 <= len(said) <= 7
    assert [text for _, text in scale_of(["1", "2", "16"]).ticks()] == ["1", "2", "16"]
    assert [text for _, text in scale_of(["4"]).ticks()] == ["4"]
