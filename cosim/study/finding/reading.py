"""A finding's file is read, or refused: with the place, the rule, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Source, unreadable
from cosim.study.finding.driver_files import hash_of, moved
from cosim.study.finding.finding import CHECKSUM, FORMAT, Finding, checksum_of
from cosim.study.run.model import model_version
from cosim.system.driver_options import DriverOptions
from cosim.system.load import load, resolved, shipped

LARGEST = 16 << 20
"""Bytes of the largest file that is read."""


def read(path: str | Path, *, any_version: bool = False) -> Finding:
    """The finding of a file; of another version of the model only if `any_version` says so, as it cannot be replayed.

    Raises TopologyError (exit code 2) for what is no finding, was cut short or edited, is of another version, or needs
    a driver that is gone or has changed.
    """
    name = str(path)
    held = _object(name, _content(path))
    if "rows" in held and "finding" not in held:
        raise _refused(name, "this is what a search came to, and no finding; its rows name the files of findings")
    if CHECKSUM not in held or "finding" not in held:
        lacks = f"has no {CHECKSUM!r}" if "finding" in held else "has no 'finding'"
        raise _refused(name, f"this is no finding: the object {lacks}; name a file that `cosim explore` has written")
    if held["finding"] != FORMAT:
        raise _refused(name, f"its format is {held['finding']!r}, and this cosim reads {FORMAT}; {_instead(held)}")
    if held[CHECKSUM] != checksum_of(held):
        wrong = "its content does not have its checksum: it was edited, or damaged"
        raise _refused(name, f"{wrong}; take the file as it was written. {_by_hand(held)}")
    try:
        finding = Finding.from_json(held)
    except (KeyError, TypeError) as error:
        raise _refused(name, f"this is no finding: {error}") from None
    if finding.model != model_version() and not any_version:
        made = f"it was made by model {finding.model} of cosim {finding.cosim}, and this is model {model_version()}"
        why = "in which the names of its schedule may mean other actions"
        raise _refused(name, f"{made}, {why}; {_instead(held)}")
    return _with_driver(finding, Path(path))


def _content(path: str | Path) -> bytes:
    name = str(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        if name in shipped():
            raise _refused(
                name, f"a topology that comes with cosim, and no finding; run it: cosim run {name}"
            ) from None
        raise _refused(name, unreadable(name, error)) from None
    except ValueError:
        raise _refused(name, "not the name of a file") from None
    if len(content) > LARGEST:
        raise _refused(name, f"more than {LARGEST >> 20} MiB are no finding")
    return content


def _object(name: str, content: bytes) -> Mapping[str, Any]:
    if not content.strip():
        raise _refused(name, "the file is empty; a finding is what `cosim explore` has written")
    if Path(name).suffix in (".yaml", ".yml"):
        raise _refused(name, f"a topology is no finding; run it: cosim run {name}")
    if Path(name).suffix == ".jsonl":
        raise _refused(name, "lines of JSON are no finding; name a .json file that `cosim explore` has written")
    try:
        text = content.decode("utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise _refused(name, f"not UTF-8 text: the byte {content[error.start]:#04x} cannot stand here") from None
    try:
        held = json.loads(text)
    except json.JSONDecodeError as error:
        ends_early = text[:1] == "{" and (text[-1:] != "}" or error.pos == len(text))
        wrong = "cut short" if ends_early else f"not JSON: {error.msg}"
        place = Position(name, error.lineno, error.colno)
        raise _refused(place, f"{wrong}; take the file as `cosim explore` has written it") from None
    except RecursionError:
        raise _refused(name, "this is no finding: lists in lists without end") from None
    if not isinstance(held, dict):
        raise _refused(name, "this is no finding, which is an object; name a file that `cosim explore` has written")
    return held


def _with_driver(finding: Finding, path: Path) -> Finding:
    """With the files of the user's own driver where they are now: as named, or else beside the finding."""
    places = dict(_places(finding, path))
    away = {named: place for named, place in places.items() if named != place}
    if not away:
        return finding
    data = dict(Source.parse(finding.topology).data)
    driver = moved(DriverOptions(**data["driver"]), away)
    topology = load(Source.of(data | {"driver": driver.model_dump(mode="json")}, f"the topology of {finding.name}"))
    files = {places[named]: found for named, found in finding.driver_files.items()}
    return replace(finding, topology=resolved(topology), driver_files=files)


def _places(finding: Finding, path: Path) -> Iterator[tuple[str, str]]:
    for named, wanted in finding.driver_files.items():
        here = [
            Path(named),
            *([] if Path(named).is_absolute() else [path.parent / named]),
            path.parent / Path(named).name,
        ]
        place = next((one for one in here if one.is_file()), None)
        if place is None:
            looked = ", ".join(dict.fromkeys(map(str, here)))
            raise _refused(str(path), f"the driver {named} is gone: there is no file {looked}; put it back")
        try:
            found = hash_of(place)
        except OSError as error:
            raise _refused(str(path), f"the driver {place} cannot be read: {error.strerror}") from None
        if found != wanted:
            wrong = f"the driver {place} is not the one that it was found in: its content has changed"
            raise _refused(str(path), f"{wrong}; put back what it was, or search again. {_by_hand(finding.as_json())}")
        yield named, str(place)


def _instead(held: Mapping[str, Any]) -> str:
    return f"replay it with the cosim that made it, or search again. {_by_hand(held)}"


def _by_hand(held: Mapping[str, Any]) -> str:
    """That its topology and schedule may be tried all the same, if they can be read."""
    lines, schedule = held.get("topology"), held.get("schedule")
    if not isinstance(lines, list) or not isinstance(schedule, list):
        return ""
    chosen = f" --schedule {','.join(map(str, schedule))}" if schedule else ""
    return f"Its `topology` is a topology: save its lines, and try cosim run FILE.yaml{chosen}"


def _refused(place: str | Position, message: str) -> TopologyError:
    position = place if isinstance(place, Position) else Position(place)
    return TopologyError([Problem(position, (), message.strip())])
