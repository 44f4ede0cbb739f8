"""Where everything stands in a drawing: CPUs and memories above the bus, below it IOMMUs, below those their devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cosim.study.drawing.nodes import Drawing, Group, Node

WIDTH = 176
"""Of every box, in pixels."""
GAP = 16
MARGIN = 20
TITLE = 44
"""Height of the line above everything."""
HEAD, LINE, FOOT = 26, 16, 8
"""Heights: of a box's name, of a line in it, and below the last of them."""
BUS = 14
WIDEST = 1000
"""Groups that do not fit beside each other in that stand below each other."""
ABREAST = 4
"""So many devices of a group stand beside each other at most."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node, and where it stands."""

    node: Node
    x: int
    y: int
    height: int

    @property
    def middle(self) -> int:
        """Of its width."""
        return self.x + WIDTH // 2


@dataclass(slots=True)
class Layout:
    """Boxes, the frames of groups, the strips that are the bus (x, y, width, height), and wires (x1, y1, x2, y2)."""

    width: int = 0
    height: int = 0
    boxes: list[Box] = field(default_factory=list)
    frames: list[tuple[int, int, int, int]] = field(default_factory=list)
    strips: list[tuple[int, int, int, int]] = field(default_factory=list)
    wires: list[tuple[int, int, int, int]] = field(default_factory=list)


def height_of(node: Node) -> int:
    """Of a node's box: it says what it says, its domain and its defects."""
    return HEAD + LINE * (len(node.lines) + bool(node.domain) + len(node.wrong)) + FOOT


def lay_out(drawing: Drawing) -> Layout:
    """Where everything stands."""
    found = Layout()
    above = [*drawing.cpus, *drawing.memories]
    rows = _rows(drawing.groups)
    wide = max([WIDTH, *(sum(map(_width, row)) + GAP * (len(row) - 1) for row in rows)])
    across = max(1, (max(wide, min(WIDEST, len(above) * (WIDTH + GAP))) + GAP) // (WIDTH + GAP))
    room = max(wide, min(len(above), across) * (WIDTH + GAP) - GAP)
    y = MARGIN + TITLE
    for start in range(0, len(above), across):
        y = _above(found, above[start : start + across], y)
        found.strips.append((MARGIN, y, room, BUS))
        y += BUS + 2 * GAP
    bus = y - 2 * GAP
    for number, row in enumerate(rows):
        if number:
            y += GAP
            found.strips.append((MARGIN, y, room, BUS))
            bus = y + BUS
            y = bus + 2 * GAP
        x, tallest = MARGIN, 0
        for group in row:
            tallest = max(tallest, _group(found, group, x, y, bus))
            x += _width(group) + GAP
        y += tallest
    if len(found.strips) > 1:
        found.strips = [(MARGIN - BUS, y, wide + BUS, high) for _, y, wide, high in found.strips]
        first, last = found.strips[0][1], found.strips[-1][1]
        found.strips.append((MARGIN - BUS, first, BUS // 2, last + BUS - first))
    found.width, found.height = room + 2 * MARGIN, y + MARGIN
    return found


def _rows(groups: Sequence[Group]) -> list[list[Group]]:
    """The groups that fit beside each other."""
    rows: list[list[Group]] = []
    for group in groups:
        if rows and sum(map(_width, rows[-1])) + GAP * len(rows[-1]) + _width(group) <= WIDEST:
            rows[-1].append(group)
        else:
            rows.append([group])
    return rows


def _above(found: Layout, row: Sequence[Node], y: int) -> int:
    """A row of boxes that stand on the bus; where the bus is."""
    height = max(map(height_of, row))
    for index, node in enumerate(row):
        box = Box(node, MARGIN + index * (WIDTH + GAP), y + height - height_of(node), height_of(node))
        found.boxes.append(box)
        found.wires.append((box.middle, y + height, box.middle, y + height + 2 * GAP))
    return y + height + 2 * GAP


def _abreast(group: Group) -> int:
    return max(1, min(len(group.devices), ABREAST))


def _width(group: Group) -> int:
    return _abreast(group) * (WIDTH + GAP) + GAP


def _group(found: Layout, group: Group, x: int, y: int, bus: int) -> int:
    """An IOMMU and its devices in a frame, or devices alone; how high that is."""
    width, top = _width(group), y
    trunk = x + width // 2
    found.wires.append((trunk, bus, trunk, y))
    if group.iommu is not None:
        box = Box(group.iommu, trunk - WIDTH // 2, y, height_of(group.iommu))
        found.boxes.append(box)
        y += box.height
    across, devices, above = _abreast(group), group.devices, y
    for start in range(0, len(devices), across):
        row = devices[start : start + across]
        rail = y + GAP
        boxes = [Box(node, x + GAP + i * (WIDTH + GAP), rail + GAP, height_of(node)) for i, node in enumerate(row)]
        found.boxes += boxes
        side, middles = x + GAP // 2, [box.middle for box in boxes]
        ends = [trunk if start == 0 else side, *middles]
        found.wires.append((trunk, y, trunk, rail) if start == 0 else (side, above, side, rail))
        if start + across < len(devices):
            ends.append(side)
        found.wires.append((min(ends), rail, max(ends), rail))
        found.wires += [(box.middle, rail, box.middle, rail + GAP) for box in boxes]
        above, y = rail, rail + GAP + max(box.height for box in boxes)
    height = y - top + GAP
    found.frames.append((x, top + HEAD // 2, width, height - HEAD // 2))
    return height
