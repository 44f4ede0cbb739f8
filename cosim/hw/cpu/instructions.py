"""What each operation does to the CPU that executes it: how long it takes, when it takes hold, what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from cosim.hw.cpu.asking import held, place_of, touch, until_allowed
from cosim.hw.cpu.parking import park
from cosim.hw.cpu.polling import poll, poll_either, read_register
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread
from cosim.sim.cpu_steps import Delay, Steps
from cosim.sim.loaded import Loaded, Value
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
    Op,
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
    Touch,
    Work,
)

_TICK = Delay(1)

# --- Memory ----------------------------------------------------------------------------------------------------------


def _load(cpu: Scheduler, thread: Thread, op: Load, whole: Atomic | None = None) -> Steps[Value]:
    """A load takes hold at its end; it is what the thread has awaited, or part of the `whole`."""
    writes = cpu.hart.writes
    if writes.pending and writes.blockers(op):
        yield from cpu.stall(thread, op, "fence_instr")
    yield cpu.costs.load
    if cpu.lines is not None:
        yield from cpu.fetch_line(cpu.lines, whole or op)
    if cpu.sim.exploring and (action := held(cpu, thread, op, whole or op)) is not None:
        yield from until_allowed(cpu, thread, op, action)
    return cpu.perform(thread, op)


def _store(cpu: Scheduler, thread: Thread, op: Store) -> Steps[None]:
    """A store goes into the buffer at its end, and takes hold when it leaves that."""
    return _issue(cpu, thread, op, cpu.costs.store)


def _store_block(cpu: Scheduler, thread: Thread, op: StoreBlock) -> Steps[None]:
    return _issue(cpu, thread, op, cpu.costs.block)


def _mmio_write(cpu: Scheduler, thread: Thread, op: MmioWrite) -> Steps[None]:
    """A register write is posted: it reaches its device later."""
    return _issue(cpu, thread, op, cpu.costs.mmio_write)


def _issue(cpu: Scheduler, thread: Thread, op: Store | StoreBlock | MmioWrite, cost: Delay) -> Steps[None]:
    writes = cpu.hart.writes
    if writes.pending:
        if writes.blockers(op):
            yield from cpu.stall(thread, op, op.part)
        if cpu.buffer.full:
            yield from cpu.make_room(thread, op.part)
    yield cost
    cpu.buffer.insert(cpu.perform(thread, op), thread.name, place_of(cpu, thread, op), op)


def _atomic(cpu: Scheduler, thread: Thread, op: Atomic) -> Steps[Loaded]:
    """An atomic takes hold at its end, ahead of every load of that time; a compare-and-swap may end with its load."""
    cost = cpu.costs.atomic
    if op.kind is Amo.CAS:
        found = yield from _load(cpu, thread, op.first_load(), op)
        if op.fails_with(found):
            return found if type(found) is Loaded else Loaded(found, -1)
        cost = cpu.costs.swap
    writes = cpu.hart.writes
    if writes.pending and writes.blockers(op):
        yield from cpu.stall(thread, op, "fence_instr")
    yield cost
    if cpu.lines is not None:
        yield from cpu.fetch_line(cpu.lines, op)
    if cpu.sim.exploring and (action := held(cpu, thread, op, op)) is not None:
        yield from until_allowed(cpu, thread, op, action)
    loaded: Loaded = cpu.perform(thread, op)
    return loaded


def _fence(cpu: Scheduler, thread: Thread, op: Fence) -> Steps[None]:
    """A fence does not wait itself: what it keeps back waits."""
    writes = cpu.hart.writes
    if writes.pending and writes.blockers(op):
        yield from cpu.stall(thread, op, op.part)
    yield cpu.costs.fence
    cpu.perform(thread, op)


def _membarrier(cpu: Scheduler, thread: Thread, op: Membarrier) -> Steps[None]:
    """Every CPU passes a full fence, whose stores have taken hold when this returns; no later load is older."""
    yield cpu.costs.fence
    yield from cpu.empty_buffers(thread, [cpu])
    yield from cpu.empty_buffers(thread, list(cpu.peers.values()))


# --- Registers -------------------------------------------------------------------------------------------------------


def _mmio_read(cpu: Scheduler, thread: Thread, op: MmioRead) -> Steps[Loaded]:
    value, _ = yield from read_register(cpu, thread, op)
    return value


# --- Time and threads ------------------------------------------------------------------------------------------------


def _work(cpu: Scheduler, thread: Thread, op: Work) -> Steps[None]:
    yield from cpu.pause(thread, cpu.sim.now + op.duration_ps, op.part)


def _sleep(cpu: Scheduler, thread: Thread, op: Sleep) -> Steps[None]:
    if op.duration_ps:
        cpu.alarms.set(cpu.sim.now + op.duration_ps, lambda: cpu.wake(thread))
        yield from cpu.fall_asleep(thread, op.part)
    elif thread.handler:
        raise Oops(f"{thread.name} yields in an interrupt handler")
    else:
        yield _TICK
        thread.spend(op.part, cpu.sim.now)
        yield from cpu.give_way(thread)


def _spawn(cpu: Scheduler, thread: Thread, op: Spawn) -> Steps[ThreadView]:
    if op.cpu and op.cpu not in cpu.peers:
        raise ValueError(f"{thread.name} starts {op.name} on {op.cpu}; there are: {', '.join(cpu.peers)}")
    yield cpu.costs.fence
    yield from cpu.empty_buffers(thread, [cpu])
    target = cpu.peers[op.cpu] if op.cpu else cpu
    return target.start(op.name, op.body, priority=op.priority)


# --- Instant: operations that take no time ---------------------------------------------------------------------------


def _now(cpu: Scheduler, thread: Thread, op: Now) -> Instant:
    return thread.clock()


def _self(cpu: Scheduler, thread: Thread, op: Self) -> ThreadView:
    return thread.view


def _irq_disable(cpu: Scheduler, thread: Thread, op: IrqDisable) -> None:
    thread.irq_off += 1


def _irq_enable(cpu: Scheduler, thread: Thread, op: IrqEnable) -> None:
    if not thread.irq_off:
        raise RuntimeError(f"{thread.name} enables interrupts more often than it disabled them")
    thread.irq_off -= 1


def _preempt_disable(cpu: Scheduler, thread: Thread, op: PreemptDisable) -> None:
    thread.preempt_off += 1


def _preempt_enable(cpu: Scheduler, thread: Thread, op: PreemptEnable) -> None:
    if not thread.preempt_off:
        raise RuntimeError(f"{thread.name} enables preemption more often than it disabled it")
    thread.preempt_off -= 1


def _on_interrupt(cpu: Scheduler, thread: Thread, op: OnInterrupt) -> None:
    cpu.connect(thread, op)


def _mask_interrupt(cpu: Scheduler, thread: Thread, op: MaskInterrupt) -> None:
    cpu.mask(thread, op)


OP = TypeVar("OP", bound=Op[object])

Instruction = Callable[[Scheduler, Thread, Op[object]], Steps[object]]
AtOnce = Callable[[Scheduler, Thread, Op[object]], object]


def _row(
    kind: type[OP], instruction: Callable[[Scheduler, Thread, OP], Steps[object]]
) -> tuple[type[Op[object]], Instruction]:
    """A row of a table that is asked for the type of the operand, so that an instruction gets none of another type."""
    return kind, cast(Instruction, instruction)


def _at_once(kind: type[OP], call: Callable[[Scheduler, Thread, OP], object]) -> tuple[type[Op[object]], AtOnce]:
    return kind, cast(AtOnce, call)


INSTRUCTIONS: Mapping[type[Op[object]], Instruction] = dict(
    (
        _row(Load, _load),
        _row(Store, _store),
        _row(StoreBlock, _store_block),
        _row(Atomic, _atomic),
        _row(Fence, _fence),
        _row(Membarrier, _membarrier),
        _row(MmioRead, _mmio_read),
        _row(MmioWrite, _mmio_write),
        _row(Park, park),
        _row(Poll, poll),
        _row(PollEither, poll_either),
        _row(Work, _work),
        _row(Sleep, _sleep),
        _row(Spawn, _spawn),
        _row(Touch, touch),
    )
)
"""The operations that take time, if only where a schedule says so."""

INSTANT: Mapping[type[Op[object]], AtOnce] = dict(
    (
        _at_once(Now, _now),
        _at_once(Self, _self),
        _at_once(IrqDisable, _irq_disable),
        _at_once(IrqEnable, _irq_enable),
        _at_once(PreemptDisable, _preempt_disable),
        _at_once(PreemptEnable, _preempt_enable),
        _at_once(OnInterrupt, _on_interrupt),
        _at_once(MaskInterrupt, _mask_interrupt),
    )
)
"""Those that take none."""
