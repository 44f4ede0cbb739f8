"""Litmus tests: small programs of several threads, and what may come of them under each memory model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from cosim.sim.operations import Amo
from cosim.spec.pagetable import PAGE

MEMORY_BASE, DEVICE_BASE = 0x8000_0000, 0x0300_0000
_LINE, _WORD = 64, 4

Outcome = tuple[int, ...]
"""The observed values, unsigned, in the order of `Test.observe`."""


@dataclass(frozen=True)
class Instruction:
    """One operation of a thread; `value` is a number or the name of a register of the same thread.

    The registers that its address, its data and the branches before it depend on are those of the same thread.
    """

    op: str
    location: str = ""
    register: str = ""
    value: int | str = 0
    expect: int = 0
    kind: Amo = Amo.SWAP
    acquire: bool = False
    release: bool = False
    predecessor: str = ""
    successor: str = ""
    address_from: tuple[str, ...] = ()
    data_from: tuple[str, ...] = ()
    control_from: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The registers that must be known before it executes."""
        value = (self.value,) if isinstance(self.value, str) else ()
        return (*value, *self.address_from, *self.data_from, *self.control_from)

    def stored(self, registers: Mapping[str, int]) -> int:
        """What it stores, with the registers of its thread as they are then."""
        return registers[self.value] if isinstance(self.value, str) else self.value


@dataclass(frozen=True)
class Test:
    """A program, what is observed when it is over, and what each model allows to be observed.

    `unreached` is how many of the outcomes that RVWMO allows the model of in-order issue (M2) is known to miss; None
    where nobody counted. A state that does not meet `filter` is not looked at.
    """

    __test__ = False

    name: str
    shape: str
    features: tuple[str, ...]
    threads: tuple[tuple[Instruction, ...], ...]
    devices: frozenset[int]
    initial: Mapping[str, int]
    observe: tuple[str, ...]
    filter: Mapping[str, int]
    allowed: Mapping[str, frozenset[Outcome]]
    unreached: int | None

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Where each location lies: memory in lines of their own, the registers of a device in a page of their own."""
        pages: dict[str, int] = {}
        found: dict[str, int] = {}
        for index, location in enumerate(sorted(self.initial)):
            device, _, register = location.partition(".")
            if register:
                page = pages.setdefault(device, DEVICE_BASE + PAGE * len(pages))
                found[location] = page + _WORD * index
            else:
                found[location] = MEMORY_BASE + _LINE * index
        return found

    @cached_property
    def lasting(self) -> tuple[tuple[frozenset[str], ...], ...]:
        """For each thread and position: the registers that a dependency from there on refers to."""
        result = []
        for thread in self.threads:
            needed: frozenset[str] = frozenset()
            backwards = [needed]
            for instruction in reversed(thread):
                needed |= {*instruction.address_from, *instruction.data_from}
                backwards.append(needed)
            result.append(tuple(reversed(backwards)))
        return tuple(result)

    def outcome(self, registers: list[dict[str, int]], words: Mapping[str, int]) -> Outcome | None:
        """The observed values of a final state; None if the filter excludes it."""

        def value(name: str) -> int:
            thread, colon, register = name.partition(":")
            return int(registers[int(thread)][register] if colon else words[name])

        if any(value(name) != wanted for name, wanted in self.filter.items()):
            return None
        return tuple(value(name) for name in self.observe)

    def show(self, outcome: Outcome) -> str:
        """``0:r0=1 y=-2``: words are shown as signed numbers."""
        signed = [value - (value >> 31 << 32) for value in outcome]
        return " ".join(f"{name}={value}" for name, value in zip(self.observe, signed, strict=True))
