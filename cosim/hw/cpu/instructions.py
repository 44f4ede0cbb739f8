"""What each operation does to the CPU that executes it: how long it takes, when it takes hold, what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cosim.hw.cpu.parking import park
from cosim.hw.cpu.polling import poll, poll_either, read_register
from cosim.hw.cpu.process import Steps
from cosim.hw.cpu.threads import Thread
from cosim.sim.loaded import Loaded
from cosim.sim.operations import (
    Amo,
    Atomic,
    Fence,
    Instant,
    IrqDisable,
    IrqEnable,
    Load,
    MaskInterrupt,
    Membarrier,
    MmioRead,
    MmioWrite,
    Now,
    OnInterrupt,
    Oops,
    Park,
    Poll,
    PollEither,
    PreemptDisable,
    PreemptEnable,
    Self,
    Sleep,
    Spawn,
    Store,
    StoreBlock,
    ThreadView,
    Work,
)
from cosim.sim.ranks import Stage

if TYPE_CHECKING:
    from cosim.hw.cpu.cpu import Cpu

# --- Memory ----------------------------------------------------------------------------------------------------------


def _load(cpu: Cpu, thread: Thread, op: Load) -> Steps:
    """A load takes hold at its end."""
    if cpu.hart.outgoing.pending:
        yield from cpu.stall(thread, op, "fence_instr")
    yield cpu.sim.now + (cpu.options.timing.load or 1)
    if cpu.sim.exploring:
        yield from cpu.ask(f"{thread.name}.ld", (int(op.address) & -8,), False)
    loaded: Loaded = cpu.perform(thread, op)
    return loaded


def _store(cpu: Cpu, thread: Thread, op: Store) -> Steps:
    """A store goes into the buffer at its end, and takes hold when it leaves that."""
    yield from _issue(cpu, thread, op, cpu.options.timing.store)


def _store_block(cpu: Cpu, thread: Thread, op: StoreBlock) -> Steps:
    yield from _issue(cpu, thread, op, cpu.options.timing.block)


def _mmio_write(cpu: Cpu, thread: Thread, op: MmioWrite) -> Steps:
    """A register write is posted: it reaches its device later."""
    yield from _issue(cpu, thread, op, cpu.options.timing.mmio_write)


def _issue(cpu: Cpu, thread: Thread, op: Store | StoreBlock | MmioWrite, cost_ps: int) -> Steps:
    if cpu.hart.outgoing.pending:
        yield from cpu.stall(thread, op, op.part)
        yield from cpu.make_room(thread, op.part)
    yield cpu.sim.now + (cost_ps or 1)
    cpu.buffer.insert(cpu.perform(thread, op), thread.name)


def _atomic(cpu: Cpu, thread: Thread, op: Atomic) -> Steps:
    """An atomic takes hold at its end, ahead of every load of that time; a compare-and-swap may end with its load."""
    cost = cpu.options.timing.atomic
    if op.kind is Amo.CAS:
        found: Loaded = yield from _load(cpu, thread, op.first_load())
        if op.fails_with(found):
            return found
        cost -= cpu.options.timing.load
    if cpu.hart.outgoing.pending:
        yield from cpu.stall(thread, op, "fence_instr")
    yield cpu.sim.now + max(cost, 1), Stage.MEMORY
    if cpu.sim.exploring:
        yield from cpu.ask(f"{thread.name}.amo", (int(op.address) & -8,), True)
    loaded: Loaded = cpu.perform(thread, op)
    return loaded


def _fence(cpu: Cpu, thread: Thread, op: Fence) -> Steps:
    """A fence does not wait itself: what it keeps back waits."""
    if cpu.hart.outgoing.pending:
        yield from cpu.stall(thread, op, op.part)
    yield cpu.sim.now + (cpu.options.timing.fence or 1)
    cpu.perform(thread, op)


def _membarrier(cpu: Cpu, thread: Thread, op: Membarrier) -> Steps:
    """Every CPU passes a full fence, whose stores have taken hold when this returns; no later load is older."""
    yield cpu.sim.now + (cpu.options.timing.fence or 1)
    yield from cpu.empty_buffers(thread, [cpu])
    yield from cpu.empty_buffers(thread, list(cpu.peers.values()))


# --- Registers -------------------------------------------------------------------------------------------------------


def _mmio_read(cpu: Cpu, thread: Thread, op: MmioRead) -> Steps:
    value, _ = yield from read_register(cpu, thread, op)
    return value


# --- Time and threads ------------------------------------------------------------------------------------------------


def _work(cpu: Cpu, thread: Thread, op: Work) -> Steps:
    yield from cpu.pause(thread, cpu.sim.now + op.duration_ps, op.part)


def _sleep(cpu: Cpu, thread: Thread, op: Sleep) -> Steps:
    if op.duration_ps:
        cpu.alarms.set(cpu.sim.now + op.duration_ps, lambda: cpu.wake(thread))
        yield from cpu.fall_asleep(thread, op.part)
    elif thread.handler:
        raise Oops(f"{thread.name} yields in an interrupt handler")
    else:
        yield cpu.sim.now + 1
        thread.spend(op.part, cpu.sim.now)
        yield from cpu.give_way(thread)


def _spawn(cpu: Cpu, thread: Thread, op: Spawn) -> Steps:
    if op.cpu and op.cpu not in cpu.peers:
        raise ValueError(f"{thread.name} starts {op.name} on {op.cpu}; there are: {', '.join(cpu.peers)}")
    yield cpu.sim.now + (cpu.options.timing.fence or 1)
    yield from cpu.empty_buffers(thread, [cpu])
    target = cpu.peers[op.cpu] if op.cpu else cpu
    view: ThreadView = target.start(op.name, op.body, priority=op.priority)
    return view


# --- Instant: operations that take no time ---------------------------------------------------------------------------


def _now(cpu: Cpu, thread: Thread, op: Now) -> Instant:
    return thread.clock()


def _self(cpu: Cpu, thread: Thread, op: Self) -> ThreadView:
    return thread.view


def _irq_disable(cpu: Cpu, thread: Thread, op: IrqDisable) -> None:
    thread.irq_off += 1


def _irq_enable(cpu: Cpu, thread: Thread, op: IrqEnable) -> None:
    if not thread.irq_off:
        raise RuntimeError(f"{thread.name} enables interrupts more often than it disabled them")
    thread.irq_off -= 1


def _preempt_disable(cpu: Cpu, thread: Thread, op: PreemptDisable) -> None:
    thread.preempt_off += 1


def _preempt_enable(cpu: Cpu, thread: Thread, op: PreemptEnable) -> None:
    if not thread.preempt_off:
        raise RuntimeError(f"{thread.name} enables preemption more often than it disabled it")
    thread.preempt_off -= 1


def _on_interrupt(cpu: Cpu, thread: Thread, op: OnInterrupt) -> None:
    cpu.interrupts.connect(op.vector, op.handler)


def _mask_interrupt(cpu: Cpu, thread: Thread, op: MaskInterrupt) -> None:
    cpu.interrupts.mask(op.vector, op.masked)


INSTRUCTIONS: dict[type, Callable[[Cpu, Thread, Any], Steps]] = {
    Load: _load,
    Store: _store,
    StoreBlock: _store_block,
    Atomic: _atomic,
    Fence: _fence,
    Membarrier: _membarrier,
    MmioRead: _mmio_read,
    MmioWrite: _mmio_write,
    Park: park,
    Poll: poll,
    PollEither: poll_either,
    Work: _work,
    Sleep: _sleep,
    Spawn: _spawn,
}
"""The operations that take time."""

INSTANT: dict[type, Callable[[Cpu, Thread, Any], Any]] = {
    Now: _now,
    Self: _self,
    IrqDisable: _irq_disable,
    IrqEnable: _irq_enable,
    PreemptDisable: _preempt_disable,
    PreemptEnable: _preempt_enable,
    OnInterrupt: _on_interrupt,
    MaskInterrupt: _mask_interrupt,
}
"""Those that take none."""
