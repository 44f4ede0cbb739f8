"""Curves: numbers over time or over an axis, with the band in which each mean is."""

from __future__ import annotations

import math
from html import escape

from cosim.study.drawing.svg import COLOURS
from cosim.study.pictures.shapes import Curves

WIDTH, HEIGHT = 360, 170
LEFT, BELOW, TOP = 48, 34, 8
CHARACTER = 6.2
"""As wide is a character below the picture."""


def chart(picture: Curves) -> str:
    """A figure of curves over a common axis."""
    title, curves = picture.title, picture.curves
    xs = [x for curve in curves.values() for x, _ in curve.points]
    ys = [y for curve in curves.values() for _, y in curve.points]
    ys += [y for curve in curves.values() for pair in curve.band for y in pair]
    xs += [x for x, _ in picture.ticks]  # also of a value at which there is no point
    low, high = min(xs), max(xs)
    most = max([*ys, 0.0]) or 1.0
    least = min([*ys, 0.0])

    def place(x: float, y: float) -> str:
        right = LEFT + (WIDTH - LEFT - 10) * ((x - low) / (high - low) if high > low else 0.5)
        down = TOP + (HEIGHT - TOP) * (1 - (y - least) / (most - least))
        return f"{right:.1f} {down:.1f}"

    parts = []
    for value in _steps(least, most):
        down = float(place(low, value).split()[1])
        parts.append(f'<path class="axis" d="M{LEFT} {down}H{WIDTH - 10}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down + 4:.1f}" text-anchor="end">{number(value)}</text>')
    for at, label in picture.ticks or [(value, number(value)) for value in _steps(low, high)]:
        right = min(float(place(at, least).split()[0]), WIDTH - CHARACTER / 2 * len(label))
        parts.append(f'<text x="{right:.1f}" y="{HEIGHT + 15}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT + 30}" text-anchor="middle">{escape(picture.across)}</text>')
    names = []
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        joined = curve.points[curve.alone :]
        if curve.band:
            banded = [(x, low_, high_) for (x, _), (low_, high_) in zip(curve.points, curve.band, strict=True)]
            area = banded[curve.alone :] if len(joined) > 1 else []
            if area:
                edge = [place(x, high_) for x, _, high_ in area] + [place(x, low_) for x, low_, _ in reversed(area)]
                parts.append(f'<path d="M{"L".join(edge)}Z" fill="{colour}" opacity=".22"/>')
            for x, low_, high_ in banded[: len(banded) - len(area)]:
                bar = f"M{place(x, low_)}L{place(x, high_)}"
                parts.append(f'<path d="{bar}" stroke="{colour}" stroke-width="5" opacity=".22"/>')
        if len(joined) > 1:
            drawn = "L".join(place(x, y) for x, y in joined)
            parts.append(f'<path d="M{drawn}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(curve.points) <= 40 or curve.alone:
            for x, y in curve.points:
                across_px, down_px = place(x, y).split()
                at_it = f'cx="{across_px}" cy="{down_px}" r="2.6" fill="{colour}"'
                parts.append(f"<circle {at_it}><title>{number(y)}</title></circle>")
        if len(curves) > 1 or name != title:
            names.append(f'<span><i style="background:{colour}"></i>{escape(name)}</span>')
    view = f'class="c" viewBox="0 0 {WIDTH} {HEIGHT + BELOW}" role="img" aria-label="{escape(title, quote=True)}"'
    drawing = f"<svg {view}>{''.join(parts)}</svg>"
    return f'<figure><figcaption>{escape(title)}</figcaption>{drawing}<div class="key">{"".join(names)}</div></figure>'


def _steps(least: float, most: float) -> list[float]:
    """Up to six round numbers from `least` to `most`."""
    raw = (most - least) / 4 or 1.0
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(each * scale for each in (1, 2, 2.5, 5, 10) if each * scale >= raw * 0.999)
    first = math.ceil(least / step - 1e-9)
    return [round(step * (first + i), 12) for i in range(7) if step * (first + i) <= most * 1.0001 + 1e-12]


def number(value: float) -> str:
    """A number with three or four digits, without an exponent where that can be read."""
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
