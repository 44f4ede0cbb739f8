"""The colours of latency parts: waits are warm, work is cool, whatever the page's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from cosim.units.latency_parts import LatencyPart

COLOURS: Mapping[str, str] = {
    "slot": "#e15759",
    "link": "#4e79a7",
    "link_wait": "#ff9da7",
    "queue": "#edc948",
    "place": "#f28e2b",
    "ddt": "#2f9e77",
    "pdt": "#8bc34a",
    "iotlb": "#8cd17d",
    "lookup_wait": "#d37295",
    "merge_wait": "#a0639b",
    "walker_wait": "#e5a3d0",
    "read_wait": "#c98bb9",
    "walk": "#59c1bd",
    "ad_update": "#9edae5",
    "fault": "#8c564b",
    "memory": "#79706e",
    "order": "#b6992d",
    "cpu": "#b3b7bd",
    "fence_instr": "#6b8fd6",
    "mmio": "#1f5fa8",
    "lock": "#ff7f0e",
    "ticket": "#c62f2f",
    "cq_full": "#e377c2",
    "fence": "#f0693f",
    "rcu": "#9467bd",
    "irq": "#17becf",
    "preempted": "#c49c94",
    "sleep": "#5d6570",
}


def key(parts: Iterable[str]) -> str:
    """What the colours of some parts mean, in the order of the list of parts."""
    shown = set(parts)
    items = [_item(part) for part in LatencyPart if part.value in shown]
    return f'<div class="key">{"".join(items)}</div>'


def _item(part: LatencyPart) -> str:
    colour = f'<i style="background:{COLOURS[part.value]}"></i>'
    return f'<span title="{escape(part.about, quote=True)}">{colour}{part.value}</span>'
