"""The kernel as drivers know it: `Kernel` holds its parts, starts threads, and logs what a console would show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from cosim.events import KernelLog
from cosim.sim.operations import Body, Oops, Self, Sleep, Spawn
from cosim.sim.simulation import Sim
from cosim.sw.kernel.buddy import Region
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.irq import IrqLines
from cosim.sw.kernel.leaks import in_callbacks, on_stacks, unreachable
from cosim.sw.kernel.locks import IrqsOff, Locked, Mutex, PreemptOff, Section, SpinLock, Spinning
from cosim.sw.kernel.objects import WORD
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.kernel.page_allocator import Allocation, PageAllocator, PoisonedMemory
from cosim.sw.kernel.rcu import Rcu
from cosim.sw.kernel.services import CpuLike, LockProbes
from cosim.sw.kernel.thread_context import Deadlock, ThreadContext, deadlocks
from cosim.sw.kernel.timers import Timers

STATIC_BYTES = 64 * 1024
"""What a kernel of few devices keeps for its own words at the start of the first region."""


class Kernel:
    """One running kernel: pages, ids, RCU, interrupts, timers, locks, over the CPUs of a run.

    `regions` is the memory to give out; the start of the first holds the kernel's own words, `static_bytes` of them.
    `tables` are pages that are not given out, and lead to some that are.
    """

    def __init__(
        self,
        sim: Sim,
        cpus: Mapping[str, CpuLike],
        regions: Sequence[Region],
        memory: PoisonedMemory,
        options: KernelOptions | None = None,
        *,
        nodes: Mapping[str, int] | None = None,
        tables: Sequence[Region] = (),
        static_bytes: int = STATIC_BYTES,
    ) -> None:
        self.sim = sim
        self.cpus = dict(cpus)
        self.options = options or KernelOptions()
        self._nodes = dict(nodes or {})
        self._tables = tables
        self._log = sim.probe(KernelLog)
        self._contexts: dict[str, ThreadContext] = {}
        self._threads: dict[str, Body] = {}
        self._lost_locks: dict[int, str] = {}
        self.died: dict[str, str] = {}
        """The threads that have died, by name, and what they died of."""
        self._interrupted = dict.fromkeys(self.cpus, 0)
        self.housekeeping = self.options.housekeeping or list(self.cpus)[-1]
        if self.housekeeping not in self.cpus:
            raise ValueError(f"housekeeping: {self.housekeeping} is not a CPU; there are: {', '.join(self.cpus)}")
        first, *others = regions
        self._static_start = self._static = first.base
        self._static_end = first.base + static_bytes
        given = [Region(first.base + static_bytes, first.size - static_bytes, first.node), *others]
        self.lock_probes = LockProbes(sim)
        self.pages = PageAllocator(self, given, memory)
        self.rcu = Rcu(self, self.pages)
        self.irq = IrqLines(self, self.pages)
        self.timers = Timers(self)

    def boot(self) -> None:
        """Start the kernel's own threads; called once, when everything is built."""
        self.rcu.boot()

    def booted(self) -> None:
        """Boot is done: what the options count from then on is counted."""
        self.pages.fail(self.options.fail_allocations)

    def end(self) -> None:
        """It is over, and another one follows: neither its interrupts' handlers nor its timers run any more."""
        self.irq.end()
        self.timers.end()

    # --- Threads -------------------------------------------------------------------------------------------------

    async def context(self) -> ThreadContext:
        """The calling thread's own context."""
        view = await Self()
        known = self._contexts.get(view.name)
        if known is None:
            known = self._contexts[view.name] = ThreadContext(view.name, view.cpu)
        return known

    def atomic(self, cpu: str) -> bool:
        """Whether a CPU is in an interrupt handler, or in a section that a tick may not end."""
        context = self._contexts.get(self.cpus[cpu].running)
        return bool(self._interrupted[cpu]) or (context is not None and bool(context.atomic))

    def node_of(self, cpu: str) -> int:
        """The NUMA node of a CPU."""
        return self._nodes.get(cpu, 0)

    def start(self, cpu: str, name: str, body: Body) -> None:
        """Start a thread from outside the simulation, when it is built."""
        self.cpus[cpu].start(name, self._thread(f"{cpu}.{name}", body))

    async def spawn(self, name: str, body: Body, cpu: str = "", *, priority: int = 0) -> None:
        """Start a thread on `cpu`, or on the caller's."""
        if not cpu:
            cpu = (await Self()).cpu
        await Spawn(name, self._thread(f"{cpu}.{name}", body), cpu, priority=priority)

    @property
    def bodies(self) -> list[Body]:
        """What its threads run, also those that are being started."""
        return list(self._threads.values())

    def _thread(self, name: str, body: Body) -> Body:
        thread = self._threads[name] = self._guarded(name, body)
        return thread

    async def _guarded(self, name: str, body: Body) -> None:
        """Run a thread's body; an oops, or a failure that is not handled, ends the thread and is logged."""
        try:
            await body
        except Oops as oops:
            self._dies(name, str(oops), oops.more)
        except KernelError as error:
            self._dies(name, f"thread ended by an error that it does not handle: {error}")
        context = self._contexts.pop(name, None)
        if context is not None:
            self._lost_locks |= {held.address: name for held in context.held}
            await self.rcu.exited(context)
        self._threads.pop(name, None)

    def _dies(self, name: str, why: str, more: str = "") -> None:
        self.died[name] = why
        self.log("oops", why, name, more)

    def handler(self, handle: Callable[[], Body]) -> Callable[[], Body]:
        """What ``OnInterrupt`` runs: ``handle()`` in interrupt context; an oops in it is logged."""

        async def run() -> None:
            context = await self.context()
            context.hardirq += 1
            self._interrupted[context.cpu] += 1
            try:
                await handle()
            except Oops as oops:
                self.log("oops", f"in interrupt: {oops}", context.thread, oops.more)
            context.hardirq -= 1
            self._interrupted[context.cpu] -= 1
            self.eased(context)

        return run

    async def sleep(self, duration_ps: int) -> None:
        """Sleep; a violation where that is not allowed."""
        self.must_be_able_to_sleep(await self.context(), "sleeping")
        await Sleep(duration_ps)

    def must_be_able_to_sleep(self, context: ThreadContext, what: str) -> None:
        """Report a thread that would leave the CPU where it may not; it goes on, as in Linux."""
        if why := context.atomic:
            self.log("oops", f"{what} {why}", context.thread)

    def eased(self, context: ThreadContext) -> None:
        """A thread has left a section, or a handler has ended: a grace period may have waited for that."""
        self.rcu.eased(context)

    # --- Sections ------------------------------------------------------------------------------------------------

    def spin(self, lock: SpinLock) -> Section:
        """``async with kernel.spin(domain.lock):`` holds it with preemption off."""
        return Spinning(self, lock, PreemptOff(self))

    def spin_irqsave(self, lock: SpinLock) -> Section:
        """Holds a spinlock with this CPU's interrupts masked."""
        return Spinning(self, lock, IrqsOff(self))

    def mutex(self, lock: Mutex) -> Section:
        """Holds a mutex; may sleep."""
        return Locked(self, lock)

    def irqs_off(self) -> Section:
        """This CPU's interrupts masked, and no preemption."""
        return IrqsOff(self)

    def preempt_off(self) -> Section:
        """No preemption; interrupts are served."""
        return PreemptOff(self)

    # --- The rest ------------------------------------------------------------------------------------------------

    def ida(self, name: str, lowest: int, highest: int) -> Ida:
        """An allocator of ids from `lowest` to `highest`."""
        return Ida(self, name, lowest, highest)

    def static(self, size: int) -> int:
        """The address of `size` zeroed bytes that live as long as the kernel; takes no time."""
        address = self._static
        self._static += -(-size // WORD) * WORD
        if self._static > self._static_end:
            raise ValueError(f"the kernel's static memory of {self._static_end - self._static_start} bytes is full")
        return address

    def leaks(self, roots: Iterable[int] = ()) -> list[Allocation]:
        """What can be reached neither from the kernel, its threads' variables and its tables, nor from `roots`.

        What is quarantined is no leak, nor what that leads to.

        Takes no time; it is meant for the end of a run.
        """
        own = self.pages.memory.nonzero(self._static_start, self._static - self._static_start)
        for table in self._tables:
            own += self.pages.memory.nonzero(table.base, table.size)
        kept = [allocation for allocation, _ in self.pages.quarantined]
        held = [*own, *on_stacks(self._threads.values()), *self.rcu.roots(), *self.irq.roots(), *roots]
        held += in_callbacks(self.rcu.callbacks())
        held += [allocation.address for allocation in kept]
        return unreachable(self.pages.memory, [*self.pages.in_use(), *kept], held)

    def stored(self) -> dict[int, int]:
        """The words that CPUs have stored and that have yet to take hold, by their addresses; takes no time."""
        return {address: word for cpu in self.cpus.values() for address, word in cpu.stored().items()}

    def word(self, address: int, stored: Mapping[int, int]) -> int:
        """A word of memory as it will be once what was `stored` has taken hold; takes no time."""
        found = stored.get(address)
        return self.pages.memory.peek(address, WORD) if found is None else found

    def deadlocks(self) -> list[Deadlock]:
        """Which threads wait for a lock that never will be free, and which thread has it; takes no time."""
        return deadlocks(self._contexts.values(), self._lost_locks)

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``grace_periods``; takes no time."""
        return self.pages.counters() | self.rcu.counters()

    def log(self, level: str, text: str, who: str = "kernel", more: str = "") -> None:
        """What a console would show; `level` is info, warning, error or oops."""
        if self._log:
            self._log(KernelLog(self.sim.now, who, level, text, more))
