"""What a search has done so far, a line of JSON for each run: from it a search that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.explore.look import Look
from cosim.study.report.whole_file import write_whole


@dataclass(frozen=True, slots=True)
class Done:
    """A run: what it showed, its digest, and what may be added to its schedule."""

    signs: tuple[str, ...]
    digest: str = ""
    look: Look | None = None
    messages: tuple[str, ...] = ()
    """What it showed, in words."""


class Journal:
    """The runs of a search by what they are runs of, kept in a file if there is a path.

    `head` is what a journal has to agree with in order to be gone on with: the version of the model, what was asked.
    """

    def __init__(self, head: Mapping[str, Any], path: Path | None = None, *, resume: bool = False) -> None:
        self._path = path
        self._done: dict[str, Done] = {}
        self._file: FileIO | None = None
        self._head = json.loads(json.dumps(head))
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if resume and path.exists():
                self._read(path)
            self._file = path.open("ab" if resume else "wb", buffering=0)
        except OSError as error:
            raise _refused(path, f"cannot be written: {error.strerror}") from None
        if self._file.tell() == 0:
            self._write(self._head)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._done)

    def of(self, key: str) -> Notes:
        """The part of it in which each run has been read back what `key` stands for."""
        return Notes(self, key)

    def get(self, key: str) -> Done | None:
        """The run with this key, if it was made."""
        return self._done.get(key)

    def put(self, key: str, done: Done) -> None:
        """Note a run."""
        if self._file is not None:
            self._write({"run": key, **asdict(done)})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        data = f"{json.dumps(line)}\n".encode()
        try:
            while data := data[self._file.write(data) :]:
                pass
        except OSError as error:
            assert self._path is not None
            self._file.close()
            why = f"cannot be written: {error.strerror}; what it has so far is kept: go on with --resume"
            raise _refused(self._path, why) from None

    def _read(self, path: Path) -> None:
        """Lines up to one that was cut short: the last one of a process that was ended."""
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        try:
            head = json.loads(lines[0]) if lines else {}
        except json.JSONDecodeError:
            head = None
        if head and head != self._head:
            differ = [name for name in self._head if not isinstance(head, dict) or head.get(name) != self._head[name]]
            raise _refused(
                path, f"is of another search ({', '.join(differ)} differ); go on with that one, or leave --resume out"
            )
        for line in lines[1:]:
            try:
                data = json.loads(line)
            except json.JSONDecodeError:
                break
            run, look = data.pop("run"), data["look"] and Look(**_with_tuples(data["look"]))
            self._done[run] = Done(**_with_tuples({**data, "look": look}))
        kept = [json.dumps(self._head), *lines[1 : 1 + len(self._done)]] if lines else []
        write_whole(path, "".join(f"{line}\n" for line in kept))


class Notes:
    """The runs in a journal of which the same was read back."""

    def __init__(self, journal: Journal, key: str) -> None:
        self._journal = journal
        self._key = key

    def get(self, run: str) -> Done | None:
        """The run, if it was made."""
        return self._journal.get(f"{self._key} {run}")

    def put(self, run: str, done: Done) -> None:
        """Note a run."""
        self._journal.put(f"{self._key} {run}", done)


def _with_tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def _refused(path: Path, why: str) -> TopologyError:
    return TopologyError([Problem(Position(str(path)), (), why)])
