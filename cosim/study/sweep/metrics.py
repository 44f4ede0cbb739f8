"""A metric that no run of a sweep can have is told before anything is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from cosim.config.problems import Position, Problem
from cosim.system.number_names import Names
from cosim.system.topology import Topology


def misspelt(
    metrics: Sequence[str], topologies: Iterable[Topology], places: Mapping[str, Position]
) -> Iterator[Problem]:
    """What is wrong with each of `metrics` that no run of any of `topologies` can have, with the nearest name.

    `places` say where a study names it. One that some run could have, and none has in the end, is told only then.
    """
    known = list(topologies)
    if not metrics or not known:
        return
    names = Names(known)
    for metric in metrics:
        if why := names.wrong(metric):
            where = places.get(metric)
            yield Problem(where or Position(f"-m {metric}"), (), f"{metric}: {why}" if where else why)
