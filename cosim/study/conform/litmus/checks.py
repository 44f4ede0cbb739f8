"""What a litmus test must satisfy before it runs: names that resolve, operations that their agent has."""

from __future__ import annotations

from collections.abc import Iterable

from cosim.study.conform.litmus.programs import Instruction, Test

FENCES = frozenset({"fence", "fence.tso"})
HART = frozenset({"load", "store", "amo", "cas", "mmio_store", "mmio_load"}) | FENCES
DEVICE = frozenset({"mmio_recv", "dma_load", "dma_store", "reg_set"})
REGISTER = frozenset({"mmio_store", "mmio_load", "mmio_recv", "reg_set"})
"""The operations on a device's registers, whose locations are called ``device.register``."""
OPERANDS = {
    "fence": ("pred", "succ"),
    "amo": ("kind", "val"),
    "cas": ("expect", "val"),
    **dict.fromkeys(("store", "mmio_store", "dma_store", "reg_set"), ("val",)),
    **dict.fromkeys(("load", "mmio_load", "mmio_recv", "dma_load"), ("reg",)),
}
"""The fields that an operation must have, besides its location."""
_SETS = frozenset("iorw")


def check(test: Test) -> None:
    """ValueError for the first thing that is wrong, with the nearest right answer."""
    known: set[str] = set(test.initial)
    for number, thread in enumerate(test.threads):
        registers: set[str] = set()
        for place, instruction in enumerate(thread):
            where = f"thread {number}, operation {place}"
            ops = DEVICE if number in test.devices else HART
            _one_of(where, "operation", instruction.op, ops)
            if instruction.op not in FENCES:
                _one_of(where, "location", instruction.location, test.initial)
                _fits(where, instruction)
            if not set(instruction.predecessor + instruction.successor) <= _SETS:
                raise ValueError(f"{where}: the sets of a fence are made of i, o, r and w")
            for name in instruction.needs:
                _one_of(where, "register of this thread so far", name, registers)
            if instruction.register:
                if instruction.register in registers:
                    raise ValueError(f"{where}: {instruction.register} has been assigned before")
                registers.add(instruction.register)
        known |= {f"{number}:{register}" for register in registers}
    for name in (*test.observe, *test.filter):
        _one_of("observe", "register or location", name, known)
    for model, outcomes in test.allowed.items():
        for outcome in outcomes:
            if len(outcome) != len(test.observe):
                raise ValueError(
                    f"allowed: {model}: {list(outcome)} has not one value for each of {list(test.observe)}"
                )


def _one_of(where: str, what: str, name: str, choices: Iterable[str]) -> None:
    if name not in choices:
        there = ", ".join(sorted(choices)) or "none"
        raise ValueError(f"{where}: {name or 'nothing'} is no {what}; there are: {there}")


def _fits(where: str, instruction: Instruction) -> None:
    if (instruction.op in REGISTER) != ("." in instruction.location):
        kind = "a register, such as dev.doorbell" if instruction.op in REGISTER else "a word of memory, such as x"
        raise ValueError(f"{where}: {instruction.op} needs {kind}, not {instruction.location}")
