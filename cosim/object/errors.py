"""What is wrong with objects, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable


class ObjectError(ValueError):
    """Objects that cannot be used; `problems` are sentences, each of which names the file and what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
