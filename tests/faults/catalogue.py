"""The planted faults: each is a small change of the source, with a line that says what it breaks.

A YAML file beside this one holds those of one area, each like this::

    - breaks: a caller of synchronize_rcu does not wait for the readers
      in: cosim/sw/kernel/rcu.py
      old: |
        await self.wait(batch)
      new: |
        pass

`old` are whole lines that stand in the file exactly once, at any indentation; `new` takes their place at the same
indentation. `equivalent` says, of a fault that no test can see, why the system behaves the same.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class NotPlantable(Exception):
    """A fault whose `old` does not stand exactly once in its file."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of one file that breaks something. `name` is its area and its number there."""

    name: str
    breaks: str
    path: str
    old: str
    new: str
    equivalent: str = ""

    @property
    def module(self) -> str:
        """The name under which the file is imported."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def place(self, source: str) -> tuple[int, int, str]:
        """The first and the last line (from 1) of what is replaced, and its indentation. Raises NotPlantable."""
        wanted = textwrap.dedent(self.old).strip("\n").split("\n")
        lines = source.split("\n")
        found = []
        for first, line in enumerate(lines):
            if line.lstrip() == wanted[0]:
                indent = line[: len(line) - len(wanted[0])]
                if lines[first : first + len(wanted)] == [indent + each if each else "" for each in wanted]:
                    found.append((first + 1, first + len(wanted), indent))
        if len(found) != 1:
            raise NotPlantable(f"{self.name}: {len(found)} places in {self.path} read: {wanted[0]} ...")
        return found[0]

    def planted(self, source: str) -> str:
        """`source` with the fault in it. Raises NotPlantable."""
        first, last, indent = self.place(source)
        lines = source.split("\n")
        new = textwrap.indent(textwrap.dedent(self.new).strip("\n"), indent)
        lines[first - 1 : last] = new.split("\n") if new else []
        return "\n".join(lines)

    def statements(self, source: str) -> range | None:
        """The lines of the statements that are replaced; None if some are run by the import of the module."""
        first, last, _ = self.place(source)
        inside = False
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.stmt):
                continue
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if node.lineno <= last and first <= end:
                first, last = min(first, node.lineno), max(last, end)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside |= node.body[0].lineno <= first and last <= (node.end_lineno or 0)
        return range(first, last + 1) if inside else None


@cache
def faults() -> tuple[Fault, ...]:
    """All planted faults, area by area."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(
        Fault(
            f"{path.stem}#{number}",
            entry["breaks"],
            entry["in"],
            entry["old"],
            entry["new"] or "",
            entry.get("equivalent", ""),
        )
        for path in sorted(HERE.glob("*.yaml"))
        for number, entry in enumerate(yaml.load(path.read_text(encoding="utf-8"), loader), 1)
    )
