"""What one locked command queue lets many CPUs unmap."""

from __future__ import annotations

from pathlib import Path

import figure
from found import Found, table

from cosim.units.quantities import parse_time

AXES = {"cpu*.timing.line_move": "line", "cpu.count": "cpus", "run.warmup": "warmup", "run.until": "until"}
LINES = {"0": "nothing", "1 ns": "1 ns", "4 ns": "4 ns"}
COMMANDS, BUSY = "iommu0.commands.total", "iommu0.commands.utilisation"
AN_UNMAP = 2
"""Commands that an unmap sends, an IOTINVAL and an IOFENCE."""
LINE_AT = "1"
"""One CPU moves no line: it is measured once."""


def rates(found: Found, line: str) -> dict[int, float]:
    """By the number of CPUs, how many pages they map and unmap together in a microsecond."""
    rates = {}
    for at, means in found.points:
        if at["line"] == line or at["cpus"] == LINE_AT:
            window_us = (parse_time(at["until"]) - parse_time(at["warmup"])) / 1e6
            rates[int(at["cpus"])] = means[COMMANDS].value / AN_UNMAP / window_us
    return dict(sorted(rates.items()))


def round_us(found: Found, line: str, cpus: int) -> float:
    """How long one CPU's map and unmap take, by Little's law."""
    return cpus / rates(found, line)[cpus]


def check(found: Found) -> None:
    """What the conclusion says."""
    free, near, far = (rates(found, line) for line in LINES)
    top = max(free.values())
    assert free[4] > 3.4 * free[1], free
    assert all(abs(rate - top) < 0.02 * top for cpus, rate in free.items() if cpus >= 8), free
    assert 0.155 < 1 / AN_UNMAP / top < 0.17, top
    busy = found.mean(BUSY, line="0", cpus="192").value
    assert 2.8 < 1 / busy < 3.6, busy
    assert 60 < round_us(found, "0", 192) < 65
    for slow in (near, far):
        assert max(slow, key=lambda cpus: slow[cpus]) <= 8, slow
        falling = [rate for cpus, rate in slow.items() if cpus >= 8]
        assert falling == sorted(falling, reverse=True), slow
    assert 0.4 < near[192] / top < 0.5, near
    assert far[192] < far[1], far


def draw(found: Found, folder: Path) -> None:
    """What all CPUs unmap together, and how long one of them takes."""
    with figure.panels(folder / "command_queue.svg", 2, wide=7.4) as (together, each):
        for at, (line, label) in enumerate(LINES.items()):
            measured = rates(found, line)
            figure.line(together, [(cpus, rate, 0.0) for cpus, rate in measured.items()], label, at)
            figure.line(each, [(cpus, cpus / rate, 0.0) for cpus, rate in measured.items()], label, at)
        for axes in (together, each):
            axes.set_xlabel("CPUs")
            figure.doubling(axes, [1, 2, 4, 8, 16, 48, 96, 192])
        together.set_ylabel("unmaps, M/s, of all CPUs")
        together.set_ylim(bottom=0)
        together.legend(title="a line's move costs")
        figure.decades(each, "y")
        each.set_ylabel("map and unmap a page, µs")


def tables(found: Found) -> str:
    """The same in numbers."""
    rows = []
    for cpus in rates(found, "0"):
        row = [str(cpus)]
        for line in LINES:
            row += [f"{rates(found, line)[cpus]:.2f}", f"{round_us(found, line, cpus):.1f}"]
        at = {"line": "0", "cpus": str(cpus)}
        row.append(f"{found.mean(BUSY, **at).value:.0%}")
        rows.append(row)
    heads = [f"{label}: {what}" for label in LINES.values() for what in ("M/s", "µs each")]
    return table(["CPUs", *heads, "consumer busy"], rows)
