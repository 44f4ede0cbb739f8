"""The smallest machine that translates: one IOMMU on a bus with memory, devices, and tables written into memory.

Three verbs: `probe` asks and changes nothing, `dma` (or `request` and `run`) does, the tests assert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cosim.events import FaultRecorded
from cosim.hw.bus.bus import Bus
from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions, IommuTiming
from cosim.hw.iommu.registers import VERSION
from cosim.hw.iommu.translate.leaf import ANY_PSCID, HOST
from cosim.hw.iommu.warl import Reset
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import FIRST_STAGE, PAGE, SV32, SV39, Pte, Scheme
from cosim.spec.queues import FaultRecord, Iotinval
from cosim.spec.register_map import DDTP, FQB, FQCSR
from cosim.spec.registers import Capabilities, Ddtp, Igs, IommuMode, QueueBase
from cosim.spec.translation import Dc, DcExtended, dc_format, ddt_split

NS = 1000
DRAM = 0x8000_0000
FAULTS = DRAM + PAGE
TABLES = DRAM + 0x10_0000
DATA = DRAM + 0x1000_0000

NO_TIME = dict.fromkeys(IommuTiming.model_fields, 0)
LEAF = Pte.of(v=1, r=1, w=1, x=1, u=1, a=1, d=1)
ALL_SCHEMES = ["Sv32", "Sv39", "Sv48", "Sv57"]

CAPABILITIES = {
    **dict.fromkeys(("sv32", "sv39", "sv48", "sv57", "svpbmt", "amo_hwad", "nl", "s"), 1),
    "version": VERSION,
    "igs": Igs.WSI,
    "pas": 46,
}


class Space:
    """An address space: a first-stage page table that grows as pages are mapped."""

    def __init__(self, system: System, scheme: Scheme, pscid: int) -> None:
        self.system = system
        self.scheme = scheme
        self.pscid = pscid
        self.root = system.page()

    def pte(self, iova: int, level: int = 0) -> int:
        """The address of the entry of `iova` at `level`; the tables on the way to it are added."""
        table, size = self.root, self.scheme.pte_size
        for above in range(self.scheme.levels - 1, level, -1):
            address = table + self.scheme.vpn(above, iova) * size
            pointer = self.system.peek(address, size)
            if not pointer:
                pointer = self.scheme.pte.of(v=1, ppn=self.system.page() >> 12)
                self.system.poke(address, pointer, size)
            table = self.scheme.pte(pointer).ppn << 12
        return table + self.scheme.vpn(level, iova) * size

    def map(self, iova: int, address: int, level: int = 0, flags: int = LEAF, *, napot: bool = False) -> int:
        """Map one page, of the size of `level` (or 64 KiB), and return where its entry is."""
        pte = self.scheme.pte(flags).replace(ppn=address >> 12)
        at = self.pte(iova, level)
        if not napot:
            self.system.poke(at, pte, self.scheme.pte_size)
            return at
        pte = pte.replace(ppn=pte.ppn & ~0xF | 0x8) | Pte.n.mask
        for index in range(16):
            self.system.poke(self.pte((iova & ~0xFFFF) + index * PAGE), pte, 8)
        return at

    def unmap(self, iova: int, level: int = 0) -> None:
        """Clear the entry of a page."""
        self.system.poke(self.pte(iova, level), 0, self.scheme.pte_size)


class System:
    """One IOMMU with its directory on; times are in picoseconds and 0 unless given."""

    def __init__(
        self,
        *,
        levels: int = 1,
        capabilities: dict[str, int] | None = None,
        timing: dict[str, int] | None = None,
        geometry: dict[str, Any] | None = None,
        latitude: dict[str, str] | None = None,
        defects: dict[str, Any] | None = None,
        memory_ps: int = 0,
        write_ps: int | None = None,
        hop_ps: int = 0,
        seed: int = 0,
        chooser: Chooser | None = None,
        hold_ps: int = 0,
        executor: Any = Agenda,
        reset: Reset | None = None,
    ) -> None:
        self.sim = sim = Sim(chooser or Chooser(seed), executor=executor, hold_ps=hold_ps)
        times = {name: f"{ps} ps" for name, ps in {**NO_TIME, **(timing or {})}.items()}
        options = IommuOptions.model_validate(
            {
                "kind": "iommu",
                "base": 0,
                "timing": times,
                "geometry": geometry or {},
                "latitude": latitude or {},
                "defects": defects or {},
            }
        )
        self.bus = Bus(sim)
        dram = {"kind": "memory", "base": DRAM, "size": "1 GiB", "latency": f"{memory_ps} ps"}
        if write_ps is not None:
            dram["write_latency"] = f"{write_ps} ps"
        self.memory = Memory(sim, "dram0", MemoryOptions.model_validate(dram))
        self.bus.attach(DRAM, 1 << 30, self.memory, "dram0")
        self.capabilities = Capabilities.of(**{**CAPABILITIES, **(capabilities or {})})
        self.iommu = Iommu(
            sim,
            "iommu0",
            options,
            self.bus.port("iommu0", hop_ps),
            wire=lambda vector, level: None,
            capabilities=self.capabilities,
            reset=reset or Reset(gxl_writable=1),
        )
        self.translation = self.iommu.translation
        self.invalidations = self.translation.invalidations
        self.split = ddt_split(self.capabilities)
        self.levels = levels
        self._next_page = TABLES
        self._initiator = sim.initiator("nic0")
        self.root = self.page()
        registers = self.iommu.registers
        registers.write(FQB.offset, 8, QueueBase.placed(FAULTS, 128, FaultRecord.SIZE))
        registers.write(FQCSR.offset, 4, 1)
        self.mode(IommuMode.BARE + levels)

    # --- Memory and tables -------------------------------------------------------------------------------------------

    def page(self) -> int:
        """A page of memory for a table."""
        self._next_page += PAGE
        return self._next_page - PAGE

    def peek(self, address: int, size: int = 8) -> int:
        """What memory holds."""
        return self.memory.peek(address, size)

    def poke(self, address: int, value: int, size: int = 8) -> None:
        """Change memory, at once."""
        self.memory.poke(address, size, value)

    def mode(self, mode: int) -> None:
        """Software sets ddtp."""
        ddtp = Ddtp.of(iommu_mode=mode, ppn=self.root >> 12)
        self.iommu.registers.write(DDTP.offset, 8, ddtp)
        self.run()

    def ddte(self, device_id: int, level: int = 0) -> int:
        """The address of the directory entry of a device at `level`; the tables on the way to it are added."""
        table = self.root
        for above in range(self.levels - 1, level, -1):
            address = table + self.split.offset(above, device_id)
            if not self.peek(address):
                self.poke(address, (self.page() >> 12) << 10 | 1)
            table = self.peek(address) >> 10 << 12
        return table + self.split.offset(level, device_id)

    def context(self, device_id: int, dc: Dc) -> int:
        """Write a device context, and return where."""
        at = self.ddte(device_id)
        for index, word in enumerate(dc):
            self.poke(at + 8 * index, word)
        return at

    def dc(self, space: Space | None = None, **tc: int) -> Dc:
        """A device context that is valid: with the first stage of `space`, or Bare."""
        sxl = int(space is not None and space.scheme is SV32)
        words = Dc.of(tc=sum(getattr(Dc.tc.view, name).mask * x for name, x in {"v": 1, "sxl": sxl, **tc}.items()))
        if space is not None:
            mode = next(mode for mode, scheme in FIRST_STAGE[sxl].items() if scheme is space.scheme)
            words = words.replace(ta=space.pscid << 12, fsc=int(mode) << 60 | space.root >> 12)
        return words if dc_format(self.capabilities) is Dc else DcExtended((*words, 0, 0, 0, 0))

    def space(self, scheme: Scheme = SV39, pscid: int = 1) -> Space:
        """A new, empty address space."""
        return Space(self, scheme, pscid)

    def device(self, device_id: int = 1, scheme: Scheme = SV39, pscid: int = 1, **tc: int) -> Space:
        """Give a device an address space of its own."""
        space = self.space(scheme, pscid)
        self.context(device_id, self.dc(space, **tc))
        return space

    # --- What devices do ---------------------------------------------------------------------------------------------

    def request(
        self,
        iova: int,
        device_id: int = 1,
        *,
        write: bool = False,
        execute: bool = False,
        process_id: int | None = None,
        privileged: bool = False,
        kind: Request = Request.UNTRANSLATED,
        size: int = 8,
        at_ps: int = 0,
        translate_only: bool = False,
    ) -> Transaction:
        """Let a device issue a request at a time (or one tick from now); `run` carries it out.

        ``issued`` is that time, ``done`` in `ended` its end.
        """
        start = max(at_ps, self.sim.now + 1)
        txn = Transaction(
            device_id,
            iova,
            size,
            write=write,
            execute=execute,
            process_id=process_id,
            privileged=privileged,
            request=kind,
            master=f"nic{device_id}",
            issued=start,
        )
        rank = self._initiator.rank(Stage.TRANSACTION)
        self.sim.start(self._carry_out(txn, translate_only), rank, txn.spent, start - self.sim.now)
        return txn

    def _carry_out(self, txn: Transaction, translate_only: bool) -> Iterator[Any]:
        yield from self.iommu.translate(txn) if translate_only else self.iommu.transport(txn)
        self.ended[txn] = self.sim.now

    @property
    def ended(self) -> dict[Transaction, int]:
        """When requests were over."""
        return self.__dict__.setdefault("_ended", {})

    def run(self, until_ps: int | None = None) -> None:
        """Let time pass, up to a time or until nothing is under way."""
        self.sim.env.run(until_ps)

    def dma(self, iova: int, device_id: int = 1, **request: Any) -> Transaction:
        """A request, carried out; one that is still translated by the same tables if nothing else is under way."""
        txn = self.request(iova, device_id, **request)
        self.run()
        return txn

    def translate(self, iova: int, device_id: int = 1, **request: Any) -> Transaction:
        """As `dma`, without the access."""
        return self.dma(iova, device_id, translate_only=True, **request)

    def latency(self, txn: Transaction) -> int:
        """From issue to end, in picoseconds."""
        return self.ended[txn] - txn.issued

    # --- What software does ------------------------------------------------------------------------------------------

    def at(self, time: int, call: Callable[[], object]) -> None:
        """Do something at a time: what software's command does when it takes hold."""
        self.sim.at(time, self._initiator.rank(Stage.COMMAND), call)

    def invalidate(self, command: Iotinval) -> None:
        """IOTINVAL.VMA takes hold now."""
        self.invalidations.invalidate_vma(command)

    def fence(
        self, pr: bool = False, pw: bool = False, at_ps: int = 0, then: Callable[[], object] = lambda: None
    ) -> list[int]:
        """Begin to settle at a time; the list holds the time when it was done, once it is, and `then` is called."""
        done: list[int] = []

        def routine() -> Iterator[Any]:
            yield from self.invalidations.settle(pr, pw)
            done.append(self.sim.now)
            then()

        start = max(at_ps, self.sim.now + 1)
        self.sim.start(routine(), self._initiator.rank(Stage.COMMAND), delay_ps=start - self.sim.now)
        return done

    # --- What is there -----------------------------------------------------------------------------------------------

    def probe(self, iova: int, pscid: int = 1) -> bool:
        """Whether the IOTLB could translate an address of an address space of the host."""
        return any(
            gscid == HOST and tag in (ANY_PSCID, pscid) and page == iova >> lg2
            for (gscid, tag, lg2, page), _ in self.translation.iotlb.cache.items()
        )

    def count(self, *names: str) -> tuple[int, ...]:
        """The values of some counters."""
        counters = self.iommu.counters()
        return tuple(counters[name] for name in names)

    def reads(self, call: Callable[[], object]) -> int:
        """How many table entries the IOMMU reads while `call` runs."""
        before = sum(self.count("walk_reads", "ddt_reads"))
        call()
        return sum(self.count("walk_reads", "ddt_reads")) - before

    def faults(self) -> list[FaultRecord]:
        """The fault records so far."""
        count = self.iommu.registers.fqt.index
        return [FaultRecord(self.peek(FAULTS + 32 * index + 8 * word) for word in range(4)) for index in range(count)]

    def record_times(self) -> list[int]:
        """When fault records are complete, from now on."""
        times: list[int] = []

        def watch(event: FaultRecorded) -> None:
            if event.recorded:
                times.append(event.time)

        self.sim.probe(FaultRecorded).watch(watch)
        return times

    def causes(self) -> list[int]:
        """Their causes."""
        return [record.cause for record in self.faults()]
