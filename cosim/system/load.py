"""From a name, a file or a model to the `Topology` that runs, with overlays and overrides laid over it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cosim.config.merging import COUNT, MOST_MEMBERS, PARTS
from cosim.config.problems import Position, Problem, TopologyError
from cosim.config.source import Override, Source, dump, legal_names, validate
from cosim.config.yaml_reader import node_of
from cosim.config.yaml_writer import Hex
from cosim.sw.driver.axes import AXES
from cosim.sw.driver.compiled import in_short
from cosim.sw.driver.variants import axis_of_policy
from cosim.system.checks import check
from cosim.system.effects import ineffective
from cosim.system.named_files import with_files
from cosim.system.topology import Topology
from cosim.units.field_types import ReadableSchema
from cosim.units.nearest import nearest
from cosim.units.quantities import parse_address

_COUNT_SCHEMA = {
    "type": "integer",
    "minimum": 1,
    "maximum": MOST_MEMBERS,
    "description": "How many such parts there are: `nic` with a count of 4 is `nic0` to `nic3`.",
}

SHORTHAND = {"driver": "variant"}
"""Sections that may be given as one word, and the field that it is for."""
WORDS = {"driver": "policy"}
"""Sections whose entries may be."""


def load(
    topology: str | Path | Topology | Source,
    *,
    overlays: Iterable[str | Path] = (),
    sets: Iterable[str] = (),
    set: Mapping[str, object] | None = None,
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
) -> Topology:
    """The topology of a file, or of one that comes with cosim, or another one changed; or that of a source.

    `overlays` are files merged over it, later ones winning. `driver` replaces the file's own and all its policies; a
    single policy of a user's file replaces that of its axis.
    Then come the overrides `sets` (``PATH=VALUE``) and `set` (path to value), and the short forms `seed` and `until`.
    What has lost its effect to a later one of them is left out. Raises TopologyError with everything that is wrong.
    """
    source = laid_over(topology, overlays=overlays, sets=sets, set=set, driver=driver, seed=seed, until=until)
    topology = validate(Topology, source, check)
    while idle := [complaint.path for complaint in ineffective(topology)]:
        source = source.without(idle)
        topology = validate(Topology, source)
    return topology


def laid_over(
    topology: str | Path | Topology | Source,
    *,
    overlays: Iterable[str | Path] = (),
    sets: Iterable[str] = (),
    set: Mapping[str, object] | None = None,
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
) -> Source:
    """What `load` makes a topology of: its file with all that is laid over it. Raises TopologyError."""
    overrides = []
    if driver is not None:
        position = Position(f"--driver {in_short(driver)}")
        if axis := axis_of_policy(driver):
            overrides.append(Override(("driver", axis), node_of(driver, position), position))
        else:  # the whole section: the cells of another variant are none of this one's
            overrides.append(Override(("driver",), node_of({"variant": driver}, position), position))
    overrides += [Override.parse(text) for text in sets]
    overrides += [Override.of(path, value) for path, value in (set or {}).items()]
    for option, path, value in (("--seed", ("run", "seed"), seed), ("--until", ("run", "until"), until)):
        if value is not None:
            position = Position(f"{option} {value}")
            overrides.append(Override(path, node_of(value, position), position))
    source = as_source(topology).resolved(
        overlays=[Source.load(overlay) for overlay in overlays],
        overrides=overrides,
        legal=legal_names(Topology, {("driver",): AXES}),
        shorthand=SHORTHAND,
        words=WORDS,
    )
    return with_files(source)


def as_source(topology: str | Path | Topology | Source) -> Source:
    """What `load` begins with: a file, one that comes with cosim, or a model as if it were a file. TopologyError."""
    if isinstance(topology, Source):
        return topology
    if isinstance(topology, Topology):
        return Source.of(as_data(topology), "<topology>")
    path = Path(topology)
    if ".jsonl" in path.suffixes and path.exists():
        message = "lines of JSON are no topology; `cosim conform` replays scenarios and litmus tests"
        raise TopologyError([Problem(Position(str(topology)), (), message)])
    if path.suffix in (".yaml", ".yml") and not path.exists() and path.stem in shipped():
        message = f"no such file; {path.stem}, without {path.suffix}, comes with cosim"
        raise TopologyError([Problem(Position(str(topology)), (), message)])
    if path.exists() or path.suffix or len(path.parts) > 1:
        source = Source.load(path)
        if {"finding", "checksum"} <= source.root.entries.keys():
            message = f"a finding is no topology; replay it: cosim replay {path}"
            raise TopologyError([Problem(Position(str(topology)), (), message)])
        if {"topology", "axes"} <= source.root.entries.keys():
            raise TopologyError([Problem(Position(str(topology)), (), _a_study(str(topology)))])
        return source
    known = shipped()
    if str(topology) not in known and str(topology) in shipped_studies():
        raise TopologyError([Problem(Position(str(topology)), (), _a_study(str(topology)))])
    if str(topology) not in known:
        message = f"no such file, and no topology of that name comes with cosim; {nearest(str(topology), known)}"
        raise TopologyError([Problem(Position(str(topology)), (), message)])
    return Source.load(known[str(topology)], f"{topology}.yaml")


def _a_study(name: str) -> str:
    return f"a study is no topology; run it: cosim sweep {name}"


def shipped_studies() -> Mapping[str, Path]:
    """The studies that come with cosim, by name."""
    package = Path(__file__).parent.parent
    for folder in (package / "studies", package.parent / "studies"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


@cache
def shipped() -> Mapping[str, Path]:
    """The topologies that come with cosim, by name; those of a folder within theirs stand behind the others.

    They are looked for once: what comes with cosim does not change while cosim runs.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "topologies", package.parent / "topologies"):
        if folder.is_dir():
            found = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
            return MappingProxyType({path.stem: path for path in found})
    return MappingProxyType({})


def as_data(topology: Topology, *, everything: bool = False) -> dict[str, Any]:
    """A topology as plain data that loads back to it; with every default, or only with what differs from them."""
    data: dict[str, Any] = topology.model_dump(mode="json", by_alias=True, exclude_defaults=not everything)
    return data


def resolved(topology: Topology, *, everything: bool = False) -> str:
    """A topology as YAML text that loads back to it."""
    return as_text(as_data(topology, everything=everything))


def as_text(data: Mapping[str, Any]) -> str:
    """The YAML text of a topology's plain data."""
    return dump(_with_plain_addresses(data))


def _with_plain_addresses(data: Any) -> Any:
    """Addresses as numbers in hexadecimal, which need no quotes."""
    if isinstance(data, dict):
        return {name: _with_plain_addresses(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_with_plain_addresses(value) for value in data]
    if isinstance(data, str) and re.fullmatch("0x[0-9a-f_]+", data):
        return Hex(parse_address(data))
    return data


def json_schema() -> dict[str, Any]:
    """The JSON schema of a topology file, with what a file may say beside the models: `count`, and the shorthands."""
    schema: dict[str, Any] = Topology.model_json_schema(schema_generator=ReadableSchema)
    fields = schema["properties"]
    for section in SHORTHAND:
        reference = fields[section].pop("$ref")
        fields[section]["anyOf"] = [{"type": "string"}, {"$ref": reference}]
    for reference in fields[PARTS]["additionalProperties"]["discriminator"]["mapping"].values():
        schema["$defs"][reference.rpartition("/")[2]]["properties"][COUNT] = _COUNT_SCHEMA
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
