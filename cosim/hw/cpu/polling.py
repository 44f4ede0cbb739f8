"""Waiting for registers to change: a loop of reads whose vain rounds are skipped, at no loss of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cosim.hw.cpu.alarms import Alarm
from cosim.hw.cpu.asking import ask_to_read
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread
from cosim.sim.cpu_steps import Delay, Steps, Wait
from cosim.sim.loaded import Loaded, Value
from cosim.sim.operations import MmioRead, Poll, PollEither
from cosim.sim.transport import Access, AccessKind, Target, counts_for


def _nothing() -> None:
    pass


def read_register(
    cpu: Scheduler, thread: Thread, op: MmioRead | Poll, before: Callable[[], None] = _nothing
) -> Steps[tuple[Loaded, int]]:
    """Read a register: half the time there, whatever the device takes, and back. Returns (value, when it took hold).

    `before` is called just before it takes hold.
    """
    read = MmioRead(op.address, op.size, part=op.part)
    yield from cpu.stall(thread, read, op.part)
    access, target = _access(cpu, thread, op)
    yield cpu.costs.there
    done = target.arrive(access, cpu.sim.now)
    if done > cpu.sim.now:
        yield Delay(done - cpu.sim.now)
    value = yield from _take_hold(cpu, thread, access, target, op, before)
    held = cpu.sim.now
    yield cpu.costs.back
    return value, held


def _access(cpu: Scheduler, thread: Thread, op: MmioRead | Poll) -> tuple[Access, Target]:
    access = Access(
        cpu.port,
        AccessKind.READ,
        op.address,
        op.size,
        counts_for(op.part),
        agent=f"{thread.name}.mr",
        owner=thread.name,
    )
    return access, cpu.port.route(op.address, op.size).target


def _take_hold(
    cpu: Scheduler, thread: Thread, access: Access, target: Target, op: MmioRead | Poll, before: Callable[[], None]
) -> Steps[Loaded]:
    if cpu.sim.exploring:
        yield from ask_to_read(cpu, thread, op, access)
    before()
    target.commit(access)
    cpu.perform(thread, MmioRead(access.address, access.size))
    return Loaded(access.value, cpu.sim.now)


def poll(cpu: Scheduler, thread: Thread, op: Poll) -> Steps[Value]:
    """Poll one register."""
    (value,) = yield from _Poller(cpu, thread, (op,)).run()
    return value


def poll_either(cpu: Scheduler, thread: Thread, op: PollEither) -> Steps[tuple[Value, Value]]:
    """Poll two registers in turn."""
    if cpu.sim.exploring and op.place:
        op.first.place = op.second.place = op.place
    first, second = yield from _Poller(cpu, thread, (op.first, op.second)).run()
    return first, second


class _Poller:
    """A loop that reads registers in turn, pauses and starts over.

    A round made in full tells how long one takes (`round_ps`) and when in it each read takes hold (`holds_ps`). The
    next one starts at `next`, and those after it every `period_ps`. Rounds that see no change are not made; one that
    has begun when a register changes is joined where it stands. `changed` is when each register first changed after
    it was last read.
    """

    def __init__(self, cpu: Scheduler, thread: Thread, polls: Sequence[Poll]) -> None:
        self.cpu = cpu
        self.sim = cpu.sim
        self.thread = thread
        self.polls = polls
        self.part = polls[0].part
        self.pause_ps = polls[0].pause_ps
        self.wake_ps = max(1, cpu.options.timing.switch) if polls[0].sleep else 0
        self.deadline = self.sim.now + polls[0].timeout_ps
        self.values: list[Value] = [0] * len(polls)
        self.holds_ps = [0] * len(polls)
        self.round_ps = 0
        self.next = 0
        self.changed: list[int | None] = [None] * len(polls)
        self.hasten: Callable[[], None] | None = None
        targets = [cpu.port.route(poll.address, poll.size).target for poll in polls]
        watches = [getattr(target, "watch", None) for target in targets]
        self.watched = None not in watches
        self.stops = [
            watch(poll.address, self.noticer(index))
            for index, (watch, poll) in enumerate(zip(watches, polls, strict=True))
            if watch is not None
        ]

    def noticer(self, index: int) -> Callable[[], None]:
        """What is called when register `index` changes."""

        def notice() -> None:
            if self.changed[index] is None:
                self.changed[index] = self.sim.now
                if self.hasten is not None:
                    self.hasten()

        return notice

    @property
    def over(self) -> bool:
        changed = any((value ^ poll.seen) & poll.mask for value, poll in zip(self.values, self.polls, strict=True))
        return changed or self.sim.now >= self.deadline

    @property
    def period_ps(self) -> int:
        return self.round_ps + self.pause_ps + self.wake_ps

    def run(self) -> Steps[list[Value]]:
        """The loop; returns the last value of each register."""
        skip = self.skip_asleep if self.polls[0].sleep else self.skip_spinning
        yield from self.read_all()
        while not self.over:
            yield from self.cpu.boundary(self.thread)
            self.next = self.sim.now + self.pause_ps + self.wake_ps
            under_way = yield from skip()
            yield from self.join() if under_way else self.read_all()
        for stop in self.stops:
            stop()
        return self.values

    def read_all(self) -> Steps[None]:
        """A round in full."""
        began = self.sim.now
        for index, poll in enumerate(self.polls):
            self.values[index], held = yield from read_register(self.cpu, self.thread, poll, self.before(index))
            self.holds_ps[index] = held - began
        self.round_ps = self.sim.now - began
        self.thread.spend(self.part, self.sim.now)

    def join(self) -> Steps[None]:
        """The rest of the round that began at `next`: the reads whose time, or whose register's change, is not past."""
        joined = self.sim.now
        for index, poll in enumerate(self.polls):
            held, changed = self.next + self.holds_ps[index], self.changed[index]
            if held >= joined or (changed is not None and held >= changed):
                if held > self.sim.now:
                    yield Delay(held - self.sim.now)
                access, target = _access(self.cpu, self.thread, poll)
                before = self.before(index)
                self.values[index] = yield from _take_hold(self.cpu, self.thread, access, target, poll, before)
        end = self.next + self.round_ps
        if end > self.sim.now:
            yield Delay(end - self.sim.now)
        self.thread.spend(self.part, self.sim.now)

    def before(self, index: int) -> Callable[[], None]:
        """What is called just before a read of register `index` takes hold."""

        def forget() -> None:
            self.changed[index] = None

        return forget

    def due(self) -> int:
        """When the next round starts that is not in vain, as things stand."""
        if not self.watched:
            return self.next
        period = self.period_ps
        rounds = [-(-(self.deadline - self.round_ps - self.next) // period)]
        for changed, hold_ps in zip(self.changed, self.holds_ps, strict=True):
            if changed is not None:
                rounds.append(-(-(changed - self.next - hold_ps) // period))
        return self.next + max(0, min(rounds)) * period

    def skip_spinning(self) -> Steps[bool]:
        """Keep the CPU until the next round that counts; true if it was under way when the change was noticed."""
        cpu, sim, thread = self.cpu, self.sim, self.thread
        while True:
            if self.due() > sim.now:
                self.hasten = lambda: cpu.proceed(max(self.due(), sim.now))
                yield Wait(cpu.slice_limit(thread, self.due()), opened=not thread.handler)
                self.hasten = None
                thread.spend(self.part, sim.now)
            into = sim.now - self.next
            if into >= 0:
                self.next += into // self.period_ps * self.period_ps
                into %= self.period_ps
                if into < self.round_ps:
                    return into > 0
                self.next += self.period_ps
            interrupted = sim.now
            yield from cpu.boundary(thread)
            self.next += sim.now - interrupted

    def skip_asleep(self) -> Steps[bool]:
        """Leave the CPU until the next round that counts; true if it was under way when the change was noticed."""
        cpu, sim, thread = self.cpu, self.sim, self.thread
        roused: int
        alarm: Alarm

        def rouse() -> None:
            nonlocal roused
            self.hasten = None
            roused = sim.now
            self.next = self.due()
            cpu.wake(thread, since=min(roused, self.next - self.wake_ps))

        def hasten() -> None:
            nonlocal alarm
            time = max(sim.now, self.due() - self.wake_ps)
            if time < alarm.time:
                cpu.alarms.call_off(alarm)
                alarm = cpu.alarms.set(time, rouse)

        alarm = cpu.alarms.set(max(sim.now + 1, self.due() - self.wake_ps), rouse)
        self.hasten = hasten
        yield from cpu.fall_asleep(thread, self.part)
        return self.next < sim.now <= roused + 1
