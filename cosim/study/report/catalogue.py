"""What there is to choose from: topologies, drivers, their policies, what threads do, patterns, oracles, parts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from cosim.config.shape import alternatives, tags
from cosim.hw.dma.patterns import PATTERNS
from cosim.oracles import ORACLES
from cosim.study.compare.drawing import docstring_of
from cosim.study.trace.selection import EVENTS
from cosim.sw.driver.table import CELLS, REFERENCE, ROWS
from cosim.sw.steps import steps
from cosim.sw.workloads import AnyWorkload
from cosim.system.load import shipped
from cosim.system.scalars import SCALARS
from cosim.system.topology import Part
from cosim.units.latency_parts import LatencyPart

Rows = list[tuple[str, str]]
"""Names, each with a sentence on it."""

DRIVERS: Mapping[str, str] = {
    "merged": "Linux 6.13, with the queue reset and the shutdown of 6.14",
    "v2": "the patch that was reviewed (v2, 18 Apr 2024), with its unmap repaired",
    "v2-as-posted": "the patch that was reviewed (v2, 18 Apr 2024), as it was posted",
    "current": "Linux 7.1",
    "latest": "Linux 7.2, with a locked command queue, and range and non-leaf invalidation where the IOMMU has them",
    "ideal": "no kernel: what the review asked for, and what later findings call for",
}
"""Which code each variant of the driver stands for."""


def topologies() -> Rows:
    """The topologies that come with cosim, by what their opening comment says first."""
    return [(name, first_sentence(_opening(path.read_text(encoding="utf-8")))) for name, path in shipped().items()]


def drivers() -> Rows:
    """The variants of the driver: what each stands for, and the policies in which it differs from the reference."""
    return [(name, _driver(name)) for name in ROWS]


def policies() -> Rows:
    """Every policy that a driver can be made of, as `driver: {variant: merged, attach: no-barrier}` names it."""
    return [(f"{axis}: {name}", policy_text(policy)) for axis, named in CELLS.items() for name, policy in named.items()]


def policy_steps() -> Rows:
    """What can be taken out of a policy alone, as `-s driver.attach.without=barrier` does, and of which policies."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for axis, named in CELLS.items():
        for cell, policy in named.items():
            for name, one in steps(policy).items():
                found.setdefault((axis, name), (one.about, []))[1].append(cell)
    return [(f"{axis}: {name}", f"{about} ({', '.join(cells)})") for (axis, name), (about, cells) in found.items()]


def threads() -> Rows:
    """What a thread may do (`does:`)."""
    return _tagged(AnyWorkload, "does")


def patterns() -> Rows:
    """The patterns of a DMA master's addresses (`traffic: {pattern: ...}`)."""
    return [(name, pattern.says) for name, pattern in PATTERNS.items()]


def oracles() -> Rows:
    """What is judged in every run."""
    return [(name, first_sentence(sys.modules[oracle.__module__].__doc__)) for name, oracle in ORACLES.items()]


def parts() -> Rows:
    """The kinds of part that a system is built of (`kind:`)."""
    return _tagged(Part, "kind")


def latency_parts() -> Rows:
    """What latencies are split into."""
    return [(part.value, f"{part.about}; lowered by {part.remedy}") for part in LatencyPart]


def scalars() -> Rows:
    """What a result counts, with units."""
    return [(row.pattern, f"{row.meaning} [{row.unit}]") for row in SCALARS]


def events() -> Rows:
    """What the lines of a trace tell (`-t trace.jsonl`), and in which fields; every time is in picoseconds."""
    return [(name, f"{first_sentence(kind.__doc__)} ({_values(kind)})") for name, kind in EVENTS.items()]


CATALOGUE: Mapping[str, Callable[[], Rows]] = {
    "topologies": topologies,
    "drivers": drivers,
    "policies": policies,
    "steps": policy_steps,
    "threads": threads,
    "patterns": patterns,
    "oracles": oracles,
    "parts": parts,
    "latency-parts": latency_parts,
    "scalars": scalars,
    "events": events,
}
"""Every list there is, by its name on the command line."""


def first_sentence(text: str | None) -> str:
    """The first sentence of a comment or a docstring, in one line and without its full stop."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    match = re.match(r"(.+?)\.(?=\s|$)", paragraph)
    return match[1] if match else paragraph


def _values(event: type) -> str:
    return ", ".join("time_ps" if field.name == "time" else field.name for field in fields(event))


def _opening(text: str) -> str:
    """The comment with which a file opens."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)


def _driver(name: str) -> str:
    reference, row = ROWS[REFERENCE], ROWS[name]
    other = [f"{axis} {cell}" for axis, cell in row.items() if cell != reference[axis]]
    about = DRIVERS.get(name, "")
    return "; ".join(filter(None, [about, f"{REFERENCE} but for {', '.join(other)}" if other else ""]))


def policy_text(policy: Any) -> str:
    """A policy in one sentence."""
    if isinstance(policy, frozenset):
        return f"claims {', '.join(sorted(policy))}" if policy else "claims nothing"
    return first_sentence(docstring_of(policy))


def _tagged(union: Any, field: str) -> Rows:
    """The members of a union of models by the tag that each has in `field`."""
    return [(tag, first_sentence(model.__doc__)) for model in alternatives(union) for tag in tags((model,), field)]
