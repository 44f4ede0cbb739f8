"""Shipped topologies in which a few options are other than there, or a thread or the driver: `varied.json`.

They were drawn by `draw`. What each comes to is written down, be it a run, a violation or an error of the topology, so
that whoever ignores an option, or says something else of it, is seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cosim
from cosim.config.source import Source
from cosim.system.load import as_data, load
from cosim.system.topology import Topology

WRITTEN = Path(__file__).with_name("varied.json")
IN_C = "in C"
SHORT = "12 us"
"""How long those run whose file says a time."""

Change = tuple[Sequence[str | int], Any]
"""Where in the data of a topology there is what instead."""


class Varied(NamedTuple):
    """A topology that comes with cosim, how it is run, and what is other than in its file."""

    base: str
    how: str
    """``drawn``: one choice of its schedule in some is another; ``traced``; ``kept``: with samples and series."""
    changes: Sequence[Change]

    def made(self, in_c: str) -> Topology:
        """The topology; `in_c` are the objects of the driver that it calls `IN_C`. TopologyError, as for a file."""
        data = deepcopy(short(self.base))
        for path, value in self.changes:
            place: Any = data
            for key, below in pairwise(path):
                place = (
                    place[key]
                    if isinstance(place, list)
                    else place.setdefault(key, {} if isinstance(below, str) else [])
                )
            if isinstance(place, list) and path[-1] == len(place):
                place.append(value)
            else:
                place[path[-1]] = value
        if (driver := data.get("driver", {})).get("variant") == IN_C:
            driver["variant"] = in_c
        return load(Source.of(data, self.base))


def written() -> list[Varied]:
    """Those that were drawn."""
    return [Varied(*each) for each in json.loads(WRITTEN.read_text(encoding="utf-8"))]


@cache
def short(base: str) -> dict[str, Any]:
    """What a shipped topology says, without what it expects and what is searched there; short."""
    data = as_data(cosim.load(base))
    data.pop("expect", None)
    data.pop("explore", None)
    run = data.setdefault("run", {})
    if "threads" not in str(run.get("until", "")):
        run["until"] = SHORT
    return data
