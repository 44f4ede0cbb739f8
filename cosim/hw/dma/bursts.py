"""Bursts: phases in which a device makes requests, with phases between them in which it makes none."""

from __future__ import annotations

from cosim.hw.dma.options import PaceOptions
from cosim.sim.stream import Stream

NEVER = 1 << 62


class Bursts:
    """The phases of a device, from its first request on; the first is a burst. `of` makes them, or None for none.

    ```
    burst     off      burst     off        a burst ends after `burst_on`, or after `burst_requests`
    |-------|        |-------|
     r  r  r          r  r  r               requests at an interval: the clock of arrivals stands still while it is off
     rrrrrrr          rrrrrrr               requests as fast as slots allow: none begins while it is off
    ```
    """

    def __init__(self, pace: PaceOptions, stream: Stream) -> None:
        assert pace.burst_off is not None
        self._pace = pace
        self._stream = stream
        self._requests = pace.burst_requests
        self._left = pace.burst_requests or 0
        self._rest = self._ends = -1
        """How much of the present burst is left, or when it ends, in picoseconds; -1 before the first request."""

    @classmethod
    def of(cls, pace: PaceOptions, stream: Stream) -> Bursts | None:
        """Those of a device with this pace."""
        return None if pace.burst_off is None else cls(pace, stream)

    def stretched(self, gap: int) -> int:
        """The time to the next request, which is `gap` of the time in bursts away."""
        found = gap
        if self._rest < 0:
            self._rest = self._on()
        while gap >= self._rest:
            gap -= self._rest
            found += self._off()
            self._rest = self._on()
        self._rest -= gap
        return found + self._counted()

    def held(self, now: int) -> int:
        """How long a request that could be made at `now` has to wait for the next burst; 0 if this is one."""
        if self._ends < 0:
            self._ends = now + self._on()
        begins = now
        while begins >= self._ends:
            following = self._ends + self._off()
            self._ends = following + self._on()
            begins = max(begins, following)
        return begins - now + self._counted()

    def _counted(self) -> int:
        """Count a request; how long it waits if it is the first of a further burst."""
        if self._requests is None:
            return 0
        if self._left:
            self._left -= 1
            return 0
        self._left = self._requests - 1
        return self._off()

    def _on(self) -> int:
        return NEVER if self._pace.burst_on is None else self._length(self._pace.burst_on)

    def _off(self) -> int:
        return self._length(self._pace.burst_off or 0)

    def _length(self, mean: int) -> int:
        return self._stream.exponential(mean) if self._pace.burst_times == "exponential" else mean
