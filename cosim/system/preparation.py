"""The rules of what is prepared: each thread of it ends, and a buffer is mapped before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path, dotted
from cosim.sw.workloads.references import Role
from cosim.system.topology import Topology


def buffers(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Each buffer that a thread leaves mapped: the path of that thread, and the buffer's name."""
    for place, thread in topology.workloads():
        for _, name, role in thread.references():
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
        for field, name, role in thread.references():
            if role is Role.BUFFER and place[0] == "prepare" and place <= made.get(name, ()):
                yield (*place, field), f"{name} is mapped later, by {dotted(made[name])}; move that before this one"


def what_prepares_ends(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Times count from the end of all that is prepared."""
    for index, thread in enumerate(topology.prepare):
        if thread.count is None:
            yield ("prepare", index), "never ends, and nothing begins before it has; give a `count`, such as `count: 1`"
