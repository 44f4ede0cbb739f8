"""A finding: everything that its run depends on, and what was seen in it, as one file of JSON.

The file is bound to the version of the model that wrote it, since the names in a schedule are; and to its own content,
by a checksum, since a schedule that somebody has changed is no finding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Source
from cosim.oracles import Violation
from cosim.study.finding.driver_files import hash_of, names_of
from cosim.study.pool import Record
from cosim.study.report.whole_file import write_whole
from cosim.study.run.model import model_version, package_version
from cosim.study.run.run import Point
from cosim.study.run.signs import first_of_each, kind
from cosim.sw.driver.variants import called, variant
from cosim.system.load import load, resolved

FORMAT = 1
"""The version of the file's own format."""
CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True)
class Finding:
    """A run that shows `signature`: its point, what was seen in it, and by which version of the model.

    The signature is that of a violation, or of a failure that is none (`cosim.study.run.signs`).
    `topology` is YAML text, resolved: it depends on no other file. `violations` are the first one of each signature.
    `command` is what made the point from a shell, if there is such a command.
    """

    name: str
    driver: str
    seed: int
    schedule: tuple[str, ...]
    signature: str
    violations: tuple[Violation, ...]
    failures: tuple[str, ...]
    digest: str
    events: int
    simulated_ps: int
    cosim: str
    model: str
    command: str
    driver_files: Mapping[str, str]
    """By the path of each file of a driver of the user's own, as the topology names it, the SHA-256 of its content."""
    topology: str

    @classmethod
    def of(cls, point: Point, record: Record, signature: str) -> Finding:
        """The finding that `record` is, of the run of `point`. ValueError if it does not show `signature`."""
        if signature not in record.signs:
            raise ValueError(f"the run of {point.name} shows no {signature!r}")
        driver = point.topology.driver
        return cls(
            name=point.name,
            driver=called(variant(driver.variant, driver.cells), driver.cells),
            seed=point.topology.run.seed,
            schedule=point.schedule,
            signature=signature,
            violations=tuple(first_of_each(record.violations).values()),
            failures=record.failures,
            digest=record.digest,
            events=record.events,
            simulated_ps=record.simulated_ps,
            cosim=package_version(),
            model=model_version(),
            command=point.command,
            driver_files={path: hash_of(Path(path)) for path in names_of(driver)},
            topology=resolved(point.topology),
        )

    @property
    def violation(self) -> Violation | None:
        """The first violation of the signature that it is for; None if that is of a failure that is no violation."""
        return next((one for one in self.violations if one.signature == self.signature), None)

    @property
    def shown(self) -> Violation:
        """What it is for: that violation, or the failure as one of no oracle, which is seen at the end of the run."""
        if self.violation is not None:
            return self.violation
        message = next((text for text in self.failures if kind(text) in self.signature), self.signature)
        return Violation("", self.signature, message, self.simulated_ps, self.simulated_ps)

    def point(self) -> Point:
        """The point of its run. Raises TopologyError."""
        source = Source.parse(self.topology, f"the topology of {self.name}")
        return Point(load(source), self.name, self.schedule, self.command)

    def as_json(self) -> dict[str, Any]:
        """The object that its file holds."""
        held: dict[str, Any] = {"finding": FORMAT}
        for field in fields(self):
            held[field.name] = getattr(self, field.name)
        held["schedule"] = list(self.schedule)
        held["failures"] = list(self.failures)
        held["violations"] = [
            {each.name: getattr(violation, each.name) for each in fields(violation)} for violation in self.violations
        ]
        held["driver_files"] = dict(self.driver_files)
        held["topology"] = self.topology.splitlines()
        return held | {CHECKSUM: checksum_of(held)}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Finding:
        """The finding of such an object. KeyError or TypeError if it is none."""
        given = {field.name: held[field.name] for field in fields(cls)}
        given["schedule"] = tuple(given["schedule"])
        given["failures"] = tuple(given["failures"])
        given["violations"] = tuple(Violation(**violation) for violation in given["violations"])
        given["topology"] = "".join(f"{line}\n" for line in given["topology"])
        return cls(**given)

    def write(self, path: str | Path) -> None:
        """Write its file: whole, or not at all. Raises TopologyError (exit code 2) if it cannot be written."""
        try:
            write_whole(Path(path), json.dumps(self.as_json(), indent=1) + "\n")
        except OSError as error:
            message = f"the finding cannot be written: {error.strerror or error}"
            raise TopologyError([Problem(Position(str(path)), (), message)]) from None


def checksum_of(held: Mapping[str, Any]) -> str:
    """The checksum over an object's content, without its own; layout and order of keys do not count."""
    content = {name: value for name, value in held.items() if name != CHECKSUM}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
