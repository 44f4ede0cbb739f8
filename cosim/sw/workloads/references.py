"""What the fields of a workload name: a field says so in its type, and a topology is checked by that alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

Names = str | tuple[str, ...]
"""Names or globs."""


class Role(Enum):
    """What the thing that a field names must be."""

    CPU = auto()
    IOMMU = auto()
    DEVICE = auto()
    """Any device that makes DMA requests."""
    ATTACHABLE = auto()
    """A device behind an IOMMU."""
    RING = auto()
    """A device that works on a descriptor ring."""
    DMA_DOMAIN = auto()
    """A domain that buffers are mapped in. `identity`, and a device that begins there or behind no IOMMU, is one."""
    PAGING_DOMAIN = auto()
    """A domain with a page table."""
    ANY_DOMAIN = auto()
    """A domain that a device can be moved to, `identity` among them."""
    BUFFER = auto()
    """A buffer that a thread leaves mapped."""
    NEW_BUFFER = auto()
    """What such a thread calls it: a name that there was not."""
    THREAD = auto()
    """One of `threads:`, as a trace calls it."""

    @property
    def words(self) -> str:
        """As an error names it."""
        return _WORDS.get(self, "a domain")


_WORDS: Mapping[Role, str] = {
    Role.CPU: "a cpu",
    Role.IOMMU: "an iommu",
    Role.DEVICE: "a device",
    Role.ATTACHABLE: "a device behind an iommu",
    Role.RING: "a ring device",
    Role.BUFFER: "a buffer that a thread maps",
    Role.NEW_BUFFER: "a new buffer",
    Role.THREAD: "a thread of `threads:`",
}

DOMAINS = frozenset(Role) - frozenset(_WORDS)
"""The roles of domains."""


class Reference(NamedTuple):
    """One name or glob in one field."""

    field: str
    name: str
    role: Role
    several: bool = False
    """Whether the field takes a list of names, and globs that stand for several."""


CpuName = Annotated[str, Role.CPU]
IommuName = Annotated[str, Role.IOMMU]
DeviceName = Annotated[str, Role.DEVICE]
RingName = Annotated[str, Role.RING]
DmaDomainName = Annotated[str, Role.DMA_DOMAIN]
PagingDomainName = Annotated[str, Role.PAGING_DOMAIN]
AttachableNames = Annotated[Names, Role.ATTACHABLE]
DomainName = Annotated[str, Role.ANY_DOMAIN]
DomainNames = Annotated[Names, Role.ANY_DOMAIN]
BufferName = Annotated[str, Role.BUFFER]
NewBuffer = Annotated[str, Role.NEW_BUFFER]
ThreadName = Annotated[str, Role.THREAD]


def references(options: BaseModel) -> Iterator[Reference]:
    """Every name that a field of `options` holds, in the order of the fields."""
    for field, role, several in _roles(type(options)):
        value: str | tuple[str, ...] | None = getattr(options, field)
        if value is not None:
            for name in (value,) if isinstance(value, str) else value:
                yield Reference(field, name, role, several)


@cache
def _roles(options: type[BaseModel]) -> Sequence[tuple[str, Role, bool]]:
    """The fields of `options` that hold names, what of, and whether several."""
    return [
        (field, role, _several(info.annotation))
        for field, info in options.model_fields.items()
        for role in [one for one in (*info.metadata, *_nested(info.annotation)) if isinstance(one, Role)][:1]
    ]


def _several(annotation: Any) -> bool:
    """Whether a list may stand in a field."""
    return get_origin(annotation) is tuple or any(_several(member) for member in get_args(annotation))


def _nested(annotation: Any) -> Iterator[Any]:
    """What a union's members are annotated with, as in ``DeviceName | None``."""
    for member in get_args(annotation):
        yield from getattr(member, "__metadata__", ())
