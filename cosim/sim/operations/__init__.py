"""The three vocabularies in which models say what they want done; whoever performs it decides when it takes hold.

```
vocabulary            spoken by                    performed by              then

Demand                hardware routines            the executor (plain or
                      `yield demand`               agenda), with `Routine`
  Access              read, write or swap words    routes it to its target   hop, queue, service, hop back
                      at an address                                          of the target; one action
  Server              pass through                 in order of arrival       wait, then the server's latency
  Service             the same, at a duration      likewise                  wait, then that duration
                      of its own
  Gate                take a slot, or wait for     at once if it is free     until somebody hands it over,
                      something to happen                                    plus a tick

Op                    threads: `await op`          the CPU, with `Body`
  Load, Store, ...    memory                       its hart and buffer       `CpuTiming`, and the wait for what
  Atomic, Fence                                                              has to go first; one action each
  Park                wait for a word              likewise                  until the poll that sees the change
  MmioRead, ...       registers of devices         the bus                   there and back; a write is posted
  Poll, PollEither    wait for a register          likewise                  until the read that sees the change
  Work, Sleep, ...    time, threads, interrupts    its run queue             as long as they say
  Touch               the kernel's own state,      the schedule              at once; one action
                      while exploring
  Now, Self, Irq...   what takes no time           the CPU, at once          nothing

Step                  a CPU, in what it does for   the `Sequencer` that
                      an `Op`: `yield step`        the CPU is, with `Steps`
  Delay               let time pass                one event                 exactly its duration
  Wait                wait for a time, or for      an alarm that can be      until then, or until something
                      what ends the wait sooner    called off                comes up
  Leave               give the CPU to the next     the run queue             until the thread is on again
                      thread
```

An `Op` and an `Access` know their `size` in bytes; the place in the source that they come from is found by
`cosim.sim.places`. Python between two of them takes no simulated time, and nobody else acts meanwhile.
"""

from cosim.sim.cpu_steps import Delay, Leave, Step, Steps, Wait
from cosim.sim.demand import Demand
from cosim.sim.operations.memory import Amo, Atomic, Fence, Load, Membarrier, Park, Store, StoreBlock
from cosim.sim.operations.op import Body, Oops, Op
from cosim.sim.operations.registers import MmioRead, MmioWrite, Poll, PollEither
from cosim.sim.operations.scheduling import (
    Instant,
    IrqDisable,
    IrqEnable,
    MaskInterrupt,
    Now,
    OnInterrupt,
    PreemptDisable,
    PreemptEnable,
    Self,
    Sleep,
    Spawn,
    ThreadView,
    Touch,
    Work,
)
from cosim.sim.task import Routine, Subroutine

__all__ = [
    "Amo",
    "Atomic",
    "Body",
    "Delay",
    "Demand",
    "Fence",
    "Instant",
    "IrqDisable",
    "IrqEnable",
    "Leave",
    "Load",
    "MaskInterrupt",
    "Membarrier",
    "MmioRead",
    "MmioWrite",
    "Now",
    "OnInterrupt",
    "Oops",
    "Op",
    "Park",
    "Poll",
    "PollEither",
    "PreemptDisable",
    "PreemptEnable",
    "Routine",
    "Self",
    "Sleep",
    "Spawn",
    "Step",
    "Steps",
    "Store",
    "StoreBlock",
    "Subroutine",
    "ThreadView",
    "Touch",
    "Wait",
    "Work",
]
