"""Files that a topology names: what the current folder does not have is looked for beside the file that names it.

Only what a file says is looked for there: what an override says counts from the current folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial

from cosim.config.merging import PARTS
from cosim.config.problems import Path
from cosim.config.source import Source
from cosim.config.yaml_reader import Node
from cosim.sw.driver.compiled import COMPILED

Place = Callable[[str], str]
"""The path under which a file is to be had that is named so."""

Named = tuple[Path, Node, Callable[[str, Place], str]]
"""Where files are named, and what replaces each of them in a text."""


def with_files(source: Source) -> Source:
    """The same with each relative path as the current folder has it: a recording, a driver's file, an object."""
    for path, node, replaced in [*_recordings(source.root), *_drivers(source.root)]:
        beside = os.path.dirname(node.at.file)
        if isinstance(node.value, str) and node.at.line and beside:
            text = replaced(node.value, partial(_place, beside))
            source = source if text == node.value else source.having(path, text)
    return source


def _place(beside: str, name: str) -> str:
    bare = name.strip()
    found = os.path.join(beside, bare)
    return found if bare and not os.path.exists(bare) and os.path.exists(found) else name


def _whole(text: str, place: Place) -> str:
    """A text that is the name of a file."""
    return place(text)


def _driver(text: str, place: Place) -> str:
    """``FILE.py:NAME``, ``object:PATH,PATH``, or what names no file."""
    if text.startswith(COMPILED):
        return COMPILED + re.sub("[^,]+", lambda part: place(part[0]), text.removeprefix(COMPILED))
    file, colon, name = text.rpartition(":")
    return f"{place(file)}:{name}" if colon else place(text) if text.endswith(".py") else text


def _recordings(root: Node) -> Iterator[Named]:
    """Where devices name what they replay."""
    parts = root.entries.get(PARTS)
    for name, part in parts.entries.items() if parts else ():
        if (traffic := part.entries.get("traffic")) and (file := traffic.entries.get("file")):
            yield (PARTS, name, "traffic", "file"), file, _whole


def _drivers(root: Node) -> Iterator[Named]:
    """Where drivers are named: the one that runs, and those that a search is held against."""
    if driver := root.entries.get("driver"):
        yield from _in_driver(("driver",), driver)
    explore = root.entries.get("explore")
    for field, node in explore.entries.items() if explore else ():
        for at, row in enumerate(node.value) if field in ("defects", "clean") and isinstance(node.value, list) else ():
            if field == "clean":
                yield from _in_driver(("explore", field, at), row)
            elif named := row.entries.get("driver"):
                yield from _in_driver(("explore", field, at, "driver"), named)


def _in_driver(path: Path, node: Node) -> Iterator[Named]:
    yield path, node, _driver
    for name, cell in node.entries.items():
        if isinstance(cell.value, list):
            yield from (((*path, name, at), each, _whole) for at, each in enumerate(cell.value) if name == "object")
        else:
            yield (*path, name), cell, _driver
            if policy := cell.entries.get("policy"):
                yield (*path, name, "policy"), policy, _driver
