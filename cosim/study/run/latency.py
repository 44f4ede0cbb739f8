"""What is told of the latencies of one kind of request or call: their distribution, and the parts of their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of latencies in picoseconds, of `count` samples.

    Quantiles are nearest-rank: values that were really seen, unless `relative_error` is not 0: then there were more
    than a million, and each quantile is within this fraction of such a value. `count`, `mean_ps`, `max_ps` and
    `parts` are exact whatever the number of samples. `parts` are the parts of the mean and add up to `mean_ps`;
    `tail` are those of the samples from `p99_ps` on, and add up to their mean; where more than a thousand different
    latencies were seen, samples count as well that are faster by no more than 1.6 %.

    `sd_ps` is the standard deviation. `ci95_ps` is where the mean is that a run without end would have, in 95 of 100
    runs (`cosim.study.statistics.interval`), from and to; where that cannot be said, it is None, and `no_ci95` says
    why. `distribution` is how many samples there were from each latency on up to the next bucket, of which a power of
    two has 512; below 1024 ps each has its own.
    """

    count: int
    mean_ps: int
    p50_ps: int
    p95_ps: int
    p99_ps: int
    p999_ps: int
    max_ps: int
    parts: dict[str, int]
    tail: dict[str, int]
    relative_error: float = 0.0
    sd_ps: int = 0
    ci95_ps: tuple[int, int] | None = None
    no_ci95: str = ""
    distribution: dict[int, int] = field(default_factory=dict, repr=False)

    def shares(self) -> dict[int, float]:
        """Which share of the samples took each latency of `distribution` or longer: 1 at the shortest."""
        found, left = {}, self.count
        for ps, count in sorted(self.distribution.items()):
            found[ps] = left / self.count
            left -= count
        return found

    def as_json(self) -> dict[str, object]:
        """The object that `run --json` prints for it."""
        return {name: getattr(self, name) for name in self.__slots__}


def share_out(parts: Mapping[str, int], count: int) -> tuple[int, dict[str, int]]:
    """The mean of `count` samples and its parts, from the parts' sums: integers, so that they add up exactly.

    The mean is rounded to the nearest picosecond; each part is rounded down, and the remainder goes, a picosecond
    each, to the parts that lost most (largest remainder).
    """
    total = sum(parts.values())
    mean = (2 * total + count) // (2 * count)
    shares = {part: ps // count for part, ps in parts.items()}
    missing = mean - sum(shares.values())
    by_loss = sorted(parts, key=lambda part: (-(parts[part] % count), part))
    for part in by_loss[:missing]:
        shares[part] += 1
    return mean, {part: ps for part, ps in shares.items() if ps}
