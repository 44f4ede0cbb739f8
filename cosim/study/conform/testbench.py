"""The test bench of a conformance scenario: one IOMMU, memory below 2^PAS, and what each step does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from cosim.sim.transport import Access, AccessKind
from cosim.spec.queues import Iofence
from cosim.spec.register_map import IOCOUNTINH, IOHPMEVT, REGISTERS, RegisterMap
from cosim.spec.registers import Iohpmevt
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

    def apply(self, step: Mapping[str, Any]) -> None:
        """Do one step; raises `Differs`, or `NotImplementedCapability` if it exercises one that is missing."""
        _STEPS[step["op"]](self, step)
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

    def mem_write(self, step: Mapping[str, Any]) -> None:
        for address, value, size in step["w"]:
            self.memory.poke(address, size, value)

    def mem_read(self, step: Mapping[str, Any]) -> None:
        data, address = step["data"], step["addr"]
        mask = step.get("mask") or b"\xff" * len(data)
        found = b"".join(self.memory.peek(address + n, 1).to_bytes() for n in range(len(data)))
        wanted, got = (bytes(x & y for x, y in zip(side, mask, strict=True)) for side in (data, found))
        if wanted != got:
            raise Differs(f"memory at {address:#x}", wanted.hex(), got.hex())

    def mem_fault(self, step: Mapping[str, Any]) -> None:
        self.memory.fault(_FAULT[step["kind"]], step["addr"], step["len"])

    def mem_fault_clear(self, step: Mapping[str, Any]) -> None:
        self.memory.clear_faults()

    def reg_write(self, step: Mapping[str, Any]) -> None:
        self._access(AccessKind.WRITE, step["off"], step["size"], step["val"])

    def reg_read(self, step: Mapping[str, Any]) -> None:
        offset = step["off"]
        value = self._access(AccessKind.READ, offset, step["size"]) & step.get("mask", -1)
        register = REGISTERS.at(offset)
        name = f"register {register.name if register else 'at'} ({offset:#x})"
        if "min" in step:
            if value < step["min"]:
                raise Differs(name, f"at least {step['min']:#x}", f"{value:#x}")
        elif value not in (allowed := step.get("one_of") or [step["val"]]):
            raise Differs(name, " or ".join(f"{x:#x}" for x in allowed), f"{value:#x}")

    def _access(self, kind: AccessKind, offset: int, size: int, *words: int) -> int:
        access = Access(self._cpu, kind, offset, size, "mmio", words, owner="cpu0")

        def routine() -> Routine:
            yield access

        self._run(routine())
        return access.value

    # --- Requests ----------------------------------------------------------------------------------------------------

    def process(self, step: Mapping[str, Any]) -> None:
        """The consumer needs no asking."""

    def translate(self, step: Mapping[str, Any]) -> None:
        self._require_no_counting()
        txn = Transaction(
            step["did"],
            step["iova"],
            step.get("len", 4),
            write=step["rw"] == "w",
            execute=bool(step.get("exec")),
            process_id=step.get("pid", 0) if step.get("pv") else None,
            privileged=bool(step.get("priv")),
            request=_REQUEST[step.get("at", "untranslated")],
            master="device",
        )
        txn.no_write = bool(step.get("no_write"))
        txn.cxl = bool(step.get("cxl"))
        self._run(self.iommu.translate(txn))
        differences = [_difference(txn, response) for response in step.get("rsp_any") or [step["rsp"]]]
        if all(differences):
            raise Differs(*next(filter(None, differences)))

    def _require_no_counting(self) -> None:
        registers = self.iommu.registers
        inhibited = registers.value(IOCOUNTINH)
        for n, selector in IOHPMEVT.items():
            if Iohpmevt(registers.value(selector)).eventid and not inhibited >> n & 1:
                raise NotImplementedCapability("HPM")

    def expect_sync(self, step: Mapping[str, Any]) -> None:
        syncs, self._syncs = self._syncs, []
        if syncs != step["syncs"]:
            raise Differs("syncs", str(step["syncs"]), str(syncs))

    def expect_messages(self, step: Mapping[str, Any]) -> None:
        if step["msgs"]:
            raise NotImplementedCapability("ATS")

    def ats(self, step: Mapping[str, Any]) -> None:
        raise NotImplementedCapability("ATS")


def _difference(txn: Transaction, response: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first field in which the answer to a request differs from `response`."""
    if (status := _STATUS[txn.status]) != response["status"]:
        return "status", response["status"], status
    found = {"pa": txn.address, "pbmt": txn.pbmt}
    for field, value in found.items():
        if field in response and value != response[field]:
            return field, f"{response[field]:#x}", "none" if value is None else f"{value:#x}"
    return None


_STEPS = {
    "mem_write": Testbench.mem_write,
    "mem_read": Testbench.mem_read,
    "mem_fault": Testbench.mem_fault,
    "mem_fault_clear": Testbench.mem_fault_clear,
    "reg_write": Testbench.reg_write,
    "reg_read": Testbench.reg_read,
    "process": Testbench.process,
    "translate": Testbench.translate,
    "page_request": Testbench.ats,
    "expect_messages": Testbench.expect_messages,
    "ats_inval_completion": Testbench.ats,
    "ats_timeout": Testbench.ats,
    "expect_sync": Testbench.expect_sync,
}
