"""A CPU: a hart shared by threads, which carries out one operation of a thread after the other."""

from __future__ import annotations

from cosim.events import ThreadEnded
from cosim.hw.cpu.asking import held, until_allowed
from cosim.hw.cpu.instructions import INSTANT, INSTRUCTIONS
from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread
from cosim.sim.cpu_steps import Steps
from cosim.sim.operations import Load, Oops


class Cpu(Scheduler):
    """A CPU with its threads. Of software it knows operations alone; which takes how long, `instructions` say."""

    def life(self, thread: Thread) -> Steps[None]:
        """Run a thread's body to its end, one operation after the other."""
        sim, body, cost, writes = self.sim, thread.body, self.costs.load, self.hart.writes
        answer: object = None
        error: Exception | None = None
        reason = ""
        while True:
            if self._ready or self.interrupts.deliverable is not None:
                yield from self.boundary(thread)
            try:
                op = body.send(answer) if error is None else body.throw(error)
            except StopIteration:
                break
            except Oops as oops:
                reason = str(oops) or "oops"
                break
            answer = error = None
            kind = type(op)
            instruction = INSTRUCTIONS.get(kind)
            if instruction is None:
                if kind in INSTANT:
                    answer = INSTANT[kind](self, thread, op)
                else:  # raised where it was awaited, so that the traceback says where that is
                    error = TypeError(f"{thread.name} awaited {op!r}, which is no operation of a CPU")
                continue
            for call in self.awaited:
                call(thread, op)
            thread.doing = op.part
            try:
                if type(op) is Load and self.lines is None and not writes.pending:  # what comes most often, spelled out
                    yield cost
                    if sim.exploring and (action := held(self, thread, op, op)) is not None:
                        yield from until_allowed(self, thread, op, action)
                    answer = self.perform(thread, op)
                else:
                    answer = yield from instruction(self, thread, op)
            except Oops as oops:
                error = oops
            thread.spend(op.part, sim.now)
        if self.thread_ended and (reason or not thread.handler):
            self.thread_ended(ThreadEnded(sim.now, thread.name, reason))
