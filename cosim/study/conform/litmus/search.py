"""Every outcome of a litmus test: an exhaustive search over the harts and the memory that runs are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.hart import Hart
from cosim.hw.cpu.ordering import Rules
from cosim.hw.cpu.pending_writes import STORE, PendingWrite
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.executor import Executor
from cosim.sim.loaded import Loaded, at_of
from cosim.sim.operations import Amo, Atomic, Fence, Load, MmioRead, MmioWrite, Op, Store
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.pagetable import PAGE_LG2
from cosim.study.conform.litmus.programs import MEMORY_BASE, Instruction, Outcome, Test

_FOREVER = 1 << 60

HartOf = Callable[[Rules, Callable[[int, int], Memory], Callable[[int], Any]], Hart]


class StillExecutor(Executor):
    """A clock that the search sets: it counts the changes of memory, if loads may ask for the past."""

    def __init__(self, sim: Sim) -> None:
        self.now = 0


class Agent(NamedTuple):
    """A thread between two steps: how far it is, its registers, and its hart (None for a device)."""

    position: int
    registers: tuple[tuple[str, int, int], ...]
    hart: Any


class LitmusState(NamedTuple):
    """Everything between two steps, as a value: equal states have equal futures."""

    now: int
    memory: Any
    devices: tuple[tuple[int, int], ...]
    agents: tuple[Agent, ...]


class Search:
    """All interleavings of a test's threads, of what leaves their buffers, and of the states that their loads return.

    Issuing a store, a posted register write or a fence is seen by nobody, so it is done as soon as it may be; of all
    else, every order is tried from every state, and a state that was met before is not gone into again. A fence with
    writes pending before it is also kept back until they have all left, as it mostly comes in a run.
    """

    def __init__(self, test: Test, rules: Rules, hart: HartOf = Hart) -> None:
        self.test = test
        if rules.total_order and not any(each.op == "mmio_load" for program in test.threads for each in program):
            rules = replace(rules, past=False)  # only a load behind a register read may be stale
        self._tick = int(rules.past)
        self.sim = Sim(executor=StillExecutor)
        self.memory = Memory(self.sim, "memory", MemoryOptions(kind="memory", base=MEMORY_BASE, size="1 MiB"))
        self.port = Bus(self.sim).port("device")
        if rules.past:
            self.memory.remember(_FOREVER)
        self.harts = [
            None if thread in test.devices else hart(rules, lambda address, size: self.memory, _device)
            for thread in range(len(test.threads))
        ]
        self.states = 0
        self._last_read = [
            max((place for place, each in enumerate(program) if each.op in _READS), default=-1)
            for program in test.threads
        ]

    def outcomes(self) -> set[Outcome]:
        """Every outcome that can be reached."""
        found: set[Outcome] = set()
        stack = self.start()
        seen = set(stack)
        while stack:
            state = stack.pop()
            final = True
            for following in self.successors(state):
                final = False
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
            if final and (outcome := self.outcome(state)) is not None:
                found.add(outcome)
        self.states = len(seen)
        return found

    def start(self) -> list[LitmusState]:
        """The initial states: one, but for fences that are issued or kept back."""
        test = self.test
        devices = []
        for location, value in test.initial.items():
            address = test.addresses[location]
            if address >= MEMORY_BASE:
                self.memory.poke(address, 4, value)
            else:
                devices.append((address, value))
        self._set_time(0)
        memory = self.memory.snapshot()
        agents = tuple(Agent(0, (), None if hart is None else hart.snapshot()) for hart in self.harts)
        states = [LitmusState(0, memory, tuple(devices), agents)]
        for thread, agent in enumerate(agents):
            states = [following for state in states for following in self._issued(state, thread, agent)]
        return states

    def _set_time(self, now: int) -> None:
        self.sim.now = now

    # --- Steps -------------------------------------------------------------------------------------------------------

    def successors(self, state: LitmusState) -> Iterator[LitmusState]:
        """The states that one step of one agent leads to."""
        for thread, (agent, hart) in enumerate(zip(state.agents, self.harts, strict=True)):
            if hart is None:
                if agent.position < len(self.test.threads[thread]):
                    yield from self._device_step(state, thread)
                continue
            for entry in agent.hart[0][2]:
                hart.restore(agent.hart)
                if hart.writes.ready(entry):
                    yield from self._leave(state, thread, hart, entry)
            program = self.test.threads[thread]
            if agent.position < len(program) and program[agent.position].op not in _UNSEEN:
                yield from self._execute(state, thread, hart)

    def _leave(self, state: LitmusState, thread: int, hart: Hart, entry: PendingWrite) -> Iterator[LitmusState]:
        """A pending store takes hold in memory, or a register write at its device."""
        agent = state.agents[thread]
        if entry.kind == STORE:
            now = state.now + self._tick
            self._set_time(now)
            self.memory.restore(state.memory)
            hart.drain(entry, now)
            state = state._replace(now=now, memory=self.memory.snapshot())
        else:
            hart.accepted(entry, state.now)
            state = state._replace(devices=_written(state.devices, entry.address, entry.words[0]))
        agent = agent._replace(hart=self._snapshot(thread, hart, agent.position))
        yield from self._issued(state, thread, agent, kept_back=True)

    def _execute(self, state: LitmusState, thread: int, hart: Hart) -> Iterator[LitmusState]:
        """The next instruction, with each past state that it may see."""
        agent = state.agents[thread]
        instruction = self.test.threads[thread][agent.position]
        op = self._operation(instruction, {name: Loaded(value, at) for name, value, at in agent.registers})
        if type(op) is Atomic and op.kind is Amo.CAS:
            yield from self._carry_out(state, thread, hart, op.first_load(), only=op.fails_with)
        yield from self._carry_out(state, thread, hart, op)

    def _carry_out(
        self, state: LitmusState, thread: int, hart: Hart, op: Op[Any], only: Callable[[int], bool] | None = None
    ) -> Iterator[LitmusState]:
        """What the next instruction leads to as `op`, as far as `only` holds of its result."""
        agent = state.agents[thread]
        instruction = self.test.threads[thread][agent.position]
        hart.restore(agent.hart)
        if hart.writes.blockers(op):
            return
        now = state.now + self._tick * (type(op) is Atomic)
        choices, choice = 1, 0
        while choice < choices:
            self._set_time(now)
            self.memory.restore(state.memory)
            if choice:
                hart.restore(agent.hart)
            count = 1

            def pick(n: int, choice: int = choice) -> int:
                nonlocal count
                count = n
                return choice

            result = hart.execute(op, now, pick)
            choices = count
            choice += 1
            following = state
            if type(op) is Atomic:
                following = state._replace(now=now, memory=self.memory.snapshot())
            elif type(op) is MmioRead:
                result = Loaded(dict(state.devices)[op.address], now)
            if only is not None and not only(result):
                continue
            yield from self._issued(following, thread, self._advanced(thread, agent, instruction, result, hart))

    def _issued(
        self, state: LitmusState, thread: int, agent: Agent, *, kept_back: bool = False
    ) -> Iterator[LitmusState]:
        """`state` with the given agent, after it has issued all that nobody sees, up to a fence and with that.

        `kept_back`: a fence that comes first has been, and is so until nothing is pending.
        """
        hart, program = self.harts[thread], self.test.threads[thread]
        if hart is not None:
            restored = False
            while agent.position < len(program) and program[agent.position].op in _UNSEEN:
                instruction = program[agent.position]
                op = self._operation(instruction, {name: Loaded(value, at) for name, value, at in agent.registers})
                if not restored:
                    hart.restore(agent.hart)
                    restored = True
                if hart.writes.blockers(op):
                    break
                if type(op) is Fence and hart.writes.pending:
                    if kept_back:
                        break
                    yield self._with(state, thread, agent)
                kept_back = False
                hart.execute(op, state.now, _newest)
                agent = self._advanced(thread, agent, instruction, None, hart)
        yield self._with(state, thread, agent)

    @staticmethod
    def _with(state: LitmusState, thread: int, agent: Agent) -> LitmusState:
        agents = list(state.agents)
        agents[thread] = agent
        return state._replace(agents=tuple(agents))

    def _snapshot(self, thread: int, hart: Hart, position: int) -> Any:
        return hart.snapshot(reads=position <= self._last_read[thread])

    def _advanced(self, thread: int, agent: Agent, instruction: Instruction, result: Any, hart: Hart | None) -> Agent:
        position = agent.position + 1
        registers = agent.registers
        if instruction.register and result is not None:
            registers = (*registers, (instruction.register, int(result), at_of(result)))
        lasting = self.test.lasting[thread][position]
        kept = tuple((name, value, at if name in lasting else -1) for name, value, at in registers)
        return Agent(position, kept, None if hart is None else self._snapshot(thread, hart, position))

    def _device_step(self, state: LitmusState, thread: int) -> Iterator[LitmusState]:
        agent = state.agents[thread]
        instruction = self.test.threads[thread][agent.position]
        address = self.test.addresses[instruction.location]
        value = instruction.stored({name: known for name, known, _ in agent.registers})
        result: int | None = None
        if instruction.op == "mmio_recv":
            result = dict(state.devices)[address]
        elif instruction.op == "reg_set":
            state = state._replace(devices=_written(state.devices, address, value))
        else:
            self.memory.restore(state.memory)
            now = state.now + self._tick * (instruction.op == "dma_store")
            self._set_time(now)
            if instruction.op == "dma_load":
                access = Access(self.port, AccessKind.READ, address, 4, CountsFor("memory"))
                self.memory.commit(access)
                result = access.value
            else:
                self.memory.commit(Access(self.port, AccessKind.WRITE, address, 4, CountsFor("memory"), (value,)))
                state = state._replace(now=now, memory=self.memory.snapshot())
        yield from self._issued(state, thread, self._advanced(thread, agent, instruction, result, None))

    # --- Meaning -----------------------------------------------------------------------------------------------------

    def _operation(self, instruction: Instruction, registers: dict[str, Loaded]) -> Op[Any]:
        address = self.test.addresses.get(instruction.location, 0)
        return operation(instruction, address, registers)

    def outcome(self, state: LitmusState) -> Outcome | None:
        """What is observed in a final state."""
        if any(agent.position < len(program) for agent, program in zip(state.agents, self.test.threads, strict=True)):
            raise RuntimeError(f"{self.test.name}: stuck at {state}")
        self.memory.restore(state.memory)
        devices = dict(state.devices)
        words = {
            location: self.memory.peek(address, 4) if address >= MEMORY_BASE else devices[address]
            for location, address in self.test.addresses.items()
        }
        return self.test.outcome([{name: value for name, value, _ in agent.registers} for agent in state.agents], words)


_READS = frozenset({"load", "amo", "cas"})
_UNSEEN = frozenset({"store", "fence", "fence.tso", "mmio_store"})


def operation(instruction: Instruction, address: int, registers: dict[str, Loaded]) -> Op[Any]:
    """The CPU's operation for an instruction, its operands carrying what they depend on."""
    if instruction.address_from:
        address = Loaded(address, at_of(*(registers[name] for name in instruction.address_from)))
    value = instruction.stored(registers)
    if instruction.data_from:
        value = Loaded(value, at_of(value, *(registers[name] for name in instruction.data_from)))
    match instruction.op:
        case "load":
            return Load(address, 4, acquire=instruction.acquire)
        case "store":
            return Store(address, value, 4, release=instruction.release)
        case "fence":
            return Fence(instruction.predecessor, instruction.successor)
        case "fence.tso":
            return Fence("rw", "rw", tso=True)
        case "amo" | "cas":
            return Atomic(
                instruction.kind,
                address,
                value,
                4,
                expect=instruction.expect,
                acquire=instruction.acquire,
                release=instruction.release,
            )
        case "mmio_store":
            return MmioWrite(address, value)
        case "mmio_load":
            return MmioRead(address)
    raise ValueError(f"{instruction.op} is no operation of a hart")


def _device(address: int) -> int:
    return address >> PAGE_LG2


def _written(devices: tuple[tuple[int, int], ...], address: int, value: int) -> tuple[tuple[int, int], ...]:
    return tuple((at, value if at == address else old) for at, old in devices)


def _newest(n: int) -> int:
    return 0
