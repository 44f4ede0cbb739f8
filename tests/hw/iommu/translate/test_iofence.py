"""IOFENCE.C: what it waits for, what it stores and signals, and when the head passes it (3.1.2)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.iommu.warl import Reset
from cosim.spec.queues import Iofence, Iotinval
from cosim.spec.register_map import CQCSR, CQH, FCTL, IPSR
from cosim.spec.registers import Capabilities, Cqcsr, Igs
from tests.hw.iommu.harness import System
from tests.hw.iommu.register_bench import DRAM, FLAG, Bench

BOTH = Capabilities.of(version=0x10, sv39=1, pas=46, igs=Igs.BOTH)


def consumer(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.enable()
    return bench


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    av=st.booleans(), wsi=st.integers(0, 1), pr=st.integers(0, 1), pw=st.integers(0, 1), data=st.integers(1, 2**32 - 1)
)
def test_every_combination_of_operands(av: bool, wsi: int, pr: int, pw: int, data: int) -> None:
    """AV stores DATA, WSI sets fence_w_ip, PR and PW are what is waited for; none of them implies another."""
    bench = consumer()
    bench.submit(Iofence.c(pr=pr, pw=pw, wsi=wsi, addr=FLAG if av else None, data=data if av else 0))
    assert bench.translation.done == [("settle", bool(pr), bool(pw))]
    assert bench.memory.peek(FLAG, 4) == (data if av else 0)
    assert bench.registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1, fence_w_ip=wsi)
    assert bench.read(IPSR) == wsi
    assert bench.registers.cqh == 1


class TestCompletion:
    def test_the_head_passes_the_fence_only_when_what_it_orders_is_settled(self) -> None:
        bench = consumer(timing={"fence": 20_000})
        bench.translation.pending.shut()
        bench.submit(Iofence.c(pw=1, addr=FLAG, data=1))
        assert bench.registers.cqh == 0
        assert bench.memory.peek(FLAG, 4) == 0
        settled = bench.sim.now + 1_000_000
        bench.sim.at(settled, 2, bench.translation.pending.open)
        bench.run()
        assert bench.registers.cqh == 1
        assert bench.memory.peek(FLAG, 4) == 1

    def test_the_flag_is_stored_before_the_head_passes_and_the_interrupt_follows(self) -> None:
        bench = consumer(memory_ps=80_000, timing={"interrupt": 100_000})
        seen: list[Any] = []
        bench.memory.watch(FLAG, lambda: seen.append(("flag", bench.sim.now)))
        bench.registers.watch(CQH.offset, lambda: seen.append(("head", bench.sim.now)))
        bench.registers.watch(IPSR.offset, lambda: seen.append(("ipsr", bench.sim.now)))
        bench.submit(Iofence.c(wsi=1, addr=FLAG, data=1))
        assert [what for what, _ in seen] == ["flag", "head", "ipsr"]
        assert bench.wires == [(seen[2][1] + 100_000, 0, True)]

    def test_a_fence_waits_for_the_commands_before_it_and_not_for_those_behind(self) -> None:
        bench = consumer(timing={"invalidate_all": 200_000})
        bench.submit(Iotinval.vma(), Iofence.c(), Iotinval.vma())
        assert [what for _, what, *_ in bench.translation.log] == ["vma", "settle", "vma"]

    def test_the_store_has_four_bytes_and_leaves_its_neighbour(self) -> None:
        bench = consumer()
        bench.memory.poke(FLAG, 8, 0x1111_1111_2222_2222)
        bench.submit(Iofence.c(addr=FLAG + 4, data=0xCAFE_F00D))
        assert bench.memory.peek(FLAG, 8) == 0xCAFE_F00D_2222_2222


class TestMemoryFault:
    def test_a_store_that_memory_refuses_leaves_the_fence_uncompleted_and_clearing_the_bit_repeats_it(self) -> None:
        bench = consumer()
        bench.memory.fault("access_fault", FLAG, 4)
        bench.submit(Iofence.c(wsi=1, addr=FLAG, data=7))
        assert bench.registers.cqh == 0
        assert bench.registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1, cqmf=1)
        bench.memory.clear_faults()
        bench.write(CQCSR, Cqcsr.of(cqen=1, cie=1, cqmf=1))
        assert bench.memory.peek(FLAG, 4) == 7
        assert bench.registers.cqh == 1
        assert bench.registers.cqcsr == Cqcsr.of(cqen=1, cie=1, cqon=1, fence_w_ip=1)

    def test_an_address_beyond_all_memory_is_refused(self) -> None:
        bench = consumer()
        bench.submit(Iofence.c(addr=(1 << 64) - 4, data=7))
        assert bench.registers.cqcsr.cqmf


class TestWiredCompletion:
    def test_fence_w_ip_does_not_stop_the_queue(self) -> None:
        bench = consumer()
        bench.submit(Iofence.c(wsi=1), Iofence.c(wsi=1), Iotinval.vma())
        assert bench.registers.cqh == 3

    def test_wsi_is_illegal_where_interrupts_are_messages(self) -> None:
        bench = Bench(capabilities=BOTH, reset=Reset(fctl=0))
        bench.enable()
        bench.submit(Iofence.c(wsi=1))
        assert bench.registers.cqcsr.cmd_ill
        assert bench.registers.cqh == 0

    def test_and_legal_once_they_are_wires(self) -> None:
        bench = Bench(capabilities=BOTH, reset=Reset(fctl=0))
        bench.write(FCTL, 2)
        bench.enable()
        bench.submit(Iofence.c(wsi=1))
        assert bench.registers.cqcsr.fence_w_ip


@pytest.mark.parametrize("behind", range(4))
def test_the_time_of_a_fence_is_that_of_the_commands_in_front_of_it_and_its_own(behind: int) -> None:
    """A2 of the validation targets: T = the sum of their services + S_fence."""
    bench = Bench(memory_ps=80_000, timing={"command_fetch": 20_000, "invalidate_entry": 40_000, "fence": 30_000})
    bench.enable()
    done: list[int] = []
    bench.registers.watch(CQH.offset, lambda: done.append(bench.sim.now))
    bench.submit(*[Iotinval.vma(addr=DRAM)] * behind, Iofence.c(), rest=False)
    woken = bench.sim.now
    bench.run()
    settle = 0  # the recorder's gate is open
    assert done[-1] == woken + behind * (80_000 + 20_000 + 40_000) + 80_000 + 20_000 + 30_000 + settle


@pytest.mark.parametrize(("first", "second"), [("w", "r"), ("r", "w")])
def test_a_fence_waits_for_the_accesses_that_it_names_and_not_for_as_many_others(first: str, second: str) -> None:
    """The other access is over first, and does not count for the one that is waited for."""
    system = System(memory_ps=80_000)
    system.device().map(0x1000, DRAM)
    system.dma(0x1000, write=True)
    start = system.sim.now + 1_000_000
    system.request(0x1000, write=first == "w", at_ps=start)
    waited = system.request(0x1000, write=second == "w", at_ps=start + 40_000)
    ends = system.fence(pr=second == "r", pw=second == "w", at_ps=start + 60_000)
    system.run()
    assert ends[0] >= system.ended[waited]


def test_a_fence_behind_two_invalidations_of_one_walk_comes_to_its_end() -> None:
    """The second one finds the walk overtaken already, and holds nothing more."""
    system = System(memory_ps=80_000)
    system.device().map(0x1000, DRAM)
    start = system.sim.now + 1_000_000
    request = system.request(0x1000, at_ps=start)
    for delay in (200_000, 210_000):
        system.at(start + delay, lambda: system.invalidate(Iotinval.vma()))
    ends = system.fence(at_ps=start + 220_000)
    system.run()
    assert request in system.ended
    assert ends
    assert system.invalidations.overtaken == 1
