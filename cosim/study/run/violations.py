"""What the oracles find in a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from cosim.oracles import ORACLES, Book, Bounds, Oracle, Violation
from cosim.oracles.in_memory import InMemory, Memories
from cosim.oracles.in_source import InSource, Source
from cosim.oracles.oracle import Listener
from cosim.sim.simulation import Sim
from cosim.study.gather.failures import Failures
from cosim.study.gather.telling import tell

KEPT = 1000
"""As many violations are kept, the first ones, and the first one of each signature; all are counted."""


class Violations:
    """The first violations in `kept`, and how many there were of each signature."""

    __slots__ = ("_oracles", "_source", "kept", "signatures")

    def __init__(
        self,
        sim: Sim,
        bounds: Bounds,
        oracles: Iterable[type[Oracle]] = tuple(ORACLES.values()),
        *,
        memory: Memories | None = None,
        source: Source | None = None,
        beside: Iterable[Listener] = (),
        failures: Failures | None = None,
    ) -> None:
        """`oracles` are all of them, but for whoever measures what they cost; `beside` them others listen.

        They may look at the `memory` of the run; without it they say less of how something came. With a `source` each
        message that is kept says where in the driver's source it came.

        `failures` tells of requests that failed, if it has more to do than that.
        """
        self.kept: list[Violation] = []
        self.signatures: Counter[str] = Counter()
        books: dict[type[Book], Book] = {InMemory: InMemory(memory), InSource: InSource(source)}
        self._source = source
        self._oracles = [oracle(self._violated, bounds, books) for oracle in oracles]
        tell(sim, (*books.values(), *self._oracles, *beside), failures)

    def be_patient(self, bounds: Bounds) -> None:
        """Judge by other bounds from here on."""
        for oracle in self._oracles:
            oracle.bounds = bounds

    @property
    def count(self) -> int:
        """How many violations there were."""
        return self.signatures.total()

    def _violated(self, violation: Violation) -> None:
        if len(self.kept) < KEPT or violation.signature not in self.signatures:
            self.kept.append(self._placed(violation))
        self.signatures[violation.signature] += 1

    def _placed(self, violation: Violation) -> Violation:
        if self._source is None:
            return violation
        message = violation.message
        return replace(violation, message=message + self._source.stands(message, violation.since_ps))
