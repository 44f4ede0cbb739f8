"""Traces of a run: what happened, a line each, in the format that the file's suffix names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from cosim import events
from cosim.config.problems import Position, Problem, TopologyError
from cosim.sim.simulation import Sim
from cosim.spec.faults import Cause
from cosim.spec.queues import IllegalCommandError, decode
from cosim.spec.register_map import REGISTERS
from cosim.spec.registers import Capabilities
from cosim.spec.translation import Dc

Watcher = Callable[[Sim], None]
"""Something that begins to watch a run, given its `Sim`, before anything has happened."""

Write = Callable[[str], None]
"""What adds text to a file."""

EVENTS: Mapping[str, type] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and kind.__module__.startswith(f"{events.__name__}.")
}
"""Every event record by its name."""

EVERYTHING = Capabilities(-1 & Capabilities.MASK)
"""An IOMMU that has every capability, so that each command can be named."""


HEXADECIMAL = frozenset({"iova", "address", "value", "fqcsr"})
"""Fields that are written as ``"0x..."``: they may be larger than what JSON readers keep of a number."""


def _register(offset: int) -> str:
    register = REGISTERS.at(offset)
    return register.name if register else f"{offset:#x}"


def command_text(words: tuple[int, ...]) -> str:
    """A command as the manual writes it, with the operands that are not 0: ``IOTINVAL.VMA pscv=0x1 pscid=0x5``."""
    try:
        command = decode(words, EVERYTHING)
    except IllegalCommandError as error:
        return f"illegal: {error}"
    operands = {name: value for name, value in command.fields().items() if name not in ("opcode", "func3")}
    return " ".join([command.mnemonic, *_not_zero(operands)])


def _not_zero(values: Mapping[str, int]) -> Iterator[str]:
    return (f"{name}={value:#x}" for name, value in values.items() if value)


def _line(event: Any) -> dict[str, Any]:
    line: dict[str, Any] = {"time_ps": event.time, "event": type(event).__name__}
    for field in fields(event):
        if field.name != "time":
            value = getattr(event, field.name)
            line[field.name] = hex(value) if field.name in HEXADECIMAL else value
    if isinstance(event, events.RegisterRead | events.RegisterWritten):
        line["register"] = _register(event.offset)
    elif isinstance(event, events.CommandFetched | events.CommandExecuted):
        line["command"] = command_text(event.words)
        line["words"] = [hex(word) for word in event.words]
    elif isinstance(event, events.ContextChanged):
        word = getattr(Dc.of(**{event.field: event.value}), event.field)
        line["means"] = " ".join([f"DC.{event.field}", *(list(_not_zero(word.fields())) or ["0"])])
    elif isinstance(event, events.FaultRecorded) or (isinstance(event, events.DmaDone) and event.cause):
        line["means"] = Cause(event.cause).name.lower()
    return line


def _jsonl(write: Write) -> Watcher:
    def tell(event: Any) -> None:
        write(json.dumps(_line(event), default=str) + "\n")

    def watch(sim: Sim) -> None:
        for kind in EVENTS.values():
            sim.probe(kind).watch(tell)

    return watch


def _dmesg(write: Write) -> Watcher:
    def tell(event: events.KernelLog) -> None:
        seconds, rest = divmod(event.time, 10**12)
        write(f"[{seconds:5d}.{rest // 10**6:06d}] {event.who}: {event.level}: {event.text}\n")

    return lambda sim: sim.probe(events.KernelLog).watch(tell)


FORMATS: Mapping[str, Callable[[Write], Watcher]] = {".jsonl": _jsonl, ".dmesg": _dmesg}


@contextmanager
def open_traces(paths: Sequence[str]) -> Iterator[list[Watcher]]:
    """Open a trace file for each of `paths`, and close them at the end; TopologyError (exit 2) if one cannot be.

    A file that cannot be written further ends there, and the run does not: TopologyError tells so at the end.
    """
    unwritable: list[TopologyError] = []
    with ExitStack() as stack:
        watchers = []
        for path in paths:
            make = FORMATS.get(Path(path).suffix)
            if make is None:
                raise _refused(path, f"the suffix names the format of a trace; there are: {', '.join(FORMATS)}")
            watchers.append(make(stack.enter_context(_opened(path, unwritable))))
        yield watchers
    if unwritable:
        raise TopologyError([problem for error in unwritable for problem in error.problems])


@contextmanager
def _opened(path: str, unwritable: list[TopologyError]) -> Iterator[Write]:
    """What writes to `path` until that fails, which joins `unwritable`."""
    try:
        file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - what fails while it is open is not its error
    except OSError as error:
        raise _unwritable(path, error) from None
    failed = False

    def write(text: str) -> None:
        nonlocal failed
        if failed:
            return
        try:
            file.write(text)
        except OSError as error:
            failed = True
            unwritable.append(_unwritable(path, error))

    try:
        yield write
    finally:
        try:
            file.close()
        except OSError as error:
            if not failed:
                unwritable.append(_unwritable(path, error))


def _unwritable(path: str, error: OSError) -> TopologyError:
    return _refused(path, f"cannot be written: {error.strerror or error}")


def _refused(path: str, why: str) -> TopologyError:
    return TopologyError([Problem(Position(f"-t {path}"), (), why)])
