"""Operations drawn at random, in any interleaving: as likely as each is to lead somewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from cosim.sim.choice import Chooser
from cosim.sim.operations import Sleep, Work
from cosim.sim.units import US
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
from cosim.sw.driver.domain import Prot
from cosim.sw.kernel.buddy import PAGE
from tests.stress.bench import Bench, Buffer

AT_ONCE = 6
"""Operations of CPUs that are under way at the same time."""

EVERYTHING = {
    "dma": 22,
    "stray_dma": 5,
    "start": 3,
    "stop": 1,
    "map": 14,
    "unmap": 14,
    "move": 7,
    "new_domain": 2,
    "free_domain": 2,
    "unplug": 1,
    "plug": 2,
    "iommu": 1,
    "command": 5,
    "read_register": 6,
    "write_register": 3,
    "interrupt": 3,
    "kernel": 3,
    "stall": 1,
    "fail_allocation": 1,
}
"""How likely each operation is, relative to the others."""

HARMLESS = (CAPABILITIES, CQB, CQH, FQB, FQT, IPSR, IOCOUNTINH, IOHPMCYCLES, PQB, PQCSR)
"""Registers that software may write what it likes to, while the queues are on: read-only, locked, W1C or absent."""


class Drawn(Chooser):
    """One choice in `odds` is not 0."""

    exploring = True

    def __init__(self, seed: int, odds: int) -> None:
        super().__init__(seed)
        self._draw = Random(seed)
        self._odds = odds

    def pick(self, n: int, name: str) -> int:
        draw = self._draw
        return 0 if draw.randrange(self._odds) else draw.randrange(n)


class Operator:
    """Draws operations for a bench; the same ones for the same seed and the same behaviour of the bench."""

    def __init__(self, bench: Bench, draw: Random, weights: Mapping[str, int] = EVERYTHING) -> None:
        self.bench = bench
        self.draw = draw
        self.cpus = list(bench.system.cpus)
        self._number = 0
        self._acts: list[Callable[[], None]] = [getattr(self, name) for name in weights]
        self._weights = list(weights.values())

    def step(self) -> None:
        """Begin one operation, and let a little time pass."""
        (act,) = self.draw.choices(self._acts, self._weights)
        act()
        self.bench.settle(AT_ONCE - 1)
        if gap := self.draw.choice((0, 0, 1, 50_000, 400_000, 2_000_000)):
            self.bench.wait(gap)

    # --- What to take ------------------------------------------------------------------------------------------------

    def _cpu(self) -> str:
        return self.draw.choice(self.cpus)

    def _device(self) -> str:
        return self.draw.choice(list(self.bench.devices))

    def _domain(self) -> str | None:
        return self.draw.choice(list(self.bench.domains)) if self.bench.domains else None

    def _buffers(self) -> list[Buffer]:
        return [buffer for state in self.bench.domains.values() for buffer in state.buffers]

    def _alone(self) -> bool:
        """Let what goes on come to an end, lest it meets something that is taken away from under it."""
        self.bench.settle()
        return True

    # --- Devices -----------------------------------------------------------------------------------------------------

    def dma(self) -> None:
        """Mostly by a device to what its domain maps, and often to what is just being unmapped."""
        draw, bench = self.draw, self.bench
        buffers = self._buffers()
        recent = [*bench.leaving, *bench.dead[-2:], *buffers[-2:]]
        buffers = recent if recent and draw.random() < 0.7 else buffers
        if not buffers:
            return
        buffer = draw.choice(buffers)
        inside = bench.domains[buffer.domain].devices if buffer.domain in bench.domains else ()
        device = draw.choice(sorted(inside)) if inside and draw.random() < 0.9 else self._device()
        for _ in range(draw.choice((1, 1, 2, 6))):
            page = draw.randrange(min(buffer.size // PAGE, 4)) * PAGE
            size = draw.choice((1, 4, 8, 64, 100))
            offset = draw.randrange(PAGE - size + 1)
            bench.dma(device, buffer.iova + page + offset, size, draw.random() < 0.5)
            if gap := draw.choice((0, 0, 100_000, 300_000)):
                bench.wait(gap)

    def stray_dma(self) -> None:
        iova = self.draw.choice((0, PAGE, 1 << 38, (1 << 64) - PAGE, self.draw.getrandbits(48) & -PAGE))
        self.bench.dma(self._device(), iova, 8, self.draw.random() < 0.5)

    def start(self) -> None:
        buffers = self._buffers()
        if buffers:
            self.bench.start(self._device(), self.draw.choice(buffers))

    def stop(self) -> None:
        self.bench.stop(self._device())

    # --- Software ----------------------------------------------------------------------------------------------------

    def map(self) -> None:
        domain = self._domain()
        if domain is not None:
            prot = self.draw.choice((Prot.READ, Prot.WRITE | Prot.READ, Prot.WRITE | Prot.READ))
            pages = self.draw.choice((1, 1, 2, 3, 9, 512))
            contiguous = pages == 512 or self.draw.random() < 0.3
            self.bench.map(self._cpu(), domain, pages, prot, contiguous=contiguous)

    def unmap(self) -> None:
        buffers = self._buffers()
        if buffers:
            self.bench.unmap(self._cpu(), self.draw.choice(buffers))

    def move(self) -> None:
        devices = [name for name in self.bench.devices if name not in self.bench.unplugged]
        domain = self._domain()
        if devices and domain is not None:
            how = self.draw.choice(("replace", "replace", "attach", "detach"))
            self.bench.move(self._cpu(), self.draw.choice(devices), domain, how)

    def new_domain(self) -> None:
        devices = [name for name in self.bench.devices if name not in self.bench.unplugged]
        if devices and len(self.bench.domains) < 6:
            self._number += 1
            self.bench.new_domain(self._cpu(), f"domain{self._number}", self.draw.choice(devices))

    def free_domain(self) -> None:
        homes = {plan.domain for plan in self.bench.devices.values()}
        idle = [name for name, state in self.bench.domains.items() if state.idle and name not in homes]
        if idle:
            self.bench.free_domain(self._cpu(), self.draw.choice(idle))

    def unplug(self) -> None:
        devices = [name for name in self.bench.devices if name not in self.bench.unplugged]
        if len(devices) > 1 and self._alone():
            self.bench.unplug(self._cpu(), self.draw.choice(devices))
            self._alone()

    def plug(self) -> None:
        devices = [
            name
            for name, plan in self.bench.devices.items()
            if name in self.bench.unplugged and plan.iommu not in self.bench.removed
        ]
        if devices and self._alone():
            self.bench.plug(self._cpu(), self.draw.choice(devices))
            self._alone()

    def iommu(self) -> None:
        if self._alone():
            iommu = self.draw.choice(list(self.bench.iommus))
            if iommu in self.bench.removed:
                self.bench.probe_iommu(self._cpu(), iommu)
            elif self.draw.random() < 0.3:
                self.bench.remove_iommu(self._cpu(), iommu)
            self._alone()

    def command(self) -> None:
        iommus = [name for name in self.bench.iommus if name not in self.bench.removed]
        if iommus:
            draw, iommu = self.draw, self.draw.choice(iommus)
            wired = self.bench.system.iommus[iommu].registers.fctl.wsi
            commands: list[Command] = [
                Iotinval.vma(),
                Iotinval.vma(pscid=draw.randrange(4)),
                Iotinval.vma(pscid=draw.randrange(4), addr=draw.getrandbits(32) & -PAGE),
                Iodir.inval_ddt(),
                Iodir.inval_ddt(draw.randrange(8)),
                Iofence.c(pr=draw.randrange(2), pw=draw.randrange(2)),
                Iofence.c(wsi=wired),
            ]
            self.bench.command(self._cpu(), iommu, draw.choice(commands), sync=draw.random() < 0.5)

    # --- Registers, interrupts and the rest --------------------------------------------------------------------------

    def read_register(self) -> None:
        size = self.draw.choice((4, 8))
        offset = self.draw.randrange(0, RegisterMap.SIZE, size)
        self.bench.register(self._cpu(), self.draw.choice(list(self.bench.iommus)), offset, size)

    def write_register(self) -> None:
        register = self.draw.choice(HARMLESS)
        value = self.draw.getrandbits(8 * register.size)
        iommus = [name for name in self.bench.iommus if name not in self.bench.removed]
        if iommus and not any("probe" in what or "remove" in what for what in self.bench.busy.values()):
            self.bench.register(self._cpu(), self.draw.choice(iommus), register.offset, register.size, value)

    def interrupt(self) -> None:
        hardware = self.bench.iommus[self.draw.choice(list(self.bench.iommus))]
        self.bench.interrupt(hardware.cpu, self.draw.choice(hardware.vectors))

    def kernel(self) -> None:
        what = self.draw.choice(("rcu", "work", "sleep"))
        body = {
            "rcu": lambda: self.bench.runtime.kernel.rcu.synchronize(),
            "work": lambda: _await(Work(self.draw.randrange(20 * US))),
            "sleep": lambda: _await(Sleep(self.draw.randrange(20 * US))),
        }[what]
        self.bench.kernel_call(self._cpu(), what, body())

    def stall(self) -> None:
        self.bench.stall(self.draw.choice(list(self.bench.iommus)), self.draw.randrange(50 * US))

    def fail_allocation(self) -> None:
        self.bench.fail_allocation(self.draw.randint(1, 20))


async def _await(operation: Work | Sleep) -> None:
    await operation
