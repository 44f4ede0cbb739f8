"""RCU: read sections that cost nothing, and grace periods that end when every section begun before them has ended.

A grace period waits for each thread that was in a read section when it began, and for each CPU that was not idle to
pass a quiescent state: it switches threads, goes idle, or takes a tick outside any section. It is never a drawn delay;
only the instants at which its thread looks are given (`gp_scan`).
"""

from __future__ import annotations

from collections.abc import Callable

from cosim.events import GracePeriodOver, ReadSectionBegun, ReadSectionEnded
from cosim.sim.footprints import Every, running
from cosim.sim.operations import Body, Fence, Membarrier, OnInterrupt, Sleep, Touch
from cosim.sim.ranks import Stage
from cosim.sw.kernel.locks import Section
from cosim.sw.kernel.objects import Object, cell
from cosim.sw.kernel.page_allocator import PageAllocator
from cosim.sw.kernel.rcu_callbacks import Batch
from cosim.sw.kernel.services import Services
from cosim.sw.kernel.thread_context import ThreadContext
from cosim.units.quantities import S, format_time

RCU_VECTOR = 1
"""The supervisor software interrupt: the last CPU to pass tells the CPU of the grace-period thread so."""


READERS = "rcu readers"
"""In footprints: who is in a read section."""


class RcuState(Object):
    """The grace periods' own words; grace periods are numbered from 1."""

    __slots__ = ()
    requested = cell()
    """The latest grace period that a thread waits for."""
    begun = cell()
    passed = cell()
    """The latest whose readers and CPUs have all passed; the grace-period thread has yet to see that."""
    completed = cell()


class Rcu:
    """Read sections, grace periods, and the callbacks that wait for them.

    States of a grace period: *requested*, *begun* (its readers and CPUs are known), *passed* (none is left),
    *completed* (a full barrier has run on every CPU, and the threads that waited go on).
    """

    def __init__(self, kernel: Services, pages: PageAllocator) -> None:
        self._kernel = kernel
        self._pages = pages
        self._initiator = kernel.sim.initiator("kernel.rcu")
        self._begun = kernel.sim.probe(ReadSectionBegun)
        self._ended = kernel.sim.probe(ReadSectionEnded)
        self._over = kernel.sim.probe(GracePeriodOver)
        self._state = RcuState(kernel.static(RcuState.SIZE))
        self._readers: dict[str, int] = {}
        self._number = 0
        self._waits_for_readers: dict[str, int] = {}
        self._waits_for_cpus: dict[str, None] = {}
        self._overdue: set[str] = set()
        """CPUs that a tick has found in a section; they are quiescent as soon as they leave a read section."""
        self._cpu = kernel.housekeeping
        self._doomed: dict[int, None] = {}
        self._freeing = Batch(kernel, self.wait, kernel.options.kfree_rcu_delay)
        self._calling = Batch(kernel, self.wait, 0)

    def boot(self) -> None:
        """Start its threads, when the kernel is built."""
        for cpu in self._kernel.cpus.values():
            cpu.on_quiescent.append(self._quiescent)
        self._kernel.start(self._cpu, "rcu_gp", self._grace_periods())
        self._kernel.start(self._cpu, "rcu_free", self._freeing.work())
        self._kernel.start(self._cpu, "rcu_call", self._calling.work())

    def counters(self) -> dict[str, int]:
        """Statistics: grace periods that have begun."""
        return {"grace_periods": self._number}

    # --- Readers -------------------------------------------------------------------------------------------------

    def read(self) -> Section:
        """``async with kernel.rcu.read():`` is rcu_read_lock .. rcu_read_unlock; it orders nothing and may nest."""
        return Reading(self._kernel, self)

    def enter(self, context: ThreadContext) -> None:
        """rcu_read_lock."""
        context.rcu += 1
        if context.rcu == 1:
            self._readers[context.thread] = self._kernel.sim.now
            if self._begun:
                self._begun(ReadSectionBegun(self._kernel.sim.now, context.thread))

    async def leave(self, context: ThreadContext) -> None:
        """rcu_read_unlock; the last reader that a grace period waits for says so."""
        context.rcu -= 1
        if not context.rcu:
            await self._left(context)

    async def exited(self, context: ThreadContext) -> None:
        """The thread has ended, perhaps inside a section."""
        if context.rcu:
            context.rcu = 0
            await self._left(context)

    async def _left(self, context: ThreadContext) -> None:
        del self._readers[context.thread]
        if self._ended:
            self._ended(ReadSectionEnded(self._kernel.sim.now, context.thread))
        if context.cpu in self._overdue and not self._kernel.atomic(context.cpu):
            self._quiescent(context.cpu)
        self.eased(context)
        if self._waits_for_readers.pop(context.thread, None) is not None and self._all_passed:
            await self._state.passed.store(self._number, release=True)

    # --- Waiting ---------------------------------------------------------------------------------------------------

    async def synchronize(self) -> None:
        """Wait until every read section that has begun by now has ended, on whichever CPU."""
        kernel = self._kernel
        context = await kernel.context()
        kernel.must_be_able_to_sleep(context, "waiting for a grace period")
        asked = kernel.sim.now
        await self.wait()
        if self._over:
            self._over(GracePeriodOver(kernel.sim.now, context.thread, "synchronize_rcu", asked))

    async def wait(self) -> None:
        """`synchronize`, for those that wait for somebody else, and tell so."""
        wanted = await self._request()
        await self._state.completed.wait_until(lambda completed: completed >= wanted, spin=False, part="rcu")

    async def _request(self) -> int:
        await Fence("rw", "rw")
        wanted = int(await self._state.begun.fetch_add(0)) + 1
        requested = int(await self._state.requested.load())
        while requested < wanted:
            found = int(await self._state.requested.cmpxchg(requested, wanted))
            if found == requested:
                break
            requested = found
        return wanted

    async def call(self, callback: Callable[[], Body]) -> None:
        """Have ``callback()`` run after a grace period, in a thread of its own; may be called anywhere."""
        await self._calling.add(await self._told(callback, "call_rcu"))

    async def kfree(self, thing: Object, *, place: str = "") -> None:
        """kfree_rcu: free an object after a grace period; may be called anywhere."""
        address = int(thing.address)
        self._doomed[address] = None
        await self._freeing.add(await self._told(lambda: self._free(address, place), type(thing).__name__))

    async def _free(self, address: int, place: str) -> None:
        self._doomed.pop(address, None)
        await self._pages.kfree(address, place=place)

    async def _told(self, callback: Callable[[], Body], what: str) -> Callable[[], Body]:
        """`callback`, which tells that it is called if anybody wants to know."""
        if not self._over:
            return callback
        sim, who = self._kernel.sim, (await self._kernel.context()).thread
        asked = sim.now

        def call() -> Body:
            self._over(GracePeriodOver(sim.now, who, what, asked))
            return callback()

        return call

    def roots(self) -> list[int]:
        """The objects that wait to be freed; takes no time."""
        return list(self._doomed)

    def callbacks(self) -> list[Callable[[], Body]]:
        """What is yet to be called behind a grace period; takes no time."""
        return self._calling.callbacks()

    @property
    def has_called(self) -> bool:
        """Whether each callback that was to be called has returned, but for those that free objects; takes no time."""
        return self._calling.idle

    # --- Grace periods ---------------------------------------------------------------------------------------------

    async def _grace_periods(self) -> None:
        options, state = self._kernel.options, self._state
        passed = (int(state.passed.address),)
        await OnInterrupt(RCU_VECTOR, self._kernel.handler(self._last_cpu_passed), lambda: passed)
        while True:
            number = self._number + 1
            await state.requested.wait_until(lambda requested: requested >= number, spin=False, part="sleep")  # noqa: B023
            await state.begun.xchg(number)
            # A section that begins from here on sees what was stored before the request; the others are waited for.
            await Membarrier()
            if self._kernel.sim.exploring:
                await self._touch_readers()
            self._begin(number)
            await Sleep(options.gp_scan)
            await self._until_passed(number)
            # The readers' accesses come before whatever follows on any CPU.
            await Membarrier()
            if self._kernel.sim.exploring:
                await self._touch_readers()
            await state.completed.store(number)

    async def _touch_readers(self) -> None:
        """A grace period begins, or ends: against every read section, and what the CPUs run."""
        cpus = (running(cpu) for cpu in self._kernel.cpus)
        await Touch("gp", (Every(READERS), *cpus), changes=False)

    async def _until_passed(self, number: int) -> None:
        options = self._kernel.options
        began, patience = self._kernel.sim.now - options.gp_scan, options.gp_stall
        while not self._all_passed:
            passed = await self._state.passed.wait_until(
                lambda passed: passed >= number,
                spin=False,
                poll_ps=options.gp_scan,
                timeout_ps=max(1, began + patience - self._kernel.sim.now),
                part="sleep",
            )
            if passed is None and not self._all_passed:
                self._warn(self._kernel.sim.now - began)
                patience += 3 * options.gp_stall

    def _begin(self, number: int) -> None:
        self._number = number
        self._waits_for_readers = dict(self._readers)
        self._waits_for_cpus = {path: None for path, cpu in self._kernel.cpus.items() if cpu.running}
        self._waits_for_cpus.pop(self._cpu, None)
        for cpu in self._waits_for_cpus:
            self._look_at_tick(cpu)

    @property
    def _all_passed(self) -> bool:
        return not self._waits_for_readers and not self._waits_for_cpus

    def eased(self, context: ThreadContext) -> None:
        """A thread has left a section: if its CPU is waited for, the next tick may find it quiescent."""
        if context.cpu in self._waits_for_cpus and not self._kernel.atomic(context.cpu):
            self._look_at_tick(context.cpu)

    def _look_at_tick(self, cpu: str) -> None:
        sim = self._kernel.sim
        tick = S // self._kernel.options.hz
        sim.at((sim.now // tick + 1) * tick, self._initiator.rank(Stage.INTERRUPT), lambda: self._tick(cpu))

    def _tick(self, cpu: str) -> None:
        sim = self._kernel.sim
        if sim.exploring:
            sim.actions.announce(f"{cpu}.tick", f"{cpu}.tick", (running(cpu),), False)
        if not self._kernel.atomic(cpu):
            self._quiescent(cpu)
        else:
            self._overdue.add(cpu)

    def _quiescent(self, cpu: str) -> None:
        self._overdue.discard(cpu)
        if cpu in self._waits_for_cpus:
            del self._waits_for_cpus[cpu]
            if self._all_passed:
                sim = self._kernel.sim
                last = self._kernel.cpus[self._cpu]
                sim.at(sim.now + 1, self._initiator.rank(Stage.INTERRUPT), lambda: last.message(RCU_VECTOR))

    async def _last_cpu_passed(self) -> None:
        if self._all_passed:
            await self._state.passed.store(self._number, release=True)

    def _warn(self, age_ps: int) -> None:
        readers = [
            f"{thread} (reading since {format_time(since, 4)})" for thread, since in self._waits_for_readers.items()
        ]
        cpus = list(self._waits_for_cpus)
        self._kernel.log(
            "warning",
            f"rcu: grace period {self._number} has stalled for {age_ps // S} s on {', '.join(readers + cpus)}",
        )


class Reading(Section):
    """An RCU read section."""

    __slots__ = ("rcu",)

    def __init__(self, kernel: Services, rcu: Rcu) -> None:
        super().__init__(kernel)
        self.rcu = rcu

    async def enter(self, context: ThreadContext) -> None:
        if self.kernel.sim.exploring and not context.rcu:
            await Touch("rcu", ((READERS, context.thread),), changes=True)
        self.rcu.enter(context)

    async def leave(self, context: ThreadContext) -> None:
        if self.kernel.sim.exploring and context.rcu == 1:
            await Touch("rcu", ((READERS, context.thread),), changes=True)
        await self.rcu.leave(context)
