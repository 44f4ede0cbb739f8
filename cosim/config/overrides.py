"""Overrides: single values put in place of a topology's own, by paths such as `nic*.traffic.size`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cosim.config.merging import COUNT, PARTS, placed
from cosim.config.problems import Path, Position, Problem, TopologyError, dotted
from cosim.config.shape import LegalNames, value_at
from cosim.config.suggestions import suggestion
from cosim.config.yaml_reader import Node, node_of, read
from cosim.units.nearest import closest, nearest
from cosim.units.quantities import show

Legal = LegalNames
"""The names that may stand at a path of some data."""


@dataclass(frozen=True)
class Override:
    """A value put in place of the file's: `iommu0.geometry.walkers=8`; path components may be globs."""

    path: tuple[str, ...]
    value: Node
    position: Position

    @classmethod
    def parse(cls, text: str) -> "Override":
        """Of `PATH=VALUE`, as after `-s` on the command line. Raises TopologyError."""
        position = Position(f"-s {text}")
        path, equals, written = text.partition("=")
        if not path.strip() or not written.strip():
            missing = "path" if not path.strip() else "value" if equals else "= and value"
            raise TopologyError(
                [Problem(position, (), f"has no {missing}; write one such as iommu0.geometry.walkers=8")]
            )
        return cls(tuple(path.strip().split(".")), _value(written.strip(), position), position)

    @classmethod
    def of(cls, path: str, value: object) -> "Override":
        """Of a path and plain data, as `run(set={...})` takes them. Raises TopologyError."""
        position = Position(f"{path}={show(value)}")
        return cls(tuple(path.strip().split(".")), node_of(value, position), position)

    @property
    def in_parts(self) -> tuple[str, ...]:
        """The path from the top, if it is meant to begin at a part."""
        return self.path if self.path[0] == PARTS else (PARTS, *self.path)


def _value(written: str, position: Position) -> Node:
    """A value as a file would have it after a key, except that a leading * or ! is text."""
    if written[0] in "*&!%@`|>":
        return node_of(written, position)
    try:
        node, problems = read(written, position.file)
    except TopologyError as error:
        node, problems = None, error.problems
    if problems:
        raise TopologyError([Problem(position, (), problem.message) for problem in problems])
    return node_of(node.plain if node else None, position)


def apply(override: Override, root: Node, groups: Mapping[str, tuple[str, ...]], legal: Legal | None) -> Node:
    """`root` with the override's value at every place that its path names. Raises TopologyError if there is none."""
    for path in _matches(override, root, groups, legal):
        root = placed(root, path, override.value)
    return root


def apply_count(override: Override, root: Node) -> Node:
    """`root`, not yet expanded, with its count for every part, if that is what it is for; else `root` itself."""
    parts = root.entries.get(PARTS)
    if len(override.in_parts) != 3 or override.in_parts[-1] != COUNT:
        return root
    for name in parts.entries if parts else ():
        if fnmatchcase(name, override.in_parts[1]):
            root = placed(root, (PARTS, name, COUNT), override.value)
    return root


def _matches(override: Override, root: Node, groups: Mapping[str, tuple[str, ...]], legal: Legal | None) -> list[Path]:
    """The places that an override names. Raises TopologyError, naming the first component that leads nowhere."""
    data = root.plain
    sections = root.entries.keys() | set((legal and legal(data, ())) or ())
    pattern = override.path if override.path[0] in sections else override.in_parts
    frontier: list[Path] = [()]
    depth = 0
    while depth < len(pattern):
        length = legal.name_length(data, frontier[0], pattern[depth:]) if legal and depth > 1 else 1
        component = ".".join(pattern[depth : depth + length])
        reached = [step for path in frontier for step in _steps(_Place(data, path, groups, legal), component)]
        if not reached:
            places = [_Place(data, path, groups, legal) for path in frontier]
            extra = sections if depth == 1 and pattern is not override.path else ()
            message = _nowhere(places, component, extra, pattern)
            raise TopologyError([Problem(override.position, pattern[: depth + length], message)])
        frontier = reached
        depth += length
    return frontier


@dataclass(frozen=True)
class _Place:
    """A value that a path has led to so far, and the names that may follow."""

    data: Any
    path: Path
    groups: Mapping[str, tuple[str, ...]]
    legal: Legal | None

    @property
    def value(self) -> Any:
        return value_at(self.data, self.path)

    @property
    def names(self) -> list[str]:
        """What may follow, as far as it is known."""
        if isinstance(self.value, list):
            return [str(index) for index in range(len(self.value))]
        there = list(self.value) if isinstance(self.value, dict) else []
        known = self.legal(self.data, self.path) if self.legal else ()
        return list(dict.fromkeys([*there, *(known or ()), *(self.groups if self.path == (PARTS,) else ())]))

    def admits(self, name: str) -> bool:
        """Whether a name may follow that is not known, and is no misspelling of one that is there."""
        if self.value is not None and not isinstance(self.value, dict):
            return False
        if self.legal is None or self.legal(self.data, self.path) is None:
            return True
        free = self.legal.may_be_added(self.data, self.path) and self.path != (PARTS,)
        return free and not closest(name, self.names)


def _steps(place: _Place, component: str) -> list[Path]:
    """The places one component further on; a part that was written out stands for its members."""
    if any(sign in component for sign in _GLOB):
        names = [name for name in place.names if fnmatchcase(name, component)]
    else:
        names = [component] if component in place.names or place.admits(component) else []
    if isinstance(place.value, list):
        return [(*place.path, int(name)) for name in names]
    if place.path == (PARTS,):
        names = [member for name in names for member in place.groups.get(name, (name,))]
    return [(*place.path, name) for name in dict.fromkeys(names)]


_GLOB = "*?["


def _nowhere(places: list[_Place], component: str, sections: Collection[str], pattern: Path) -> str:
    """Why none of the places has what `component` of the path `pattern` names."""
    names = list(dict.fromkeys(name for place in places for name in place.names))
    first = places[0]
    if first.path == (PARTS,):
        hint = nearest(component, [*names, *sections])
        if any(sign in component for sign in _GLOB) or not closest(component, [*names, *sections]):
            hint = _meant(first, pattern) or f"there are: {', '.join(_abridged(names, first.groups))}"
        return f"matches no part; {hint}"
    if component == COUNT and len(first.path) == 2 and first.path[0] == PARTS:
        return "a count belongs to the part as a whole: write its name without a number"
    if isinstance(first.value, list):
        rest = ".".join(map(str, pattern[len(first.path) + 1 :]))
        alike = [
            index for index, item in enumerate(first.value) if isinstance(item, dict) and component in item.values()
        ]
        hint = f"; did you mean {dotted((*first.path, alike[0], rest)).rstrip('.')}?" if alike else ""
        return f"no such entry; {dotted(first.path)} has {len(first.value)}, numbered from 0{hint}"
    if not names:
        return f"{dotted(first.path)} is {show(first.value)}, which has no fields"
    kind = "field" if first.legal and first.legal(first.data, first.path) else "entry"
    near, last = closest(component, names) is not None, pattern[-1] == component
    hint = "" if near and not last else _meant(first, pattern, same_name=near)
    return f"unknown {kind}; {hint or nearest(component, names)}"


def _meant(place: _Place, pattern: Path, same_name: bool = False) -> str:
    """The path elsewhere that was probably meant; nothing without a schema."""
    if (legal := place.legal) is None:
        return ""
    representatives = {members[0] for members in place.groups.values() if members}
    hidden = {member for members in place.groups.values() for member in members} - representatives

    def names(path: tuple[str, ...]) -> list[str]:
        value = value_at(place.data, path)
        there = [name for name in value if name not in hidden] if isinstance(value, dict) else []
        return list(dict.fromkeys([*there, *legal.known(place.data, path)]))

    found = suggestion(tuple(map(str, pattern)), names, PARTS, same_name=same_name)
    return f"did you mean {found}?" if found else ""


def _abridged(names: list[str], groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The names of parts, with `nic0...nic9` for the members of a group."""
    ranges = {members[0]: f"{members[0]}...{members[-1]}" for members in groups.values() if len(members) > 1}
    hidden = {member for members in groups.values() for member in members[1:]} | groups.keys()
    return [ranges.get(name, name) for name in names if name not in hidden]
