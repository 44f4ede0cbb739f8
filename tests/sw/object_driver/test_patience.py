"""A loop that waits for registers is recognised by what it reads, and no sooner than after many rounds."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Poll, PollEither
from cosim.sw.object_driver.patience import ROUNDS, SHARE, Wait

A, B = 0x1000, 0x2000


def rounds(wait: Wait, count: int, *reads: tuple[int, int], step: int = 100, now: int = 0) -> int:
    """So many rounds of reads of (address, value), from `now` on; when the last one was."""
    for _ in range(count):
        for address, value in reads:
            now += step
            wait.read(address, 4, value, now)
    return now


def test_few_rounds_are_made_as_they_are() -> None:
    wait = Wait()
    assert wait.skipped(rounds(wait, ROUNDS, (A, 5)), "mmio") is None


@pytest.mark.parametrize("step", [100, 1])
def test_many_vain_rounds_become_a_poll_of_the_register_that_is_read(step: int) -> None:
    """It ends, however short the rounds are."""
    wait = Wait()
    now = rounds(wait, ROUNDS + 1, (A, 5), step=step)
    poll = wait.skipped(now, "fence")
    assert isinstance(poll, Poll)
    assert (poll.address, poll.seen, poll.size, poll.part) == (A, 5, 4, "fence")
    assert poll.timeout_ps == max(1, (now - step) // SHARE)


def test_a_loop_of_two_registers_ends_with_either() -> None:
    wait = Wait()
    both = wait.skipped(rounds(wait, ROUNDS + 1, (A, 5), (B, 7)), "mmio")
    assert isinstance(both, PollEither)
    assert {(both.first.address, both.first.seen), (both.second.address, both.second.seen)} == {(A, 5), (B, 7)}


def test_what_is_read_in_two_sizes_counts_for_two_registers() -> None:
    wait = Wait()
    for _ in range(ROUNDS + 1):
        for size in (4, 8):
            wait.read(A, size, 5 | size << 32, 0)
    both = wait.skipped(0, "mmio")
    assert isinstance(both, PollEither)
    assert {(poll.address, poll.size) for poll in (both.first, both.second)} == {(A, 4), (A, 8)}


def test_one_round_is_made_between_two_polls() -> None:
    wait = Wait()
    now = rounds(wait, ROUNDS + 1, (A, 5))
    assert wait.skipped(now, "mmio") is not None
    assert wait.skipped(now, "mmio") is None
    wait.read(A, 4, 5, now)
    assert wait.skipped(now, "mmio") is not None


def test_of_a_loop_of_two_registers_a_whole_round_is_made_between_two_polls() -> None:
    wait = Wait()
    now = rounds(wait, ROUNDS + 1, (A, 5), (B, 7))
    assert wait.skipped(now, "mmio") is not None
    for address, value, polls in ((A, 5, False), (B, 7, True)):
        wait.read(address, 4, value, now)
        assert (wait.skipped(now, "mmio") is not None) is polls


def test_a_wait_that_was_long_makes_the_next_one_no_longer() -> None:
    wait = Wait()
    for vain in (3 * ROUNDS, ROUNDS):
        now = rounds(wait, vain + 1, (A, 5))
        assert wait.skipped(now, "mmio") is not None
        assert wait.skipped(now, "mmio") is None
        wait.over()


def test_a_change_and_anything_else_that_is_done_begin_anew() -> None:
    wait = Wait()
    now = rounds(wait, ROUNDS + 1, (A, 5))
    wait.read(A, 4, 6, now)
    assert wait.skipped(now, "mmio") is None
    now = rounds(wait, ROUNDS + 1, (A, 6))
    wait.over()
    assert wait.skipped(now, "mmio") is None


@pytest.mark.parametrize("something_else", [False, True])
def test_a_wait_is_as_patient_as_it_has_been_in_vain(something_else: bool) -> None:
    """It begins with the first read of what is read still."""
    wait = Wait()
    changed = rounds(wait, 10 * ROUNDS, (A, 5)) + 100
    if something_else:
        wait.over()
    now = rounds(wait, ROUNDS + 1, (A, 6), now=changed - 100)
    poll = wait.skipped(now, "mmio")
    assert isinstance(poll, Poll)
    assert (poll.seen, poll.timeout_ps) == (6, (now - changed) // SHARE)


def test_a_loop_of_three_registers_is_not_taken_for_a_wait() -> None:
    wait = Wait()
    assert wait.skipped(rounds(wait, 5 * ROUNDS, (A, 5), (B, 7), (A + 8, 9)), "mmio") is None


def test_a_register_that_joins_others_after_rounds_of_them_begins_the_wait_anew() -> None:
    """As many rounds of both are made as of a loop that has read both from the start."""
    wait = Wait()
    joined = rounds(wait, ROUNDS, (A, 5)) + 100
    wait.read(B, 4, 7, joined)
    now = rounds(wait, ROUNDS, (A, 5), (B, 7), now=joined)
    assert wait.skipped(now, "mmio") is None
    both = wait.skipped(rounds(wait, 1, (A, 5), (B, 7), now=now), "mmio")
    assert isinstance(both, PollEither)
    assert both.first.timeout_ps == (now + 200 - joined) // SHARE
