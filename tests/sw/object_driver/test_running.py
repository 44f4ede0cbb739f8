"""The code of a driver runs on a CPU: what is an operation, what is none, and what the kernel does not survive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.sim.operations import Atomic, Body, Fence, Load, Op, Store
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.object_driver import hart
from cosim.sw.object_driver.loading import load_objects
from cosim.sw.object_driver.running import Running
from cosim.sw.object_driver.structures import Structures
from cosim.units.quantities import MS
from tests.sw.machine import Machine

DRIVER = Path(__file__).parents[2] / "object" / "driver"
IMAGE = load_objects([DRIVER / f"{name}.o" for name in ("queue", "domain", "trouble")])


class Loaded:
    """The small machine with the driver loaded; `asked` are the operations of memory that its code asks for."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.kernel = self.machine.kernel
        self.driver = Running(self.kernel, IMAGE, DriverCosts())
        self.word = self.kernel.static(8)
        self.asked: list[Op[Any]] = []

    def call(self, name: str, *arguments: int) -> int:
        """Call a function, alone; what it returns."""
        return int(self.machine.run(self._watched(self.driver.run(IMAGE.linked.symbols[name], *arguments))))

    def dies(self, name: str, *arguments: int) -> str:
        """Call a function that the kernel does not survive; of what it died."""
        self.machine.start(self.driver.run(IMAGE.linked.symbols[name], *arguments))
        self.machine.go()
        return next(line for line in self.machine.log if line.startswith("oops"))

    async def _watched(self, body: Body) -> Any:
        answer: Any = None
        while True:
            try:
                op = body.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(op, (Load, Store, Atomic, Fence)):
                self.asked.append(op)
            answer = await op


@pytest.fixture
def loaded() -> Loaded:
    return Loaded()


def line_of(text: str, source: str = "trouble.c") -> int:
    lines = (DRIVER / source).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_an_access_that_others_see_is_an_operation_with_its_line(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 0x1234)
    assert loaded.call("trouble_loads", loaded.word) == 0x1234
    assert [(type(op), op.place) for op in loaded.asked] == [(Load, f"trouble.c:{line_of('trouble_loads')}")]


def test_what_is_on_the_stack_is_no_operation_and_costs_instructions(loaded: Loaded) -> None:
    assert loaded.call("trouble_spills", 77) == 77
    assert not loaded.asked
    took = loaded.machine.sim.now
    loaded.driver.costs = DriverCosts(instruction="1 ms")  # type: ignore[arg-type]
    loaded.call("trouble_spills", 77)
    assert loaded.machine.sim.now >= took + 3 * MS


def test_a_compare_and_swap_is_one_atomic_with_its_ordering(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 3)
    assert loaded.call("trouble_swaps", loaded.word, 3, 5) == 3
    assert loaded.call("trouble_swaps", loaded.word, 3, 6) == 5
    assert loaded.machine.memory.read(loaded.word, 8) == 5
    first = next(op for op in loaded.asked if isinstance(op, Atomic))
    assert (first.kind.name, first.acquire, first.release) == ("CAS", False, True)


def test_a_pair_that_acquires_where_it_stores_alone_is_a_load_and_a_swap(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 3)
    assert loaded.call("trouble_swaps_and_acquires", loaded.word, 4, 6) == 3
    assert loaded.call("trouble_swaps_and_acquires", loaded.word, 3, 5) == 3
    assert loaded.machine.memory.read(loaded.word, 8) == 5
    assert [type(op) for op in loaded.asked] == [Load, Load, Atomic]
    assert [getattr(op, "acquire", None) for op in loaded.asked] == [False, False, True]


def test_an_atomic_of_4_bytes_gives_its_old_value(loaded: Loaded) -> None:
    assert loaded.call("trouble_adds", loaded.word) == 0
    assert loaded.call("trouble_adds", loaded.word) & 0xFFFF_FFFF == 0xFFFF_FFFF
    assert loaded.machine.memory.read(loaded.word, 8) == 0xFFFF_FFFE
    atomic = next(op for op in loaded.asked if isinstance(op, Atomic))
    assert (atomic.kind.name, atomic.size, atomic.acquire, atomic.release) == ("ADD", 4, False, True)


def test_an_address_that_was_loaded_orders_the_load_through_it(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, loaded.word)
    loaded.call("trouble_follows", loaded.word)
    first, second = (op for op in loaded.asked if isinstance(op, Load))
    assert not hasattr(first.address, "at")
    assert getattr(second.address, "at", None) is not None


OOPSES = {
    "trouble_jumps": ((0x1000,), "jumps to nowhere: 0x1000 is no instruction"),
    "trouble_loads": ((0x10,), "null pointer dereference: load of 8 bytes at 0x10"),
    "trouble_stores": ((0x8000_0004,), "unaligned store of 8 bytes"),
    "trouble_is_a_bug": ((), "BUG"),
    "trouble_frees_twice": ((), "not in use (freed twice"),
}


@pytest.mark.parametrize("name", OOPSES)
def test_what_the_kernel_does_not_survive_is_an_oops_with_its_line(loaded: Loaded, name: str) -> None:
    arguments, wanted = OOPSES[name]
    told = loaded.dies(name, *arguments)
    assert wanted in told
    if name != "trouble_frees_twice":
        assert f"trouble.c:{line_of(name)}, in {name}" in told


def test_a_loop_without_an_end_is_an_oops(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hart, "PATIENCE", 1000)
    monkeypatch.setattr(hart, "LOOKS", 0xF)
    assert "loops for ever: 1000 instructions" in loaded.dies("trouble_loops")


def test_the_stack_of_another_call_is_out_of_bounds(loaded: Loaded) -> None:
    assert "on the stack of another call" in loaded.dies("trouble_loads", 0xFFFF_FFC8_0005_0000)


def test_a_constant_is_not_stored_to(loaded: Loaded) -> None:
    assert "store to the constant" in loaded.dies("trouble_stores", IMAGE.code.base)


def test_what_was_allocated_and_not_set_faults_when_it_is_read(loaded: Loaded) -> None:
    told = loaded.dies("trouble_reads_what_it_allocated")
    assert f"reads what was allocated at trouble.c:{line_of('*pair = __kmalloc_noprof')} at offset 0x8" in told


def test_a_member_that_the_kernel_did_not_set_faults_when_it_is_read(loaded: Loaded) -> None:
    structures = Structures(loaded.driver)

    async def made() -> int:
        return await structures._new("device")

    device = loaded.machine.run(made())
    assert "reads device.offline, which nobody has set" in loaded.dies("trouble_reads_an_unset_member", device)


def test_sleeping_under_a_spinlock_is_reported(loaded: Loaded) -> None:
    loaded.call("trouble_sleeps_with_a_lock", loaded.word)
    assert "oops: sleeping with interrupts masked" in loaded.machine.log


def test_a_message_is_formatted_as_printk_does(loaded: Loaded) -> None:
    name = next(iter(IMAGE.linked.symbols.values()))
    text = IMAGE.code.data.index(b"this IOMMU interrupts by message only")
    name = IMAGE.code.base + text
    loaded.call("trouble_prints", 0, name)
    wanted = "-3 of 4, 0xff 0x10000000000 18446744073709551615,    42% x"
    assert loaded.machine.log == [f"warning: this IOMMU interrupts by message only\n: {wanted}"]
