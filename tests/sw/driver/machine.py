"""A whole small system for driver tests: memory, CPUs, IOMMUs, kernel, driver and core, all of them the real ones.

`Machine.trace` tells what the IOMMUs were sent, in the words of a register trace.

Where the environment names a kernel's objects (`OBJECTS`), they are driven in the place of the policies of `latest`:
``COSIM_LATEST=object:iommu.o,... pytest tests/sw/driver -k "parity and latest"`` holds them to what kernels sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cosim.events import KernelLog, RegisterRead, RegisterWritten
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.interrupt_file import InterruptFile
from cosim.hw.cpu.options import CpuOptions
from cosim.hw.dma.transaction import Status, Transaction
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.spec.queues import COMMANDS, Command
from cosim.spec.register_map import CQCSR, CQH, CQT, REGISTERS
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Ddte, IosatpMode, ddt_split
from cosim.sw.driver.axes import Variant
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Domain, Hardware, IommuDriver
from cosim.sw.kernel.buddy import Region
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MIB, NS, US

T = TypeVar("T")

OBJECTS, STANDS_FOR = "COSIM_LATEST", "latest"
OF_OBJECTS = ("riscv_iommu_domain.riscvpt.riscv_64pt.common.top_of_table", "riscv_iommu_domain.pscid")
TOP_LEVELS = 8
"""The low bits of a generic page table's root say which level it has; that of Sv39 has 2."""
DRAM, SIZE = 0x8000_0000, 64 * MIB
INTERRUPT_FILE = 0x2800_0000
REGISTER_BASES = (0x0300_0000, 0x0300_1000)
SETTLE = 10 * US
"""Longer than anything that hardware still has to do when a thread has ended."""
SMALL_QUEUES = {"cq_log2": 8, "fq_log2": 8}
"""256 entries, since it is the rings that a probe spends its time on."""
DEVICE_CONTEXT = ("tc", "iohgatp", "ta", "fsc")


def spell(words: tuple[int, ...]) -> str:
    """A command as a trace has it: ``IOTINVAL.VMA(av=1,pscid=1,pscv=1,addr=0x10)``."""
    opcode = Command.from_words(words).opcode
    if opcode not in COMMANDS:
        return f"IO? {words[0]:#x} {words[1]:#x}"
    command = COMMANDS[opcode].from_words(words)
    shown = {name: value for name, value in command.fields().items() if value and name not in ("opcode", "func3")}
    return f"{command.mnemonic}({','.join(f'{name}={value:#x}' for name, value in shown.items())})"


class Machine:
    """Everything that a driver needs, and nothing that uses it yet.

    `kept` bytes at the end of memory are not the kernel's: what is hardwired lies there.
    """

    def __init__(
        self,
        driver: str | Variant = "merged",
        *,
        cells: dict[str, Any] | None = None,
        cpus: int = 1,
        iommus: int = 1,
        iommu: dict[str, Any] | None = None,
        cpu: dict[str, Any] | None = None,
        kernel: KernelOptions | None = None,
        chooser: Chooser | None = None,
        hold_ps: int = 0,
        size: int = SIZE,
        kept: int = 0,
        messages: bool = False,
        vectors: int = 4,
    ) -> None:
        self.sim = sim = Sim(chooser, executor=Agenda, hold_ps=hold_ps)
        self.bus = Bus(sim)
        options = MemoryOptions(kind="memory", base=DRAM, size=f"{size} B")
        self.memory = Memory(sim, "dram0", options)
        self.bus.attach(DRAM, size, self.memory, "dram0")
        peers: dict[str, Cpu] = {}
        for n in range(cpus):
            Cpu(sim, f"cpu{n}", CpuOptions(kind="cpu", **(cpu or {})), self.bus, peers)
        self.cpus = peers
        self.iommus: list[Iommu] = []
        self.hardware: list[Hardware] = []
        for n in range(iommus):
            base = REGISTER_BASES[n]
            wires = tuple(range(16 + 4 * n, 16 + 4 * n + vectors))
            made = Iommu(
                sim,
                f"iommu{n}",
                IommuOptions(kind="iommu", base=base, **({"geometry": SMALL_QUEUES} if iommu is None else iommu)),
                self.bus.port(f"iommu{n}", 10 * NS),
                wire=lambda vector, level, first=wires[0]: peers["cpu0"].wire(first + vector, level),
            )
            self.bus.attach(base, 4096, made.registers, f"iommu{n}")
            self.iommus.append(made)
            sent = tuple((INTERRUPT_FILE, vector) for vector in wires) if messages else ()
            self.hardware.append(Hardware(f"iommu{n}", base, wires, "cpu0", sent))
        file = InterruptFile(sim, "imsic0", INTERRUPT_FILE, peers["cpu0"])
        self.bus.attach(INTERRUPT_FILE, InterruptFile.SIZE, file, "imsic0")
        self.kernel = Kernel(sim, peers, [Region(DRAM, size - kept)], self.memory, kernel)
        self.variant = variant(driver, cells) if isinstance(driver, str) else driver
        objects = paths_of(os.environ.get(OBJECTS, "")) if driver == STANDS_FOR and not cells else ()
        self.of_objects = bool(objects)
        self.driver: IommuDriver
        if objects:
            from cosim.sw.object_driver.driver import ObjectDriver
            from cosim.sw.object_driver.loading import load_objects

            self.driver = ObjectDriver(self.kernel, load_objects(objects), DriverCosts())
        else:
            self.driver = Driver(self.kernel, self.variant, DriverCosts())
        self.core = IommuCore(self.kernel, self.driver, self.variant.groups)
        self.log: list[str] = []
        sim.probe(KernelLog).watch(lambda event: self.log.append(f"{event.level}: {event.who}: {event.text}"))
        self._trace: list[str] = []
        self._heads: dict[str, int] = {}
        sim.probe(RegisterRead).watch(self._saw_read)
        sim.probe(RegisterWritten).watch(self._saw_write)
        self.kernel.boot()

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(self, body: Coroutine[Any, Any, T], cpu: str = "cpu0") -> T:
        """The result of `body`, `SETTLE` after it is there; a KernelError that it raises is raised here."""
        done: list[T] = []
        failed: list[KernelError] = []

        async def keep() -> None:
            try:
                done.append(await body)
            except KernelError as error:
                failed.append(error)
            self.sim.stop()

        self.kernel.start(cpu, "main", keep())
        self.sim.env.run()
        assert done or failed, f"it does not come to its end: {self.log}"
        self.go(self.sim.now + SETTLE)
        if failed:
            raise failed[0]
        return done[0]

    def start(self, body: Coroutine[Any, Any, Any], cpu: str = "cpu0", name: str = "t") -> None:
        self.kernel.start(cpu, name, body)

    def go(self, until: int | None = None) -> None:
        self.sim.env.run(until=until)

    def boot(self, devices: int = 1, ids: Callable[[int], tuple[int, ...]] = lambda n: (n + 1,)) -> Domain:
        """Probe the IOMMUs and attach `devices`, taking IOMMUs in turn, to one new domain, which is returned."""

        async def boot() -> Domain:
            for hardware in self.hardware:
                await self.core.probe_iommu(hardware)
            for n in range(devices):
                await self.core.probe_device(f"dev{n}", ids(n), f"iommu{n % len(self.iommus)}")
            domain = await self.core.domain_alloc("d", "dev0")
            for n in range(devices):
                await self.core.attach(f"dev{n}", domain)
            return domain

        domain = self.run(boot())
        self.trace()
        return domain

    def dma(self, *requests: Transaction, iommu: int = 0) -> None:
        """Have devices make these requests, all at once; `run` or `go` then executes them."""
        made = self.iommus[iommu]
        initiator = self.sim.initiator("devices")
        for request in requests:
            self.sim.start(made.transport(request), initiator.rank(Stage.TRANSACTION), request.spent)

    def read(self, device_id: int, iova: int, *, iommu: int = 0, settle_ps: int = SETTLE) -> int | None:
        """Where a device's read of 8 bytes goes, given `settle_ps`; None if it faults or is not answered by then."""
        request = Transaction(device_id, iova, 8)
        self.dma(request, iommu=iommu)
        self.go(self.sim.now + settle_ps)
        return request.address if request.status is Status.SUCCESS else None

    # --- What was sent -----------------------------------------------------------------------------------------------

    def trace(self) -> list[str]:
        """Register accesses and commands since the last call. Reads of one register in a row are the last of them;
        waiting for a fence is ``poll``, however often `cqh` (and `cqcsr`) was read."""
        seen, self._trace = self._trace, []
        return seen

    def commands(self) -> list[str]:
        """The commands of `trace`."""
        return [line for line in self.trace() if line.startswith("IO")]

    def _note(self, line: str, key: str = "") -> None:
        if key and self._trace and self._trace[-1].startswith(key):
            self._trace[-1] = line
        else:
            self._trace.append(line)

    def _saw_read(self, event: RegisterRead) -> None:
        if event.offset in (CQH.offset, CQCSR.offset) and self._polls(event.offset):
            head = event.offset == CQH.offset
            before = self._trace[-1]
            self._note("poll" if head and before != "poll cqcsr" else "poll cqcsr", "poll")
            return
        name = _name(event.offset, event.size)
        self._note(f"R {name}={event.value:#x}", f"R {name}=")

    def _polls(self, offset: int) -> bool:
        last = self._trace[-1] if self._trace else ""
        return last.startswith(("IOFENCE", "poll")) and (offset == CQH.offset or last.startswith("poll"))

    def _saw_write(self, event: RegisterWritten) -> None:
        if event.offset != CQT.offset or not self._running(event.who):
            self._note(f"W {_name(event.offset, event.size)}={event.value:#x}")
            self._heads[event.who] = 0
            return
        base = self._iommu(event.who).registers.cqb
        at = self._heads.get(event.who, 0)
        while at != event.value:
            words = (self.memory.peek(base.address + 16 * at, 8), self.memory.peek(base.address + 16 * at + 8, 8))
            self._note(spell(words) if len(self.iommus) == 1 else f"{event.who}: {spell(words)}")
            at = (at + 1) % base.entries
        self._heads[event.who] = at

    def _running(self, who: str) -> bool:
        return bool(self._iommu(who).registers.cqcsr.cqon)

    def _iommu(self, who: str) -> Iommu:
        return next(iommu for iommu in self.iommus if iommu.path == who)

    # --- What is in memory -------------------------------------------------------------------------------------------

    def watch_context(self, device_id: int, iommu: int = 0) -> None:
        """From here on, `trace` tells of each change of a device context too, as it reaches memory."""
        address = self.context(device_id, iommu)
        for n, field in enumerate(DEVICE_CONTEXT):
            self.memory.watch(address + 8 * n, lambda field=field, at=address + 8 * n: self._changed(field, at))

    def _changed(self, field: str, at: int) -> None:
        self._note(f"DC.{field}={self.memory.peek(at, 8):#x}")

    def table_of(self, domain: Domain) -> tuple[int, int, int]:
        """A domain's mode of the first stage, the address of its root, and its PSCID."""
        held = domain.object
        if isinstance(self.driver, Driver):
            mode, root, pscid = (self.memory.peek(word.address, 8) for word in (held.mode, held.root, held.pscid))
            return mode, root, pscid
        info = self.driver.machine.image.info
        members = map(info.field, OF_OBJECTS)
        top, pscid = (self.memory.peek(held.address + member.offset, member.size) for member in members)
        level = top % TOP_LEVELS
        return IosatpMode.SV39 + level - 2, top - level, pscid

    def context(self, device_id: int, iommu: int = 0) -> int:
        """Where the device context of `device_id` is, walking the directory in memory."""
        registers = self.iommus[iommu].registers
        split = ddt_split(registers.capabilities)
        table = Ddtp(registers.ddtp).ppn << 12
        for level in range(IommuMode(registers.ddtp.iommu_mode).levels - 1, 0, -1):
            entry = Ddte(self.memory.peek(table + split.offset(level, device_id), 8))
            assert entry.v, f"device {device_id} has no context"
            table = entry.ppn << 12
        return table + split.offset(0, device_id)


def _name(offset: int, size: int) -> str:
    register = REGISTERS.at(offset)
    assert register is not None
    assert register.offset == offset
    return register.name if register.size == size else f"{register.name}/{size}"


__all__ = ["Machine", "spell"]
