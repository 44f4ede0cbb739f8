"""What is called on a worker of a cluster. It makes runs in processes of their own, which end when the worker does."""

from __future__ import annotations

import importlib
import platform
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from cosim.study.pool.asked import Asked, Wanted
from cosim.study.pool.pool import Pool
from cosim.study.pool.record import Record
from cosim.study.run.model import model_version, package_version
from cosim.sw.driver.imported import PACKAGE
from cosim.system.topology import Topology


@dataclass(frozen=True, slots=True)
class Identity:
    """What has to be equal for runs to be."""

    model: str
    python: str
    """Its implementation and minor version: pickles of another one may not be read."""
    cosim: str
    where: str
    """The folder that it is imported from, on its computer."""

    def refusal(self, here: Identity) -> str:
        """Why runs of such a worker are not those of `here`, and what helps; empty if they are."""
        if self.python != here.python:
            return f"runs {self.python}, and here it is {here.python}; start it with {here.python}"
        if self.model != here.model:
            return (
                f"has another model, {self.model} (cosim {self.cosim} in {self.where}), and here it is {here.model} "
                f"(cosim {here.cosim} in {here.where}); install there what is here"
            )
        return ""


class RefusedError(Exception):
    """A worker is not one whose runs are those of the asker; its text is its address, and `Identity.refusal`."""


@dataclass(frozen=True, slots=True)
class Job:
    """A chunk as it is told to a worker. `crew` is who asks, `topology` what the points share, if they do."""

    crew: str
    asker: Identity
    wanted: Wanted
    topology: Topology | None
    asked: Sequence[Asked]


_POOLS: dict[int, tuple[str, Pool]] = {}
"""Of each thread of the worker, with who asks: processes that have booted a topology may serve the next chunk, too."""
_BUSY: set[int] = set()
_ENDED: list[str] = []
"""Who asks no more: what is under way for them ends with the next record."""
REMEMBERED = 1000
_LOCK = threading.Lock()


def identity() -> Identity:
    """That of this process."""
    python = f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}"
    return Identity(model_version(), python, package_version(), str(PACKAGE))


def made(job: Job) -> list[tuple[int, Record]]:
    """The records of a chunk, by the numbers of its points. Raises RefusedError."""
    if refusal := identity().refusal(job.asker):
        worker = importlib.import_module("distributed").get_worker().address
        raise RefusedError(f"{worker} {refusal}")
    thread = threading.get_ident()
    with _LOCK:
        _BUSY.add(thread)
    try:
        return list(_records(_pool(thread, job), job))
    finally:
        with _LOCK:
            _BUSY.discard(thread)
        if job.crew in _ENDED:
            _end(job.crew)


async def end(crew: str) -> None:
    """Nobody asks for it any more: end its processes, those that are at work as soon as that is done."""
    _end(crew)


def _end(crew: str) -> None:
    with _LOCK:
        if crew not in _ENDED:
            _ENDED.append(crew)
            del _ENDED[:-REMEMBERED]
        idle = [thread for thread, (of, _) in _POOLS.items() if of == crew and thread not in _BUSY]
        for pool in [_POOLS.pop(thread)[1] for thread in idle]:
            pool.close()


def _records(pool: Pool, job: Job) -> Iterator[tuple[int, Record]]:
    topology = job.topology
    points = [asked.point(topology) for asked in job.asked]
    with closing(pool.runs(points, alone=lambda _: topology is None)) as coming:
        for asked, (_, record) in zip(job.asked, coming, strict=False):
            yield asked.number, record
            if job.crew in _ENDED:
                return


def _pool(thread: int, job: Job) -> Pool:
    """The thread's pool, of one asker at a time."""
    crew, pool = _POOLS.get(thread, ("", None))
    if pool is None or crew != job.crew:
        if pool is not None:
            pool.close()
        pool = Pool(1, signals=(), **job.wanted.as_arguments())
        _POOLS[thread] = job.crew, pool
    return pool
