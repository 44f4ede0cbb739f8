"""No object is freed, and no waiting thread goes on, while a reader is older than the wait."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import GracePeriodOver, ReadSectionBegun, ReadSectionEnded
from cosim.oracles.oracle import Oracle, exact, span


class GracePeriod(Oracle):
    """Reports each RCU free or callback, and each return of synchronize_rcu, before a reader that is older has left.

    A reader is *older* if its read section began before the free, callback or wait was asked for, and has not ended:
    the reader may have found the object before that was unlinked, and hold it still.

    Source: "What is RCU? -- Read, Copy, Update" (Documentation/RCU/whatisRCU.rst), synchronize_rcu and call_rcu.
    """

    name = "grace-period"
    watches: ClassVar = {ReadSectionBegun: "begun", ReadSectionEnded: "ended", GracePeriodOver: "over"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._readers: dict[str, int] = {}

    def begun(self, event: ReadSectionBegun) -> None:
        self._readers[event.who] = event.time

    def ended(self, event: ReadSectionEnded) -> None:
        self._readers.pop(event.who, None)

    def over(self, event: GracePeriodOver) -> None:
        reader, since = min(self._readers.items(), key=lambda item: item[1], default=("", event.asked))
        if since < event.asked:
            waits = event.what in ("synchronize_rcu", "call_rcu")
            what = event.what if waits else f"kfree_rcu of {event.what}"
            self.violated(
                f"{what}, asked for by {event.who} at {exact(event.asked)}, did not wait for {reader}, which at "
                f"{exact(event.time)} has been reading for {span(event.time - since)}",
                event.time,
                event.asked,
                signature=f"{what} before an older reader left",
            )
