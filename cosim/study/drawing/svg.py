"""A drawing as SVG, of no other file: light or dark as the reader prefers."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cosim.study.drawing.layout import HEAD, LINE, MARGIN, TITLE, WIDTH, Box, lay_out
from cosim.study.drawing.nodes import Drawing

LETTERS = (WIDTH - 20) // 6
"""As many fit into a line of a box."""

COLOURS = ("#4269d0", "#c98500", "#3ca951", "#a463f2", "#ff725c", "#6cc5b0", "#ff8ab7", "#9c6b4e")
"""Of domains, in their order."""

STYLE = """
.t { font: 12px ui-sans-serif, system-ui, sans-serif; fill: #1c1e21 }
.t .h { font-weight: 600; font-size: 13px } .t .f { fill: #5a6069 } .t .w { fill: #b3261e }
.t .b { fill: #fff; stroke: #8a919c } .t .cpu { fill: #eef3fb } .t .memory { fill: #eef7ef } .t .iommu { fill: #fdf4e3 }
.t .bus { fill: #c9ced6 } .t .wire { stroke: #8a919c; fill: none } .t .frame { fill: none; stroke: #c9ced6 }
.t .bad { stroke: #b3261e; stroke-width: 2 } .t .paper { fill: #fff } .t .on { fill: #fff }
@media (prefers-color-scheme: dark) {
.t { fill: #e6e8eb } .t .f { fill: #a2a9b3 } .t .w { fill: #ff8a80 } .t .b { fill: #1f2329; stroke: #6b727d }
.t .cpu { fill: #1d2738 } .t .memory { fill: #1c2b20 } .t .iommu { fill: #33291a } .t .bus { fill: #444a53 }
.t .wire { stroke: #6b727d } .t .frame { stroke: #444a53 } .t .bad { stroke: #ff8a80 } .t .paper { fill: #14171b }
}
"""


def svg(drawing: Drawing, *, inside: bool = False) -> str:
    """The picture; `inside` of a page it has no background and no title of its own."""
    return "".join(_elements(drawing, inside))


def _elements(drawing: Drawing, inside: bool) -> Iterator[str]:
    layout = lay_out(drawing)
    width, height = layout.width, layout.height
    said = escape(f"{drawing.title}: the parts of the topology and how they are connected", quote=True)
    top = MARGIN + TITLE - 6 if inside else 0
    size = f'viewBox="0 {top} {width} {height - top}" width="{width}" height="{height - top}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="t" {size} role="img" aria-label="{said}">\n'
    yield f"<style>{STYLE}</style>\n"
    if not inside:
        yield f'<rect class="paper" width="{width}" height="{height}"/>\n'
        yield f'<text x="{MARGIN}" y="{MARGIN + 14}"><tspan class="h">{escape(drawing.title)}</tspan>'
        yield f'<tspan class="f" dx="10">driver {escape(drawing.driver)}</tspan></text>\n'
    for x, y, wide, high in layout.frames:
        yield f'<rect class="frame" x="{x}" y="{y}" width="{wide}" height="{high}" rx="8"/>\n'
    for x1, y1, x2, y2 in layout.wires:
        yield f'<path class="wire" d="M{x1} {y1}L{x2} {y2}"/>\n'
    for x, y, wide, high in layout.strips:
        yield f'<rect class="bus" x="{x}" y="{y}" width="{wide}" height="{high}" rx="3"/>\n'
    x, y, _, _ = layout.strips[0]
    yield f'<text class="f" x="{x + 8}" y="{y + 11}">bus</text>\n'
    for box in layout.boxes:
        yield from _box(box, drawing)
    yield "</svg>\n"


def _box(box: Box, drawing: Drawing) -> Iterator[str]:
    node = box.node
    kind = node.kind if node.kind in ("cpu", "memory", "iommu") else "device"
    shape = f'width="{WIDTH}" height="{box.height}" rx="6"'
    for behind in range(2 if node.count > 1 else 0, 0, -1):
        yield f'<rect class="b {kind}" x="{box.x + 3 * behind}" y="{box.y + 3 * behind}" {shape}/>\n'
    bad = " bad" if node.wrong else ""
    yield f'<g><title>{escape(_title(box))}</title><rect class="b {kind}{bad}" x="{box.x}" y="{box.y}" {shape}/>'
    count = f'<tspan class="f" dx="6">{node.count} alike</tspan>' if node.count > 1 else ""
    yield f'<text x="{box.x + 10}" y="{box.y + 18}"><tspan class="h">{escape(_cut(node.name))}</tspan>{count}</text>'
    y = box.y + HEAD + 11
    for line in node.lines:
        yield f'<text class="f" x="{box.x + 10}" y="{y}">{escape(_cut(line))}</text>'
        y += LINE
    for name in node.wrong:
        yield f'<text class="w" x="{box.x + 10}" y="{y}">defect {escape(_cut(name, 7))}</text>'
        y += LINE
    if node.domain:
        colour = COLOURS[drawing.domains.index(node.domain) % len(COLOURS)]
        yield f'<circle cx="{box.x + 15}" cy="{y - 4}" r="5" fill="{colour}"/>'
        yield f'<text x="{box.x + 26}" y="{y}">{escape(_cut(node.domain, 3))}</text>'
    yield "</g>\n"


def _title(box: Box) -> str:
    node = box.node
    domain = (f"domain {node.domain}",) if node.domain else ()
    return "\n".join((node.name, *node.lines, *(f"defect {name}" for name in node.wrong), *domain))


def _cut(text: str, less: int = 0) -> str:
    """As much of `text` as fits into a line; the whole is in the box's title."""
    most = LETTERS - less
    return text if len(text) <= most else f"{text[: most - 1]}…"
