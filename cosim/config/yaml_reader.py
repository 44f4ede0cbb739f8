"""The YAML of a topology as a tree in which every value knows its place: one document, no tags, no key twice."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from cosim.config.problems import Path, Position, Problem, TopologyError
from cosim.config.yaml_scalars import Scalar, scalar_of
from cosim.units.quantities import show

DEEPEST = 64
MOST_VALUES = 200_000


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place, and the place of its key if it is an entry of a mapping."""

    value: "dict[str, Node] | list[Node] | Scalar"
    at: Position
    key: Position | None = None

    @property
    def plain(self) -> Any:
        """The value alone: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {name: node.plain for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value

    @property
    def entries(self) -> "dict[str, Node]":
        """The entries if this is a mapping, else none."""
        return self.value if isinstance(self.value, dict) else {}


def node_of(data: object, at: Position, path: Path = ()) -> Node:
    """Plain data as a tree whose values are all at one place. Raises TopologyError for what YAML cannot hold."""
    if isinstance(data, dict):
        return Node({str(name): node_of(value, at, (*path, str(name))) for name, value in data.items()}, at, at)
    if isinstance(data, (list, tuple)):
        return Node([node_of(value, at, (*path, index)) for index, value in enumerate(data)], at, at)
    if data is None or isinstance(data, (str, int, float)):
        return Node(data, at, at)
    raise TopologyError([Problem(at, path, f"{data!r} is neither text, number, list nor mapping")])


_NO_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
_READ_ALIKE = re.compile(r"[\n -~]*")
_READ_OTHERWISE = re.compile(r"[@%!|>\\`&*?]|:\s*[],}]")


def _events(text: str) -> Iterator[yaml.Event]:
    """The events of a YAML text as PyYAML's own parser tells them, by libyaml where both tell the same.

    libyaml takes a tenth of the time; but it accepts tabs and values that begin with ``@``, words errors otherwise, has
    other places for what is empty, and need not be there, and what a file means must not depend on that.
    """
    if yaml.__with_libyaml__ and _READ_ALIKE.fullmatch(text) and not _READ_OTHERWISE.search(_NO_COMMENT.sub("", text)):
        try:
            return iter(list(yaml.parse(text, Loader=yaml.CBaseLoader)))
        except yaml.YAMLError:
            pass
    return iter(yaml.parse(text, Loader=yaml.BaseLoader))


def read(text: str, file: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """The tree of a YAML text (None if it is empty), and those errors that do not hide the rest.

    Raises TopologyError where the text cannot be read any further.
    """
    text = text.removeprefix("\ufeff")
    builder = _Builder(file)
    try:
        root = builder.document(_events(text))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Position(file, before.count("\n") + 1, error.position - before.rfind("\n"))
        found = f"U+{ord(text[error.position]):04X}"
        raise TopologyError([Problem(place, (), f"not a text file: the character {found} is not text")]) from None
    except yaml.MarkedYAMLError as error:
        raise TopologyError([_syntax_problem(error, file)]) from None
    return root, tuple(builder.problems)


class _Builder:
    """Makes nodes of the parser's events, and collects what is wrong without being fatal."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None while the anchored value is being read
        self._values = 0

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        """The one document of a stream; None if there is nothing in it."""
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._fatal(event, (), "a second document begins here; a topology is a single one")
                first = next(events)
                root = self._node(first, events, ())
                if isinstance(first, yaml.ScalarEvent) and not first.value:
                    return None
        return root

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event, path)
        if len(path) > DEEPEST:
            raise self._fatal(event, path[:4], f"nested more than {DEEPEST} levels deep")
        before = self._values
        self._count(event, path, 1)
        at = self._position(event)
        if tag := getattr(event, "tag", None):
            self._wrong(at, path, f"the tag {tag.replace('tag:yaml.org,2002:', '!!')} means nothing here; leave it out")
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        value: dict[str, Node] | list[Node] | Scalar
        if isinstance(event, yaml.MappingStartEvent):
            value = self._entries(events, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._items(events, path)
        else:
            value = self._scalar(event, path)
        node = Node(value, at)
        if anchor is not None:
            self._anchors[anchor] = node, self._values - before
        return node

    def _aliased(self, event: yaml.AliasEvent, path: Path) -> Node:
        if event.anchor not in self._anchors:
            raise self._fatal(event, path, f"*{event.anchor}: there is no &{event.anchor} before; quote text with a *")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise self._fatal(event, path, f"*{event.anchor} is used inside of &{event.anchor}: it would never end")
        node, values = anchored
        self._count(event, path, values)
        return node

    def _items(self, events: Iterator[yaml.Event], path: Path) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*path, len(items))))
        return items

    def _entries(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        defaults: list[Node] = []
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._position(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._node(event, events, (*path, "?"))
                self._node(next(events), events, (*path, "?"))
                self._wrong(key, path, "a key is a single word here, not a list, a mapping or an alias")
                continue
            name = event.value
            value = replace(self._node(next(events), events, (*path, name)), key=key)
            if name == "<<" and not event.style:
                defaults += value.value if isinstance(value.value, list) else [value]
            elif name in entries:
                first = entries[name].key or key
                self._wrong(key, (*path, name), f"given twice; the first is in line {first.line}")
            else:
                entries[name] = value
        for default in defaults:
            if not isinstance(default.value, dict):
                self._wrong(default.at, (*path, "<<"), f"takes in mappings only, not {show(default.plain)}")
            entries.update((name, node) for name, node in default.entries.items() if name not in entries)
        return entries

    def _scalar(self, event: yaml.Event, path: Path) -> Scalar:
        assert isinstance(event, yaml.ScalarEvent)
        text: str = event.value
        if re.search("[\ud800-\udfff]", text):
            self._wrong(self._position(event), path, "half of a surrogate pair is not text")
            return repr(text)
        if event.style:  # libyaml says "" where PyYAML says None
            return text
        try:
            return scalar_of(text)
        except ValueError as error:
            self._wrong(self._position(event), path, str(error))
            return text

    def _count(self, event: yaml.Event, path: Path, values: int) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise self._fatal(event, path[:4], f"the topology has more than {MOST_VALUES:_} values, aliases included")

    def _position(self, event: yaml.Event) -> Position:
        return _position(event.start_mark, self.file)

    def _wrong(self, at: Position, path: Path, message: str) -> None:
        self.problems.append(Problem(at, path, message))

    def _fatal(self, event: yaml.Event, path: Path, message: str) -> TopologyError:
        return TopologyError([*self.problems, Problem(self._position(event), path, message)])


def _position(mark: Any, file: str) -> Position:
    return Position(file, mark.line + 1, mark.column + 1)


_SYNTAX = (
    (r"found character '\\t'", "a tab; YAML is indented and separated with spaces"),
    (r"found character ('.').*start any token", r"a value cannot begin with \1; quote it"),
    (r"mapping values are not allowed", "a ': ' cannot stand here; quote the text, or put the key on its own line"),
    (r"could not find expected ':'", "a ':' is missing after this key"),
    (r"unexpected end of stream", "the quote that opens here is never closed"),
    (r"unexpected document separator", "the quote that opens here is not closed before the document ends"),
    (
        r"unknown escape character ('.+')",
        r"\1 cannot follow a backslash in double quotes; double it, or use single quotes",
    ),
    (r"expected ',' or '(.)'", r"a ',' or '\1' is missing before this; its bracket opens in LINE"),
    (r"expected <block end>.*'-'", "a list item cannot stand among the keys of a mapping; look at its indentation"),
    (r"expected <block end>", "does not line up with what is above it; look at the indentation from LINE on"),
    (r"expected the node content", "a value is missing before this"),
    (r"sequence entries are not allowed", "a list item cannot stand here; put it on a line of its own"),
    (r"mapping keys are not allowed", "a key cannot stand here; put it on a line of its own"),
    (r"expected alphabetic or numeric character", "an anchor or alias needs a name; quote text with * or &"),
    (r"document start>", "nothing may follow the end of the document"),
    (r"block scalar", "only a line break can follow | or > here; quote text that begins with them"),
    (r"directive|YAML document", "directives (lines with %) have no meaning here; leave it out"),
    (r" tag", "tags (words with !) have no meaning here; quote text that begins with !"),
)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    """What YAML's scanner or parser found, in our words."""
    found = f"{error.context or ''}: {error.problem}"
    opening, here = error.context_mark or error.problem_mark, error.problem_mark or error.context_mark
    before = f"line {opening.line + 1}" if opening and here and opening.line < here.line else "this line"
    for pattern, words in _SYNTAX:
        if match := re.search(pattern, found):
            message = match.expand(words).replace("LINE", before)
            mark = opening if "opens here" in words or "this key" in words else here
            return Problem(_position(mark, file) if mark else Position(file), (), message)
    return Problem(_position(here, file) if here else Position(file), (), f"not YAML: {error.problem}")
