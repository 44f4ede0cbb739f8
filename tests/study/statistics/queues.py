"""Queues of which the mean is known: how long each customer is in them, of many runs at once (Lindley)."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Service = Literal["exponential", "constant"]


def mean(service: Service, load: float) -> float:
    """The mean time in the system, in mean service times (Pollaczek and Khinchine)."""
    waits = load / (1 - load)
    return 1 + (waits if service == "exponential" else waits / 2)


def blocks(service: Service, load: float, *, runs: int, customers: int, of: int) -> npt.NDArray[Any]:
    """The means of `of` blocks of each run, each of which begins with nobody there."""
    chance = np.random.default_rng([runs, customers, round(100 * load), service == "exponential"])
    waited = np.zeros(runs)
    found = np.zeros((of, runs))
    size = customers // of
    for block in found:
        for _ in range(size):
            served = chance.exponential(1.0, runs) if service == "exponential" else 1.0
            block += waited + served
            waited = np.maximum(0, waited + served - chance.exponential(1 / load, runs))
    return found.T / size
