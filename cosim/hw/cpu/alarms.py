"""Alarms of one CPU that can be called off: however many time-outs there are, few of them are scheduled."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from cosim.sim.ranks import Initiator, Stage
from cosim.sim.simulation import Sim


class Alarm:
    """A call at a time, until it is called off. Alarms of the same time go off in the order in which they were set."""

    __slots__ = ("call", "number", "time")

    def __init__(self, time: int, number: int, call: Callable[[], None] | None) -> None:
        self.time = time
        self.number = number
        self.call = call

    def __lt__(self, other: Alarm) -> bool:
        return (self.time, self.number) < (other.time, other.number)


class Alarms:
    """The alarms of one CPU, in a heap of their own; an event is scheduled for the earliest.

    Called-off alarms leave no event behind: a time-out of 90 s that never comes is one event for as many as there
    were, since one that is due later than an event that is already set needs no other.
    """

    __slots__ = ("_called_off", "_events", "_heap", "_initiator", "_number", "_sim")

    def __init__(self, sim: Sim, initiator: Initiator) -> None:
        self._sim = sim
        self._initiator = initiator
        self._heap: list[Alarm] = []
        self._events: list[int] = []  # times of the events that are set, the earliest last
        self._number = 0
        self._called_off = 0

    def set(self, time: int, call: Callable[[], None]) -> Alarm:
        """Have `call` called at `time`; the present is early enough."""
        self._number += 1
        alarm = Alarm(time, self._number, call)
        heappush(self._heap, alarm)
        self._arm()
        return alarm

    def call_off(self, alarm: Alarm) -> None:
        """Forget an alarm that has not gone off; one that has is left alone."""
        if alarm.call is not None:
            alarm.call = None
            self._called_off += 1
            if self._called_off > 64 and 2 * self._called_off > len(self._heap):
                self._heap[:] = [kept for kept in self._heap if kept.call is not None]  # the same list, for `_ring`
                heapify(self._heap)
                self._called_off = 0

    def _arm(self) -> None:
        heap = self._heap
        while heap and heap[0].call is None:
            heappop(heap)
            self._called_off -= 1
        if heap and (not self._events or heap[0].time < self._events[-1]):
            self._events.append(heap[0].time)
            self._sim.schedule(heap[0].time, self._initiator.rank(Stage.CPU), self._ring, None)

    def _ring(self, _: None) -> None:
        now = self._events.pop()
        heap = self._heap
        while heap and heap[0].time <= now:
            alarm = heappop(heap)
            call, alarm.call = alarm.call, None
            if call is None:
                self._called_off -= 1
            else:
                call()
        self._arm()
