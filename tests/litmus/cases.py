"""The litmus tests of this directory, by name and by file, and random ones."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from cosim.sim.operations import Amo
from cosim.study.conform.litmus import Test, load
from cosim.study.conform.litmus.programs import Instruction

DATA = Path(__file__).parent / "data"
FILES = sorted(path.name for path in DATA.glob("*.jsonl"))
MODELS = ("sequential", "tso", "rvwmo")


@cache
def cases_in(file: str) -> tuple[Test, ...]:
    return tuple(load(DATA / file))


@cache
def by_name() -> dict[str, Test]:
    return {test.name: test for file in FILES for test in cases_in(file)}


def length(test: Test) -> int:
    return sum(map(len, test.threads))


def random_test(choose: random.Random, threads: int, length: int) -> Test:
    """A program of loads, stores, atomics, fences and dependencies on two or three locations."""
    locations = ["x", "y"] if choose.random() < 0.7 else ["x", "y", "z"]
    numbers = iter(range(1, 1000))
    programs = [_program(choose, choose.randint(1, length), locations, numbers) for _ in range(threads)]
    observe = [
        f"{number}:{each.register}" for number, program in enumerate(programs) for each in program if each.register
    ]
    return Test(
        name="random",
        shape="random",
        features=(),
        threads=tuple(programs),
        devices=frozenset(),
        initial=dict.fromkeys(locations, 0),
        observe=(*observe, *locations),
        filter={},
        allowed={},
        unreached=None,
    )


def _program(choose: random.Random, length: int, locations: list[str], numbers: object) -> tuple[Instruction, ...]:
    program: list[Instruction] = []
    registers: list[str] = []

    def some(probability: float) -> tuple[str, ...]:
        return tuple(register for register in registers if choose.random() < probability)

    def maybe(probability: float) -> bool:
        return choose.random() < probability

    for _ in range(length):
        op = choose.choice(["load", "load", "store", "store", "amo", "fence", "fence.tso"])
        location, value = choose.choice(locations), next(numbers)  # type: ignore[call-overload]
        name = f"r{len(registers)}"
        if op == "load":
            program.append(
                Instruction(op, location, name, acquire=maybe(0.2), address_from=some(0.25), control_from=some(0.2))
            )
            registers.append(name)
        elif op == "store":
            source = choose.choice(registers) if registers and maybe(0.2) else value
            program.append(
                Instruction(
                    op,
                    location,
                    value=source,
                    release=maybe(0.2),
                    address_from=some(0.2),
                    data_from=some(0.25),
                    control_from=some(0.2),
                )
            )
        elif op == "amo":
            kind = choose.choice([kind for kind in Amo if kind is not Amo.CAS])
            program.append(
                Instruction(
                    op,
                    location,
                    name,
                    -value & 0xFFFF_FFFF if maybe(0.3) else value,
                    kind=kind,
                    acquire=maybe(0.25),
                    release=maybe(0.25),
                    address_from=some(0.1),
                    data_from=some(0.1),
                )
            )
            registers.append(name)
        elif op == "fence":
            sets = ["r", "w", "rw"]
            program.append(Instruction(op, predecessor=choose.choice(sets), successor=choose.choice(sets)))
        else:
            program.append(Instruction(op))
    return tuple(program)
