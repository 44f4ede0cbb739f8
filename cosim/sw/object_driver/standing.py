"""Where in the source of a loaded driver a thread is: found in its frames when somebody asks, and kept by nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import CoroutineType, FrameType

from cosim.sim.operations import Body
from cosim.sim.places import awaits
from cosim.sw.object_driver.accesses import Accesses
from cosim.sw.object_driver.hart import ObjectHart

_CALLS = {ObjectHart.call.__code__, ObjectHart._outside.__code__}
"""What has the address of an instruction: the block that is being executed, or the call of a function of the kernel."""
_WORKS = Accesses._behind_work.__code__
"""What has an operation that is awaited next."""


def standing(body: Body) -> str:
    """The line and the function of the driver that a thread is in, with this `body`; empty if it is in none.

    The thread may be the one that runs now, as the caller of whoever asks.
    """
    if isinstance(body, CoroutineType) and body.cr_running:
        return _place(_callers(sys._getframe(1)))
    frames, op = awaits(body)
    return (op.place if op is not None else "") or _place(frames)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frames: Iterable[FrameType]) -> str:
    """By the innermost of the frames that knows it."""
    for frame in frames:
        held = frame.f_locals
        if frame.f_code is _WORKS:
            return str(held["op"].place)
        if frame.f_code in _CALLS:
            return str(held["self"].machine.image.spot(held["pc"]))
    return ""
