"""Series over x with their intervals, and lines across that they are held against. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, isnan
from typing import NamedTuple

from markupsafe import Markup, escape

from relevance.drawings.axes import HEIGHT, WIDTH, Axis, frame, short, svg, x_axis, y_axis
from relevance.drawings.marks import MARKS, legend, mark, whisker, words
from relevance.intervals import Estimate

_DODGE = 4.0  # pixels between the intervals of series that stand at one place
_NAME = 60.0  # pixels that the name of a line takes


class Curve(NamedTuple):
    """A series of figures; x is what they are set against."""

    name: str
    points: tuple[tuple[float, Estimate], ...]
    look: int | None = None  # colour and mark, where drawings beside each other are to agree; None: its place


class Level(NamedTuple):
    """A line across a drawing: what the others are held against."""

    name: str
    value: float


def curves(
    title: str,
    x_name: str,
    y_name: str,
    series: Sequence[Curve],
    levels: Sequence[Level] = (),
    log: bool = False,
) -> Markup:
    """Series over x with their intervals, and lines across."""
    known = [(x, e) for one in series for x, e in one.points if not isnan(e.value)]
    if not known:
        return Markup("")
    x = x_axis(sorted({x for x, _ in known}), log)
    bounds = [b for _, e in known for b in (e.low, e.high, e.value) if isfinite(b)] + [one.value for one in levels]
    y = y_axis(min(bounds), max(bounds))
    parts = [*frame(x, y, x_name, y_name)]
    parts += [_level(one, x, y, known) for one in levels]
    looks = [place if one.look is None else one.look for place, one in enumerate(series)]
    for number, curve in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * _DODGE
        parts.append(_curve(curve, looks[number], x, y, shift))
    named, below = legend([one.name for one in series], looks)
    said = "; ".join(f"{one.name}: " + ", ".join(f"{px:g} {e.value:.3f}" for px, e in one.points) for one in series)
    return svg(WIDTH, HEIGHT + below, title, said, "".join(parts) + named)


def _level(one: Level, x: Axis, y: Axis, known: Sequence[tuple[float, Estimate]]) -> str:
    """The line, named at the end where the marks are farther from it."""
    at = y(one.value)

    def room(end: float) -> float:
        return min((abs(y(e.value) - at) for px, e in known if abs(x(px) - end) < _NAME), default=inf)

    end, anchor = (x.last, "end") if room(x.last) >= room(x.first) else (x.first, "start")
    line = f'<line class="level" x1="{x.first:.1f}" x2="{x.last:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
    return f'{line}<text class="name" x="{end:.1f}" y="{at - 5:.1f}" text-anchor="{anchor}">{escape(one.name)}</text>'


def _curve(curve: Curve, number: int, x: Axis, y: Axis, shift: float) -> str:
    known = [(px, e) for px, e in curve.points if not isnan(e.value)]
    line = " ".join(f"{x(px) + shift:.1f},{y(e.value):.1f}" for px, e in known)
    kind = number % MARKS
    parts = [f'<polyline class="line c{kind}" points="{line}"/>']
    for px, e in known:
        parts.append(whisker(e, x(px) + shift, y, number))
        parts.append(mark(x(px) + shift, y(e.value), number, f"{curve.name}, {short(px)}: {words(e)}"))
    return "".join(parts)
