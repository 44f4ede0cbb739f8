"""The test bench of a conformance scenario: one IOMMU, memory below 2^PAS, and what each step does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cosim.events import CommandExecuted
from cosim.hw.bus.bus import Bus
from cosim.hw.dma.transaction import Request, Status, Transaction
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import DefectOptions, GeometryOptions, IommuOptions, IommuTiming, LatitudeOptions
from cosim.hw.memory.memory import FaultKind, Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.executor import Executor
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.queues import Iofence
from cosim.spec.register_map import IOCOUNTINH, IOHPMEVT, REGISTERS, RegisterMap
from cosim.spec.registers import Iohpmevt
from cosim.study.conform.steps import (
    AtsInvalCompletion,
    AtsTimeout,
    ExpectMessages,
    ExpectSync,
    MemFault,
    MemFaultClear,
    MemRead,
    MemWrite,
    PageRequest,
    Process,
    RegRead,
    RegWrite,
    Response,
    Step,
    Translate,
)
from cosim.study.conform.vectors import Scenario

LONGEST = 31
"""log2 of the entries of the longest queue: longer than any that a scenario sets up."""

_DRAWN = {
    "iotlb_entries": (0, 1, 2, 8, 64),
    "iotlb_ways": (0, 1),
    "ddtc_entries": (0, 1, 2, 16),
    "ddtc_ways": (0, 1),
    "nonleaf_entries": (0, 1, 2, 16),
    "ddt_nonleaf_entries": (0, 1, 4),
    "walkers": (1, 2, 8),
    "in_flight": (1, 4, 64),
    **dict.fromkeys(("iotlb_replacement", "ddtc_replacement", "nonleaf_replacement"), ("lru", "plru", "random")),
}
# Scenarios map one page of a 64 KiB range with N=1 and expect the others to fault, as the reference model does.
_GEOMETRY = GeometryOptions(cq_log2=LONGEST, fq_log2=LONGEST, iotlb_napot=False)
_UNTIMED = IommuTiming(**dict.fromkeys(IommuTiming.model_fields, 0))
_STRICT = LatitudeOptions()
_SOUND = DefectOptions()
_STATUS = {Status.SUCCESS: "success", Status.UR: "ur", Status.CA: "ca"}
_REQUEST = {"untranslated": Request.UNTRANSLATED, "translated": Request.TRANSLATED, "ats": Request.ATS}
_FAULT: Mapping[str, FaultKind] = {"access": "access_fault", "corrupt": "corrupt"}


@dataclass(frozen=True, slots=True)
class ScenarioMachine:
    """What scenarios are replayed on. The default is the agenda with every latency 0."""

    executor: Callable[[Sim], Executor] = Agenda
    geometry: GeometryOptions = _GEOMETRY
    timing: IommuTiming = _UNTIMED
    latitude: LatitudeOptions = _STRICT
    defects: DefectOptions = _SOUND
    memory_ps: int = 0
    """Latency of memory."""
    hop_ps: int = 0
    """A hop between the IOMMU and memory."""
    seed: int = 0

    @classmethod
    def drawn(cls, seed: int, executor: Callable[[Sim], Executor]) -> ScenarioMachine:
        """A machine of random geometry, latencies and latitude; about every second latency is 0."""
        draw = Chooser(seed).stream("machine").below
        geometry = {name: values[draw(len(values))] for name, values in _DRAWN.items()}
        latitude = {name: ("off", "on")[draw(2)] for name in LatitudeOptions.model_fields}

        def latency() -> int:
            return draw(2) * draw(1 << 1 + draw(20))

        return cls(
            executor,
            GeometryOptions.model_validate({**geometry, "cq_log2": LONGEST, "fq_log2": LONGEST, "iotlb_napot": False}),
            IommuTiming.model_validate({name: f"{latency()} ps" for name in IommuTiming.model_fields}),
            LatitudeOptions.model_validate(latitude),
            memory_ps=latency(),
            hop_ps=latency(),
            seed=seed,
        )


class Differs(Exception):
    """A step saw something else than it expects."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got


class Testbench:
    """Applies a scenario's steps; each ends when everything has come to rest."""

    def __init__(self, scenario: Scenario, machine: ScenarioMachine) -> None:
        self.sim = sim = Sim(Chooser(machine.seed), executor=machine.executor)
        size = 1 << scenario.capabilities.pas
        options = IommuOptions(
            kind="iommu",
            base=0,
            geometry=machine.geometry,
            timing=machine.timing,
            latitude=machine.latitude,
            defects=machine.defects,
        )
        dram = MemoryOptions.model_validate(
            {"kind": "memory", "base": 0, "size": f"{size} B", "latency": f"{machine.memory_ps} ps"}
        )
        self.memory = Memory(sim, "memory", dram)
        downstream, upstream = Bus(sim), Bus(sim)
        downstream.attach(0, size, self.memory, "memory")
        self.iommu = Iommu(
            sim,
            "iommu0",
            options,
            downstream.port("iommu0", machine.hop_ps),
            wire=lambda vector, level: None,
            capabilities=scenario.capabilities,
            reset=scenario.reset,
        )
        # Software reaches the registers over a bus of its own: in the IOMMU's view memory has no hole.
        upstream.attach(0, RegisterMap.SIZE, self.iommu.registers, "iommu0")
        self._cpu = upstream.port("cpu0")
        self._initiator = sim.initiator("testbench")
        self._syncs: list[dict[str, int]] = []
        sim.probe(CommandExecuted).watch(self._executed)
        self.rest()

    def rest(self) -> None:
        """Let time pass until nothing is under way."""
        self.sim.env.run()

    def apply(self, step: Step) -> None:
        """Do one step; raises `Differs`, or `NotImplementedCapability` if it exercises one that is missing."""
        match step:
            case MemWrite():
                for address, value, size in step.w:
                    self.memory.poke(address, size, value)
            case MemRead():
                self.mem_read(step)
            case MemFault():
                self.memory.fault(_FAULT[step.kind], step.addr, step.len)
            case MemFaultClear():
                self.memory.clear_faults()
            case RegWrite():
                self._access(AccessKind.WRITE, step.off, step.size, step.val)
            case RegRead():
                self.reg_read(step)
            case Process():
                pass  # the consumer needs no asking
            case Translate():
                self.translate(step)
            case ExpectSync():
                self.expect_sync(step)
            case ExpectMessages() if not step.msgs:
                pass
            case ExpectMessages() | PageRequest() | AtsInvalCompletion() | AtsTimeout():
                raise NotImplementedCapability("ATS")
        self.rest()

    def _run(self, routine: Routine) -> None:
        self.sim.start(routine, self._initiator.rank(Stage.CPU))
        self.rest()

    def _executed(self, event: CommandExecuted) -> None:
        if event.kind == "iofence":
            fence = Iofence(event.words)
            if fence.pr or fence.pw:
                self._syncs.append({"pr": fence.pr, "pw": fence.pw})

    # --- Memory and registers ----------------------------------------------------------------------------------------

    def mem_read(self, step: MemRead) -> None:
        """Compare what memory holds."""
        data, address = step.data, step.addr
        mask = step.mask or b"\xff" * len(data)
        found = b"".join(self.memory.peek(address + n, 1).to_bytes() for n in range(len(data)))
        wanted, got = (bytes(x & y for x, y in zip(side, mask, strict=True)) for side in (data, found))
        if wanted != got:
            raise Differs(f"memory at {address:#x}", wanted.hex(), got.hex())

    def reg_read(self, step: RegRead) -> None:
        """Read a register and compare its value."""
        offset = step.off
        value = self._access(AccessKind.READ, offset, step.size) & step.mask
        register = REGISTERS.at(offset)
        name = f"register {register.name if register else 'at'} ({offset:#x})"
        if step.min is not None:
            if value < step.min:
                raise Differs(name, f"at least {step.min:#x}", f"{value:#x}")
        elif value not in (allowed := step.allowed):
            raise Differs(name, " or ".join(f"{x:#x}" for x in allowed), f"{value:#x}")

    def _access(self, kind: AccessKind, offset: int, size: int, *words: int) -> int:
        access = Access(self._cpu, kind, offset, size, CountsFor("mmio"), words, owner="cpu0")

        def routine() -> Routine:
            yield access

        self._run(routine())
        return access.value

    # --- Requests ----------------------------------------------------------------------------------------------------

    def translate(self, step: Translate) -> None:
        """Make a request, and compare its answer."""
        self._require_no_counting()
        txn = Transaction(
            step.did,
            step.iova,
            step.len,
            write=step.rw == "w",
            execute=bool(step.exec),
            process_id=step.pid if step.pv else None,
            privileged=bool(step.priv),
            request=_REQUEST[step.at],
            master="device",
        )
        self._run(self.iommu.translate(txn))
        differences = [_difference(txn, response) for response in step.acceptable]
        if all(differences):
            raise Differs(*next(filter(None, differences)))

    def _require_no_counting(self) -> None:
        registers = self.iommu.registers
        inhibited = registers.value(IOCOUNTINH)
        for n, selector in IOHPMEVT.items():
            if Iohpmevt(registers.value(selector)).eventid and not inhibited >> n & 1:
                raise NotImplementedCapability("HPM")

    def expect_sync(self, step: ExpectSync) -> None:
        """Compare what IOFENCEs have waited for."""
        syncs, self._syncs = self._syncs, []
        expected = [sync.model_dump() for sync in step.syncs]
        if syncs != expected:
            raise Differs("syncs", str(expected), str(syncs))


def _difference(txn: Transaction, response: Response) -> tuple[str, str, str] | None:
    """The first field in which the answer to a request differs from `response`."""
    if (status := _STATUS[txn.status]) != response.status:
        return "status", response.status, status
    found = {"pa": (response.pa, txn.address), "pbmt": (response.pbmt, txn.pbmt)}
    for field, (expected, value) in found.items():
        if expected is not None and value != expected:
            return field, f"{expected:#x}", "none" if value is None else f"{value:#x}"
    return None
