"""How far the counters of a system have come inside the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosim.study.run.window import Window


class Counted:
    """`counters` gives every cumulative counter of the system by its path."""

    __slots__ = ("_before", "_counters")

    def __init__(self, window: Window, counters: Callable[[], Mapping[str, int]]) -> None:
        self._before: Mapping[str, int] = {}
        self._counters = counters
        window.on_open.append(self._opened)

    def since(self) -> dict[str, int]:
        """How far each counter has come since the window opened."""
        return {name: value - self._before.get(name, 0) for name, value in self._counters().items()}

    def _opened(self) -> None:
        self._before = dict(self._counters())
