"""A heat map: a number at each point of two axes."""

from __future__ import annotations

from html import escape

from cosim.study.pictures.shapes import Heat

CELL, HIGH, LEFT, BELOW = 58, 26, 90, 24
SPELLED = 12
"""Of so many values to the right, the number stands in each cell; of more it is the cell's title."""
ROOM = 8
"""As many characters fit in a cell."""
STOPS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""The colours from the smallest number to the largest; they also differ in lightness."""


def heat_map(picture: Heat) -> str:
    """A figure of the number at each point of two axes."""
    across, down, values = picture.across, picture.down, picture.values
    cells = {place: _spelled(value) for place, value in values.items()}
    low, high = min(values.values()), max(values.values())
    wide, tall, spelled = (CELL, HIGH, True) if len(across[1]) <= SPELLED else (max(5, 640 // len(across[1])), 8, False)
    parts = []
    for row, y in enumerate(down[1]):
        top = row * tall
        if row % (1 if spelled else 3) == 0:
            parts.append(f'<text x="{LEFT - 8}" y="{top + tall // 2 + 4}" text-anchor="end">{escape(y)}</text>')
        for column, x in enumerate(across[1]):
            left = LEFT + column * wide
            if (x, y) not in values:
                continue
            red, green, blue = _colour((values[x, y] - low) / (high - low) if high > low else 0.5)
            place = f'x="{left}" y="{top}" width="{wide - spelled}" height="{tall - spelled}"'
            title = f"<title>{values[x, y]:.4g}</title>"
            parts.append(f'<rect {place} fill="rgb({red},{green},{blue})">{title}</rect>')
            if spelled:
                ink = "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else "#fff"
                middle = f'x="{left + wide // 2}" y="{top + 17}" text-anchor="middle"'
                parts.append(f'<text {middle} style="fill:{ink}">{escape(cells[x, y])}</text>')
    bottom = len(down[1]) * tall
    for column, x in enumerate(across[1]):
        if column % (1 if spelled else max(1, len(across[1]) // 12)) == 0:
            at = f'x="{LEFT + column * wide + wide // 2}" y="{bottom + 16}" text-anchor="middle"'
            parts.append(f"<text {at}>{escape(x)}</text>")
    width = LEFT + len(across[1]) * wide
    said = f"{picture.title}: {across[0]} to the right, {down[0]} downwards"
    view = f'viewBox="0 0 {width} {bottom + BELOW}" style="max-width:{width}px" role="img"'
    drawing = f'<svg class="c" {view} aria-label="{escape(said, quote=True)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(said)}</figcaption>{drawing}</figure>"


def _spelled(value: float) -> str:
    """A number as it fits in a cell: with four digits, or all before the point, or else with two."""
    ways = (f"{value:.4g}" if 1e-4 <= abs(value) < 9999.5 else f"{value:.0f}", f"{value:.2g}")
    return next((said for said in ways if len(said) <= ROOM and float(said)), ways[-1])


def _colour(share: float) -> tuple[int, int, int]:
    place = share * (len(STOPS) - 1)
    first = min(int(place), len(STOPS) - 2)
    one, two, rest = STOPS[first], STOPS[first + 1], place - first
    red, green, blue = (round(a + (b - a) * rest) for a, b in zip(one, two, strict=True))
    return red, green, blue
