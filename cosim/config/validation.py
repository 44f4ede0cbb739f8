"""From a source to a model: every error of the data at once, in the order of the file.

What one error makes unusable is left out and the rest is judged again, so that the rules between parts are checked
even where a field is misspelled.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from cosim.config.problems import Complaint, Path, Position, Problem, TopologyError, dotted
from cosim.config.shape import Types, at, child, choices_of, conformed, fields_of, is_mapping, is_model, value_at
from cosim.config.wording import Finding, discriminator, mismatch
from cosim.units.nearest import closest

if TYPE_CHECKING:
    from cosim.config.source import Source

M = TypeVar("M", bound=BaseModel)

Check = Callable[[M, Collection[str]], Iterable[Complaint | tuple[Path, str]]]
"""The rules between parts: of a model, and the names of entries left out of it as unusable, the broken ones."""

_ROUNDS = 8


def validate(model: type[M], source: "Source", check: Check[M] | None = None) -> M:
    """The model of a source's data. Raises TopologyError with all that is wrong with it, and all that `check` says."""
    remains = _Remains(source.root.plain, {problem.path for problem in source.problems})
    problems = list(source.problems)
    result = None
    for _ in range(_ROUNDS):
        try:
            result = model.model_validate(conformed((model,), remains.data), strict=True)
            break
        except ValidationError as error:
            faults = list(_faults(model, remains.data, error))
        misspelled = _meant_by_unknown_fields(faults)
        for fault in faults:
            path = remains.original(fault.path)
            if not (remains.concerns(path) or (fault.finding.type == "missing" and fault.path in misspelled)):
                place = source.where(path, key=fault.finding.type == "extra_forbidden")
                problems.append(Problem(place, path, fault.message))
        if not remains.removes(model, [fault.path for fault in faults]):
            break
    if result is not None and check is not None:
        for complaint in check(result, remains.names):
            path, message, because = Complaint(*complaint)
            path = remains.original(path)
            overlaid = any(source.layer(remains.original(cause)) > source.layer(path) for cause in because)
            if because and not overlaid and not source.where(path).line:
                overlaid = source.spread(path)
            if not overlaid and not remains.concerns(path):
                problems.append(Problem(source.where(path), path, message))
    if problems or result is None:
        raise TopologyError(_in_order(problems, source))
    return result


def _meant_by_unknown_fields(faults: Iterable["_Fault"]) -> set[Path]:
    """Fields that unknown ones are probably misspellings of; if one is missing, that was said already."""
    unknown = [fault for fault in faults if fault.finding.type == "extra_forbidden"]
    guesses = ((fault.path[:-1], closest(fault.finding.name, fault.finding.siblings)) for fault in unknown)
    return {(*holder, guess) for holder, guess in guesses if guess}


class _Remains:
    """What is left of some data when all that is known to be wrong is taken out."""

    def __init__(self, data: Any, known: Collection[Path]) -> None:
        self.data = data
        self.names: set[str] = set()  # of entries, such as parts, that are gone altogether
        self._known = known
        self._gone: list[Path] = []
        self._kept: dict[Path, list[int]] = {}  # of lists, by what index each remaining item was

    def original(self, path: Path) -> Path:
        """The path in the data as it was, of one in what remains."""
        before: Path = ()
        for key in path:
            kept = self._kept.get(before)
            before = (*before, kept[key] if kept and isinstance(key, int) and key < len(kept) else key)
        return before

    def concerns(self, path: Path) -> bool:
        """Whether an error at this path was reported already, or follows from something that was taken out."""
        within = any(path[: len(other)] == other for other in (*self._known, *self._gone) if other)
        return within or (len(path) > 1 and any(other[: len(path)] == path for other in self._gone))

    def removes(self, model: type[BaseModel], paths: Sequence[Path]) -> bool:
        """Takes out the least that has to go with each path; false if that would be everything."""
        found = [self._dispensable(model, path) for path in paths]
        doomed = {path for path in found if path is not None}
        for path in sorted(doomed, key=_by_index, reverse=True):
            holder = value_at(self.data, path[:-1])
            self._gone.append(self.original(path))
            if isinstance(holder, list):
                self._kept.setdefault(self.original(path[:-1]), list(range(len(holder)))).pop(int(path[-1]))
            elif is_mapping(next(iter(at(model, self.data, path[:-1])), None)):
                self.names.add(str(path[-1]))
            del holder[path[-1]]
        return None not in found

    def _dispensable(self, model: type[BaseModel], path: Path) -> Path | None:
        """The innermost value around `path` that may be absent."""
        for end in range(len(path), 0, -1):
            holder, key = value_at(self.data, path[: end - 1]), path[end - 1]
            if isinstance(holder, list):
                return path[:end]
            if isinstance(holder, dict) and key in holder:
                field = fields_of(at(model, self.data, path[: end - 1])).get(str(key))
                if field is None or not field.is_required():
                    return path[:end]
        return None


def _by_index(path: Path) -> tuple[str, ...]:
    return tuple(f"{key:09d}" if isinstance(key, int) else key for key in path)


@dataclass(frozen=True)
class _Fault:
    """A finding and its place; `choices` are the alternatives of unions on the way, each with where and its label."""

    path: Path
    finding: Finding
    choices: tuple[tuple[int, str], ...]
    text: str | None = None

    @property
    def message(self) -> str:
        return self.text or self.finding.message


def _faults(model: type[BaseModel], data: Any, error: ValidationError) -> Iterator[_Fault]:
    """What pydantic found, with paths of the data, and of each union only the alternative that was meant."""
    every = [_located(model, data, dict(detail)) for detail in error.errors(include_url=False)]
    yield from _of_unions(every)


def _located(model: type[BaseModel], data: Any, detail: dict[str, Any]) -> _Fault:
    """One detail of pydantic's, whose location has labels of unions between the keys of the data."""
    expected: Types = (model,)
    siblings: Types = ()
    path: Path = ()
    value, labelled = data, False
    choices: list[tuple[int, str]] = []
    for step in detail["loc"]:
        if step == "[key]":
            continue
        if len(expected) > 1 and not labelled:
            labelled = True
            tagged = tuple(one for one in expected if is_model(one) and step in _literals(one))
            named = tuple(one for one in expected if getattr(one, "__name__", None) == step)
            expected = tagged or named or tuple(one for one in expected if not is_model(one))
            if not tagged:
                choices.append((len(path), str(step)))
            continue
        siblings, expected = expected, child(expected, value, step)
        value, path, labelled = value_at(value, (step,)), (*path, step), False
    kind, context = detail["type"], detail.get("ctx", {})
    name = str(path[-1]) if path else ""
    finding = Finding(kind, context, detail["msg"], value, expected, fields_of(siblings), name)
    if kind.startswith("union_tag"):
        tag = discriminator(finding)
        path = (*path, tag)
        finding = Finding(kind, context, detail["msg"], value_at(value, (tag,)), expected, {}, tag)
    return _Fault(path, finding, tuple(choices))


def _literals(model: type[BaseModel]) -> list[Any]:
    return [choice for field in fields_of((model,)).values() for choice in choices_of((field.annotation,))]


def _of_unions(faults: Iterable[_Fault], level: int = 0) -> Iterator[_Fault]:
    """The faults, but of each union (at this level of nesting or below) only those of its best alternative."""
    unions: dict[Path, dict[str, list[_Fault]]] = {}
    for fault in faults:
        if len(fault.choices) <= level:
            yield fault
        else:
            depth, label = fault.choices[level]
            unions.setdefault(fault.path[:depth], {}).setdefault(label, []).append(fault)
    for path, labels in unions.items():
        refused = {label for label, each in labels.items() if any(_refuses(fault, path) for fault in each)}
        if len(refused) == len(labels) > 1:
            first, *others = (next(fault for fault in each if _refuses(fault, path)) for each in labels.values())
            text = mismatch([first.finding, *(fault.finding for fault in others)])
            yield _Fault(path, first.finding, (), text)
        else:
            best = max(labels, key=lambda label: (label not in refused, max(len(one.path) for one in labels[label])))
            yield from _of_unions(labels[best], level + 1)


def _refuses(fault: _Fault, path: Path) -> bool:
    return fault.path == path and fault.finding.is_mismatch


def _in_order(problems: Iterable[Problem], source: "Source") -> list[Problem]:
    """Each problem once, even of a part written out many times, and by its place in the files."""
    order = {file: index for index, file in enumerate(source.files)}
    home = {member: group for group, members in source.groups.items() for member in members}
    merged: dict[Problem, list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        path = problem.path
        if path[:1] == ("parts",) and len(path) > 1 and path[1] in home:
            path = ("parts", home[str(path[1])], *path[2:])
        merged.setdefault(Problem(problem.position, path, problem.message), []).append(problem)
    result: list[Problem] = []
    for common, each in merged.items():
        members = source.groups.get(str(common.path[1]), ()) if len(common.path) > 1 else ()
        result += [common] if len(each) == len(members) else each
    return sorted(_of_globs(result), key=lambda problem: (order.get(problem.position.file, -1), problem.position))


def _of_globs(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Each problem of an override once, with the other places that a glob led to."""
    alike: dict[tuple[Position, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.position, problem.message), []).append(problem)
    for (position, message), (first, *others) in alike.items():
        if position.line or not others:
            yield from (first, *others)
        else:
            most = 3
            places = [dotted(other.path) for other in others[:most]]
            more = f" and {len(others) - most} more places" if len(others) > most else ""
            yield Problem(position, first.path, f"{message} (likewise {', '.join(places)}{more})")
