"""The picture of a finding: its columns and lines, and what stands above and below them, in no form yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cosim.sim.actions import Taken
from cosim.study.finding.finding import Finding
from cosim.study.report.catalogue import oracles
from cosim.study.report.ordering.choosing import chosen
from cosim.study.report.ordering.memory import Subject
from cosim.study.report.ordering.recording import Recording, recorded
from cosim.study.report.ordering.steps import PAGE_HERE, Source, Step, Weight
from cosim.sw.driver.compiled import without_folders
from cosim.sw.workloads import thread_names
from cosim.system.topology import Topology
from cosim.units.quantities import US, format_time

LETTERS = "xyzuvw"
AFTERWARDS = 20 * US
"""Other violations that the first of its signature leads to are drawn, if they come so soon, in picoseconds."""
MOST_COLUMNS = 5
"""In more of them there is no room for words."""
HARDWARE, DEVICES, IOMMUS = "hardware", "devices", "IOMMUs"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one column of a line. `held` is ``begins``, ``ends``, ``goes on`` or empty.

    `sources` are the lines of a compiled driver that do it; `anew` says that they are of another function than those
    above them in the column.
    """

    text: str = ""
    held: str = ""
    sources: tuple[Source, ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A moment, in picoseconds from the end of boot: a cell for each column. `violates` marks that of the violation."""

    time: int
    cells: tuple[Cell, ...]
    violates: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn of a finding. `pages` say what the letters stand for, `rule` is what was violated."""

    title: str
    schedule: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    origin: int
    """What the times of lines count from, the end of boot, in picoseconds from reset: the clock of `message`."""
    left_out: int
    pages: tuple[str, ...]
    oracle: str
    rule: str
    message: str
    also: tuple[str, ...]
    """The other signatures that it shows."""
    digest: str
    command: str

    @property
    def clock(self) -> str:
        """What the column of times counts, and how that leads to the times of every other output."""
        return f"times count from the end of boot and preparation, {format_time(self.origin)} after reset"


def picture_of(finding: Finding, command: str = "") -> Picture:
    """Run a finding again and draw it; `command` is what replays it from a shell. Raises TopologyError."""
    point = finding.point()
    recording, digest = recorded(point)
    held = [step.taken for step in recording.steps if step.taken is not None and step.taken.holds]
    _note_answers(recording, held)
    shown = finding.shown
    seen = [shown.time_ps, *(violation.time_ps for violation in finding.violations)]
    times = [time for time in seen if time <= shown.time_ps + AFTERWARDS]
    picked = chosen(recording.steps, shown, held, times)
    columns = _columns(picked.steps, point.topology)
    letters = {subject: LETTERS[number] for number, subject in enumerate(picked.subjects)}
    return Picture(
        title=f"{finding.name}, driver {without_folders(finding.driver)}, seed {finding.seed}"
        f"{_hold(point.topology, finding)}",
        schedule=finding.schedule,
        columns=tuple(dict.fromkeys(columns.values())),
        lines=tuple(_lines(picked.steps, columns, letters, recording.boot_ps, times)),
        origin=recording.boot_ps,
        left_out=picked.left_out,
        pages=tuple(f"{letter}: IOVA {one.iova:#x} in {one.domain}" for one, letter in letters.items()),
        oracle=shown.oracle,
        rule=dict(oracles()).get(shown.oracle, ""),
        message=shown.message,
        also=tuple(one.signature for one in finding.violations if one.signature != finding.signature),
        digest=digest,
        command=command or finding.command,
    )


def _hold(topology: Topology, finding: Finding) -> str:
    return f", hold {format_time(topology.run.hold)}" if finding.schedule else ""


def _note_answers(recording: Recording, held: Sequence[Taken]) -> None:
    """Answers of the schedule that have held nothing, such as which state of memory a load returns, are steps, too."""
    names = {taken.name for taken in held}
    sources = {step.taken.name: step.source for step in recording.steps if step.taken is not None}
    for time, name, answer in recording.given:
        agent, _, number = name.rpartition("#")
        if f"{agent}#{number.partition('.')[0]}" in names and not number.endswith(".past"):
            continue
        who, _, what = agent.rpartition(".")
        text = "reads an older value" if number.endswith(".past") else f"{what}#{number} is answered {answer}"
        source = sources.get(name.removesuffix(".past"))
        recording.steps.append(Step(time, who, text, Weight.CAUSE, source=source))
    recording.steps.sort(key=lambda step: step.time)


def _columns(steps: Sequence[Step], topology: Topology) -> dict[str, str]:
    """The column of each who acts: threads in the order of the file, then what else ran on CPUs, IOMMUs, devices.

    Where there are many, IOMMUs share one, and devices do; and if that is not enough, both.
    """
    called = thread_names(topology.threads)
    threads = [f"{thread.on}.{name}" for thread, name in zip(topology.threads, called, strict=True)]
    acting = list(dict.fromkeys(step.who for step in steps))
    hardware = [*topology.of_kind("iommu"), *topology.devices()]
    others = [who for who in acting if who not in threads and who not in hardware]
    found = {who: who for who in (*threads, *others, *hardware) if who in acting}
    for shared, members, room in (
        (IOMMUS, topology.of_kind("iommu"), MOST_COLUMNS - 1),
        (DEVICES, topology.devices(), MOST_COLUMNS - 1),
        (HARDWARE, dict.fromkeys(hardware), MOST_COLUMNS),
    ):
        sharing = [who for who in found if who in members]
        if len(set(found.values())) > room and len(sharing) > 1:
            found |= dict.fromkeys(sharing, shared)
    return found


def _lines(
    steps: Sequence[Step], columns: dict[str, str], letters: dict[Subject, str], origin: int, violated: Sequence[int]
) -> list[Line]:
    """The steps as lines; one that was held has a line where it was asked for as well, and no other if it took hold
    only behind the last violation."""
    moments: list[tuple[int, int, Step, str]] = []
    for number, step in enumerate(steps):
        if step.taken is not None and step.taken.holds:
            moments.append((step.taken.asked, number, step, "begins"))
            if step.time > max(violated):
                continue
        moments.append((step.time, number, step, "ends" if step.taken is not None and step.taken.holds else ""))
    moments.sort(key=lambda moment: moment[:2])
    names = list(dict.fromkeys(columns.values()))
    lines: list[Line] = []
    holding: list[str] = []
    previous: Step | None = None
    for time, _, step, held in moments:
        column = columns[step.who]
        text = _text(step, letters)
        again = previous is not None and not held and (previous.who, previous.head) == (step.who, step.head)
        if again and previous is not None and previous.says(step):
            continue
        merged = again and step.head != ""
        if column != step.who:
            text = f"{step.who}: {text}"
        if held == "begins":
            text = f"{text}: held"
        elif held == "ends":
            holding.remove(column)
        cells = {name: Cell(held="goes on") for name in holding}
        sources: tuple[Source, ...] = (step.source,) if step.source else ()
        if merged:
            before = lines.pop().cells[names.index(column)]
            text, sources = f"{before.text}, {step.text}", tuple(dict.fromkeys(before.sources + sources))
        cells[column] = Cell(text, held or ("goes on" if column in holding else ""), sources)
        lines.append(Line(time - origin, tuple(cells.get(name, Cell()) for name in names)))
        if held == "begins":
            holding.append(column)
        previous = None if held else step
    lines = list(_with_functions(lines))
    last = {line.time: at for at, line in enumerate(lines)}
    for at in {last[time] for time in {time - origin for time in violated} if time in last}:
        lines[at] = replace(lines[at], violates=True)
    return lines


def _with_functions(lines: Sequence[Line]) -> Iterator[Line]:
    """Those in which a column comes to another function marked so."""
    last: dict[int, str] = {}
    for line in lines:
        cells = list(line.cells)
        for at, cell in enumerate(cells):
            if cell.sources:
                cells[at] = replace(cell, anew={one.function for one in cell.sources} != {last.get(at)})
                last[at] = cell.sources[-1].function
        yield replace(line, cells=tuple(cells))


def _text(step: Step, letters: dict[Subject, str]) -> str:
    letter = letters.get(step.subject) if step.subject else None
    if letter is None and step.covers is not None:
        domain, iova, size = step.covers
        inside = [
            letter for one, letter in letters.items() if iova <= one.iova < iova + size and domain in (None, one.domain)
        ]
        letter = ", ".join(inside) or f"{iova:#x}"
    elif letter is None and step.subject is not None:
        letter = f"{step.subject.iova:#x}"
    return step.line.replace(PAGE_HERE, letter or "a page")
