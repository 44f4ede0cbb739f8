"""A whole system under operations that begin at any time: what it does to them, and what must hold afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from cosim.events import CallBegun, CallDone, Mapped
from cosim.hw.dma.transaction import Status, Transaction
from cosim.oracles import Violation
from cosim.sim.chooser import Chooser
from cosim.sim.operations import Body, MmioRead, MmioWrite
from cosim.spec.queues import Command
from cosim.study.run.measure import Meter
from cosim.sw.dma_api import BOTH, Piece
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.workloads.workload import allocate, release
from cosim.system.all_memory import AllMemory
from cosim.system.build import build
from cosim.system.patience import patience
from cosim.system.system import System
from cosim.system.topology import Topology
from cosim.units.quantities import MS, US, format_time
from tests.stress.holdings import Buffer, DomainState, Holdings

LONGEST = 200 * MS
"""No operation takes longer, even if it waits for others."""
REST = 100 * US
"""Longer than whatever hardware still has to do when no request is under way."""
FENCE_PS = 90_000 * MS


class Stuck(AssertionError):
    """Operations that should have ended have not."""


class Bench(Holdings):
    """One booted system. Operations are plain calls that begin something at the present time; `wait` lets time pass.

    An operation that the kernel refuses is as good as one that it carries out.
    """

    def __init__(self, topology: Topology, chooser: Chooser) -> None:
        self.system: System = build(topology, chooser)
        super().__init__(self.system.plan)
        self.sim, self.runtime = self.system.sim, self.system.runtime
        bounds = patience(topology, 0)
        self.visible_ps = bounds.store_ps + bounds.answer_ps
        """How long after a map no request may be refused its pages any more."""
        self.meter = Meter(
            self.sim,
            warmup_ps=0,
            counters=self.system.counters,
            occupancies=self.system.occupancies(),
            bounds=self.system.bounds(),
            patience=bounds,
            memory=AllMemory(self.system.bus),
        )
        self.operations = 0
        self.refused: Counter[str] = Counter()
        self.statuses: Counter[Status] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self.sim.probe(CallBegun).watch(lambda event: self._calls.update({(event.who, event.call): 1}))
        self.sim.probe(CallDone).watch(lambda event: self._calls.subtract({(event.who, event.call): 1}))
        self._boot()

    def _boot(self) -> None:
        windows: dict[str, list[Mapped]] = {}
        self.sim.probe(Mapped).watch(lambda event: windows.setdefault(event.domain, []).append(event))
        self.system.start()
        while self.meter.window.boot_ps < 0:
            self.wait(20 * US)
            if self.sim.now > 100 * MS:
                raise Stuck("boot does not end")
        for name, device in self.devices.items():
            self.domains.setdefault(device.domain, DomainState()).devices.add(name)
        for domain, mapped in list(windows.items()):
            pieces = [Piece(event.address, event.size) for event in mapped]
            self.domains[domain].buffers.append(Buffer(domain, mapped[0].iova, pieces, BOTH))

    # --- Time --------------------------------------------------------------------------------------------------------

    def wait(self, ps: int) -> None:
        """Let time pass."""
        self.sim.env.run(until=self.sim.now + ps)

    def settle(self, most: int = 0) -> None:
        """Let time pass until at most so many operations of CPUs are under way. Raises Stuck."""
        deadline, step = self.sim.now + LONGEST, 1 * US
        while len(self.busy) > most:
            if self.sim.now > deadline:
                raise Stuck(self._stuck())
            self.wait(step)
            step = min(2 * step, 1 * MS)

    def come_to_rest(self) -> None:
        """Let time pass until nothing is under way any more, neither of CPUs nor of devices. Raises Stuck."""
        self.settle()
        deadline = self.sim.now + LONGEST
        while inside := [path for path, master in self.system.masters.items() if master.occupancy.inside]:
            if self.sim.now > deadline:
                raise Stuck(f"requests of {', '.join(inside)} are not answered")
            self.wait(10 * US)
        self.wait(REST)

    def _stuck(self) -> str:
        calls = [f"{who}: {call}" for (who, call), count in self._calls.items() if count > 0]
        return (
            f"{', '.join(self.busy.values())} did not end within {format_time(LONGEST)}; "
            f"calls that have not returned: {', '.join(calls) or 'none'}"
        )

    @property
    def violations(self) -> list[Violation]:
        """What the oracles have found so far."""
        return self.meter.violations.kept

    # --- What devices do ---------------------------------------------------------------------------------------------

    def dma(
        self, device: str, iova: int, size: int, write: bool, then: Callable[[Transaction], None] | None = None
    ) -> None:
        """One request, within a page."""
        self.operations += 1
        self.system.masters[device].request(iova, size, write, then=then or self._answered)

    def _answered(self, txn: Transaction) -> None:
        self.statuses[txn.status] += 1

    def start(self, device: str, buffer: Buffer) -> None:
        """A device begins to use a buffer, in its own pattern."""
        master = self.system.masters[device]
        if buffer.size >= master.options.traffic.size:
            cpu = next(iter(self.system.cpus))
            self._thread(cpu, f"start of {device}", self.runtime.master(device).start(buffer.iova, buffer.size))

    def stop(self, device: str) -> None:
        """A device makes no further request of its pattern."""
        self._thread(next(iter(self.system.cpus)), f"stop of {device}", self.runtime.master(device).stop())

    # --- What threads do ---------------------------------------------------------------------------------------------

    def _thread(self, cpu: str, what: str, body: Body, *domains: str) -> None:
        """Begin an operation of a CPU; the domains are not freed before it has ended."""
        self.operations += 1
        name = f"op{self.operations}"
        self.busy[name] = what
        for domain in domains:
            self.domains[domain].users += 1

        async def run(body: Body) -> None:
            try:
                await body
            except KernelError as error:
                self.refused[error.name] += 1
            for domain in domains:
                self.domains[domain].users -= 1
            del self.busy[name]

        self.system.kernel.start(cpu, name, run(body))

    def map(self, cpu: str, domain: str, pages: int, prot: Prot, *, contiguous: bool = False) -> None:
        """A new buffer."""

        async def body() -> None:
            pieces = await allocate(self.runtime, pages, contiguous=contiguous)
            try:
                ((iova, _),) = await self.runtime.domain(domain).map_sg(pieces, prot)
            except KernelError:
                await release(self.runtime, pieces)
                raise
            self.domains[domain].buffers.append(Buffer(domain, iova, pieces, prot))

        self._thread(cpu, f"map in {domain}", body(), domain)

    def unmap(self, cpu: str, buffer: Buffer) -> None:
        """A buffer is unmapped and its pages freed, whoever uses them."""
        self.domains[buffer.domain].buffers.remove(buffer)
        self.leaving.append(buffer)

        async def body() -> None:
            await self.runtime.domain(buffer.domain).unmap(buffer.iova, buffer.size)
            self.leaving.remove(buffer)
            self.dead = [*self.dead[-7:], buffer]
            await release(self.runtime, buffer.pieces)

        self._thread(cpu, f"unmap in {buffer.domain}", body(), buffer.domain)

    def move(self, cpu: str, device: str, domain: str, how: str = "replace") -> None:
        """A device changes its domain: `how` is replace, attach (from its default domain), or detach (to it)."""

        async def body() -> None:
            core, failed = self.runtime.core, None
            try:
                if how == "detach":
                    await core.detach(device)
                elif how == "attach":
                    await core.attach(device, self.runtime.domain(domain).domain)
                else:
                    await core.replace(device, self.runtime.domain(domain).domain)
            except KernelError as error:
                failed = error
            now = await core.domain_of(device)
            for name, state in self.domains.items():
                (state.devices.add if now and now.name == name else state.devices.discard)(device)
            if failed is not None:
                raise failed

        home = self.devices[device].domain
        self._thread(cpu, f"{how} {device}", body(), *{name for name in (domain, home) if name in self.domains})

    def new_domain(self, cpu: str, name: str, device: str) -> None:
        """A further domain, for the IOMMU of `device`."""

        async def body() -> None:
            await self.runtime.new_domain(name, device)
            self.domains[name] = DomainState()

        self._thread(cpu, f"new domain {name}", body())

    def free_domain(self, cpu: str, name: str) -> None:
        """An idle domain goes."""
        del self.domains[name]
        self.dead = [buffer for buffer in self.dead if buffer.domain != name]
        self._thread(cpu, f"free domain {name}", self.runtime.free_domain(name))

    def unplug(self, cpu: str, device: str) -> None:
        """A device is taken away in use; nothing else is to happen meanwhile."""
        self.unplugged.add(device)
        for state in self.domains.values():
            state.devices.discard(device)
        self._thread(cpu, f"unplug {device}", self.runtime.core.release_device(device))

    def plug(self, cpu: str, device: str) -> None:
        """It comes back, and is put in its own domain."""
        plan = self.devices[device]

        async def body() -> None:
            runtime = self.runtime
            await runtime.core.probe_device(device, plan.ids, plan.iommu, node=plan.node)
            self.unplugged.discard(device)
            if plan.domain not in runtime.dma:
                await runtime.new_domain(plan.domain, device)
                self.domains[plan.domain] = DomainState()
            await runtime.core.set_default_domain(device, runtime.domain(plan.domain).domain)
            self.domains[plan.domain].devices.add(device)

        self._thread(cpu, f"plug {device}", body())

    def remove_iommu(self, cpu: str, iommu: str) -> None:
        """An IOMMU is taken out of service with all devices behind it; nothing else is to happen meanwhile."""
        self.removed.add(iommu)
        for name, plan in self.devices.items():
            if plan.iommu == iommu:
                self.unplugged.add(name)
                for state in self.domains.values():
                    state.devices.discard(name)
        self._thread(cpu, f"remove {iommu}", self.runtime.core.remove_iommu(iommu))

    def probe_iommu(self, cpu: str, iommu: str) -> None:
        """It comes back, without devices."""

        async def body() -> None:
            await self.runtime.core.probe_iommu(self.iommus[iommu])
            self.removed.discard(iommu)

        self._thread(cpu, f"probe {iommu}", body())

    def command(self, cpu: str, iommu: str, command: Command, *, sync: bool) -> None:
        """A command that nothing asked for; a fence waits for it, or not."""

        async def body() -> None:
            device = self.runtime.core.iommus[iommu]
            await self.runtime.driver.send(device, command)
            if sync:
                await self.runtime.driver.sync(device, FENCE_PS)

        self._thread(cpu, f"{command.mnemonic} to {iommu}", body())

    def register(self, cpu: str, iommu: str, offset: int, size: int, value: int | None = None) -> None:
        """Read a register of an IOMMU, or write it."""
        address = self.iommus[iommu].base + offset

        async def body() -> None:
            if value is None:
                await MmioRead(address, size)
            else:
                await MmioWrite(address, value, size)

        self._thread(cpu, f"register {offset:#x} of {iommu}", body())

    def kernel_call(self, cpu: str, what: str, body: Body) -> None:
        """Anything else that a thread may do."""
        self._thread(cpu, what, body)

    # --- What else happens -------------------------------------------------------------------------------------------

    def interrupt(self, cpu: str, vector: int) -> None:
        """An interrupt that nobody has a reason for."""
        self.operations += 1
        self.system.cpus[cpu].message(vector)

    def stall(self, iommu: str, duration_ps: int) -> None:
        """The command consumer of an IOMMU stands still for a while."""
        self.operations += 1
        self.system.iommus[iommu].commands.stall(self.sim.now, duration_ps)

    def fail_allocation(self, number: int) -> None:
        """The n-th allocation from now on is refused."""
        self.operations += 1
        self.system.kernel.pages.fail({number})

    def close(self) -> None:
        """Let go of the threads."""
        self.system.close()
