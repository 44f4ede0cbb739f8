"""Threaded interrupts, on the small machine and on real CPUs."""

from __future__ import annotations

import pytest

from cosim.events import InterruptServed
from cosim.sim.operations import Oops, Sleep, Work
from cosim.sw.kernel.irq import RUN, IrqReturn
from cosim.units.quantities import MS, US, S
from tests.sw.machine import Machine

MODELS = ["", "rvwmo"]
VECTOR = 17


class Source:
    """A device that raises a level interrupt until its thread has served it."""

    def __init__(self, machine: Machine, *, takes: int = 20 * US, answer: IrqReturn = IrqReturn.WAKE_THREAD) -> None:
        self.machine = machine
        self.takes = takes
        self.answer = answer
        self.level = False
        self.hard = self.served = 0
        self.inside = 0
        self.beside: list[Source] = []
        """Those that share the wire: it is high while one of them is."""

    def set(self, level: bool) -> None:
        self.level = level
        self.machine.cpus["cpu0"].wire(VECTOR, any(source.level for source in (self, *self.beside)))

    async def handle(self) -> IrqReturn:
        self.hard += 1
        if not self.level:
            return IrqReturn.NONE
        if self.answer is IrqReturn.HANDLED:
            self.set(False)
        return self.answer

    async def serve(self) -> None:
        assert not self.inside, "a thread never runs twice at the same time"
        self.inside += 1
        await Sleep(self.takes)
        self.set(False)
        self.served += 1
        self.inside -= 1


def test_it_is_told_when_a_handler_and_its_thread_have_done_their_work() -> None:
    machine = Machine()
    source = Source(machine)
    told: list[tuple[str, int]] = []
    machine.sim.probe(InterruptServed).watch(lambda event: told.append((event.who, event.time - event.began)))

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        source.set(True)
        await Sleep(1 * MS)

    machine.run(body())
    assert [who for who, _ in told] == ["cpu0.irq17", "cpu0.irq17-iommu"]
    assert told[0][1] < source.takes <= told[1][1]


@pytest.mark.parametrize("model", MODELS)
def test_a_level_interrupt_is_served_once_by_its_thread_and_masked_until_then(model: str) -> None:
    machine = Machine(model=model)
    source = Source(machine)

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        for expected in range(1, 4):
            source.set(True)
            await Sleep(1 * MS)
            assert (source.hard, source.served) == (expected, expected)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert source.served == 3
    assert not machine.log


@pytest.mark.parametrize("model", MODELS)
def test_a_message_that_comes_while_the_thread_runs_has_it_run_once_more(model: str) -> None:
    machine = Machine(model=model)
    source = Source(machine, takes=50 * US)
    hard: list[bool] = []

    async def wakes() -> IrqReturn:
        hard.append(bool(source.inside))
        return IrqReturn.WAKE_THREAD

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", wakes, source.serve)
        for _ in range(2):
            machine.cpus["cpu0"].message(VECTOR)
            await Sleep(20 * US)
            assert source.inside

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert hard == [False] * 2, "the line is masked meanwhile"
    assert source.served == 2


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_that_is_woken_while_it_runs_runs_once_more(model: str) -> None:
    """By whoever sets its word, as irq_wake_thread of Linux: the line is masked."""
    machine = Machine(model=model)
    source = Source(machine)

    async def body() -> None:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        source.set(True)
        await Sleep(10 * US)
        assert source.inside
        await action.state.wanted.fetch_or(RUN)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert (source.hard, source.served) == (1, 2)


@pytest.mark.parametrize("model", MODELS)
def test_a_hard_handler_that_serves_by_itself_wakes_no_thread(model: str) -> None:
    machine = Machine(model=model)
    source = Source(machine, answer=IrqReturn.HANDLED)

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        source.set(True)
        await Sleep(1 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert (source.hard, source.served) == (1, 0)


@pytest.mark.parametrize("model", MODELS)
def test_a_shared_line_is_unmasked_by_the_last_of_its_threads(model: str) -> None:
    machine = Machine(model=model)
    first, second = Source(machine, takes=10 * US), Source(machine, takes=300 * US)
    first.beside, second.beside = [second], [first]

    async def body() -> None:
        request = machine.kernel.irq.request
        await request("cpu0", VECTOR, "cq", first.handle, first.serve)
        await request("cpu0", VECTOR, "fq", second.handle, second.serve)
        first.level = True
        second.set(True)
        await Sleep(2 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert (first.served, second.served) == (1, 1)
    assert (first.hard, second.hard) == (1, 1), "no storm while the slower one still worked"


@pytest.mark.parametrize("model", MODELS)
def test_freeing_waits_for_the_thread_and_nothing_runs_afterwards(model: str) -> None:
    machine = Machine(model=model)
    source = Source(machine, takes=500 * US)

    async def body() -> None:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        source.set(True)
        await Sleep(100 * US)
        assert source.inside
        await machine.kernel.irq.free(action)
        assert (source.inside, source.served) == (0, 1)
        source.set(True)
        await Sleep(1 * MS)
        assert source.hard == 1
        assert not machine.kernel.pages.in_use()

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert source.served == 1
    assert not machine.log


@pytest.mark.parametrize("model", MODELS)
def test_who_requests_or_frees_an_interrupt_leaves_the_cpu_to_its_thread_and_to_others(model: str) -> None:
    machine = Machine(model=model)
    source = Source(machine, takes=500 * US)
    seen: list[int] = []

    async def other() -> None:
        seen.append(source.inside)

    async def body() -> None:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        source.set(True)
        await Sleep(100 * US)
        await machine.kernel.spawn("other", other(), "cpu0")
        await machine.kernel.irq.free(action)
        seen.append(source.inside)

    machine.start(body(), cpu="cpu0")
    machine.go(until=1 * S)
    assert seen == [1, 0]


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_that_was_woken_before_its_action_was_freed_runs_once_more_and_unmasks_the_line(model: str) -> None:
    machine = Machine(model=model)
    freed, other = Source(machine), Source(machine)
    freed.beside, other.beside = [other], [freed]

    async def busy() -> None:
        async with machine.kernel.preempt_off():
            for _ in range(100):
                await Work(1 * US)

    async def body() -> None:
        request = machine.kernel.irq.request
        action = await request("cpu0", VECTOR, "cq", freed.handle, freed.serve)
        await request("cpu0", VECTOR, "fq", other.handle, other.serve)
        await machine.kernel.spawn("busy", busy(), "cpu0")
        await Sleep(20 * US)
        freed.set(True)
        await Sleep(20 * US)
        assert (freed.hard, freed.served) == (1, 0), "its thread waits for the CPU"
        await machine.kernel.irq.free(action)
        assert freed.served == 1
        other.set(True)
        await Sleep(1 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert (freed.served, other.served) == (1, 1)
    assert not machine.log


def test_a_line_can_be_requested_again_after_it_was_freed() -> None:
    machine = Machine(model="rvwmo")
    source = Source(machine)

    async def body() -> None:
        for _ in range(2):
            action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
            source.set(True)
            await Sleep(1 * MS)
            await machine.kernel.irq.free(action)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert source.served == 2


def test_the_handlers_thread_takes_the_cpu_from_one_that_computes() -> None:
    machine = Machine(model="rvwmo")
    source = Source(machine, takes=0)
    served_at: list[int] = []

    async def compute() -> None:
        await Work(3 * MS)

    async def serve() -> None:
        await source.serve()
        served_at.append(machine.sim.now)

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, serve)
        await machine.kernel.spawn("compute", compute(), "cpu0")
        await Sleep(1 * MS)
        source.set(True)
        served_at.append(machine.sim.now)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert served_at[1] - served_at[0] < 10 * US


def test_a_line_that_nobody_cares_for_is_given_up() -> None:
    machine = Machine(model="rvwmo")
    source = Source(machine)

    async def body() -> None:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", source.handle, source.serve)
        action.line.unhandled = 99_800
        machine.cpus["cpu0"].wire(VECTOR, True)
        await Sleep(100 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert source.hard == 100
    assert machine.log == ["error: irq 17: nobody cared; the line is disabled"]


@pytest.mark.parametrize("place", [0, 1])
def test_an_interrupt_that_one_of_those_on_its_line_takes_ends_the_row_of_those_that_nobody_takes(place: int) -> None:
    machine = Machine()
    sources = [Source(machine), Source(machine)]
    taker = sources[place]

    async def body() -> None:
        request = machine.kernel.irq.request
        action, _ = [await request("cpu0", VECTOR, "iommu", source.handle, source.serve) for source in sources]
        assert VECTOR in machine.cpus["cpu0"].handlers, "it is served from here on"
        action.line.unhandled = 99_899
        taker.set(True)
        await Sleep(1 * MS)
        assert (taker.served, action.line.unhandled) == (1, 0)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert [(source.hard, source.served) for source in sources] == [(1, int(source is taker)) for source in sources]
    assert not machine.log


def test_an_oops_in_a_hard_handler_is_logged_and_ends_it() -> None:
    machine = Machine(model="rvwmo")
    inside: list[bool] = []

    async def dies() -> IrqReturn:
        inside.append(machine.kernel.atomic("cpu0"))
        raise Oops("null pointer")

    async def body() -> None:
        source = Source(machine)
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", dies, source.serve)
        machine.cpus["cpu0"].message(VECTOR)
        await Sleep(1 * MS)
        inside.append(machine.kernel.atomic("cpu0"))

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert machine.log == ["oops: in interrupt: null pointer"]
    assert inside == [True, False], "the CPU is in a handler no longer"


@pytest.mark.parametrize("model", MODELS)
def test_sleeping_in_a_hard_handler_is_reported(model: str) -> None:
    machine = Machine(model=model)

    async def sleepy() -> IrqReturn:
        machine.kernel.must_be_able_to_sleep(await machine.kernel.context(), "sleeping")
        return IrqReturn.HANDLED

    async def body() -> None:
        source = Source(machine)
        await machine.kernel.irq.request("cpu0", VECTOR, "iommu", sleepy, source.serve)
        machine.cpus["cpu0"].message(VECTOR)
        await Sleep(1 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert machine.log == ["oops: sleeping in an interrupt handler"]
