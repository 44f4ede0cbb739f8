"""What oracles say of events given by hand, and of a small system that a test acts in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cosim.oracles import Book, Bounds, Oracle, Violation
from cosim.oracles.in_memory import InMemory, Memories
from cosim.sim.chooser import Chooser
from cosim.sim.operations import Body
from cosim.study.run.violations import Violations
from cosim.sw.dma_api import BOTH, Piece
from cosim.sw.iommu_ops import Prot
from cosim.system.all_memory import AllMemory
from cosim.system.build import build
from cosim.system.load import load
from cosim.system.patience import patience
from cosim.system.system import System
from cosim.units.quantities import MS, US

SMALL = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu: {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000}
  iommu1: {kind: iommu, base: 0x0300_1000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic1: {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic2: {kind: dma, through: iommu1, traffic: {pattern: none}}
run: {until: 100 ms}
"""


def judged(
    oracle: type[Oracle], *events: object, bounds: Bounds | None = None, memory: Memories | None = None
) -> list[Violation]:
    """The violations that an oracle finds in these events; what is no event is called between them."""
    found: list[Violation] = []
    _tell(oracle, found, events, bounds or Bounds(), memory)
    return found


def said(oracle: type[Oracle], *events: object) -> object:
    """What an oracle says of the last of these events besides the violations that it finds."""
    return _tell(oracle, [], events, Bounds())


def _tell(
    oracle: type[Oracle],
    found: list[Violation],
    events: Sequence[object],
    bounds: Bounds,
    memory: Memories | None = None,
) -> object:
    books: dict[type[Book], Book] = {InMemory: InMemory(memory)}
    made = oracle(found.append, bounds, books)
    answer: object = None
    for event in events:
        if callable(event):
            event()
        for listener in (*books.values(), made):
            for kind, method in listener.listeners():
                if isinstance(event, kind):
                    answer = method(event)
    return answer


class Held:
    """Memory that holds what a test puts there, and remembers all of it, unless not `remembering`."""

    def __init__(self, *, remembering: bool = True) -> None:
        self._past: dict[int, list[int]] = {}
        self._calls: dict[int, list[Callable[[], None]]] = {}
        self._remembering = remembering

    def put(self, address: int, *words: int) -> None:
        """Change words from `address` on."""
        for place, word in enumerate(words):
            self._past.setdefault(address + 8 * place, [0]).insert(0, word)
            for call in list(self._calls.get(address + 8 * place, ())):
                call()

    def past(self, address: int, since: int) -> tuple[Sequence[int], bool]:
        past = self._past.get(address, [0])
        return (past, True) if self._remembering else (past[:1], False)

    def peek(self, address: int, size: int) -> int:
        return self._past.get(address, [0])[0]

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        calls = self._calls.setdefault(address, [])
        calls.append(call)
        return lambda: calls.remove(call)

    def tell_of_loads(self, address: int, size: int) -> bool:
        return address >= 0


class Small:
    """Three CPUs, two devices behind one IOMMU and one behind another, under a driver; every oracle watches."""

    def __init__(self, driver: str = "merged", sets: Sequence[str] = (), text: str = SMALL) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "small.yaml")
            path.write_text(text, encoding="utf-8")
            topology = load(path, driver=driver, sets=sets)
        self.system: System = build(topology, Chooser())
        self.found = Violations(self.system.sim, patience(topology, 0), memory=AllMemory(self.system.bus))
        self.runtime = self.system.runtime
        self.system.start()
        self.wait(1 * MS)
        assert self.system.booted
        self._threads = 0

    @property
    def signatures(self) -> list[str]:
        return list(self.found.signatures)

    def wait(self, ps: int) -> None:
        """Let time pass."""
        self.system.sim.env.run(until=self.system.sim.now + ps)

    def do(self, body: Body, cpu: str = "cpu0", wait_ps: int = 20 * US) -> None:
        """A thread awaits `body`; by default there is enough time for it."""
        self._threads += 1
        self.system.kernel.start(cpu, f"do{self._threads}", body)
        self.wait(wait_ps)

    def dma(self, device: str, iova: int, *, write: bool = False) -> None:
        """One request of 8 bytes, and time to be answered."""
        self.system.masters[device].request(iova, 8, write)
        self.wait(5 * US)

    # --- What threads do ---------------------------------------------------------------------------------------------

    def make(self, domain: str, device: str | None = "nic0") -> None:
        """Make a domain."""
        self.do(_quietly(self.runtime.new_domain(domain, device)))

    def map(self, domain: str, prot: Prot = BOTH) -> tuple[int, int]:
        """Map a page; its IOVA and its address."""
        places: list[int] = []

        async def body() -> None:
            page = await self.runtime.kernel.pages.alloc(purpose="buffer")
            segments = await self.runtime.dma[domain].map_sg([Piece(page, 4096)], prot)
            places.extend((segments[0].address, page))

        self.do(body())
        return places[0], places[1]

    def unmap(self, domain: str, iova: int, *, cpu: str = "cpu0", wait_ps: int = 20 * US) -> None:
        """Unmap a page."""
        self.do(self.runtime.dma[domain].unmap(iova, 4096), cpu, wait_ps)

    def move(self, device: str, domain: str, *, cpu: str = "cpu1", wait_ps: int = 40 * US) -> None:
        """Move a device to a domain."""
        self.do(self.runtime.core.replace(device, self.runtime.place(domain)), cpu, wait_ps)

    def free(self, domain: str) -> None:
        """Free a domain, whatever is mapped there."""
        self.do(self.runtime.free_domain(domain))

    def hand_on(self) -> None:
        """A domain x that nic0 was in goes, and z, where nic1 then is, gets its PSCID."""
        self.make("x")
        self.move("nic0", "x")
        self.move("nic0", "nic0")
        self.free("x")
        self.make("z")
        self.move("nic1", "z")


async def _quietly(body: Body) -> None:
    await body
