"""Any operations, in any interleaving: hypothesis draws them, and tells the fewest that fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from cosim.sim.operations import Sleep, Work
from cosim.spec.pagetable import PAGE
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import (
    CAPABILITIES,
    CQB,
    CQH,
    FQB,
    FQT,
    IOCOUNTINH,
    IOHPMCYCLES,
    IPSR,
    PQB,
    PQCSR,
    RegisterMap,
)
from cosim.sw.dma_api import BOTH
from cosim.sw.iommu_ops import Prot
from cosim.units.quantities import US
from tests.stress.bench import Bench
from tests.stress.holdings import Buffer
from tests.stress.twins import Twins

HARMLESS = (CAPABILITIES, CQB, CQH, FQB, FQT, IPSR, IOCOUNTINH, IOHPMCYCLES, PQB, PQCSR)
"""Registers that software may write what it likes to, while the queues are on: read-only, locked, W1C or absent."""

T = TypeVar("T")
ANY = st.integers(0, 63)
"""Which one, of however many there are."""
GAPS = st.sampled_from((0, 1, 50_000, 400_000, 2_000_000))
BURST = st.lists(st.sampled_from((0, 100_000, 300_000, 1_000_000)), min_size=1, max_size=6)
"""The pauses behind requests of a device, in picoseconds."""
ACCESS = st.tuples(ANY, st.sampled_from((8, 1, 4, 64, 100)), st.booleans())
"""Where in a buffer, how many bytes, and whether it is written."""


class Stress(Twins):
    """The operations. Nothing may raise, hang, leak, or violate anything, whatever they are."""

    # --- Devices -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.first.buffers())
    @rule(which=ANY, device=ANY, burst=BURST, access=ACCESS, gap=GAPS)
    def dma(self, which: int, device: int, burst: list[int], access: tuple[int, int, bool], gap: int) -> None:
        """A device makes requests to a buffer of its domain."""
        for bench in self.each(gap):
            _use(bench, one(bench.buffers(), which), device, burst, access)

    @precondition(lambda self: self.first.recent())
    @rule(which=ANY, device=ANY, burst=BURST, access=ACCESS, gap=GAPS)
    def late_dma(self, which: int, device: int, burst: list[int], access: tuple[int, int, bool], gap: int) -> None:
        """A device makes requests to what is, or was, unmapped."""
        for bench in self.each(gap):
            _use(bench, one(bench.recent(), which), device, burst, access)

    @rule(
        iova=st.sampled_from((0, PAGE, 1 << 38, (1 << 64) - PAGE)) | st.integers(0, (1 << 48) - 1), device=ANY, gap=GAPS
    )
    def stray_dma(self, iova: int, device: int, gap: int) -> None:
        """A device makes a request to what is mapped for nobody."""
        for bench in self.each(gap):
            bench.dma(one(list(bench.devices), device), iova & -PAGE, 8, write=False)

    @precondition(lambda self: self.first.buffers())
    @rule(which=ANY, device=ANY, on=st.booleans(), gap=GAPS)
    def traffic(self, which: int, device: int, on: bool, gap: int) -> None:
        """A device begins to use a buffer, in its own pattern, or ends that."""
        for bench in self.each(gap):
            if on:
                bench.start(one(list(bench.devices), device), one(bench.buffers(), which))
            else:
                bench.stop(one(list(bench.devices), device))

    # --- Software ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.first.domains)
    @rule(
        cpu=ANY,
        domain=ANY,
        pages=st.sampled_from((1, 1, 2, 3, 9, 512)),
        prot=st.sampled_from((Prot.WRITE | Prot.READ, Prot.WRITE | Prot.READ, Prot.READ)),
        contiguous=st.booleans(),
        gap=GAPS,
    )
    def map(self, cpu: int, domain: int, pages: int, prot: Prot, contiguous: bool, gap: int) -> None:
        for bench in self.each(gap):
            contiguous = contiguous or pages == 512
            bench.map(_cpu(bench, cpu), one(list(bench.domains), domain), pages, prot, contiguous=contiguous)

    @precondition(lambda self: self.first.buffers())
    @rule(cpu=ANY, which=ANY, gap=GAPS)
    def unmap(self, cpu: int, which: int, gap: int) -> None:
        for bench in self.each(gap):
            bench.unmap(_cpu(bench, cpu), one(bench.buffers(), which))

    @precondition(lambda self: self.first.buffers())
    @rule(cpu=ANY, which=ANY, device=ANY, access=ACCESS, before=BURST, meanwhile=BURST, after=BURST)
    def chase(
        self,
        cpu: int,
        which: int,
        device: int,
        access: tuple[int, int, bool],
        before: list[int],
        meanwhile: list[int],
        after: list[int],
    ) -> None:
        """A device uses a buffer before, during and after its unmap."""
        for bench in self.benches:
            buffer = one(bench.buffers(), which)
            name = one(_inside(bench, buffer), device)
            _requests(bench, buffer, name, before, access)
            bench.unmap(_cpu(bench, cpu), buffer)
            _requests(bench, buffer, name, meanwhile, access)
            bench.settle()
            _requests(bench, buffer, name, after, access)

    @precondition(lambda self: self.first.dead)
    @rule(cpu=ANY, which=ANY, device=ANY, access=ACCESS, before=BURST, after=BURST)
    def reuse(
        self, cpu: int, which: int, device: int, access: tuple[int, int, bool], before: list[int], after: list[int]
    ) -> None:
        """A device uses what was unmapped, and the next buffer of that size, which likely is at the same IOVA."""
        for bench in self.benches:
            gone = one(bench.dead, which)
            _use(bench, gone, device, before, access)
            if gone.domain in bench.domains:
                bench.map(_cpu(bench, cpu), gone.domain, gone.size // PAGE, BOTH)
                bench.settle()
                bench.wait(bench.visible_ps)
                _use(bench, one(bench.buffers() or [gone], -1), device, after, access)

    @precondition(lambda self: self.first.plugged())
    @rule(cpu=ANY, device=ANY, domain=ANY, how=st.sampled_from(("replace", "replace", "attach", "detach")), gap=GAPS)
    def move(self, cpu: int, device: int, domain: int, how: str, gap: int) -> None:
        """A device changes its domain."""
        for bench in self.each(gap):
            if bench.domains:
                bench.move(_cpu(bench, cpu), one(bench.plugged(), device), one(list(bench.domains), domain), how)

    @precondition(lambda self: self.first.plugged() and len(self.first.domains) < 6)
    @rule(cpu=ANY, device=ANY, gap=GAPS)
    def new_domain(self, cpu: int, device: int, gap: int) -> None:
        self.names += 1
        for bench in self.each(gap):
            bench.new_domain(_cpu(bench, cpu), f"domain{self.names}", one(bench.plugged(), device))

    @precondition(lambda self: self.first.working())
    @rule(
        cpu=ANY,
        iommu=ANY,
        command=st.sampled_from(
            ("vma", "vma of a pscid", "vma of an address", "ddt", "ddt of a device", "fence", "wsi")
        ),
        operand=st.integers(0, (1 << 20) - 1),
        sync=st.booleans(),
        gap=GAPS,
    )
    def command(self, cpu: int, iommu: int, command: str, operand: int, sync: bool, gap: int) -> None:
        """A thread sends a command that nothing asked for."""
        for bench in self.each(gap):
            name = one(bench.working(), iommu)
            wired = bench.system.iommus[name].registers.fctl.wsi
            bench.command(_cpu(bench, cpu), name, _command(command, operand, wired), sync=sync)

    @rule(cpu=ANY, iommu=ANY, word=st.integers(0, RegisterMap.SIZE // 8 - 1), half=st.sampled_from((0, 4, 8)), gap=GAPS)
    def read_register(self, cpu: int, iommu: int, word: int, half: int, gap: int) -> None:
        """Four bytes at one of the halves of a word, or all eight."""
        for bench in self.each(gap):
            offset, size = (8 * word, 8) if half == 8 else (8 * word + half, 4)
            bench.register(_cpu(bench, cpu), one(list(bench.iommus), iommu), offset, size)

    @precondition(lambda self: self.first.working() and not self.first.rebuilding())
    @rule(cpu=ANY, iommu=ANY, register=st.sampled_from(HARMLESS), value=st.integers(0, (1 << 64) - 1), gap=GAPS)
    def write_register(self, cpu: int, iommu: int, register: Any, value: int, gap: int) -> None:
        for bench in self.each(gap):
            value &= (1 << 8 * register.size) - 1
            bench.register(_cpu(bench, cpu), one(bench.working(), iommu), register.offset, register.size, value)

    @rule(iommu=ANY, vector=ANY, gap=GAPS)
    def interrupt(self, iommu: int, vector: int, gap: int) -> None:
        """An interrupt that nobody has a reason for."""
        for bench in self.each(gap):
            hardware = one(list(bench.iommus.values()), iommu)
            bench.interrupt(hardware.cpu, one(hardware.vectors, vector))

    # --- What is rarer -----------------------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(("work", "sleep", "rcu", "stall", "fail_allocation")),
        cpu=ANY,
        us=st.integers(1, 50),
        gap=GAPS,
    )
    def nuisance(self, what: str, cpu: int, us: int, gap: int) -> None:
        """Something takes time, or fails, that others wait for."""
        for bench in self.each(gap):
            name = _cpu(bench, cpu)
            match what:
                case "work":
                    bench.kernel_call(name, what, _await(Work(us * US)))
                case "sleep":
                    bench.kernel_call(name, what, _await(Sleep(us * US)))
                case "rcu":
                    bench.kernel_call(name, what, bench.runtime.kernel.rcu.synchronize())
                case "stall":
                    bench.stall(one(list(bench.iommus), cpu), us * US)
                case "fail_allocation":
                    bench.fail_allocation(us)

    @rule(what=st.sampled_from(("free_domain", "plug", "unplug", "iommu")), cpu=ANY, which=ANY, sure=st.integers(0, 3))
    def upheaval(self, what: str, cpu: int, which: int, sure: int) -> None:
        """Something goes for good, or for a while, or comes back."""
        for bench in self.alone():
            name = _cpu(bench, cpu)
            if what == "free_domain" and (idle := bench.idle_domains()):
                bench.free_domain(name, one(idle, which))
            elif what == "plug" and (gone := bench.pluggable()):
                bench.plug(name, one(gone, which))
            elif what == "unplug" and len(plugged := bench.plugged()) > 1:
                bench.unplug(name, one(plugged, which))
            elif what == "iommu":
                iommu = one(list(bench.iommus), which)
                if iommu in bench.removed:
                    bench.probe_iommu(name, iommu)
                elif sure == 3:
                    bench.remove_iommu(name, iommu)


def one(items: Sequence[T], number: int) -> T:
    """The item that a drawn number stands for."""
    return items[number % len(items)]


def _cpu(bench: Bench, number: int) -> str:
    return one(list(bench.system.cpus), number)


def _inside(bench: Bench, buffer: Buffer) -> list[str]:
    """The devices that may use a buffer; all, if none may."""
    state = bench.domains.get(buffer.domain)
    return sorted(state.devices) if state and state.devices else list(bench.devices)


def _use(bench: Bench, buffer: Buffer, device: int, burst: list[int], access: tuple[int, int, bool]) -> None:
    """A device that may do so makes requests to a buffer."""
    _requests(bench, buffer, one(_inside(bench, buffer), device), burst, access)


def _requests(bench: Bench, buffer: Buffer, device: str, burst: list[int], access: tuple[int, int, bool]) -> None:
    where, size, write = access
    page = where % min(buffer.size // PAGE, 4) * PAGE
    for pause in burst:
        bench.dma(device, buffer.iova + page + 8 * where, size, write)
        if pause:
            bench.wait(pause)


def _command(what: str, operand: int, wired: int) -> Command:
    match what:
        case "vma":
            return Iotinval.vma()
        case "vma of a pscid":
            return Iotinval.vma(pscid=operand % 4)
        case "vma of an address":
            return Iotinval.vma(pscid=operand % 4, addr=operand * PAGE)
        case "ddt":
            return Iodir.inval_ddt()
        case "ddt of a device":
            return Iodir.inval_ddt(operand % 8)
        case "fence":
            return Iofence.c(pr=operand & 1, pw=operand >> 1 & 1)
        case _:
            return Iofence.c(wsi=wired)


async def _await(operation: Work | Sleep) -> None:
    await operation
