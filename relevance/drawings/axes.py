"""What drawings share: axes with ticks that do not meet, the frame of a drawing, and the SVG around it.

Pure functions. Colours come from the page's CSS, light and dark. Every drawing has a title and a description for those
who do not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count, pairwise
from math import ceil, floor, log10
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT = 560, 300, 58  # pixels of a drawing with two axes
_TOP, _BOTTOM = 12, 52
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
_DIGIT, _BETWEEN = 6.6, 8.0  # pixels of a tick's digit, and between two ticks' texts
_MOST_TICKS = 9


class Axis(NamedTuple):
    """A value to a pixel."""

    start: float
    end: float
    first: float
    last: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        at, start, end = (log10(v) if self.log else v for v in (value, self.start, self.end))
        return self.first + (at - start) / (end - start or 1) * (self.last - self.first)


def x_axis(values: Sequence[float], log: bool) -> Axis:
    """Over ascending values: ticks at these where their texts have room, else at round numbers."""
    first, last = LEFT + 18, WIDTH - 24
    low, high = values[0], values[-1]
    if not log:
        pad = 0.04 * (high - low) or 0.5
        axis = Axis(low - pad, high + pad, first, last, tuple(values))
        inside = [tick for tick in round_ticks(low, high) if axis.start <= tick <= axis.end]
        return axis if _apart(axis) else axis._replace(ticks=tuple(inside or [low, high]))
    room = 10 ** (0.06 * log10(high / low)) if high > low else 2.0
    axis = Axis(low / room, high * room, first, last, (), True)
    powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**p for p in powers for m in digits]
        found = axis._replace(ticks=tuple(one for one in ticks if axis.start <= one <= axis.end))
        if found.ticks and _apart(found):
            return found
    return axis._replace(ticks=(low,) if low == high else (low, high))


def y_axis(low: float, high: float) -> Axis:
    ticks = round_ticks(low, high)
    return Axis(ticks[0], ticks[-1], HEIGHT - _BOTTOM, _TOP, tuple(ticks))


def round_ticks(low: float, high: float) -> list[float]:
    """From below `low` to above `high`, in steps of which at most six lie between."""
    larger = (digit * 10.0**power for power in count(1) for digit in (1, 2, 5))
    step = next(s for s in chain(_STEPS, larger) if (high - low) / s <= 6)
    start, end = floor(round(low / step, 6)), ceil(round(high / step, 6))
    return [step * i for i in range(start, max(end, start + 1) + 1)]


def _apart(axis: Axis) -> bool:
    """Whether no tick's text meets the next one's."""
    ends = [(axis(tick), _DIGIT * len(short(tick)) / 2) for tick in axis.ticks]
    gaps = [(b - a) - (half + other) for (a, half), (b, other) in pairwise(ends)]
    return len(ends) <= _MOST_TICKS and all(gap >= _BETWEEN for gap in gaps)


def frame(x: Axis, y: Axis, x_name: str, y_name: str) -> list[str]:
    """Grid, ticks and the axes' names."""
    bottom = y.first
    parts = []
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{x.last + 14:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{short(tick)}</text>'
        )
    middle = (y.first + y.last) / 2
    centre = (x.first + x.last) / 2
    parts.append(f'<text class="axis" x="{centre:.1f}" y="{bottom + 38}" text-anchor="middle">{escape(x_name)}</text>')
    turned = f"translate(14 {middle:.1f}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turned}" text-anchor="middle">{escape(y_name)}</text>')
    return parts


def short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,.4g}"


def svg(width: float, height: float, title: str, said: str, body: str, kind: str = "") -> Markup:
    """`kind`: the page's class for it."""
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{body}</svg>"
    )
