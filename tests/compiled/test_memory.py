"""A run of any length takes no more memory than a short one, also where every request faults: in either form."""

from __future__ import annotations

import pytest

from tests.compiled.test_equal import needs_a_core, printed

PROGRAM = """
import gc, json
from cosim import compiled
from cosim.hw.bus.bus import Bus
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.options import DmaOptions
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.agenda import Agenda
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import SV39, Pte
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Dc, IosatpMode

DRAM, SPAN = 0x8000_0000, 100_000_000
sim = Sim(executor=Agenda)
bus = Bus(sim)
memory = Memory(sim, "dram0", MemoryOptions(kind="memory", base=DRAM, size="1 MiB"))
bus.attach(DRAM, 1 << 20, memory, "dram0")
options = IommuOptions.model_validate({"kind": "iommu", "base": 0, "geometry": {"ddt_levels": 1}})
iommu = Iommu(sim, "iommu0", options, bus.port("iommu0", 10_000), wire=lambda vector, level: None)
root = DRAM + 0x2000  # an empty table: a page fault behind a walk; device 2 has no context at all
for word, value in enumerate(Dc.of(tc=1, ta=1 << 12, fsc=IosatpMode.SV39 << 60 | root >> 12)):
    memory.poke(DRAM + Dc.SIZE + 8 * word, 8, value)
for number in (1, 2):
    traffic = {"size": "64 B", "outstanding": 2}
    made = DmaOptions.model_validate({"kind": "dma", "through": "iommu0", "traffic": traffic})
    DmaMaster(sim, f"nic{number}", made, (number,), iommu.transport).start(0, 1 << 16)
iommu.registers.write(DDTP.offset, 8, Ddtp.of(iommu_mode=IommuMode.LVL1, ppn=DRAM >> 12))

def left():
    gc.collect()
    objects = gc.get_objects()
    return iommu.faults, sum(isinstance(each, Fault) for each in objects), len(objects)

found = []
for end in (1, 2, 4):
    sim.env.run(until=end * SPAN)
    found.append(left())
print(json.dumps([compiled.runs(), found]))
"""


@pytest.mark.parametrize("core", [pytest.param("0", marks=pytest.mark.slow), pytest.param("1", marks=needs_a_core)])
def test_faults_leave_nothing_behind(core: str) -> None:
    faults, alive, objects = zip(*printed(core, PROGRAM), strict=True)
    assert faults[0] > 500, "each request of both devices faults"
    assert faults[2] > 3 * faults[0]
    assert max(alive) <= 8, "of those that are under way"
    assert max(objects[1:]) < objects[0] + 200
