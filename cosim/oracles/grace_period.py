"""No object is freed, and no waiting thread goes on, while a reader is older than the wait."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import GracePeriodOver
from cosim.oracles.oracle import Oracle, exact, span
from cosim.oracles.readers import Readers


class GracePeriod(Oracle):
    """Reports each RCU free or callback, and each return of synchronize_rcu, before a reader that is older has left.

    A reader is *older* if its read section began before the free, callback or wait was asked for, and has not ended:
    the reader may have found the object before that was unlinked, and hold it still.

    Source: "What is RCU? -- Read, Copy, Update" (Documentation/RCU/whatisRCU.rst), synchronize_rcu and call_rcu.
    """

    name = "grace-period"
    watches: ClassVar = {GracePeriodOver: "over"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._readers = self.book(Readers)

    def over(self, event: GracePeriodOver) -> None:
        reader, since = min(self._readers.since.items(), key=lambda item: item[1], default=("", event.asked))
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
