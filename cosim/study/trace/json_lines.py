"""``.jsonl``: every event, a JSON object in a line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cosim import events
from cosim.sim.simulation import Sim
from cosim.spec.faults import Cause
from cosim.spec.register_map import REGISTERS
from cosim.spec.translation import Dc
from cosim.study.trace.commands import command_text, not_zero
from cosim.study.trace.selection import EVENTS, Selection, values
from cosim.study.trace.trace_file import TraceFile
from cosim.system.topology import Topology

HEXADECIMAL = frozenset({"iova", "address", "value", "fqcsr"})
"""Fields that are written as ``"0x..."``: they may be larger than what JSON readers keep of a number."""


class JsonLines:
    """Each event as it comes."""

    def __init__(self, file: TraceFile, _: Topology, selection: Selection) -> None:
        self._file = file
        self._selection = selection

    def watch(self, sim: Sim) -> None:
        for kind in EVENTS.values():
            self._selection.listen_inside(sim, kind, self._tell)

    def close(self) -> None:
        """Every line has been written."""

    def _tell(self, event: Any) -> None:
        self._file.write(json.dumps(_line(event), default=_plain) + "\n")


def register_name(offset: int) -> str:
    """The register at an offset, or the offset in hexadecimal if there is none."""
    register = REGISTERS.at(offset)
    return register.name if register else f"{offset:#x}"


def _plain(value: Any) -> Any:
    """What JSON has no word for: a mapping as an object, such as the parts of a latency, and all else as its text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _line(event: Any) -> dict[str, Any]:
    line: dict[str, Any] = {"time_ps": event.time, "event": type(event).__name__}
    for name, value in values(event).items():
        line[name] = hex(value) if name in HEXADECIMAL else value
    if isinstance(event, events.RegisterRead | events.RegisterWritten):
        line["register"] = register_name(event.offset)
    elif isinstance(event, events.CommandFetched | events.CommandExecuted):
        line["command"] = command_text(event.words)
        line["words"] = [hex(word) for word in event.words]
    elif isinstance(event, events.ContextChanged):
        word = getattr(Dc.of(**{event.field: event.value}), event.field)
        line["means"] = " ".join([f"DC.{event.field}", *(list(not_zero(word.fields())) or ["0"])])
    elif isinstance(event, events.FaultRecorded) or (isinstance(event, events.DmaDone) and event.cause):
        line["means"] = Cause(event.cause).name.lower()
    return line
