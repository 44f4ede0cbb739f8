"""Points that are drawn: every value has its turn, what varies together stays so, and none is drawn twice."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cosim.study.sweep import samples
from cosim.study.sweep.axes import Axes, AxesError, Axis
from cosim.study.sweep.samples import Method, Sample, value_at

SIZES, COUNTS = ["64 B", "128 B", "256 B"], ["1", "2", "4"]
SIZE, WALKERS = Axis.of("nic0.traffic.size", SIZES), Axis.of("iommu0.geometry.walkers", COUNTS)
ROWS = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("part", "value"), [(0.0, 0), (0.33, 0), (0.34, 1), (0.66, 1), (0.67, 2), (0.999, 2), (1.0, 2)]
)
def test_each_value_of_an_axis_has_an_equal_part_of_it(part: float, value: int) -> None:
    assert value_at(SIZE, part) == SIZES[value]


@pytest.mark.parametrize("text", ["lhs", "lhs:", "lhs:0", "sobol:-4", "lhs:1.5"])
def test_a_sample_is_of_one_point_at_least(text: str) -> None:
    with pytest.raises(AxesError, match=rf"^--sample {text}: say how many points: (lhs|sobol):64$"):
        Sample.parse(text)


@pytest.mark.parametrize("method", ["lhs", "sobol"])
def test_there_are_as_many_points_as_were_asked_for(monkeypatch: pytest.MonkeyPatch, method: Method) -> None:
    """Also of a sequence that comes in powers of two."""
    rows = np.random.default_rng(2)
    any_ = SimpleNamespace(random=lambda n: rows.random((n, 1)), random_base2=lambda m: rows.random((1 << m, 1)))
    qmc = SimpleNamespace(LatinHypercube=lambda d, seed: any_, Sobol=lambda d, seed: any_)
    monkeypatch.setattr(samples, "needed", lambda module, what: qmc)
    axes = Axes([Axis.of("dram0.latency", "10 ns..50 ns")])
    assert len(list(samples.drawn(axes, Sample(method, 5)))) == 5


@pytest.mark.parametrize("method", ["lhs", "sobol"])
def test_of_few_points_that_there_are_each_is_drawn_once_and_what_varies_together_does(
    monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    """Whatever is drawn: here in place of scipy, which takes seconds to import."""
    even = SimpleNamespace(random=lambda n: ROWS.random((n, 2)), random_base2=lambda m: ROWS.random((1 << m, 2)))
    qmc = SimpleNamespace(LatinHypercube=lambda d, seed: even, Sobol=lambda d, seed: even)
    monkeypatch.setattr(samples, "needed", lambda module, what: qmc)
    apart = [tuple(point.values()) for point in samples.drawn(Axes([SIZE, WALKERS]), Sample(method, 256))]
    assert len(set(apart)) == len(apart) == 9
    even.random, even.random_base2 = (lambda n: ROWS.random((n, 1))), (lambda m: ROWS.random((1 << m, 1)))
    together = Axes([SIZE, WALKERS], [[SIZE.path, WALKERS.path]])
    points = [tuple(point.values()) for point in samples.drawn(together, Sample(method, 64))]
    assert sorted(points) == sorted(zip(SIZES, COUNTS, strict=True))
