"""Interrupts: when handlers run, what keeps them off, what they delay, and how messages become interrupts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cosim.events import ThreadEnded
from cosim.hw.cpu.interrupt_file import InterruptFile
from cosim.sim.operations import (
    Body,
    IrqDisable,
    IrqEnable,
    Load,
    MaskInterrupt,
    Now,
    OnInterrupt,
    Park,
    Self,
    Sleep,
    Store,
    Work,
)
from cosim.sim.ranks import Stage
from cosim.sim.transport import Access, AccessKind, CountsFor, Response
from cosim.units.quantities import NS, US
from tests.hw.machines import Machine, X, Y

LINE = 5


class Bench:
    """A machine with one thread that first connects a handler to `LINE`; `log` has the times at which it ran."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("timing", {"switch": 0})
        self.machine = Machine(**options)
        self.log: list[int] = []

    async def handler(self) -> None:
        self.log.append(self.machine.sim.now // NS)
        self.machine.cpu.wire(LINE, False)

    def run(self, body: Body, handler: Callable[[], Body] | None = None) -> Bench:
        async def main() -> None:
            await OnInterrupt(LINE, handler or self.handler)
            await body

        self.machine.cpu.start("t0", main())
        self.machine.run()
        return self

    def raise_at(self, time: int) -> None:
        self.machine.at(time, lambda: self.machine.cpu.wire(LINE, True), Stage.INTERRUPT)


async def work(*durations: int) -> None:
    for duration in durations:
        await Work(duration)


def test_an_interrupt_stops_a_computing_thread_and_the_handler_begins_after_its_latency() -> None:
    bench = Bench()
    bench.raise_at(5 * US)
    assert bench.run(work(10 * US)).log == [6000]


def test_interrupts_that_come_at_once_are_served_one_after_the_other_before_the_thread_goes_on() -> None:
    bench = Bench()
    served: list[tuple[int, int]] = []

    async def other() -> None:
        served.append((LINE + 1, bench.machine.sim.now // NS))
        bench.machine.cpu.wire(LINE + 1, False)

    async def body() -> None:
        await OnInterrupt(LINE + 1, other)
        await Work(10 * US)

    for vector in (LINE, LINE + 1):
        bench.machine.at(5 * US, lambda vector=vector: bench.machine.cpu.wire(vector, True), Stage.INTERRUPT)
    bench.run(body())
    assert (bench.log, served) == ([6000], [(LINE + 1, 7000)])


def test_a_handler_runs_on_an_idle_cpu() -> None:
    bench = Bench()
    bench.raise_at(50 * US)
    assert bench.run(work(1)).log == [51000]


@pytest.mark.parametrize("how", ["store", "time-out"])
def test_an_idle_cpu_changes_to_a_thread_that_has_woken_meanwhile_when_the_handler_has_ended(how: str) -> None:
    """It is woken while the handler runs, from 6 us to 9 us, and the change takes 2 us."""

    async def handler() -> None:
        bench.machine.cpu.wire(LINE, False)
        if how == "store":
            await Store(X, 1)
        await Work(3 * US)

    async def body() -> None:
        await Park(X, 0, spin=False, timeout_ps=None if how == "store" else 4500 * NS)
        bench.log.append(bench.machine.sim.now // NS)

    bench = Bench(timing={"switch": "2 us", "store": 0})
    bench.raise_at(5 * US)
    bench.run(body(), handler)
    assert bench.log == [11_000]


def test_disabled_interrupts_wait_until_they_are_enabled() -> None:
    async def body() -> None:
        await IrqDisable()
        await IrqDisable()
        await Work(10 * US)
        await IrqEnable()
        await Work(10 * US)
        await IrqEnable()

    bench = Bench()
    bench.raise_at(5 * US)
    assert bench.run(body()).log == [21000]


def test_what_a_handler_takes_is_counted_as_irq() -> None:
    spent: list[dict[str, int]] = []

    async def handler() -> None:
        bench.machine.cpu.wire(LINE, False)
        await Work(3 * US)

    async def body() -> None:
        before = await Now()
        await Work(10 * US)
        spent.append((await Now()).since(before))

    def look() -> None:
        clocks.append(bench.machine.cpu.clocks()["cpu0.t0"].parts)

    bench = Bench()
    clocks: list[Mapping[str, int]] = []
    bench.raise_at(5 * US)
    for at in (11 * US, 13 * US):
        bench.machine.at(at, look)
    bench.run(body(), handler)
    assert spent == [{"cpu": 10 * US, "irq": 4 * US}]
    assert [clock["irq"] for clock in clocks] == [4 * US] * 2, "and not what follows"
    assert clocks[1]["cpu"] - clocks[0]["cpu"] == 2 * US


def test_handlers_do_not_nest_and_a_line_that_stays_high_is_served_again() -> None:
    log: list[str] = []

    async def handler() -> None:
        log.append("in")
        await Work(2 * US)
        log.append("out")
        if len(log) == 6:
            bench.machine.cpu.wire(LINE, False)

    bench = Bench()
    bench.raise_at(5 * US)
    bench.run(work(10 * US), handler)
    assert log == ["in", "out"] * 3


def test_a_masked_line_is_delivered_when_it_is_unmasked_and_still_high() -> None:
    async def handler() -> None:
        await MaskInterrupt(LINE, True)
        bench.log.append(bench.machine.sim.now // NS)

    async def body() -> None:
        await Work(10 * US)
        await MaskInterrupt(LINE, False)
        await Work(1 * US)
        bench.machine.cpu.wire(LINE, False)
        await MaskInterrupt(LINE, False)
        await Work(1 * US)

    bench = Bench()
    bench.raise_at(2 * US)
    assert bench.run(body(), handler).log == [3000, 12000]


def test_messages_that_come_before_the_first_is_taken_are_one() -> None:
    bench = Bench()
    for time in (5000, 5300, 5600):
        bench.machine.at(time * NS, lambda: bench.machine.cpu.message(LINE))
    bench.machine.at(9000 * NS, lambda: bench.machine.cpu.message(LINE))
    assert bench.run(work(20 * US)).log == [6000, 10000]


def test_the_lowest_vector_goes_first() -> None:
    order: list[int] = []

    def noting(vector: int) -> Callable[[], Body]:
        async def handler() -> None:
            order.append(vector)

        return handler

    async def body() -> None:
        for vector in (9, 3, 7):
            await OnInterrupt(vector, noting(vector))
        await IrqDisable()
        for vector in (9, 7, 3):
            bench.machine.cpu.message(vector)
        await IrqEnable()
        await Work(1)

    bench = Bench()
    bench.run(body())
    assert order == [3, 7, 9]


def test_a_message_waits_for_its_handler() -> None:
    async def body() -> None:
        await OnInterrupt(LINE, None)
        bench.machine.cpu.message(LINE)
        await Work(5 * US)
        await OnInterrupt(LINE, bench.handler)
        await Work(5 * US)

    bench = Bench()
    assert bench.run(body()).log == [6000]


def test_a_spinning_thread_takes_interrupts_and_one_with_interrupts_off_does_not() -> None:
    for masked, times in [(False, [3000]), (True, [11002])]:

        async def body(masked: bool = masked) -> None:
            if masked:
                await IrqDisable()
            await Park(X, 0, poll_ps=1000)
            if masked:
                await IrqEnable()
            await Load(X)

        bench = Bench()
        bench.raise_at(2 * US)
        bench.machine.at(10 * US, lambda machine=bench.machine: machine.memory.poke(X, 8, 1))
        bench.run(body())
        assert [time // 1000 for time in bench.log] == [time // 1000 for time in times]


def test_an_interrupt_that_comes_while_a_spin_is_about_to_begin_is_taken_in_it() -> None:
    """The thread first waits for its own store; what comes in meanwhile must not wait for the end of the spin."""

    async def body() -> None:
        await Store(X, 1)
        await Park(X, 1, timeout_ps=50 * US)

    bench = Bench(timing={"switch": 0, "store": "1 us", "drain": "3 us"})
    bench.raise_at(1500 * NS)
    assert bench.run(body()).log[0] < 5000


def test_a_handler_has_a_name_of_its_own() -> None:
    views: list[Any] = []

    async def handler() -> None:
        bench.machine.cpu.wire(LINE, False)
        views.append(await Self())

    bench, ended = Bench(), []
    bench.machine.sim.probe(ThreadEnded).watch(lambda event: ended.append(event.who))
    bench.raise_at(2 * US)
    bench.run(work(5 * US), handler)
    assert views == [("cpu0.irq5", "cpu0")]
    assert ended == ["cpu0.t0"], "a handler that returns is no thread that has ended"


@pytest.mark.parametrize("wait", [Sleep(5), Sleep(0), Park(X, 0, spin=False)])
def test_a_handler_that_sleeps_dies_and_the_thread_goes_on(wait: Any) -> None:
    ended: list[tuple[str, str]] = []

    async def handler() -> None:
        bench.machine.cpu.wire(LINE, False)
        await wait

    bench = Bench()
    bench.machine.sim.probe(ThreadEnded).watch(lambda event: ended.append((event.who, event.reason)))
    bench.raise_at(2 * US)
    bench.run(work(5 * US), handler)
    assert [who for who, _ in ended] == ["cpu0.irq5", "cpu0.t0"]
    assert "in an interrupt handler" in ended[0][1]


def test_a_handlers_loads_are_not_older_than_the_interrupt() -> None:
    """A load that follows a trap cannot have been made before it, whatever the memory model permits otherwise."""
    seen: list[int] = []

    async def handler() -> None:
        bench.machine.cpu.wire(LINE, False)
        await Load(X)
        seen.append(bench.machine.cpu.hart.floor)

    async def body() -> None:
        await Store(Y, 1)
        await Work(5 * US)

    bench = Bench()
    bench.raise_at(2 * US)
    bench.run(body(), handler)
    assert seen[0] == 3 * US + 1


# --- The interrupt file --------------------------------------------------------------------------------------------


def test_a_write_to_the_interrupt_file_is_a_message() -> None:
    bench = Bench()
    machine = bench.machine
    file = InterruptFile(machine.sim, "cpu0.imsic", 0x2800_0000, machine.cpu)
    machine.bus.attach(0x2800_0000, InterruptFile.SIZE, file, "imsic")

    def write(address: int, size: int = 4, value: int = LINE) -> Response:
        access = Access(machine.cpu.port, AccessKind.WRITE, address, size, CountsFor("memory"), (value,))
        machine.bus.target(address).commit(access)
        return access.response

    machine.at(5 * US, lambda: write(0x2800_0000))
    assert bench.run(work(10 * US)).log == [6000]
    assert write(0x2800_0004) is Response.ACCESS_FAULT
    assert write(0x2800_0000, 8) is Response.ACCESS_FAULT
    assert file.messages == 1


def test_the_interrupt_file_reads_as_0_and_refuses_to_be_read_anywhere_else() -> None:
    machine = Bench().machine
    file = InterruptFile(machine.sim, "cpu0.imsic", 0x2800_0000, machine.cpu)
    for offset, response in ((0, Response.OK), (4, Response.ACCESS_FAULT)):
        access = Access(machine.cpu.port, AccessKind.READ, 0x2800_0000 + offset, 4, CountsFor("memory"))
        file.commit(access)
        assert access.response is response
        assert not any(access.words)
        assert file.peek(0x2800_0000 + offset, 4) == 0
    assert file.messages == 0


def test_a_debug_write_beside_the_register_of_the_interrupt_file_is_no_message() -> None:
    bench = Bench()
    file = InterruptFile(bench.machine.sim, "cpu0.imsic", 0x2800_0000, bench.machine.cpu)
    bench.machine.at(4 * US, lambda: file.poke(0x2800_0004, 4, LINE))
    bench.machine.at(5 * US, lambda: file.poke(0x2800_0000, 4, LINE))
    assert bench.run(work(10 * US)).log == [6000]


def test_a_write_of_0_to_the_interrupt_file_is_accepted_and_no_message() -> None:
    """0 is no interrupt's number, and so not that of one with a handler either."""

    async def body() -> None:
        await OnInterrupt(0, bench.handler)
        await Work(10 * US)

    bench = Bench()
    cpu = bench.machine.cpu
    file = InterruptFile(bench.machine.sim, "cpu0.imsic", 0x2800_0000, cpu)
    access = Access(cpu.port, AccessKind.WRITE, 0x2800_0000, 4, CountsFor("memory"), (0,))
    bench.machine.at(5 * US, lambda: file.commit(access))
    bench.machine.at(6 * US, lambda: file.poke(0x2800_0000, 4, 0))
    assert bench.run(body()).log == []
    assert access.response is Response.OK
