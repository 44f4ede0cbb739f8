"""Plain data as YAML for people, which `yaml_reader` reads back: a value on each line, text quoted where it must be."""

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml
from yaml.resolver import BaseResolver

from cosim.config.problems import Path, dotted
from cosim.config.yaml_scalars import scalar_of
from cosim.units.quantities import format_address

if TYPE_CHECKING or not yaml.__with_libyaml__:
    from yaml.emitter import Emitter as _Emitter
    from yaml.serializer import Serializer as _Serializer
else:  # libyaml's does both in a tenth of the time; it escapes what lies beyond 16 bits, and says `'':`, not `? ''`
    from yaml.cyaml import CEmitter as _Emitter

    class _Serializer:
        """In `CEmitter`."""


_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"
_ON_ONE_LINE = 1 << 30


class Hex(int):
    """A number that is written as an address: 0x8000_0000."""

    def __repr__(self) -> str:
        return format_address(self)


def dump(data: object) -> str:
    """YAML text of dicts, lists and scalars that reads back to equal data. Raises TypeError for anything else."""
    return str(yaml.serialize(_node(data, ()), Dumper=_Dumper, allow_unicode=True, width=_ON_ONE_LINE))


def _node(data: object, path: Path) -> yaml.Node:
    if isinstance(data, dict):
        if odd := [key for key in data if not isinstance(key, str)]:
            raise TypeError(f"{dotted(path)}: the key {odd[0]!r} is not text")
        entries = [(_scalar(key), _node(value, (*path, key))) for key, value in data.items()]
        return yaml.MappingNode(f"{_TAG}map", entries, flow_style=False)
    if isinstance(data, (list, tuple)):
        items = [_node(value, (*path, index)) for index, value in enumerate(data)]
        return yaml.SequenceNode(
            f"{_TAG}seq", items, flow_style=all(isinstance(item, yaml.ScalarNode) for item in items)
        )
    if data is None or isinstance(data, (str, int)) or (isinstance(data, float) and math.isfinite(data)):
        return _scalar(data)
    raise TypeError(f"{dotted(path)}: {data!r} cannot be written; there are texts, numbers, lists and mappings")


def _scalar(value: str | float | bool | None) -> yaml.ScalarNode:
    if isinstance(value, str):
        return yaml.ScalarNode(f"{_TAG}str", value, style=None if value.isprintable() else '"')
    text = (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
    )
    if isinstance(value, float) and "." not in text:
        text = text.replace("e", ".0e")  # without a point a power of ten is an integer
    return yaml.ScalarNode(_tag(text), text)


@lru_cache(maxsize=4096)
def _tag(text: str) -> str:
    """The tag of an unquoted scalar; the emitter quotes a text that would get another."""
    try:
        value = scalar_of(text)
    except ValueError:
        return f"{_TAG}unclear"
    if text == _MERGE:
        return f"{_TAG}merge"
    return f"{_TAG}{type(value).__name__}"


class _Dumper(_Emitter, _Serializer, BaseResolver):
    """PyYAML's emitter, which asks our rules what it may leave unquoted."""

    def __init__(self, stream: Any, *, width: int, allow_unicode: bool, **options: Any) -> None:
        _Emitter.__init__(self, stream, width=width, allow_unicode=allow_unicode)
        _Serializer.__init__(self)
        BaseResolver.__init__(self)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _tag(value) if implicit[0] else f"{_TAG}str"
        return f"{_TAG}map" if kind is yaml.MappingNode else f"{_TAG}seq"
