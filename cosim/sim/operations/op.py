"""An operation of a thread, and the coroutine that awaits operations."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Op(Generic[T_co]):
    """What a thread asks of its CPU; ``await op`` gives its result. `part` is the latency part its time counts for.

    `size` is how many bytes of memory or registers it touches; 0 for none.
    """

    __slots__ = ("_place", "part")
    part: str
    size: int = 0

    @property
    def place(self) -> str:
        """Where in the source it is asked for, such as ``policies.bonds.GroupedBonds.link+7``; empty while unknown.

        The CPU looks a place up where somebody asks for it (`cosim.sim.places`), and keeps one that was set. Whoever
        makes operations without a source in Python sets it: ``iommu.c:930, in riscv_iommu_bond_unlink``.
        """
        place: str = getattr(self, "_place", "")
        return place

    @place.setter
    def place(self, place: str) -> None:
        self._place: str = place

    def __await__(self) -> Generator[Op[T_co], T_co, T_co]:
        return (yield self)


Body = Coroutine[Op[object], object, object]
"""What a thread runs: a coroutine that awaits operations."""


class Oops(Exception):
    """The kernel would have died here: the thread ends, and whatever it holds stays held.

    `more` is what else is known of how it came; it is told behind the text, and no part of what tells oopses apart.
    """

    more = ""
    placed = False
    """Whether it says where in the source of a compiled driver it was."""
