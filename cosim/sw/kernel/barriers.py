"""The kernel's memory barriers as RISC-V fences (Linux, arch/riscv/include/asm/barrier.h)."""

from cosim.sim.operations import Fence


def smp_mb() -> Fence:
    """A full barrier between CPUs: fence rw,rw."""
    return Fence("rw", "rw")


def smp_rmb() -> Fence:
    """Orders loads: fence r,r."""
    return Fence("r", "r")


def smp_wmb() -> Fence:
    """Orders stores: fence w,w."""
    return Fence("w", "w")


def dma_wmb() -> Fence:
    """Orders stores that a device sees, in memory and in its registers: fence ow,ow."""
    return Fence("ow", "ow")


def dma_rmb() -> Fence:
    """Orders loads of what a device has written: fence ir,ir."""
    return Fence("ir", "ir")


def mmiowb() -> Fence:
    """Orders register writes before a lock's release, or the next CPU's doorbell: fence o,w."""
    return Fence("o", "w")
