"""PSCIDs that are taken and that nothing names: what a leak is of memory, this is of numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from cosim.sw.contract import WrongThing
from cosim.sw.driver.device import IN_DOUBT, IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject, Tag
from cosim.sw.driver.driver import Driver
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.objects import WORD, Object
from cosim.sw.kernel.page_allocator import Allocation

NUMBERED: Mapping[str, int] = {kind.__name__: WORD * kind.WORDS.index("pscid") for kind in (DomainObject, Bond, Tag)}
"""Where the objects of this driver name a PSCID."""

OF: Mapping[str, int] = {kind.__name__: WORD * kind.WORDS.index("iommu") for kind in (Bond, Tag)}
"""Where they say of which IOMMU it is; 0 is not said."""

WITHOUT = frozenset({"buffer", "ddt", "queue", "ring", "table", "FlushEntries"})
"""Purposes of memory in which there is none."""


class LostNumber(NamedTuple):
    """A number that the allocator `ids` has given out for `iommu`, or for all if that is empty; nothing names it."""

    ids: str
    iommu: str
    number: int


def lost_numbers(driver: Driver, stored: Mapping[int, int]) -> list[LostNumber]:
    """The ids in use that no object names; takes no time. It is meant for a moment at which no thread holds one.

    `stored` are words that have yet to take hold, by their addresses. Once a fence has failed there is none: a number
    whose flush is not known to be over stays taken on purpose. What waits to be freed (kfree_rcu) names nothing. What a
    kind of object holds that is not known here, such as a policy's own, may be a number, each word of it.

    WrongThing for what is no allocator, and stands where the policy of the axis pscid keeps those.
    """
    kernel, allocators = driver.kernel, _allocators(driver)
    pages = kernel.pages

    def word(address: int) -> int:
        return kernel.word(address, stored)

    in_use, doomed = pages.in_use(), set(kernel.rcu.roots())
    iommus = {one.address: IommuDevice(one.address) for one in in_use if one.purpose == "IommuDevice"}
    in_doubt = any(word(int(iommu.state.address)) & IN_DOUBT for iommu in iommus.values())
    if pages.quarantined or in_doubt or not kernel.rcu.has_called:
        return []
    names = {address: driver.hardware(iommu).name for address, iommu in iommus.items()}
    without = WITHOUT | frozenset(_kinds(Object))
    named: set[tuple[str, int]] = set()
    for one in in_use:
        if one.address not in doomed:
            iommu = names.get(word(one.address + OF[one.purpose]), "") if one.purpose in OF else ""
            named |= {(iommu, word(address)) for address in _places(one, without)}
    lost = []
    for key, ids in allocators.items():
        iommu = key if key in names.values() else ""
        for number in sorted(ids.taken):
            wanted = {iommu, ""} if iommu else {"", *names.values()}
            if not any((each, number) in named for each in wanted):
                lost.append(LostNumber(ids.name, iommu, number))
    return lost


def _allocators(driver: Driver) -> Mapping[str, Ida]:
    found: object = driver.ids
    if not isinstance(found, dict):
        raise WrongThing("driver.ids as", found, dict, driver.policies.pscid)
    for key, ids in found.items():
        if not isinstance(ids, Ida):
            raise WrongThing(f"driver.ids[{key!r}] as", ids, Ida, driver.policies.pscid)
    return found


def _places(known: Allocation, without: Collection[str]) -> Iterator[int]:
    """The addresses of the words of an allocation that may be a PSCID."""
    if known.purpose in NUMBERED:
        offsets: Iterable[int] = (NUMBERED[known.purpose],)
    elif known.purpose in without:
        offsets = ()
    else:
        offsets = range(0, known.size, WORD)
    return (known.address + offset for offset in offsets)


def _kinds(kind: type[Object]) -> Iterator[str]:
    """The kinds of object that are made here."""
    for one in kind.__subclasses__():
        if one.__module__.startswith("cosim."):
            yield one.__name__
        yield from _kinds(one)
