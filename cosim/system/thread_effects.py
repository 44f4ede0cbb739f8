"""The rows of `effects` that tell of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosim.hw.dma.options import RingOptions
from cosim.system.setting import Place, Row


def _told_device(place: Place) -> Any:
    return place.setting.topology.devices().get(place.options.device or "")


def _device_of_none(place: Place) -> bool:
    device = _told_device(place)
    return device is not None and device.kind == "dma" and device.traffic.pattern == "none"


def _untranslated(why: str) -> Callable[[Place], str]:
    says = "has no effect, since {} in {}, whose addresses are physical; name a paging domain or leave it out"
    return lambda place: says.format(why, place.options.domain)


THREADS: tuple[Row, ...] = (
    Row(
        "thread",
        ("gap",),
        lambda place: place.options.count == 1,
        ("count",),
        "has no effect, since there is one round; raise `count`, or use `start`",
    ),
    Row(
        "thread",
        ("gaps",),
        lambda place: place.options.gap == 0,
        ("gap",),
        "has no effect without a gap, which is what is drawn; give `gap` its mean",
    ),
    Row(
        "thread",
        ("after",),
        lambda place: place.path[0] == "prepare",
        (),
        "has no effect in `prepare:`, where each entry follows the one before it; leave it out",
    ),
    Row(
        "thread",
        ("beside",),
        lambda place: place.path[0] == "threads" or place.path[1] == 0,
        (),
        lambda place: (
            "has no effect, since all `threads:` run side by side; leave it out"
            if place.path[0] == "threads"
            else "has no effect on the first of `prepare:`; leave it out, or give it to the one after it"
        ),
    ),
    *(
        Row(
            does,
            ("contiguous",),
            lambda place: place.options.pages == 1,
            ("pages",),
            "has no effect on a buffer of one page; raise `pages`",
        )
        for does in ("map-unmap", "map")
    ),
    *(
        Row(
            does,
            (field,),
            lambda place: place.options.domain in place.setting.untranslated,
            ("domain", "/parts", "/domains"),
            _untranslated(why),
        )
        for does in ("map-unmap", "map")
        for field, why in (("mode", "nothing is flushed"), ("direction", "everything is permitted"))
    ),
    *(
        Row(
            does,
            ("device",),
            _device_of_none,
            ("device", "/parts"),
            lambda place: (
                f"has no effect, since {place.options.device} has pattern: none and never uses a buffer; use "
                "pattern: told there"
            ),
        )
        for does in ("map-unmap", "tell")
    ),
    *(
        Row(
            does,
            ("device",),
            lambda place: isinstance(_told_device(place), RingOptions),
            ("device", "/parts"),
            lambda place: (
                f"has no effect, since {place.options.device} is a ring and is told of no window; use a receive-ring "
                "thread"
            ),
        )
        for does in ("map-unmap", "tell")
    ),
    Row(
        "tell",
        ("size",),
        lambda place: place.options.buffer is not None,
        ("buffer",),
        "has no effect, since the window is as long as the buffer; give an `iova:` instead of a buffer",
    ),
    Row(
        "receive-ring",
        ("poll",),
        lambda place: place.options.wait != "poll",
        ("wait",),
        "has no effect on a thread that waits for an interrupt; use wait: poll",
    ),
)
"""Options of threads that can be idle because of another one."""
