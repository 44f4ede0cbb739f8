"""The search of one topology under one driver: which schedules are run, in which order, and what came of them.

A *bounded* search goes level by level: all cells of the grid without a deviation, then with one, and so on. What may be
added to a schedule is known when that schedule has been run: the effects that were in conflict there. A schedule is
run once, whichever of its answers was added last. *Drawn* schedules (pct, random) are made of what the unperturbed runs
asked.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence

from cosim.study.explore.cells import Cell
from cosim.study.explore.journal import Done, Notes
from cosim.study.explore.request import DRAWN, Request
from cosim.study.explore.row import Found, Row, span, told
from cosim.study.pool import Pool, Record
from cosim.study.run.run import Point
from cosim.study.run.stop import Stop
from cosim.study.sweep.named_files import contents

Schedule = tuple[str, ...]
Try = tuple[Cell, Schedule]
Progress = Callable[[Row, int], None]
"""Called after each run, with how many are known to be left of this level; 0 if that is not known."""


class Search:
    """Makes the runs of one row."""

    def __init__(
        self,
        row: Row,
        grid: Sequence[Cell],
        request: Request,
        pool: Pool,
        journal: Notes,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self.row = row
        self._grid = grid
        self._request = request
        self._pool = pool
        self._journal = journal
        self._progress = progress
        self._stop = stop
        self._until = time.monotonic() + request.seconds
        self._keys = {id(cell): _key(cell) for cell in grid}
        self._orders: set[tuple[int, int]] = set()
        row.cells = len(grid)

    def run(self) -> Row:
        """Search, until something is found or there is nothing left or no time."""
        unperturbed = self._level([(cell, ()) for cell in self._grid])
        looks = [done.look for _, done in unperturbed if done.look]
        self.row.actions = span([look.actions for look in looks])
        self.row.conflicts = span([look.conflicts for look in looks])
        self.row.note_inactive(look.inactive for look in looks)
        begun = {cell.starts: done.digest for (cell, _), done in unperturbed}
        self.row.alike = len(begun) - len(set(begun.values()))
        if not self.row.stopped:
            self._complete(0)
            if self._request.strategy == "bounded":
                self._bounded(unperturbed)
            else:
                self._drawn(unperturbed)
        self.row.orders = len(self._orders)
        if self.row.late and not self.row.stopped:
            self.row.stopped = "late"
        return self.row

    def _complete(self, level: int) -> None:
        """All of a level was run: it is complete, unless there are runs of which nothing is known."""
        if not self.row.late:
            self.row.complete = level

    # --- Bounded -----------------------------------------------------------------------------------------------------

    def _bounded(self, done: list[tuple[Try, Done]]) -> None:
        seen: set[tuple[int, frozenset[str]]] = set()
        for level in range(1, self.row.deviations + 1):
            following = list(self._added(done, seen))
            if not following:
                self._complete(self.row.deviations)
                return
            done = self._level(following)
            if self.row.stopped:
                return
            self._complete(level)

    def _added(self, done: list[tuple[Try, Done]], seen: set[tuple[int, frozenset[str]]]) -> Iterator[Try]:
        """Each schedule of the next level, once."""
        expanded: set[tuple[int, int]] = set()
        for (cell, schedule), each in done:
            if each.look is None:
                continue
            if self._request.skip_equal:
                order = (id(cell), each.look.order)
                if order in expanded:
                    self.row.skipped += 1
                    continue
                expanded.add(order)
            for answer in each.look.added:
                longer = frozenset((*schedule, answer))
                if (id(cell), longer) not in seen and not _answered(schedule, answer):
                    seen.add((id(cell), longer))
                    yield cell, (*schedule, answer)

    # --- Drawn -------------------------------------------------------------------------------------------------------

    def _drawn(self, unperturbed: list[tuple[Try, Done]]) -> None:
        """So many schedules in all, the same number of each cell; each has its own number of deviations."""
        wanted = self._request.schedules or DRAWN
        tries: list[Try] = []
        for index, ((cell, _), done) in enumerate(unperturbed):
            share = wanted // len(unperturbed) + (index < wanted % len(unperturbed))
            if done.look is not None:
                answers = done.look.asked if self._request.strategy == "random" else done.look.added
                chance = random.Random(f"{self._request.seed} {self.row.name} {index}")
                tries += [(cell, drawn) for drawn in draw(answers, self.row.deviations, share, chance)]
        self._level(tries)

    # --- Runs --------------------------------------------------------------------------------------------------------

    def _level(self, tries: Sequence[Try]) -> list[tuple[Try, Done]]:
        """Make these runs, as far as they were not made before, and judge each, in order; stops where that is asked."""
        row, request = self.row, self._request
        row.by_level.append(0)
        row.next_level = len(tries)
        fresh = self._pool.runs(
            cell.point(schedule) for cell, schedule in tries if self._journal.get(self._name(cell, schedule)) is None
        )
        found: list[tuple[Try, Done]] = []
        for cell, schedule in tries:
            if request.strategy == "bounded" and request.schedules and row.runs >= request.schedules:
                row.stopped = "schedules"
            elif self._stop.asked:
                row.stopped = "interrupted"
            elif time.monotonic() > self._until:
                row.stopped = "time"
            if row.stopped:
                break
            done = self._done(cell, schedule, fresh)
            if done is None:
                row.stopped = "interrupted"
                break
            row.runs += 1
            row.by_level[-1] += 1
            found.append(((cell, schedule), done))
            self._progress(row, len(tries) - row.by_level[-1])
            if row.found is not None and not request.go_on:
                row.stopped = "found"
                break
        else:
            row.next_level = 0
        fresh.close()
        return found

    def _name(self, cell: Cell, schedule: Schedule) -> str:
        return f"{self._keys[id(cell)]} {','.join(sorted(schedule))}"

    def _done(self, cell: Cell, schedule: Schedule, fresh: Iterator[tuple[Point, Record]]) -> Done | None:
        """The outcome of a run, out of the journal or made now; None if the pool was interrupted."""
        name = self._name(cell, schedule)
        done = self._journal.get(name)
        if done is None:
            point, record = next(fresh, (None, None))
            if point is None or record is None or point.schedule != schedule:  # interrupted: some are left out
                return None
            shown = record.signs
            done = Done(shown, record.digest, record.also, told(record) if shown else ())
            if record.outcome == "late":
                self.row.late += 1
            else:
                self._journal.put(name, done)
            self.row.lost += record.outcome in ("lost", "error")
        if done.look is not None:
            row = self.row
            row.idle = tuple(step for step in done.look.idle if not row.runs or step in row.idle)
        if done.look is not None and done.look.order:
            self._orders.add((id(cell), done.look.order))
        self._judge(cell, schedule, done)
        return done

    def _judge(self, cell: Cell, schedule: Schedule, done: Done) -> None:
        row = self.row
        for sign in done.signs:
            hit = Found(row.runs + 1, len(schedule), sign, str(cell), cell.point(schedule), done.digest, done.messages)
            if row.found is None and sign.startswith(row.wanted or ""):
                row.found = hit
            elif row.found is None or sign != row.found.sign:
                row.others.setdefault(sign, hit)


def draw(answers: Sequence[str], most: int, count: int, chance: random.Random) -> Iterator[Schedule]:
    """Schedules of 1 to `most` answers to different questions, drawn evenly."""
    by_question: dict[str, list[str]] = {}
    for answer in answers:
        by_question.setdefault(answer.rpartition(":")[0], []).append(answer)
    questions = list(by_question)
    for _ in range(count if questions else 0):
        drawn = chance.sample(questions, min(len(questions), chance.randint(1, max(1, most))))
        yield tuple(chance.choice(by_question[question]) for question in drawn)


def _answered(schedule: Schedule, answer: str) -> bool:
    question = answer.rpartition(":")[0]
    return any(given.rpartition(":")[0] == question for given in schedule)


def _key(cell: Cell) -> str:
    """What tells cells apart, in whatever process: the topology, and what is in the files that it names."""
    text = cell.topology.model_dump_json()
    if named := contents(cell.topology):
        text += json.dumps(named)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
