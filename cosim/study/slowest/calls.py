"""The slowest calls of threads, and which threads, commands and readers stood before them wherever they waited."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from cosim import events
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window
from cosim.study.slowest.longest import Longest
from cosim.study.slowest.slow import Slow, Step, joined

COMMANDS = 5_000
"""So many executed commands of each IOMMU are remembered."""


@dataclass(slots=True)
class _Thread:
    """A thread: the calls that it is in, outermost first, the steps of the outermost, and the step that it is in."""

    calls: list[tuple[str, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    part: str = ""
    began: int = 0
    until: int = 0
    lock: tuple[str, int] = "", 0
    """The lock that it asked for last, and its address."""
    iommu: str = ""
    index: int = -1
    """Where it has put its last command."""
    stage: str = ""
    """How far it is with that: *sent* until it has rung the doorbell, *rung* until it has passed its turn on."""


class SlowCalls:
    """Watches the calls that were begun since the window opened, and keeps the slowest of the outermost."""

    def __init__(self, sim: Sim, window: Window, count: int) -> None:
        self._longest = Longest(count)
        self._window = window
        self._threads: defaultdict[str, _Thread] = defaultdict(_Thread)
        self._given: dict[int, tuple[str, int, int]] = {}
        """Who has given a lock back last, since when he had it, and when that was, by the lock's address."""
        self._taken: dict[int, int] = {}
        self._passed: dict[tuple[str, int], int] = {}
        """When the sender of a command has passed its turn on, by the command's place."""
        self._senders: dict[tuple[str, int], str] = {}
        self._executed: defaultdict[str, deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=COMMANDS))
        self._on: defaultdict[str, tuple[str, str]] = defaultdict(lambda: ("", ""))
        """The thread on each CPU, and the one before it."""
        self._handler: dict[str, str] = {}
        self._reader = ""
        for kind, listener in (
            (events.ThreadSpent, self._spent),
            (events.CallBegun, self._begun),
            (events.CallDone, self._done),
            (events.CallAbandoned, self._done),
            (events.LockAsked, self._asked),
            (events.LockTaken, self._took),
            (events.LockGiven, self._gave),
            (events.CommandSent, self._sent),
            (events.CommandExecuted, self._execute),
            (events.Switched, self._switched),
            (events.ReadSectionEnded, self._read),
        ):
            sim.probe(kind).watch(listener)  # type: ignore[arg-type]

    def found(self) -> tuple[Slow, ...]:
        """The slowest first."""
        return self._longest.found()

    # --- What is remembered of others ---------------------------------------------------------------------------------

    def _asked(self, event: events.LockAsked) -> None:
        self._threads[event.who].lock = event.lock_class, event.address

    def _took(self, event: events.LockTaken) -> None:
        self._taken[event.address] = event.time

    def _gave(self, event: events.LockGiven) -> None:
        self._given[event.address] = event.who, self._taken.get(event.address, event.time), event.time

    def _sent(self, event: events.CommandSent) -> None:
        thread = self._threads[event.who]
        thread.iommu, thread.index, thread.stage = event.iommu, event.index, "sent"
        self._passed.pop((event.iommu, event.index), None)
        self._senders[event.iommu, event.index] = event.who

    def _execute(self, event: events.CommandExecuted) -> None:
        sender = self._senders.get((event.who, event.index), "")
        self._executed[event.who].append((event.time, sender))

    def _switched(self, event: events.Switched) -> None:
        before, _ = self._on[event.who]
        self._on[event.who] = event.thread, before

    def _read(self, event: events.ReadSectionEnded) -> None:
        self._reader = event.who

    # --- Threads ------------------------------------------------------------------------------------------------------

    def _spent(self, event: events.ThreadSpent) -> None:
        cpu, _, name = event.who.partition(".")
        if name.startswith("irq"):
            self._handler[cpu] = event.who
        thread = self._threads[event.who]
        if event.part == "mmio" and thread.stage == "sent":
            thread.stage = "rung"
        elif event.part == "ticket" and thread.stage == "rung":
            thread.stage = ""
            self._passed[thread.iommu, thread.index] = event.time
        if not thread.calls:
            return
        if thread.part != event.part or event.part not in ("cpu", "fence_instr", "mmio", "fence"):
            self._settle(event.who, thread)
            thread.part, thread.began = event.part, event.began
        thread.until = event.time

    def _settle(self, name: str, thread: _Thread) -> None:
        """The step that a thread is in has come to its end."""
        if thread.part:
            behind = self._behind(name, thread)
            call = thread.calls[-1][0]
            thread.steps.append(Step(thread.part, thread.began, thread.until - thread.began, behind, call))
        thread.part = ""

    def _behind(self, name: str, thread: _Thread) -> str:
        cpu = name.partition(".")[0]
        match thread.part:
            case "lock":
                lock, address = thread.lock
                giver, since, given = self._given.get(address, ("", 0, 0))
                if giver == name or given < thread.began:
                    return ""
                return f"{giver}, which had {lock} since {since / 1e6:.3f} us"
            case "ticket":
                place = thread.iommu, thread.index - 1
                before = self._senders.get(place, "")
                waited = thread.stage == "sent" and self._passed.get(place, thread.until) > thread.began
                return f"{before}, which had the ticket before" if waited and before not in ("", name) else ""
            case "cq_full" | "fence":
                return self._commands(name, thread)
            case "preempted":
                now, before = self._on[cpu]
                other = before if now == name else now
                return other if other != name else ""
            case "irq":
                return self._handler.get(cpu, "")
            case "rcu":
                return f"{self._reader}, the last reader" if self._reader else ""
        return ""

    def _commands(self, name: str, thread: _Thread) -> str:
        """The commands that were executed while a thread waited, by who has sent them."""
        executed = self._executed[thread.iommu]
        senders = Counter(sender for time, sender in executed if thread.began < time <= thread.until)
        own = senders.pop(name, 0)
        said = [f"{count} of {sender or 'others'}" for sender, count in senders.most_common()]
        if own:
            said.append(f"{own} of its own")
        return f"commands of {thread.iommu}: {', '.join(said)}" if said else ""

    # --- Calls --------------------------------------------------------------------------------------------------------

    def _begun(self, event: events.CallBegun) -> None:
        thread = self._threads[event.who]
        if thread.calls:
            self._settle(event.who, thread)
        thread.calls.append((event.call, event.time))

    def _done(self, event: events.CallDone | events.CallAbandoned) -> None:
        thread = self._threads[event.who]
        if not thread.calls:
            return
        self._settle(event.who, thread)
        call, began = thread.calls.pop()
        if thread.calls:
            return
        steps, thread.steps = thread.steps, []
        if isinstance(event, events.CallDone) and self._window and began >= self._window.opened:
            failed = f"failed with {event.failed}" if event.failed else ""
            ps = event.time - began
            self._longest.offer(ps, lambda: Slow(f"{event.who}.{call}", failed, began, ps, joined(steps)))
