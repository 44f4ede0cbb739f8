"""How trees of topology files become one: overlays are merged, and a part with `count: n` is written out n times.

A part `nic` with a count stands for `nic0` ... `nic(n-1)`; everything downstream sees only those. So does a thread that
runs `on: cpu*` for one on each CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from cosim.config.problems import Path, Problem
from cosim.config.yaml_reader import Node
from cosim.units.quantities import show

PARTS = "parts"
COUNT = "count"
THREADS = "threads"
ON = "on"
MOST_MEMBERS = 65_536
_GLOB = frozenset("*?[")


def merged(base: Node, overlay: Node) -> Node:
    """`base` with the entries of `overlay` in place of its own, mapping by mapping."""
    if not isinstance(base.value, dict) or not isinstance(overlay.value, dict):
        return overlay
    entries = dict(base.value)
    for name, node in overlay.value.items():
        entries[name] = merged(entries[name], node) if name in entries else node
    return replace(base, value=entries)


def placed(root: Node, path: Path, value: Node) -> Node:
    """`root` with `value` at `path`, in mappings made for it where there is nothing."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(root.value, list) and isinstance(key, int):
        items = [placed(item, rest, value) if index == key else item for index, item in enumerate(root.value)]
        return replace(root, value=items)
    there = root.entries.get(str(key)) or Node(None, value.at, value.at)
    return replace(root, value=root.entries | {str(key): placed(there, rest, value)})


def spelled_out(root: Node, shorthand: Mapping[str, str]) -> Node:
    """Sections given as a single word made mappings: with `{"driver": "variant"}`, `driver: v2` is `{variant: v2}`."""
    for section, field in shorthand.items():
        node = root.entries.get(section)
        if node is not None and isinstance(node.value, str):
            root = placed(root, (section,), replace(node, value={field: node}))
    return root


def opened(root: Node, path: Sequence[str], words: Mapping[str, str]) -> Node:
    """Made a mapping, the entry on the way to `path` that is a single word: with `{"driver": "policy"}`, and a path to
    `driver.attach.without`, `driver: {attach: v2}` is `{attach: {policy: v2}}`."""
    section, name = path[0], path[1] if len(path) > 2 else ""
    node = root.entries[section].entries.get(name) if section in words and section in root.entries else None
    if node is None or not isinstance(node.value, str):
        return root
    return placed(root, (section, name), replace(node, value={words[section]: node}))


@dataclass(frozen=True)
class Expansion:
    """A tree without counts, the members of each part that had one, and what was wrong."""

    root: Node
    groups: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]


def expanded(root: Node, members: Node | None = None) -> Expansion:
    """`root` with each part that has a `count` written out, and `members`, single ones of those, merged into it."""
    parts = root.entries.get(PARTS)
    if parts is None or not isinstance(parts.value, dict):
        return Expansion(root, {}, ())
    alone = {name: node for name, node in parts.entries.items() if COUNT not in node.entries}
    entries: dict[str, Node] = {}
    groups: dict[str, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for name, node in parts.entries.items():
        if name in alone:
            entries[name] = node
            continue
        count = node.entries[COUNT]
        one = replace(node, value={key: value for key, value in node.entries.items() if key != COUNT})
        names = [f"{name}{index}" for index in range(_members(count) or 1)]
        wrong = []
        if not _members(count):
            wrong = [f"a count is a whole number from 1 to {MOST_MEMBERS}, not {show(count.plain)}"]
        for member in names:
            if other := alone.get(member) or entries.get(member):
                wrong.append(f"this makes a part {member}, and there is another of that name at {other.key}")
        problems += [Problem(count.at, (PARTS, name, COUNT), message) for message in wrong]
        groups[name] = tuple(member for member in names if member not in alone and member not in entries)
        entries |= dict.fromkeys(groups[name], one)
    root = placed(root, (PARTS,), replace(parts, value=entries))
    if members is not None:
        root = merged(root, Node({PARTS: members}, members.at))
    return Expansion(root, groups, tuple(problems))


def each_cpu(root: Node) -> Node:
    """`root` with a thread for each CPU where a glob says which one runs it, such as ``on: cpu*``."""
    threads, parts = root.entries.get(THREADS), root.entries.get(PARTS)
    if threads is None or parts is None or not isinstance(threads.value, list):
        return root
    cpus = [name for name, part in parts.entries.items() if part.entries.get("kind", part).value == "cpu"]
    spread: list[Node] = []
    for thread in threads.value:
        on = thread.entries.get(ON)
        named = on.value if on is not None else None
        found = [cpu for cpu in cpus if fnmatchcase(cpu, named)] if isinstance(named, str) and _GLOB & {*named} else []
        spread += [placed(thread, (ON,), replace(on, value=cpu)) for cpu in found if on] or [thread]
    return placed(root, (THREADS,), replace(threads, value=spread))


def apart(root: Node, overlay: Node) -> tuple[Node, Node | None]:
    """`overlay` without what it says of single members (`nic3` where `root` has `nic: {count: 10}`), and that."""
    own, parts = root.entries.get(PARTS), overlay.entries.get(PARTS)
    if own is None or parts is None:
        return overlay, None
    possible = {
        f"{name}{index}"
        for name, node in merged(own, parts).entries.items()
        if COUNT in node.entries
        for index in range(_members(node.entries[COUNT]))
    }
    single = {name: node for name, node in parts.entries.items() if name in possible - own.entries.keys()}
    if not single:
        return overlay, None
    rest = {name: node for name, node in parts.entries.items() if name not in single}
    return placed(overlay, (PARTS,), replace(parts, value=rest)), replace(parts, value=single)


def _members(count: Node) -> int:
    """How many members a count makes; 0 if it is no valid one."""
    return count.value if type(count.value) is int and 1 <= count.value <= MOST_MEMBERS else 0
