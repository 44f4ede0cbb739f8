"""What became of each fault, kept in a file from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from tests.faults.catalogue import HERE, Fault
from tests.faults.coverage_map import state_of

KILLERS = HERE / "killers.json"
"""What has killed each fault when that was last noted, by what it breaks: the test that is tried first."""


class Results:
    """What killed each fault, read from a file and added to it; `now` are the present source and tests, by path."""

    def __init__(self, file: Path, now: dict[str, str]) -> None:
        self._file = file
        self._now = now
        self._state = state_of(now)
        self._by: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._noted: dict[str, str] = json.loads(KILLERS.read_text(encoding="utf-8"))
        if file.exists():
            for line in file.read_text().splitlines():
                entry = json.loads(line)
                self._by[entry["key"]] = entry["by"]
                self._last[entry["fault"]] = entry["by"]

    def former(self, fault: Fault) -> str:
        """What killed it last, whatever has changed since; "" if nothing did."""
        return self._last.get(_short(fault)) or self._noted.get(fault.breaks, "")

    def known(self, fault: Fault) -> str | None:
        """What kills it, "" if it survives, None if that is not known of the present state."""
        for by in {self.former(fault), ""}:
            if self._by.get(self._key(fault, by)) == by:
                return by
        return None

    def add(self, fault: Fault, by: str) -> None:
        """Write down what killed a fault; "" is nothing."""
        short, key = _short(fault), self._key(fault, by)
        self._by[key] = self._last[short] = by
        with self._file.open("a") as file:
            file.write(json.dumps({"fault": short, "key": key, "by": by, "name": fault.name}) + "\n")

    def note(self, faults: Iterable[Fault]) -> None:
        """Write down what has killed these, and nothing of others."""
        killers = {fault.breaks: by for fault in faults if (by := self.former(fault))}
        KILLERS.write_text(json.dumps(killers, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")

    def _key(self, fault: Fault, by: str) -> str:
        """Stands for all that a result depends on: the file of the fault, and that of its killer or everything."""
        rest = self._now.get(by.split("::")[0], "") if by else self._state
        return _hash([_short(fault), self._now[fault.path], rest])


def _short(fault: Fault) -> str:
    return _hash([fault.path, fault.old, fault.new])


def _hash(what: list[str]) -> str:
    return sha256(json.dumps(what).encode()).hexdigest()[:16]
