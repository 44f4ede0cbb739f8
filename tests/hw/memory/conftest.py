"""A memory of 1 MiB, and the simulation that it is in."""

from __future__ import annotations

import pytest

from cosim.hw.memory.memory import Memory
from cosim.sim.simulation import Sim
from tests.hw.memory.test_memory import memory_of


@pytest.fixture
def sim() -> Sim:
    return Sim()


@pytest.fixture
def memory(sim: Sim) -> Memory:
    return memory_of(sim)
