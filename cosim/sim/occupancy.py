"""The number in a system over time, and Little's law as an exact invariant of a run."""

from __future__ import annotations


class Occupancy:
    """Counts who is inside, always, in a few additions for each visit.

    Little's law: over any window the integral of the number inside equals the sum of the residence times, clipped to
    the window. The two are counted apart, the integral by the clock and the residences as the visitors measured them
    (as sums of their latency parts), so that they are equal only if nobody was lost and every part was counted.
    """

    __slots__ = (
        "_before",
        "_changed",
        "_opened",
        "_since",
        "inside",
        "integral",
        "left",
        "most",
        "residence",
    )

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.left = 0
        self.integral = 0
        """Of the number inside, in picoseconds, up to the last change."""
        self.residence = 0
        """Of those who have left, in picoseconds, whenever they entered."""
        self._changed = 0
        self._since = 0
        self._opened = 0
        self._before = 0

    def enter(self, now: int) -> None:
        """One more from `now` on."""
        self.integral += self.inside * (now - self._changed)
        self._changed = now
        self._since += now
        self.inside += 1
        if self.inside > self.most:
            self.most = self.inside

    def leave(self, now: int, since: int, residence_ps: int) -> None:
        """One less from `now` on, who entered at `since` and says that it took `residence_ps`."""
        self.integral += self.inside * (now - self._changed)
        self._changed = now
        self._since -= since
        self.left += 1
        self.inside -= 1
        self.residence += residence_ps

    def open(self, now: int) -> None:
        """Begin the window here (the end of a warm-up); what was before no longer counts."""
        self._changed = self._opened = now
        self._before = self.inside * now - self._since
        self.integral = self.residence = self.left = 0
        self.most = self.inside

    def law(self, now: int) -> tuple[int, int]:
        """The two sides of Little's law from the window's opening to `now`: integral and clipped residences."""
        integral = self.integral + self.inside * (now - self._changed)
        return integral, self.residence + self.inside * now - self._since - self._before

    def mean(self, now: int) -> float:
        """The mean number inside, from the window's opening to `now`."""
        return self.law(now)[0] / (now - self._opened) if now > self._opened else 0.0
