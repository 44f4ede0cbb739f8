"""A CPU: one hart in time, the threads that share it, and its interrupts. Of software it knows operations alone.

```
cpu.py                  fetches a thread's next operation and has it carried out
  instructions.py         what each operation does: a table; `parking` and `polling` are the two that wait for a change
  scheduler.py            the run queue: which `thread` runs, until when; interrupts are served between operations
    interrupt_controller    what is pending and masked; `interrupt_file` takes messages from the bus
    timed_hart.py           when accesses take hold, and what they wait for; their `costs` from the CPU's `options`
      hart.py                 order without time: what may take hold, what a load may return (`atomics` computes)
        ordering.py             the rules of a memory model, as data
        pending_writes.py       what has been issued and is not visible yet, and the barriers behind it
      store_buffer.py         when that leaves
      sequencer.py            the CPU's steps in simulated time; `alarms` are the time-outs that are called off
```
"""
