"""Models by what they cost and what they are worth, and the front of those that none betters at their cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from typing import NamedTuple

from markupsafe import Markup, escape

from relevance.drawings.axes import HEIGHT, LEFT, WIDTH, Axis, frame, svg, x_axis, y_axis
from relevance.drawings.marks import mark, whisker, words
from relevance.intervals import Estimate


class Dot(NamedTuple):
    """A model: what it costs and what it is worth."""

    name: str
    cost: float
    estimate: Estimate
    series: int


def front(title: str, x_name: str, y_name: str, dots: Sequence[Dot]) -> Markup:
    """Models by cost (log) and worth; those that none betters at their cost are joined by a line."""
    known = [one for one in dots if not isnan(one.estimate.value) and one.cost > 0]
    if not known:
        return Markup("")
    x = x_axis(sorted({one.cost for one in known}), log=True)
    bounds = [b for one in known for b in (one.estimate.low, one.estimate.high, one.estimate.value) if isfinite(b)]
    y = y_axis(min(bounds), max(bounds))
    best = on_front(known)
    line = " ".join(f"{x(one.cost):.1f},{y(one.estimate.value):.1f}" for one in best)
    parts = [*frame(x, y, x_name, y_name), f'<polyline class="front" points="{line}"/>']
    for one in known:
        parts.append(whisker(one.estimate, x(one.cost), y, one.series))
        parts.append(
            mark(x(one.cost), y(one.estimate.value), one.series, f"{one.name}: {one.cost:.2f}, {words(one.estimate)}")
        )
    parts += _labels(known, x, y)
    said = "; ".join(f"{one.name}: {one.cost:.2f} for {one.estimate.value:.3f}" for one in known)
    return svg(WIDTH, HEIGHT, title, said, "".join(parts))


def on_front(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no other betters or equals at the same cost or less, cheapest first."""
    best: list[Dot] = []
    for one in sorted(dots, key=lambda dot: (dot.cost, -dot.estimate.value)):
        if not best or one.estimate.value > best[-1].estimate.value:
            best.append(one)
    return best


class _Box(NamedTuple):
    """What a mark, an interval or a name covers, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _labels(dots: Sequence[Dot], x: Axis, y: Axis) -> list[str]:
    """The models' names beside their marks, each at the first place where it covers nothing, or at least no mark."""
    spots = [(x(one.cost), y(one.estimate.value)) for one in dots]
    taken = [_Box(at - 6, level - 6, at + 6, level + 6) for at, level in spots]
    lines = [
        _Box(at - 1, y(one.estimate.high), at + 1, y(one.estimate.low))
        for one, (at, _) in zip(dots, spots, strict=True)
        if not isnan(one.estimate.low)
    ]
    parts = []
    for one, (at, level) in zip(dots, spots, strict=True):
        width = 6.8 * len(one.name)
        places = [
            (at + side * 10, level + shift, side)
            for shift in (-6, 14, -20, 28, -34, 42)
            for side in (1, -1)
            if LEFT < at + side * (10 + width) < WIDTH
        ] or [(at + 10, level - 6, 1)]
        boxes = [
            _Box(min(px, px + side * width), py - 11, max(px, px + side * width), py + 3) for px, py, side in places
        ]
        of_marks = [i for i, box in enumerate(boxes) if not any(box.meets(other) for other in taken)]
        of_all = [i for i in of_marks if not any(boxes[i].meets(line) for line in lines)]
        free = next(iter([*of_all, *of_marks]), 0)
        px, py, side = places[free]
        taken.append(boxes[free])
        anchor = "start" if side > 0 else "end"
        parts.append(f'<text class="name" x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}">{escape(one.name)}</text>')
    return parts
