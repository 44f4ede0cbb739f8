"""Waiting for a word of memory to change: a loop of loads whose vain rounds are skipped, at no loss of time."""

from __future__ import annotations

from collections.abc import Callable

from cosim.hw.cpu.alarms import Alarm
from cosim.hw.cpu.asking import held, until_allowed
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread
from cosim.hw.memory.memory import Memory
from cosim.sim.cpu_steps import Steps, Wait
from cosim.sim.operations import Load, Park


def park(cpu: Scheduler, thread: Thread, op: Park) -> Steps[bool]:
    """Wait for a word to change, as a loop would whose load takes hold every `poll_ps`."""
    load = Load(op.address, op.size, part=op.part)
    yield from cpu.stall(thread, load, op.part)
    cpu.hart.who = thread.name
    memory = cpu.memory(op.address, op.size)
    memory.judge(thread.name, int(op.address), op.size, write=False)
    parked = _Parked(cpu, thread, op, memory)
    while own := cpu.hart.writes.pending_at(op.address, op.size):
        yield from cpu.await_drain(thread, own, op.part)
    changed = yield from (parked.spin() if op.spin else parked.sleep())
    if cpu.lines is not None:
        yield from cpu.fetch_line(cpu.lines, op)
    if cpu.sim.exploring and (action := held(cpu, thread, load, op)) is not None:
        yield from until_allowed(cpu, thread, load, action)
    cpu.perform(thread, load)
    return changed


class _Parked:
    """A thread that waits for a word: it is polled at `start` + n * `poll_ps`, n >= 1."""

    def __init__(self, cpu: Scheduler, thread: Thread, op: Park, memory: Memory) -> None:
        self.cpu = cpu
        self.sim = cpu.sim
        self.thread = thread
        self.op = op
        self.address = int(op.address)
        self.memory = memory
        self.poll_ps = max(1, op.poll_ps)
        self.start = self.sim.now
        self.deadline = None if op.timeout_ps is None else self.start + op.timeout_ps
        self.alarm: Alarm | None = None

    @property
    def changed(self) -> bool:
        return bool((self.memory.read(self.address, self.op.size) ^ self.op.seen) & self.op.mask)

    @property
    def expired(self) -> bool:
        return self.deadline is not None and self.sim.now >= self.deadline

    def instant(self, time: int) -> int:
        """The first poll instant that is not before `time`."""
        rounds = max(1, -(-(time - self.start) // self.poll_ps))
        return self.start + rounds * self.poll_ps

    def due(self) -> int | None:
        """The next poll instant that is not in vain, as things stand."""
        after = self.sim.now
        if self.changed:
            return self.instant(after)
        return None if self.deadline is None else self.instant(max(after, self.deadline))

    def spin(self) -> Steps[bool]:
        """Keep the CPU; whatever interrupts and other threads take of it delays the instants that follow."""
        cpu, sim, thread = self.cpu, self.sim, self.thread

        def notice() -> None:
            if self.changed:
                cpu.proceed(self.instant(sim.now))

        while True:
            interrupted = sim.now
            yield from cpu.boundary(thread)
            self.start += sim.now - interrupted
            stop = self.memory.watch(self.op.address, notice)
            yield Wait(cpu.slice_limit(thread, self.due()), opened=not thread.handler)
            stop()
            thread.spend(self.op.part, sim.now)
            if sim.now == self.instant(sim.now) and (self.changed or self.expired):
                return self.changed

    def sleep(self) -> Steps[bool]:
        """Leave the CPU until the poll that sees the change, or the time-out."""
        cpu, sim = self.cpu, self.sim
        changed = False

        def notice() -> None:
            if self.changed:
                self.set_alarm(self.instant(sim.now), rouse)

        def rouse() -> None:
            nonlocal changed
            self.alarm = None
            if self.changed or self.expired:
                stop()
                changed = self.changed
                cpu.wake(self.thread)
            else:
                self.set_alarm(self.due(), rouse)

        stop = self.memory.watch(self.op.address, notice)
        self.set_alarm(self.due(), rouse)
        yield from cpu.fall_asleep(self.thread, self.op.part)
        return changed

    def set_alarm(self, time: int | None, call: Callable[[], None]) -> None:
        if time is not None and (self.alarm is None or time < self.alarm.time):
            if self.alarm is not None:
                self.cpu.alarms.call_off(self.alarm)
            self.alarm = self.cpu.alarms.set(time, call)
