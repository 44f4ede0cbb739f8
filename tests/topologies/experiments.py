"""What the tests of experiments on the review share: the cell of a row at its first hold and starts, and its signs."""

from __future__ import annotations

from cosim.study.explore.cells import Cell, cells
from cosim.study.explore.request import Request
from cosim.study.explore.subjects import Task, tasks
from cosim.study.pool import Pool
from cosim.system.driver_options import DriverOptions


def first_cell(name: str, at: int, *, under: DriverOptions | None = None) -> Cell:
    """The first hold and starts of a file's driver: first come the defects, then those that have to be clean.

    `under` takes the place of that driver.
    """
    task: Task = list(tasks(name, Request()))[at]
    subject = task.subject if under is None else task.subject.under(under)
    return next(cells(subject, task.explore.holds, task.explore.starts))


def signs(cell: Cell, schedule: tuple[str, ...]) -> tuple[str, ...]:
    """What a run shows; an empty schedule is one that answers nothing."""
    with Pool(1, fork=False) as pool:
        ((_, record),) = pool.runs([cell.point(schedule or ("nobody#0:0",))])
    return record.signs
