"""What is wrong with a topology, and where: each error names the place, the thing, the rule and a right answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Where a value is in a topology: keys and list indices from the top, such as `("parts", "nic", "traffic")`."""


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file, counted from 1; with line 0, something without lines, such as an option `-s a.b=3`."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Complaint(NamedTuple):
    """A broken rule: the value at fault, the rule, and other values for which alone the rule is broken.

    If all of `because` is said by later files or overrides than the value, the rule is not broken: they were laid over
    a value that had a meaning.
    """

    path: Path
    message: str
    because: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One error; as a string `file:line:column: path: message`."""

    position: Position
    path: Path
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, [str(self.position), dotted(self.path), self.message]))


class TopologyError(Exception):
    """A topology that cannot be used; `problems` holds every error that was found, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def dotted(path: Path) -> str:
    """A path as errors and overrides spell it: `parts.nic.traffic`."""
    return ".".join(map(str, path))
