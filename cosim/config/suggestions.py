"""Where an override was probably meant to lead whose path leads nowhere: a level is missing, or another was meant."""

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase

from cosim.units.nearest import closest

Names = Callable[[tuple[str, ...]], Collection[str]]
"""The names that may follow a path, as far as they are known."""

DEEPEST = 5
MOST = 20_000
"""So many paths are looked at, of topologies with very many parts the first."""

ALIKE = 0.8
"""How alike the last names must be, where the rest of the path differs as well."""


def suggestion(given: tuple[str, ...], names: Names, top: str, *, same_name: bool = False) -> str:
    """The path that somebody meant who wrote `given`, as he would write it; nothing if none is near.

    `top` is the section that paths may leave out: that of the parts. With `same_name` only paths of the same part that
    end in the very name count.
    """
    given = given[1:] if given[0] == top else given
    fits: dict[int, list[tuple[str, ...]]] = {}
    for path in _paths(names, top):
        rank = _fit(path, given)
        if rank and (rank in SAME_NAME or not same_name):
            fits.setdefault(rank, []).append(path)
    for rank in sorted(fits):
        best = min(fits[rank], key=lambda path: len(path))
        if rank < ELSEWHERE or all(path[1:] == best[1:] for path in fits[rank]):
            return ".".join(_as_given(best, given))
    return ""


SAME_NAME = (1, 3)
ELSEWHERE = 4


def _fit(path: tuple[str, ...], given: tuple[str, ...]) -> int:
    """How well a path fits: 1 is best, 0 is not at all."""
    same_end = path[-1] == given[-1]
    if not same_end and not closest(given[-1], path[-1:], ALIKE):
        return 0
    same_start = len(given) > 1 and fnmatchcase(path[0], given[0])
    if same_start and _within(given[1:-1], path[1:-1]):
        return 1 if same_end else 2  # levels are missing
    if not same_end:
        return 0
    if same_start and (len(path) == len(given) or len(path) > 2):
        return 3  # another level was meant, or one less
    return ELSEWHERE + (path[-len(given) :] != given)


def _within(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether `some` stand among `others`, in their order."""
    rest = iter(others)
    return all(name in rest for name in some)


def _as_given(path: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    return (given[0], *path[1:]) if len(given) > 1 and fnmatchcase(path[0], given[0]) else path


def _paths(names: Names, top: str) -> Iterator[tuple[str, ...]]:
    """Every path that is known, the short ones first; `top` left out of them."""
    level: list[tuple[str, ...]] = [()]
    seen = 0
    for _ in range(DEEPEST):
        level = [(*path, name) for path in level for name in names(path)]
        for path in level:
            seen += 1
            if seen > MOST:
                return
            if path != (top,):
                yield path[1:] if path[0] == top else path
