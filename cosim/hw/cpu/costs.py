"""What operations cost a CPU, as steps that are made once."""

from __future__ import annotations

from cosim.hw.cpu.options import CpuTiming
from cosim.sim.cpu_steps import Delay
from cosim.sim.ranks import Stage


class Costs:
    """The delays of a CPU's `CpuTiming`; each lasts a tick at least.

    An atomic takes hold ahead of every load of its time. A compare-and-swap begins with a load, and `swap` is what is
    left of it then. A register read is half its time on the way `there`, and the rest on the way `back`.
    """

    __slots__ = ("atomic", "back", "block", "fence", "interrupt", "load", "mmio_write", "store", "swap", "there")

    def __init__(self, timing: CpuTiming) -> None:
        self.load = Delay(timing.load)
        self.store = Delay(timing.store)
        self.block = Delay(timing.block)
        self.atomic = Delay(timing.atomic, Stage.MEMORY)
        self.swap = Delay(timing.atomic - timing.load, Stage.MEMORY)
        self.fence = Delay(timing.fence)
        self.mmio_write = Delay(timing.mmio_write)
        self.interrupt = Delay(timing.interrupt)
        whole = max(2, timing.mmio_read)
        self.there = Delay(whole // 2)
        self.back = Delay(whole - whole // 2)
