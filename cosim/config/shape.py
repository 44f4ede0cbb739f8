"""What a tree of pydantic models expects at each path of a topology: the legal field names, and the types there.

Annotations are walked beside the data, since the data's `kind` decides which model of a union is meant.
"""

import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cosim.config.problems import Path

Types = tuple[Any, ...]
"""The alternatives at one place: annotations without unions, Annotated and None."""


def alternatives(annotation: Any) -> Types:
    """The types that an annotation permits, one by one."""
    if alias := getattr(annotation, "__value__", None):
        return alternatives(alias)
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(one for argument in get_args(annotation) for one in alternatives(argument))
    return () if annotation in (None, types.NoneType) else (annotation,)


def child(expected: Types, data: Any, key: str | int) -> Types:
    """The types one step further down, at `key` of `data`."""
    return _below(meant(expected, data), key)


def at(model: type[BaseModel], data: Any, path: Path) -> Types:
    """The types at `path`; none where the models know no such place."""
    expected: Types = (model,)
    for key in path:
        expected = child(expected, data, key)
        data = value_at(data, (key,))
    return meant(expected, data)


def value_at(data: Any, path: Path) -> Any:
    """The value at `path` of plain data; None if there is none."""
    for key in path:
        if isinstance(data, dict):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            return None
    return data


def conformed(expected: Types, data: Any) -> Any:
    """The data with tuples for lists and members for values of enumerations, as strict models want them.

    Sets are left out on purpose: their order, and with it the place of an error, would differ from run to run.
    """
    if isinstance(data, dict):
        agreed = meant(expected, data)
        return {key: conformed(_below(agreed, key), value) for key, value in data.items()}
    if not isinstance(data, list):
        return next((member for enum in _enums(expected) for member in enum if member.value == data), data)
    items = [conformed(child(expected, data, index), value) for index, value in enumerate(data)]
    return tuple(items) if any(tuple in (type_, get_origin(type_)) for type_ in expected) else items


def meant(expected: Types, data: Any) -> Types:
    """Those of several models whose tags (literals that all of them have, as `kind`) are the data's; all, if none."""
    if len(expected) < 2 or not isinstance(data, dict):
        return expected
    models = _models(expected)
    if len(models) < 2:
        return expected
    shared = _shared_literals(models) & data.keys()
    agreeing = tuple(one for one in models if all(data[name] in _tags_of(one, name) for name in shared))
    return agreeing or expected


def is_model(type_: Any) -> bool:
    """Whether it is a pydantic model."""
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def is_enum(type_: Any) -> bool:
    """Whether it is an enumeration."""
    return isinstance(type_, type) and issubclass(type_, Enum)


def fields_of(expected: Types) -> dict[str, FieldInfo]:
    """The fields of the models among `expected`, by the names that a file gives them."""
    return {
        _written(name, field): field
        for type_ in expected
        if is_model(type_)
        for name, field in type_.model_fields.items()
    }


def is_open(expected: Types) -> bool:
    """Whether names other than the models' own may stand here too."""
    return any(is_model(type_) and type_.model_config.get("extra") == "allow" for type_ in expected)


def is_mapping(type_: Any) -> bool:
    """Whether its keys are free: a dict, not a model."""
    origin = get_origin(type_) or type_
    return isinstance(origin, type) and issubclass(origin, Mapping)


def choices_of(expected: Types) -> list[Any]:
    """The values of literals and enumerations among `expected`."""
    found: list[Any] = []
    for type_ in expected:
        origin: Any = get_origin(type_)
        if origin is Literal:
            found += get_args(type_)
        elif is_enum(type_):
            found += [member.value for member in type_]
    return found


def tags(expected: Types, field: str) -> list[Any]:
    """The values of the literal `field` over all models of a union."""
    return [tag for type_ in expected if is_model(type_) for tag in _tags_of(type_, field)]


@dataclass(frozen=True)
class LegalNames:
    """For overrides: the names that may stand at a path of some data.

    `open_names` are those that are known at places where any may stand.
    """

    model: type[BaseModel]
    open_names: Mapping[Path, Collection[str]] = field(default_factory=dict)

    def __call__(self, data: Any, path: Path) -> Collection[str] | None:
        """The names besides those that stand there already; None if any may, as below a name that no model has."""
        expected = at(self.model, data, path)
        if is_open(expected) or any(self._is_free(data, path[:index], path[index]) for index in range(len(path))):
            return None
        return fields_of(expected)

    def _is_free(self, data: Any, path: Path, key: str | int) -> bool:
        expected = at(self.model, data, path)
        return is_open(expected) and key not in fields_of(expected)

    def known(self, data: Any, path: Path) -> Collection[str]:
        """As many names as are known."""
        return [*fields_of(at(self.model, data, path)), *self.open_names.get(path, ())]

    def may_be_added(self, data: Any, path: Path) -> bool:
        """Whether a mapping is expected whose keys are free, such as the names of domains."""
        return any(map(is_mapping, at(self.model, data, path)))

    def name_length(self, data: Any, path: Path, rest: tuple[str, ...]) -> int:
        """How many of the components `rest` are one name: several, where names of plain values have dots."""
        named = child(at(self.model, data, path), None, "")
        if not self.may_be_added(data, path) or all(map(is_model, named)):
            return 1
        fields = fields_of(named)
        return next((n for n in range(1, len(rest)) if rest[n] in fields), len(rest))


def legal_names(model: type[BaseModel], open_names: Mapping[Path, Collection[str]] | None = None) -> LegalNames:
    """The names that overrides of a model's data may set."""
    return LegalNames(model, open_names or {})


def _below(agreed: Types, key: str | int) -> Types:
    """The types at `key` of what is of one of `agreed`."""
    if len(agreed) == 1:
        return _inside(agreed[0], key)
    return tuple(one for type_ in agreed for one in _inside(type_, key))


def _inside(type_: Any, key: str | int) -> Types:
    return (
        _field_types(type_).get(str(key), ()) if is_model(type_) else _items(type_, key if isinstance(key, int) else "")
    )


@lru_cache(maxsize=1024)
def _items(type_: Any, key: str | int) -> Types:
    return alternatives(_item(type_, key))


@lru_cache(maxsize=1024)
def _models(expected: Types) -> tuple[type[BaseModel], ...]:
    return tuple(one for one in expected if is_model(one))


@lru_cache(maxsize=1024)
def _enums(expected: Types) -> tuple[type[Enum], ...]:
    return tuple(one for one in expected if is_enum(one))


@cache
def _tags_of(model: type[BaseModel], field: str) -> list[Any]:
    return choices_of(_field_types(model).get(field, ()))


@cache
def _field_types(model: type[BaseModel]) -> dict[str, Types]:
    return {name: alternatives(field.annotation) for name, field in fields_of((model,)).items()}


@cache
def _shared_literals(models: tuple[type[BaseModel], ...]) -> set[str]:
    """The fields that are literals in each of several models."""
    literal = [{name for name, types_ in _field_types(model).items() if choices_of(types_)} for model in models]
    return set.intersection(*literal)


def _item(type_: Any, key: str | int) -> Any:
    """The annotation of what a dict or a list of `type_` holds at `key`."""
    arguments = get_args(type_)
    if is_mapping(type_) and len(arguments) == 2:
        return arguments[1]
    origin: Any = get_origin(type_)
    if isinstance(origin, type) and issubclass(origin, Collection) and isinstance(key, int) and arguments:
        fixed = issubclass(origin, tuple) and arguments[-1] is not Ellipsis
        return arguments[min(key, len(arguments) - 1)] if fixed else arguments[0]
    return None


def _written(name: str, field: FieldInfo) -> str:
    return field.alias or name
