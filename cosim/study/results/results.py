"""The results file of a study: opened or refused, runs added one by one, runs read."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from cosim.study.results.doubles import SIZE, one_of, packed_of
from cosim.study.results.file import opened, told
from cosim.study.results.stored import Stored
from cosim.study.run.model import model_version, package_version
from cosim.study.run.named import Named

AT_ONCE = 500
"""So many ids are asked for in one statement."""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """What a call of `cosim sweep` was told: its row in the file. `axes` are the values of each path, as written."""

    command: str
    topology: str
    base: str
    axes: Mapping[str, Sequence[str]]
    metrics: tuple[str, ...] = ()
    model: str = ""
    began: str = ""
    id: int = 0


class Results:
    """An open results file, of which each run that was `add`ed is kept whatever happens next.

    Written in SQLite's write-ahead log: a run costs a fraction of a millisecond, and a process that is killed loses
    nothing of what it had added. TopologyError (exit code 2) where a file cannot be used; it is left as it is then.
    """

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = str(path)
        self._names: dict[int, list[str]] = {}
        self._columns: dict[str, int] = {}
        self._writes = write
        self._owner = os.getpid()
        self._file = opened(self.path, write=write)
        with told(self.path):
            ((version_,),) = self._file.execute("PRAGMA user_version")
        self._packed = "doubles, '[]'" if version_ > 1 else "NULL, numbers"

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what is left is one file."""
        with suppress(sqlite3.Error):  # a disk that is full, or another reader: the log then stays beside the file
            if self._writes:
                self._file.execute("PRAGMA journal_mode = DELETE")
        self._file.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None and os.getpid() == self._owner:  # and in no fork of it
            self.close()

    # --- Writing -----------------------------------------------------------------------------------------------------

    def begin(self, sweep: SweepRow) -> SweepRow:
        """Note a sweep; it is given back with its id."""
        with told(self.path), self._file:
            row = self._file.execute(
                "INSERT INTO sweeps VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _now(),
                    sweep.command,
                    sweep.topology,
                    sweep.base,
                    json.dumps({path: list(values) for path, values in sweep.axes.items()}),
                    json.dumps(sweep.metrics),
                    package_version(),
                    model_version(),
                    platform.python_version(),
                    f"{platform.node()}: {platform.machine()}, {os.cpu_count()} CPUs",
                ),
            ).lastrowid
        assert row is not None
        return replace(sweep, id=row, model=model_version())

    def plan(self, sweep: SweepRow, points: Iterable[tuple[int, str, Mapping[str, str]]]) -> None:
        """Note points of a sweep: the place in its order, the id (empty until it is known), what the axes say."""
        rows = [(sweep.id, place, point, json.dumps(dict(settings))) for place, point, settings in points]
        with told(self.path), self._file:
            self._file.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?, ?, ?)", rows)

    def ask(self, sweep: SweepRow, place: int, seeds: Iterable[int]) -> None:
        """Note seeds that a sweep asks for at one of its points; once it has noted any, it has no other runs."""
        with told(self.path), self._file:
            rows = [(sweep.id, place, seed) for seed in seeds]
            self._file.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", rows)

    def note(self, point: str, driver: str, resolved: str) -> None:
        """Note what a point is: its driver, and its topology as YAML."""
        with told(self.path), self._file:
            self._file.execute("INSERT OR IGNORE INTO points VALUES (?, ?, ?)", (point, driver, resolved))

    def add(self, run: Stored, model: str = "") -> None:
        """Keep a run that has ended, unless it is there already; one without numbers is replaced."""
        numbers = [_rounded(value) for value in run.numbers.values()]
        with told(self.path), self._file:
            self._file.execute("DELETE FROM runs WHERE id = ? AND columns IS NULL", (run.id,))
            self._file.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(run.id, run.point, run.replication, run.seed, model or model_version()),
                    *(run.outcome, run.reason, run.digest, run.host_s, _now()),
                    self._column_of(list(run.numbers)) if run.numbers else None,
                    packed_of(numbers),
                    json.dumps(numbers),
                ),
            )
            self._file.executemany(
                "INSERT OR IGNORE INTO histograms VALUES (?, ?, ?)",
                [(run.id, name, json.dumps(buckets)) for name, buckets in run.histograms.items()],
            )

    def _column_of(self, names: list[str]) -> int:
        """The number of a list of names, which is noted if it is new."""
        text = json.dumps(names)
        if text not in self._columns:
            self._file.execute("INSERT OR IGNORE INTO columns VALUES (NULL, ?)", (text,))
            ((number,),) = self._file.execute("SELECT id FROM columns WHERE names = ?", (text,))
            self._file.executemany(
                "INSERT OR IGNORE INTO names VALUES (?, ?, ?)",
                [(number, place, name) for place, name in enumerate(names)],
            )
            self._columns[text] = number
        return self._columns[text]

    # --- Reading -----------------------------------------------------------------------------------------------------

    def sweeps(self) -> list[SweepRow]:
        """Every sweep that has written into it, the first one first."""
        columns = "command, topology, base, axes, metrics, model, began, id"
        with told(self.path):
            rows = self._file.execute(f"SELECT {columns} FROM sweeps ORDER BY id").fetchall()
        return [
            SweepRow(command, topology, base, json.loads(axes), tuple(json.loads(metrics)), model, began, number)
            for command, topology, base, axes, metrics, model, began, number in rows
        ]

    def places(self, sweep: int | None = None) -> Iterator[tuple[int, int, str, dict[str, str]]]:
        """Sweep, place, point, and what the axes say there, of a sweep or of all of them, in order."""
        where, given = ("WHERE sweep = ?", (sweep,)) if sweep is not None else ("", ())
        columns = "sweep, place, point, settings"
        with told(self.path):
            for row in self._file.execute(f"SELECT {columns} FROM settings {where} ORDER BY sweep, place", given):
                yield (*row[:3], json.loads(row[3]))

    def swept(self, sweep: int) -> Iterator[tuple[int, str, int]]:
        """Place, point and seed of each run of a sweep, in order."""
        columns, tables = "place, runs.point, runs.seed", "swept JOIN runs ON runs.id = run"
        with told(self.path):
            yield from self._file.execute(
                f"SELECT {columns} FROM {tables} WHERE sweep = ? ORDER BY place, runs.seed", (sweep,)
            )

    def names(self) -> list[str]:
        """The numbers that good runs have, whichever sweep they are of."""
        with told(self.path):
            kinds = self._file.execute("SELECT DISTINCT columns FROM runs WHERE outcome = 'ok' ORDER BY columns")
            return list(dict.fromkeys(name for (kind,) in kinds.fetchall() for name in self._names_of(kind)))

    def resolved(self, point: str) -> str:
        """The topology of a point, without its seed, as YAML."""
        with told(self.path):
            row = self._file.execute("SELECT resolved FROM points WHERE id = ?", (point,)).fetchone()
        return str(row[0]) if row else ""

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        """Of these runs those that are there, with their outcomes."""
        found: dict[str, str] = {}
        with told(self.path):
            for begin in range(0, len(ids), AT_ONCE):
                some = ids[begin : begin + AT_ONCE]
                places = ",".join("?" * len(some))
                found |= dict(self._file.execute(f"SELECT id, outcome FROM runs WHERE id IN ({places})", some))
        return found

    def runs(self, sweep: int | None = None, *, model: str | None = None, histograms: bool = False) -> Iterator[Stored]:
        """The runs that a sweep asks for, of its model, or all of them, by place or point and by replication.

        `model` leaves those of one alone, and `histograms` reads the distributions of their latencies as well. A run of
        a sweep comes once for each of its points that is of this configuration, with what the axes say there.
        """
        labels = {(place if sweep is not None else point): said for _, place, point, said in self.places(sweep)}
        wanted = [*(["runs.model = ?"] if model else []), *(["swept.sweep = ?"] if sweep is not None else [])]
        given = [*([model] if model else []), *([sweep] if sweep is not None else [])]
        tables, by = ("runs JOIN swept ON run = runs.id", "place") if sweep is not None else ("runs", "runs.point")
        columns = "runs.id, runs.point, replication, seed, outcome, reason, digest, host_s, runs.columns, numbers"
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        with told(self.path):
            for row in self._file.execute(
                f"SELECT {columns}, {by} FROM {tables} {where} ORDER BY {by}, replication, runs.id", given
            ):
                id_, point, replication, seed, outcome, reason, digest, host_s, names, numbers, label = row
                yield Stored(
                    *(id_, point, replication, seed, outcome, reason, digest, host_s),
                    labels.get(label, {}),
                    Named(zip(self._names_of(names), json.loads(numbers), strict=True)) if names else Named(),
                    self.histograms(id_) if histograms else {},
                    label if sweep is not None else 0,
                )

    def run(self, run: str) -> Stored:
        """One run, which is there."""
        with told(self.path):
            ((point, replication, seed, outcome, reason, digest, host_s, names, numbers),) = self._file.execute(
                "SELECT point, replication, seed, outcome, reason, digest, host_s, columns, numbers FROM runs "
                "WHERE id = ?",
                (run,),
            )
            named = Named(zip(self._names_of(names), json.loads(numbers), strict=True)) if names else Named()
        return Stored(
            *(run, point, replication, seed, outcome, reason, digest, host_s), {}, named, self.histograms(run)
        )

    def histograms(self, run: str) -> dict[str, dict[int, int]]:
        """The distribution of each latency of a run."""
        with told(self.path):
            rows = self._file.execute("SELECT name, buckets FROM histograms WHERE run = ? ORDER BY name", (run,))
            return {name: {int(ps): count for ps, count in json.loads(text).items()} for name, text in rows}

    def table(self, model: str) -> Iterator[tuple[str, int, str, list[str], bytes]]:
        """Point, seed, outcome, names, and numbers as doubles, of every run of a model: quick for very many."""
        for point, seed, outcome, _, names, doubles in self._doubles(model):
            yield point, seed, outcome, names, doubles

    def some(
        self, model: str, choose: Callable[[list[str]], Sequence[str]]
    ) -> Iterator[tuple[str, int, str, str, dict[str, float]]]:
        """Point, seed, outcome, reason and some numbers of every run of `model`: of very many faster than all of them.

        `choose` says which, from the names of all.
        """
        places: dict[int, dict[str, int]] = {}
        for point, seed, outcome, reason, names, doubles in self._doubles(model):
            if id(names) not in places:
                places[id(names)] = {name: names.index(name) for name in choose(names)}
            yield point, seed, outcome, reason, {name: one_of(doubles, at) for name, at in places[id(names)].items()}

    def _doubles(self, model: str) -> Iterator[tuple[str, int, str, str, list[str], bytes]]:
        """Point, seed, outcome, reason, names and doubles of every run of `model`."""
        columns = f"point, seed, outcome, reason, columns, {self._packed}"
        none: list[str] = []
        with told(self.path):
            for point, seed, outcome, reason, kind, packed, numbers in self._file.execute(
                f"SELECT {columns} FROM runs WHERE model = ? ORDER BY rowid", (model,)
            ):
                names = self._names_of(kind) if kind else none
                doubles = packed or packed_of(json.loads(numbers))
                if len(doubles) != SIZE * len(names):
                    raise ValueError(f"{len(doubles)} bytes of {len(names)} numbers")
                yield point, seed, outcome, reason, names, doubles

    def _names_of(self, columns: int) -> list[str]:
        if columns not in self._names:
            ((text,),) = self._file.execute("SELECT names FROM columns WHERE id = ?", (columns,))
            self._names[columns] = json.loads(text)
        return self._names[columns]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _rounded(value: float) -> float:
    """An integer as it is, and of others the digits that are quick to read: twelve."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
