"""A request or a call that was slow, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of time in one latency part: `began_ps` from reset, `ps` long.

    `behind` says whom it waited for, empty if for nobody or if that cannot be told; `call` is the innermost call that a
    thread was in.
    """

    part: str
    began_ps: int
    ps: int
    behind: str = ""
    call: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints for it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Slow:
    """A request or an outermost call: its `steps` follow one another from `began_ps` on, and add up to `ps`.

    `name` is that of its latency, ``nic0.read`` or ``cpu0.map-unmap.unmap``; `what` tells it apart from others of that
    name.
    """

    name: str
    what: str
    began_ps: int
    ps: int
    steps: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints for it."""
        found = {name: getattr(self, name) for name in ("name", "what", "began_ps", "ps")}
        return found | {"steps": [step.as_json() for step in self.steps]}


def joined(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same, with neighbours that say the same in one."""
    found: list[Step] = []
    for step in steps:
        last = found[-1] if found else None
        if last is not None and (last.part, last.behind, last.call) == (step.part, step.behind, step.call):
            found[-1] = Step(last.part, last.began_ps, last.ps + step.ps, last.behind, last.call)
        else:
            found.append(step)
    return tuple(found)
