"""The numbers that runs can have, by what their topologies are: a misspelt metric is known before anything is run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product

from cosim.config.problems import Position, Problem
from cosim.sim.spent import NAMES
from cosim.study.results.estimate import chosen, no_such
from cosim.study.results.numbers import OF_A_LATENCY, PART
from cosim.sw.workloads import thread_paths
from cosim.system.scalars import SCALARS, VARIABLES
from cosim.system.topology import Topology
from cosim.units.nearest import closest

CALLS = (
    *("attach", "cmd_sync", "detach", "iotlb_inval", "map", "probe", "release", "remove", "synchronize_rcu"),
    "unmap",
)
"""The calls that are measured."""
ACCESSES = ("read", "write", "fetch", "status")
"""What a device's requests may be for."""
OF_ALL = ("simulated_ps", "events", "violations")
"""The numbers that every run has."""
MOST_PORTS = 64
"""So many ports may a memory have."""
THREAD = "cpu.thread"
"""What stands for a thread and its CPU."""
KINDS = ("memory", "cpu", "iommu", "device", "domain", THREAD)
"""Words that stand for parts, and for what belongs to one."""

Words = Mapping[str, Collection[str]]


def misspelt(
    metrics: Sequence[str], topologies: Iterable[Topology], places: Mapping[str, Position]
) -> Iterator[Problem]:
    """What is wrong with each of `metrics` that no run of any of `topologies` can have, with the nearest name.

    `places` say where a study names it. One that some run could have, and none has in the end, is told only then.
    """
    known = list(topologies)
    if not metrics or not known:
        return
    words = _words(known)
    for metric in metrics:
        if not _is_open(metric, known) and not chosen(_names(_of(metric, words)), [metric]):
            owner = _owner(metric, words)
            near = list(_names(_only(owner, words))) if owner is not None else []
            why = no_such(metric, near, owner or "")
            where = places.get(metric)
            yield Problem(where or Position(f"-m {metric}"), (), f"{metric}: {why}" if where else why)


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


def _is_open(metric: str, topologies: Sequence[Topology]) -> bool:
    """Whether a metric is of what topologies do not say: the purposes of memory, and the threads that serve interrupts.

    Neither do they say what the calls of a driver of the user's own are.
    """
    first, _, rest = metric.partition(".")
    if metric.startswith("kernel.pages."):
        return True
    if not any(fnmatchcase(cpu, first) for one in topologies for cpu in one.of_kind("cpu")):
        return False
    own = any(".py" in str(each) for one in topologies for each in (one.driver.variant, *one.driver.cells.values()))
    return own or fnmatchcase("irq", rest.partition(".")[0][:3])
