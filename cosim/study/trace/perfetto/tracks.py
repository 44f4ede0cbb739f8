"""Which tracks there are: one for each part, below it those of what the part does, and lanes for what overlaps."""

from __future__ import annotations

from cosim.study.trace.perfetto.packets import Packets

RANKS = {
    name: rank
    for rank, name in enumerate(
        ("running", "in flight", "requests", "cq depth", "fq depth", "walkers busy", "commands", "walks", "registers")
    )
}
"""In which order tracks stand below a part; others come after them."""


class Tracks:
    """Tracks by path, made when they are first needed; parts stand in the order of the topology."""

    def __init__(self, packets: Packets, parts: tuple[str, ...]) -> None:
        self.packets = packets
        self._order = {part: rank for rank, part in enumerate(parts)}
        self._parts: dict[str, int] = {}
        self._below: dict[tuple[str, str], int] = {}
        self._lanes: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def of_part(self, part: str) -> int:
        """The track that a part's others are below."""
        if part not in self._parts:
            rank = self._order.get(part, len(self._order))
            self._parts[part] = self.packets.track(part, rank=rank)
        return self._parts[part]

    def below(self, part: str, name: str, *, counts: str = "") -> int:
        """The track `name` of a part."""
        key = part, name
        if key not in self._below:
            rank = RANKS.get(name, len(RANKS))
            self._below[key] = self.packets.track(name, self.of_part(part), counts=counts, rank=rank)
        return self._below[key]

    def of_thread(self, thread: str) -> int:
        """The track of a thread, below its CPU."""
        cpu, _, name = thread.partition(".")
        return self.below(cpu, name) if name else self.of_part(cpu)

    def lane(self, part: str, name: str, began: int, ended: int) -> int:
        """A track `name` of a part on which nothing else is between `began` and `ended`.

        Called in the order of ends: of the tracks that are free, the one that was needed last is taken, so that there
        are as many as overlap at most.
        """
        lanes = self._lanes.setdefault((part, name), [])
        free = [index for index, (_, until) in enumerate(lanes) if until <= began]
        if free:
            index = max(free, key=lambda each: lanes[each][1])
            track = lanes[index][0]
            lanes[index] = track, ended
            return track
        rank = RANKS.get(name, len(RANKS))
        track = self.packets.track(name, self.of_part(part), rank=rank)
        lanes.append((track, ended))
        return track
