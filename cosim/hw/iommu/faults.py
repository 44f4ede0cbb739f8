"""Faults: how one is raised where it is found (3.2 "Fault/Event-Queue" says what becomes of it)."""

from __future__ import annotations

from cosim.spec.faults import Cause


class Fault(Exception):
    """A request met `cause`. Raised where it is found, caught once, reported once.

    `iotval` is the IOVA of the request if not given. `dtf` is DC.tc.DTF of the device context that was located,
    False while there is none: it keeps the causes from being reported that depend on the context.
    """

    def __init__(self, cause: Cause, *, iotval: int | None = None, iotval2: int = 0, dtf: bool = False) -> None:
        super().__init__(cause, iotval, iotval2, dtf)
        self.cause = cause
        self.iotval = iotval
        self.iotval2 = iotval2
        self.dtf = dtf

    @property
    def reported(self) -> bool:
        """Whether the fault is to be recorded in the fault queue."""
        return not self.dtf or self.cause.reported_with_dtf

    def __str__(self) -> str:
        return f"{self.cause.name} (cause {int(self.cause)})"


class NotImplementedCapability(Exception):
    """Something exercised a capability of the specification that this model does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: this capability of the specification is not implemented"
