"""Answers of policies that are of the right type, and that nobody who asks could go on with."""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from cosim.spec.pagetable import PAGE
from cosim.spec.translation import DcTa
from cosim.sw.contract import WrongValue, asked
from cosim.sw.iommu_ops import MapResult

P = ParamSpec("P")
LARGEST = DcTa.pscid.ones
"""The largest number that a PSCID can be."""


async def asked_number(method: Callable[P, Coroutine[Any, Any, int]], *given: P.args, **named: P.kwargs) -> int:
    """The PSCID that `take` or `on` returns. WrongAnswer for what no context can hold."""
    number = await asked(int, method, *given, **named)
    if not 0 <= number <= LARGEST:
        raise WrongValue(method, number, f"no PSCID: they have 20 bits, and the largest is {LARGEST}")
    return number


def check_map(method: Any, result: MapResult, page_size: int, count: int) -> None:
    """WrongValue for a result that says neither how far a map has come nor why it has failed."""
    mapped, failed = result.mapped, result.failed
    if not _is_number(mapped) or not 0 <= mapped <= page_size * count or mapped % page_size:
        raise WrongValue(method, result, f"no map of up to {count} pages of {page_size:#x} bytes")
    if failed and failed not in errno.errorcode:
        raise WrongValue(method, result, f"no errno: {failed!r}; it is a positive one, such as errno.ENOMEM")
    if not mapped and not failed:
        raise WrongValue(method, result, "nothing mapped and no failure: who maps would ask again for ever")


def check_unmap(method: Any, cleared: int, smallest: int) -> None:
    """WrongValue for what is no number of bytes that are cleared by whole pages."""
    if cleared < 0 or cleared % smallest:
        raise WrongValue(method, cleared, f"no number of bytes in pages of {smallest:#x}")


def check_offer(method: Any, offer: tuple[Any, ...]) -> None:
    """WrongValue for what is not page sizes, smallest first, and a last IOVA."""
    sizes, last = offer if len(offer) == 2 else ((), -1)
    if not isinstance(sizes, (tuple, list)) or not sizes or not all(map(_is_page, sizes)):
        wrong = True
    else:
        wrong = list(sizes) != sorted(set(sizes)) or not _is_number(last) or last < 0
    if wrong:
        raise WrongValue(method, offer, f"not page sizes from {PAGE:#x} bytes on, smallest first, and the last IOVA")


def _is_number(thing: object) -> bool:
    return isinstance(thing, int) and not isinstance(thing, bool)


def _is_page(size: object) -> bool:
    return isinstance(size, int) and size >= PAGE and size & size - 1 == 0
