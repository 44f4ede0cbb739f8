"""A topology as text: read with the place of every value, merged with overlays and overrides, and checked.

`Source.load`, `.resolved` and `validate` are the way from a file to a model; every error of the file comes at once.
"""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cosim.config.merging import apart, each_cpu, expanded, merged, opened, spelled_out
from cosim.config.overrides import Legal, Override, apply, apply_count
from cosim.config.problems import Path, Position, Problem, TopologyError, dotted
from cosim.config.shape import legal_names
from cosim.config.validation import Check, validate
from cosim.config.yaml_reader import Node, node_of, read
from cosim.config.yaml_writer import dump
from cosim.units.nearest import nearest
from cosim.units.quantities import show

__all__ = [
    "Check",
    "Legal",
    "Override",
    "Path",
    "Position",
    "Problem",
    "Source",
    "TopologyError",
    "dotted",
    "dump",
    "legal_names",
    "nearest",
    "validate",
]

_LARGEST = 4 << 20


@dataclass(frozen=True)
class Source:
    """A topology as it was written: plain data, the place of each value, and the errors found so far.

    `groups` are the parts that had a `count`, with the names of their members.
    """

    root: Node
    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str | None = None) -> "Source":
        """Of a file, which errors call `name` (its path if absent). Raises TopologyError."""
        name = name or os.fspath(path)
        try:
            with open(path, "rb") as file:
                content = file.read(_LARGEST + 1)
        except OSError as error:
            raise TopologyError([Problem(Position(name), (), unreadable(os.fspath(path), error))]) from None
        except ValueError:
            raise TopologyError([Problem(Position(name), (), "not the name of a file")]) from None
        if len(content) > _LARGEST:
            raise TopologyError([Problem(Position(name), (), f"more than {_LARGEST >> 20} MiB are no topology")])
        try:
            return cls.parse(content.decode("utf-8"), name)
        except UnicodeDecodeError as error:
            before = content[: error.start]
            place = Position(name, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
            found = f"the byte {content[error.start]:#04x}"
            raise TopologyError([Problem(place, (), f"not UTF-8 text: {found} cannot stand here")]) from None

    @classmethod
    def parse(cls, text: str, name: str = "<text>") -> "Source":
        """Of YAML text, which errors call `name`. Raises TopologyError if it is no mapping."""
        root, problems = read(text, name)
        if root is None:
            message = "the file is empty; a topology has at least `parts:`"
            raise TopologyError([*problems, Problem(Position(name, 1, 1), (), message)])
        if not isinstance(root.value, dict):
            message = f"a topology is a mapping of sections such as `parts:`, not {show(root.plain)}"
            raise TopologyError([*problems, Problem(root.at, (), message)])
        return cls(root, (name,), problems)

    @classmethod
    def of(cls, data: Mapping[str, Any], name: str = "<data>") -> "Source":
        """Of plain data, which errors call `name`. Raises TopologyError for what YAML could not hold."""
        return cls(node_of(dict(data), Position(name)), (name,))

    @cached_property
    def data(self) -> Any:
        """The plain data: dicts, lists and scalars."""
        return self.root.plain

    def where(self, path: Path, key: bool = False) -> Position:
        """The place of the value at `path` (of its key, if it holds others or if asked), or of what would hold it."""
        node, found = self.root, True
        for step in path:
            below = node.entries.get(str(step)) if not isinstance(node.value, list) else _item(node.value, step)
            if below is None:
                found = False
                break
            node = below
        if node.key and (key or not found or isinstance(node.value, (dict, list))):
            return node.key
        return node.at

    def layer(self, path: Path) -> int:
        """Which of `files` has said the value at `path`, or the last one that has said something in it; -1 if none."""
        node: Node | None = self.root
        for step in path:
            assert node is not None
            node = _item(node.value, step) if isinstance(node.value, list) else node.entries.get(str(step))
            if node is None:
                return -1
        assert node is not None
        return max(self.files.index(position.file) for position in _positions(node))

    def spread(self, path: Path) -> bool:
        """Whether a glob has put the value at `path` in several places; it may be without effect in some of them."""
        position = self.where(path)
        if not any(sign in position.file.partition("=")[0] for sign in "*?["):
            return False
        return sum(1 for one in _positions(self.root) if one == position) > 1

    def said(self) -> set[Position]:
        """The places of all values that are left, whoever else has put one over another."""
        return set(_positions(self.root))

    def without(self, paths: Iterable[Path]) -> "Source":
        """The same with nothing at `paths`."""
        root = self.root
        for path in paths:
            root = _removed(root, path)
        return replace(self, root=root)

    def having(self, path: Path, value: str) -> "Source":
        """The same with another text in place of the value at `path`, which is there."""
        return replace(self, root=_changed(self.root, path, value))

    def resolved(
        self,
        overlays: Iterable["Source"] = (),
        overrides: Iterable[Override] = (),
        legal: Legal | None = None,
        shorthand: Mapping[str, str] | None = None,
        words: Mapping[str, str] | None = None,
    ) -> "Source":
        """This file with overlays merged in, counts written out, and then overrides, each later one winning.

        `legal` says which absent fields an override may set (any, without it); `shorthand` names sections that may be
        given as one word, with the field that the word is for, and `words` those whose entries may be, below which an
        override can go on. What goes wrong joins `problems`.
        """
        spell = dict(shorthand or {})
        root, problems, files, members = spelled_out(self.root, spell), list(self.problems), list(self.files), None
        for overlay in overlays:
            rest, single = apart(root, spelled_out(overlay.root, spell))
            root = merged(root, rest)
            members = merged(members, single) if members and single else single or members
            problems += overlay.problems
            files += overlay.files
        pending: list[Override] = []
        for override in overrides:
            counted = apply_count(override, root)
            if counted is root:
                pending.append(override)
            root = counted
            files.append(override.position.file)
        expansion = expanded(root, members)
        root = expansion.root
        problems += expansion.problems
        for override in pending:
            try:
                root = opened(root, override.path, words or {})
                root = spelled_out(apply(override, root, expansion.groups, legal), spell)
            except TopologyError as error:
                problems += error.problems
        root = each_cpu(root)
        return replace(self, root=root, problems=tuple(problems), files=tuple(files), groups=expansion.groups)


def _item(items: list[Node], index: str | int) -> Node | None:
    return items[index] if isinstance(index, int) and index < len(items) else None


def _removed(node: Node, path: Path) -> Node:
    """`node` without the entry at `path`, which is one of a mapping."""
    key, rest = path[0], path[1:]
    if isinstance(node.value, list):
        return replace(node, value=[_removed(one, rest) if at == key else one for at, one in enumerate(node.value)])
    entries = dict(node.entries)
    if rest:
        entries[str(key)] = _removed(entries[str(key)], rest)
    else:
        del entries[str(key)]
    return replace(node, value=entries)


def _changed(node: Node, path: Path, value: str) -> Node:
    """`node` with this text at `path`, which is there."""
    if not path:
        return replace(node, value=value)
    if isinstance(node.value, list):
        items = [_changed(one, path[1:], value) if at == path[0] else one for at, one in enumerate(node.value)]
        return replace(node, value=items)
    key = str(path[0])
    return replace(node, value={**node.entries, key: _changed(node.entries[key], path[1:], value)})


def _positions(node: Node) -> Iterator[Position]:
    """The places of a value and of all that is in it."""
    yield node.at
    for below in node.value if isinstance(node.value, list) else node.entries.values():
        yield from _positions(below)


def unreadable(path: str, error: OSError) -> str:
    """Why a file cannot be read, and which one may have been meant."""
    if isinstance(error, FileNotFoundError):
        folder, name = os.path.split(path)
        try:
            near = difflib.get_close_matches(name, os.listdir(folder or "."), n=1, cutoff=0.7)
        except OSError:
            return f"no such file: there is no folder {folder}"
        return f"no such file; did you mean {os.path.join(folder, near[0])}?" if near else "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file; name one of the files in it"
    return f"cannot be read: {(error.strerror or str(error)).lower()}"
