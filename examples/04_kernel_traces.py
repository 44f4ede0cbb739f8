"""What a driver sends to an IOMMU, in a notation in which it can be compared with what a kernel sends.

Without arguments: the topology kernel_traces under merged, current and latest, call by call. With the name of a
trace (`cosim run ... -t trace.jsonl`) or of a log that QEMU wrote of a running kernel: that, one access a line, so that
`diff` compares the two. Polls differ in number, so a read counts once until something is written; where pages are
differs as well, so their numbers and addresses are left out, and so is what is read.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import count, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import cosim
from cosim.spec.register_map import REGISTERS
from cosim.study.run.run import Point, run
from cosim.study.trace.commands import command_text
from cosim.study.trace.trace import open_traces

Sent = tuple[str, str, str, int]
"""During which call, what (read, write, command, context), of what, and its value."""

NO_PLACE = {"cqb": 0x1F, "fqb": 0x1F, "ddtp": 0xF}
"""Of registers that hold a page number, the bits that are none of it."""

QEMU = re.compile(
    r"memory_region_ops_(?P<access>read|write) .*addr (?P<at>\w+) value (?P<value>\w+) .*'riscv-iommu-regs'"
    r"|riscv_iommu_cmd .*command (?P<words>\w+ \w+)"
)
"""How `-trace 'memory_region_ops_*' -trace riscv_iommu_cmd` shows a register access, and a command."""


def of_cosim(trace: Iterable[str]) -> Iterator[Sent]:
    """What was sent, from the lines of a trace. Calls are numbered, so that each is one by itself."""
    numbers = count()
    calls: dict[str, list[str]] = {}
    begun: list[str] = []
    for event in map(json.loads, trace):
        kind, who = event["event"], event.get("by", event.get("who", ""))
        call = calls[who][0] if calls.get(who) else f"- {who}"
        if kind == "CallBegun":
            begun = calls.setdefault(who, [])
            begun.append(f"{next(numbers)} {event['call']}")
        elif kind == "CallDone":
            calls[who].pop()
        elif kind in ("MapBegun", "UnmapBegun") and call.endswith("map"):
            pages = event["size"] >> 12
            calls[who][0] += f" of {pages} page" + "s" * (pages > 1)
        elif kind == "Attaching":
            begun[0] += f" of {event['device']}" + (f" to {event['domain']}" if event["domain"] else "")
        elif kind in ("RegisterRead", "RegisterWritten"):
            yield call, "read" if kind == "RegisterRead" else "write", event["register"], int(event["value"], 16)
        elif kind == "CommandFetched":
            yield call, "command", event["command"], 0
        elif kind == "ContextChanged":
            yield call, "context", event["means"], 0


def of_qemu(log: Iterable[str]) -> Iterator[Sent]:
    """What was sent, from the lines of a log of QEMU."""
    for found in filter(None, map(QEMU.search, log)):
        if found["words"]:
            yield "", "command", command_text(tuple(int(word, 16) for word in found["words"].split())), 0
        elif register := REGISTERS.at(int(found["at"], 16) & 0xFFF):
            yield "", found["access"], register.name, int(found["value"], 16)


def lines(sent: Iterable[Sent]) -> Iterator[tuple[str, str]]:
    """Each access as a line, with its call. A command takes the place of its doorbell, which says who has sent it."""
    everything = list(sent)
    commands = iter([what for _, kind, what, _ in everything if kind == "command"])
    entries, tail, running = 1, 0, False
    read: set[str] = set()
    contexts: list[str] = []
    for call, kind, what, value in everything:
        if kind == "context":
            contexts.append(re.sub(r" ppn=\w+", "", what))
        if kind not in ("read", "write"):
            continue
        yield from ((call, context) for context in contexts)
        contexts.clear()
        if kind == "read":
            if what not in read:
                yield call, f"R {what}"
            read.add(what)
            continue
        read.clear()
        if what == "cqb":
            entries = 2 << (value & 0x1F)
        elif what == "cqcsr":
            running = bool(value & 1)
        rung = (value - tail) % entries if what == "cqt" and running else 0
        tail = value if what == "cqt" else tail
        if rung != 1:
            yield call, f"W {what}={value & NO_PLACE.get(what, -1):#x}"
        for _ in range(rung):
            yield call, re.sub(r" addr=\w+", " addr", next(commands, "a command that was never fetched"))


def counted(items: Iterable[str]) -> Iterator[str]:
    """Equal ones in a row as one."""
    for item, equal in groupby(items):
        times = len(list(equal))
        yield f"{times} x {item}" if times > 1 else item


def calls_of(driver: str) -> Iterator[str]:
    """Run the topology, and tell of each call what it has sent."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.jsonl"
        topology = cosim.load("kernel_traces", driver=driver)
        with open_traces([str(path)], topology) as watchers:
            run(Point(topology), watchers=watchers)
        with path.open(encoding="utf-8") as trace:
            told = list(lines(of_cosim(trace)))
    for call, of_call in groupby(told, key=lambda line: line[0]):
        items = (item.replace(" ", "\N{NO-BREAK SPACE}") for item in counted(text for _, text in of_call))
        body = fill("; ".join(items), 112, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
        yield f"{call.partition(' ')[2]}\n{body}".replace("\N{NO-BREAK SPACE}", " ")


def what_is_in(path: Path) -> list[str]:
    """What a trace or a log tells, an access a line; leaves the script if it is neither."""
    try:
        with path.open(encoding="utf-8") as file:
            told = [text for _, text in lines(of_cosim(file) if path.suffix == ".jsonl" else of_qemu(file))]
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    except (KeyError, TypeError, ValueError):
        sys.exit(f"{path}: neither a trace (.jsonl) nor a log of QEMU")
    return told or sys.exit(f"{path}: there is no register access and no command in it")


def main() -> None:
    """The script."""
    if len(sys.argv) > 1:
        print("\n".join(what_is_in(Path(sys.argv[1]))))
        return
    for driver in ("merged", "current", "latest"):
        print(f"--- {driver}")
        print("\n".join(counted(calls_of(driver))))


if __name__ == "__main__":
    main()
