"""What the kernel's parts ask of the kernel and of the CPUs: they know these contracts, and not the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cosim.events import LockAsked, LockGiven, LockTaken
from cosim.sim.operations import Body
from cosim.sim.simulation import Sim
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.kernel.thread_context import ThreadContext


class CpuLike(Protocol):
    """What the kernel asks of a CPU besides the operations that its threads await."""

    @property
    def path(self) -> str: ...

    on_quiescent: list[Callable[[str], None]]
    """Called with the CPU's path when it switches threads, goes idle, or returns from idle."""

    @property
    def running(self) -> str:
        """The thread on the CPU; empty when idle."""

    def start(self, name: str, body: Body) -> Any:
        """Start a thread of ordinary priority, called ``<cpu>.<name>``."""

    def message(self, vector: int) -> None:
        """Raise an edge interrupt on the CPU."""

    def disconnect(self, vector: int) -> None:
        """Have nobody serve an interrupt: one that is raised is kept until somebody does."""

    def stored(self) -> Mapping[int, int]:
        """The words that it has stored and that have yet to take hold, by their addresses."""


class LockProbes:
    """Where a kernel tells of its locks."""

    __slots__ = ("asked", "given", "taken")

    def __init__(self, sim: Sim) -> None:
        self.asked = sim.probe(LockAsked)
        self.taken = sim.probe(LockTaken)
        self.given = sim.probe(LockGiven)


class Services(Protocol):
    """The kernel as locks, RCU, interrupts, timers and allocators see it. What is not ``async`` takes no time."""

    sim: Sim
    options: KernelOptions
    housekeeping: str
    """The CPU that runs the kernel's own threads."""
    lock_probes: LockProbes

    @property
    def cpus(self) -> Mapping[str, CpuLike]:
        """The CPUs, by their paths."""

    # --- Threads -------------------------------------------------------------------------------------------------

    async def context(self) -> ThreadContext:
        """The calling thread's own context; in an interrupt handler that of the thread it has interrupted."""

    def atomic(self, cpu: str) -> bool:
        """Whether a CPU is in an interrupt handler, or in a section that a tick may not end."""

    def node_of(self, cpu: str) -> int:
        """The NUMA node of a CPU."""

    def start(self, cpu: str, name: str, body: Body) -> None:
        """Start a thread from outside the simulation, when the kernel is built."""

    async def spawn(self, name: str, body: Body, cpu: str = "", *, priority: int = 0) -> None:
        """Start a thread on `cpu`, or on the caller's; the caller goes on."""

    def handler(self, handle: Callable[[], Body]) -> Callable[[], Body]:
        """What ``OnInterrupt`` runs: ``handle()`` in interrupt context, where nothing may sleep."""

    def must_be_able_to_sleep(self, context: ThreadContext, what: str) -> None:
        """Report a thread that would leave the CPU where it may not. Asked before each sleep, which then happens."""

    def eased(self, context: ThreadContext) -> None:
        """A thread, or a handler in it, has left a section. Called with the depths of `context` counted down already
        and before the CPU may do something else, so that a grace period that waits for the CPU can look again."""

    # --- The rest ------------------------------------------------------------------------------------------------

    def static(self, size: int) -> int:
        """The address of `size` zeroed bytes that live as long as the kernel."""

    def log(self, level: str, text: str, who: str = "kernel") -> None:
        """What a console would show; `level` is info, warning, error or oops."""
