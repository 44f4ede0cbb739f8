"""The measured window of a run: when it opens, and who is told."""

from __future__ import annotations

from collections.abc import Callable

from cosim.events import BootDone
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sw.runtime import Origin


class Window:
    """It opens at the end of the warm-up, never before that of boot, and closes with the run. Times are picoseconds.

    `boot_ps` is when boot ended, `opens` when the window is to open, `opened` when that has happened; each is -1 until
    it is known. `on_open` is called when it opens. `warmup_ps` may be changed up to the end of boot.
    """

    __slots__ = ("_origin", "_sim", "boot_ps", "on_open", "opened", "opens", "warmup_ps")

    def __init__(self, sim: Sim, warmup_ps: int, origin: Origin) -> None:
        self.boot_ps = self.opens = self.opened = -1
        self.on_open: list[Callable[[], None]] = []
        self._sim = sim
        self.warmup_ps = warmup_ps
        self._origin = origin
        sim.probe(BootDone).watch(self._booted)

    def __bool__(self) -> bool:
        return self.opened >= 0

    def _booted(self, event: BootDone) -> None:
        self.boot_ps = event.time
        self.opens = max(self._origin.time_ps + self.warmup_ps, event.time)
        if self.opens > event.time:
            self._sim.at(self.opens, self._sim.initiator("window").rank(Stage.MEMORY), self._open)
        else:
            self._open()

    def _open(self) -> None:
        self.opened = self._sim.now
        for call in self.on_open:
            call()
