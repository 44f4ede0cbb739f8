"""What the driver and the DMA API tell of their calls, and boot of its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class CallBegun:
    """A driver or DMA API call has begun; `CallDone` follows if it returns, `CallAbandoned` if it dies.

    `spent` is what its thread had spent in each latency part until then.
    """

    time: int
    who: str
    call: str
    spent: Mapping[str, int]


@dataclass(slots=True)
class CallDone:
    """A driver or DMA API call returned; its `parts` add up to ``time - began``."""

    time: int
    who: str
    call: str
    began: int
    parts: Mapping[str, int]
    failed: str


@dataclass(slots=True)
class ThreadSpent:
    """A thread or interrupt handler has spent the time since `began` in latency part `part`."""

    time: int
    who: str
    part: str
    began: int


@dataclass(slots=True)
class CallAbandoned:
    """An oops, or any other error that is no errno, ended a call together with its thread or interrupt handler."""

    time: int
    who: str
    call: str
    began: int


@dataclass(slots=True)
class LineReached:
    """A thread in a compiled driver's code fences, sends a command or calls a function of the kernel at `place`.

    That is ``iommu.c:930, in riscv_iommu_bond_unlink``; of a command it is where the driver asks for it to be sent. It
    is empty when the thread has left the driver.
    """

    time: int
    who: str
    place: str


@dataclass(slots=True)
class RoundFailed:
    """A round of what a thread does has failed with an errno, such as ``ENOMEM``."""

    time: int
    who: str
    error: str


@dataclass(slots=True)
class BootDone:
    """The IOMMUs are probed and the devices attached as the topology says; workloads and masters start."""

    time: int
