"""A results file is opened, made, or refused and left as it is; SQLite's errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.results.schema import ADDED, APPLICATION, JSON, READ, TABLES, VERSION

MEMORY = ":memory:"
"""The path of results that are in no file."""
PATIENCE_S = 60.0
"""How long to wait for another process that is writing into the same file."""
_HEAD = 100


def opened(path: str, *, write: bool) -> sqlite3.Connection:
    """The file at `path`; with `write` it is made if it is not there. Raises TopologyError."""
    if path == MEMORY:
        file = sqlite3.connect(MEMORY)
        _create(file)
        return file
    with told(path):
        if Path(path).is_dir():
            raise refused(path, "a folder, not a results file")
        if Path(path).exists() and (Path(path).stat().st_size or not write):
            _check(path, write=write)
            if write:
                _check_rows(path)
        elif not write:
            raise refused(path, "no such file; `cosim sweep ... -o FILE` writes one")
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with _connected(path) as file:
                _create(file)
            file.close()
        return _to_write(path) if write else _to_read(path)


@contextmanager
def told(path: str) -> Iterator[None]:
    """Meanwhile errors of SQLite, of the file system and of what was read are a TopologyError about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise refused(path, _words(error)) from None
    except OSError as error:
        raise refused(path, f"cannot be used: {error.strerror or error}") from None
    except ValueError as error:  # of what is in its rows
        raise refused(path, f"damaged ({error}); name another file with -o") from None


def refused(path: str, why: str) -> TopologyError:
    """The error that says what is wrong with the file."""
    return TopologyError([Problem(Position(path), (), why)])


def _connected(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE_S)


def _to_write(path: str) -> sqlite3.Connection:
    file = _connected(path)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    if not _has_all(file):
        file.executescript(f"BEGIN IMMEDIATE;{ADDED.format(temp='')}COMMIT;")
    return file


def _to_read(path: str) -> sqlite3.Connection:
    """Also where nothing can be written: then nobody else writes, and SQLite need not look."""
    uri = Path(path).resolve().as_uri()
    lonely = not os.access(Path(path).resolve().parent, os.W_OK) and not Path(f"{path}-wal").exists()
    file = sqlite3.connect(f"{uri}?mode=ro{'&immutable=1' * lonely}", uri=True, timeout=PATIENCE_S)
    if not _has_all(file):
        file.execute("PRAGMA temp_store = MEMORY")
        file.executescript(ADDED.format(temp="TEMP"))
    file.execute("PRAGMA query_only = 1")
    return file


def _has_all(file: sqlite3.Connection) -> bool:
    """Whether it has the tables that files of before lack."""
    return bool(file.execute("SELECT count(*) FROM sqlite_master WHERE name = 'swept'").fetchone()[0])


def _create(file: sqlite3.Connection) -> None:
    file.executescript(
        f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};{TABLES}"
        f"{ADDED.format(temp='')}COMMIT;"
    )


def _check(path: str, *, write: bool) -> None:
    """Refuse, by its first bytes alone, a file that is none of ours, of another version, or cut short."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    size = Path(path).stat().st_size

    def number(at: int, length: int = 4) -> int:
        return int.from_bytes(head[at : at + length], "big")

    if len(head) < _HEAD or head[:16] != b"SQLite format 3\0" or number(68) != APPLICATION:
        raise refused(path, "no results file of cosim")
    if number(60) not in READ:
        known = " and ".join(map(str, READ))
        raise refused(path, f"a results file of version {number(60)}, and this cosim reads versions {known}")
    if write and number(60) != VERSION:
        why = f"a results file of version {number(60)}, which is read, and not written; name another file with -o"
        raise refused(path, why)
    whole = number(28) * (65536 if number(16, 2) == 1 else number(16, 2))
    if size < whole and not Path(f"{path}-wal").exists():
        raise refused(path, f"damaged: it has {size} of {whole} bytes")


def _check_rows(path: str) -> None:
    """Refuse a file of which a page or a row is damaged before anything is written: it may be met only behind that.

    A file of 100,000 runs takes a few seconds.
    """
    with closing(_to_read(path)) as file:
        ((found,),) = file.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise ValueError(" ".join(str(found).split()))
        for table, columns in JSON.items():
            valid = " AND ".join(f"json_valid({column})" for column in columns) or "1"
            for row in file.execute(f"SELECT {valid}, * FROM {table}"):  # text that is none raises here
                if not row[0]:
                    raise ValueError(f"{' or '.join(columns)} of a row of {table} is no JSON")
        for (run,) in file.execute(
            "SELECT runs.id FROM runs LEFT JOIN columns ON columns.id = runs.columns WHERE runs.columns IS NOT NULL "
            "AND json_array_length(numbers) IS NOT json_array_length(names) LIMIT 1"
        ):
            raise ValueError(f"run {run} has other numbers than names")


def _words(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return "the disk is full; what had ended before is kept: make room, and give the same command again"
    if "readonly" in text or "unable to open" in text:
        return "cannot be written; name another file with -o"
    if "locked" in text:
        return "another process is writing into it; wait for it, or name another file with -o"
    if "not a database" in text or "malformed" in text or "no such" in text:
        return f"damaged ({text}); name another file with -o"
    if "UTF-8" in text:  # followed by all of what could not be decoded
        return "damaged (there is text that is none); name another file with -o"
    return f"cannot be used: {text}; what had ended before is kept: give the same command again"
