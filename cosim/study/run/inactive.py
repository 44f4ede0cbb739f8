"""The threads that had no part in a run, which may well be why nothing was found in it."""

from __future__ import annotations

from collections.abc import Collection

from cosim.sw.workloads import WorkloadOptions, thread_paths
from cosim.system.system import System
from cosim.units.quantities import format_time


def inactive(system: System, callers: Collection[str]) -> dict[str, str]:
    """Which of the topology's threads never began, or have come to no call, and why, in words; none while it boots.

    `callers` are the threads that have begun a call, whether or not it has returned.
    """
    if not system.booted:
        return {}
    threads = zip(thread_paths(system.topology.threads), system.topology.threads, strict=True)
    running = set(system.running)
    found = {}
    for path, thread in threads:
        if path not in running or path in callers:
            continue
        rounds = system.runtime.rounds.get(path)
        if rounds is None:
            found[path] = f"never began: {_why(system, thread, running)}"
        elif not rounds and not thread.lasts:
            found[path] = "began, and had come to no call when the run ended"
    return found


def _why(system: System, thread: WorkloadOptions, running: Collection[str]) -> str:
    ended = system.sim.now - system.runtime.origin.time_ps
    if thread.after in running:
        return f"it follows {thread.after}, which has not ended"
    if thread.start >= ended:
        return f"it starts at {format_time(thread.start)}, and the run ended at {format_time(ended)}"
    return f"{thread.on} had not come to it when the run ended"
