"""The rules of threads that others wait for: they end, and a buffer is mapped before something is prepared with it."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path, dotted
from cosim.sw.workloads import thread_paths
from cosim.sw.workloads.references import Role
from cosim.system.topology import Topology
from cosim.units.run_end import AfterThreads


def buffers(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Each buffer that a thread leaves mapped: the path of that thread, and the buffer's name."""
    for place, thread in topology.workloads():
        for _, name, role, _ in thread.references():
            if role is Role.NEW_BUFFER:
                yield place, name


def buffers_are_there_in_time(topology: Topology) -> Iterator[tuple[Path, str]]:
    """A name is given once, and nothing is prepared with a buffer that is not there yet.

    Of `threads:` it is not known which comes first; one that finds no buffer says so in the kernel log.
    """
    made: dict[str, Path] = {}
    for place, name in buffers(topology):
        if name in made:
            yield (*place, "buffer"), f"{name} is what {dotted(made[name])} calls its buffer; call this one otherwise"
        made.setdefault(name, place)
    for place, thread in topology.workloads():
        for field, name, role, _ in thread.references():
            if role is Role.BUFFER and place[0] == "prepare" and place <= made.get(name, ()):
                yield (*place, field), f"{name} is mapped later, by {dotted(made[name])}; move that before this one"


def what_prepares_ends(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Times count from the end of all that is prepared."""
    for index, thread in enumerate(topology.prepare):
        if thread.count is None:
            yield ("prepare", index), "never ends, and nothing begins before it has; give a `count`, such as `count: 1`"


def what_follows_has_something_before_it(topology: Topology) -> Iterator[tuple[Path, str]]:
    """A thread follows one that stands before it, and ends: so that no two wait for one another."""
    paths = thread_paths(topology.threads)
    for index, thread in enumerate(topology.threads):
        if thread.after not in paths:
            continue
        place: Path = ("threads", index, "after")
        if paths.index(thread.after) >= index:
            yield place, f"{thread.after} does not stand before it; move it there"
        elif topology.threads[paths.index(thread.after)].count is None:
            yield place, f"{thread.after} never ends; give it a `count`, such as `count: 1`"


def what_is_waited_for_ends(topology: Topology) -> Iterator[tuple[Path, str]]:
    """A run that ends with its threads has some, and each of them ends; so does each that is expected to."""
    waits = isinstance(topology.run.until, AfterThreads)
    expects = topology.expect is not None and topology.expect.threads is not None
    if waits and not topology.threads:
        yield ("run", "until"), "there are no threads that it could wait for; give a time, such as 1 ms"
    for index, thread in enumerate(topology.threads if waits or expects else ()):
        if thread.count is None:
            who = "run.until waits for it" if waits else "expect.threads wants it finished"
            yield ("threads", index), f"never ends, and {who}; give a `count`, such as `count: 1`"
