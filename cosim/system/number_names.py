"""The names of the numbers that runs can have, by what their topologies are: scalars, and what is said of latencies.

A misspelt one is known before anything is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import product

from cosim.sim.spent import NAMES
from cosim.sw.workloads import thread_paths
from cosim.system.scalars import SCALARS, VARIABLES
from cosim.system.topology import Topology
from cosim.units.nearest import closest
from cosim.units.time_names import PART

QUANTILES: Mapping[str, Fraction] = {
    "p50_ps": Fraction(50, 100),
    "p95_ps": Fraction(95, 100),
    "p99_ps": Fraction(99, 100),
    "p999_ps": Fraction(999, 1000),
}
"""Which share of a latency's samples are not longer, by the name of the number."""
OF_A_LATENCY = ("count", "mean_ps", "sd_ps", *QUANTILES, "max_ps")
"""What one number says of a latency, such as ``nic0.read.p99_ps``."""
CALLS = (
    *("attach", "cmd_sync", "detach", "iotlb_inval", "map", "probe", "release", "remove", "synchronize_rcu"),
    "unmap",
)
"""The calls that are measured."""
ACCESSES = ("read", "write", "fetch", "status")
"""What a device's requests may be for, which its latencies are called, after its path: `nic0.read`."""
OF_ALL = ("simulated_ps", "events", "violations")
"""The numbers that every run has."""
MOST_PORTS = 64
"""So many ports may a memory have."""
THREAD = "cpu.thread"
"""What stands for a thread and its CPU."""
KINDS = ("memory", "cpu", "iommu", "device", "domain", THREAD)
"""Words that stand for parts, and for what belongs to one."""

Words = Mapping[str, Collection[str]]


class Names:
    """What the numbers of runs of any of these topologies can be called; there must be one of them."""

    def __init__(self, topologies: Iterable[Topology]) -> None:
        self._topologies = tuple(topologies)
        self._words = _words(self._topologies)

    def __iter__(self) -> Iterator[str]:
        return _names(self._words)

    def wrong(self, metric: str) -> str:
        """What is wrong with a name or glob that no number can have, with the nearest; empty if nothing is.

        A number that some run could have, and none has in the end, is told only then.
        """
        if self.is_open(metric) or any(map(_matches(metric), _names(_of(metric, self._words)))):
            return ""
        owner = _owner(metric, self._words)
        return no_such(metric, _names(_only(owner, self._words)) if owner is not None else (), owner or "")

    def is_open(self, metric: str) -> bool:
        """Whether a metric is of what topologies do not say: the purposes of memory, and the threads that serve
        interrupts.

        Neither do they say what the calls of a driver of the user's own are.
        """
        first, _, rest = metric.partition(".")
        if metric.startswith("kernel.pages."):
            return True
        if not any(fnmatchcase(cpu, first) for one in self._topologies for cpu in one.of_kind("cpu")):
            return False
        own = any(".py" in str(each) for one in self._topologies for each in _policies(one))
        return own or fnmatchcase("irq", rest.partition(".")[0][:3])


def named(names: Iterable[str], metrics: Sequence[str]) -> list[str]:
    """Of these names those that are asked for, by name or glob, in the order in which they are asked for."""
    known = list(names)
    found: dict[str, None] = {}
    for metric in metrics:
        found |= dict.fromkeys(filter(_matches(metric), known))
    return list(found)


def no_such(metric: str, names: Iterable[str], owner: str = "") -> str:
    """What is said of a metric that is none of `names`, with the nearest of them, or whose it is meant to be."""
    known = list(names)
    near = closest(metric, known) or (f"one of {owner}" if owner else "")
    more = "" if near in known else "cosim list scalars has their names"
    return " ".join(filter(None, ["no run has such a number;", f"did you mean {near}?" if near else "", more]))


def _matches(metric: str) -> Callable[[str], bool]:
    return lambda name: name == metric or fnmatchcase(name, metric)


def _policies(topology: Topology) -> Iterator[object]:
    yield topology.driver.variant
    yield from topology.driver.cells.values()


def _of(metric: str, words: Words) -> Words:
    """Words of which all names come that may be meant by a metric: those of its part, if it names one."""
    first = metric.partition(".")[0]
    return words if _is_glob(first) else _only(first, words)


def _owner(metric: str, words: Words) -> str | None:
    """The part that is nearest to what a metric names; no name if none is, and None where that is a glob."""
    first = metric.partition(".")[0]
    parts = [part for kind in KINDS for part in words[kind]]
    return None if _is_glob(first) else first if first in parts else closest(first, parts) or ""


def _is_glob(text: str) -> bool:
    return any(each in text for each in "*?[")


def _only(part: str, words: Words) -> Words:
    """The same words without any of another part's."""
    mine = {kind: [name for name in words[kind] if name == part or name.startswith(f"{part}.")] for kind in KINDS}
    return {**words, **mine}


def _names(words: Words) -> Iterator[str]:
    """Every name that can be, of a number that every such system could have."""
    yield from OF_ALL
    for row in SCALARS:
        for name in _filled(row.pattern, words):
            yield name
            if name.endswith(".hits"):
                yield f"{name.removesuffix('.hits')}.hit_rate"
    ends = [*OF_A_LATENCY, "ci95_from_ps", "ci95_to_ps", *(f"{PART.strip('.')}.{part}" for part in NAMES)]
    for pattern in ("<device>.<access>", "<cpu>.<thread>.<call>"):
        for name in _filled(pattern, words):
            yield from (f"{name}.{end}" for end in ends)


def _filled(pattern: str, words: Words) -> Iterator[str]:
    """`pattern` with each word in angle brackets replaced by all that may stand there."""
    pieces = re.split(r"<([\w.]+)>", pattern.replace("<cpu>.<thread>", f"<{THREAD}>"))
    choices = [words[piece] if index % 2 else (piece,) for index, piece in enumerate(pieces)]
    return map("".join, product(*choices))


def _words(topologies: Sequence[Topology]) -> Words:
    """What may stand for each word of a pattern."""
    found: dict[str, dict[str, None]] = {}

    def note(word: str, names: Iterable[str]) -> None:
        found.setdefault(word, {}).update(dict.fromkeys(names))

    for word, texts in VARIABLES.items():
        note(word, texts.replace(r"nonleaf\d", "nonleaf1|nonleaf2|nonleaf3|nonleaf4").split("|"))
    found |= {"purpose": {}, "call": dict.fromkeys(CALLS), "access": dict.fromkeys(ACCESSES)}
    found["n"] = dict.fromkeys(map(str, range(MOST_PORTS)))
    for topology in topologies:
        for kind in ("memory", "cpu", "iommu"):
            note(kind, topology.of_kind(kind))
        note("device", topology.devices())
        note("domain", (*topology.domains, *topology.devices()))
        note(THREAD, thread_paths(topology.threads))
    return found
