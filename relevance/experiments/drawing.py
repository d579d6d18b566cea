"""An experiment's drawings as SVG text: figures in rows, differences beside zero, curves, and what a millisecond buys.

Pure functions. Colours come from the page's CSS (light and dark); a series is told apart by its mark as well, so that
no one needs the colours. Every drawing has a title and a description for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, isfinite, isnan, log10
from typing import NamedTuple

from markupsafe import Markup, escape

from relevance.experiments.records import ArmFigures, Drawing
from relevance.intervals import Difference, Estimate
from relevance.judging.figures import Measure

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
_ROW, _NAMES, _ROW_PLOT, _VALUES = 26, 310, 570, 190  # pixels of a drawing in rows
_LONGEST_NAME = 46  # characters that fit left of it
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 560, 300, 58, 12, 52  # of a drawing of curves
_MARKS = 6  # kinds there are; a seventh series looks like the first
_DODGE = 4.0  # pixels between the intervals of series that stand at one place


class Curve(NamedTuple):
    """A series of figures; x is what they are set against."""

    name: str
    points: tuple[tuple[float, Estimate], ...]
    look: int | None = None  # colour and mark, where drawings beside each other are to agree; None: its place


class Level(NamedTuple):
    """A line across a drawing: what the others are held against."""

    name: str
    value: float


class Dot(NamedTuple):
    """A model: what it costs and what it is worth."""

    name: str
    cost: float
    estimate: Estimate
    series: int


def arms(found: Sequence[ArmFigures], measure: Measure) -> Drawing:
    """Every arm's figure, a row each."""
    rows = [(one.arm, one.estimate(measure)) for one in found]
    return Drawing(
        f"{titled(measure)} by arm", estimates(f"{measure} by arm", rows), "With 95 % intervals over queries.", True
    )


def estimates(title: str, rows: Sequence[tuple[str, Estimate]], zero: bool = False) -> Markup:
    """A dot and its interval a row; beside a line at zero where that is what they are held against."""
    plain = [(name, e.value, e.low, e.high) for name, e in rows]
    return _in_rows(title, plain, lambda value: f"{value:+.3f}" if zero else f"{value:.3f}", zero)


def differences(title: str, rows: Sequence[tuple[str, Difference]]) -> Markup:
    """A difference and its interval a row, beside a line at zero."""
    plain = [(name, d.value, d.low, d.high) for name, d in rows]
    return _in_rows(title, plain, lambda value: f"{value:+.3f}", zero=True)


def curves(
    title: str,
    x_name: str,
    y_name: str,
    series: Sequence[Curve],
    levels: Sequence[Level] = (),
    log: bool = False,
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """Series over x with their intervals, and lines across."""
    known = [(x, e) for one in series for x, e in one.points if not isnan(e.value)]
    if not known:
        return Markup("")
    x = _x_axis(sorted({x for x, _ in known}), log)
    bounds = [b for _, e in known for b in (e.low, e.high, e.value) if isfinite(b)] + [one.value for one in levels]
    y = _y_axis(*(y_range or (min(bounds), max(bounds))))
    parts = [*_frame(x, y, x_name, y_name)]
    for one in levels:
        at = y(one.value)
        parts.append(f'<line class="level" x1="{x.first:.1f}" x2="{x.last:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="name" x="{x.last:.1f}" y="{at - 5:.1f}" text-anchor="end">{escape(one.name)}</text>'
        )
    looks = [place if one.look is None else one.look for place, one in enumerate(series)]
    for number, curve in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * _DODGE
        parts.append(_curve(curve, looks[number], x, y, shift))
    legend, below = _legend([one.name for one in series], looks)
    said = "; ".join(f"{one.name}: " + ", ".join(f"{px:g} {e.value:.3f}" for px, e in one.points) for one in series)
    return _svg(_WIDTH, _HEIGHT + below, title, said, "".join(parts) + legend)


def front(title: str, x_name: str, y_name: str, dots: Sequence[Dot]) -> Markup:
    """Models by cost (log) and worth; those that none betters at their cost are joined by a line."""
    known = [one for one in dots if not isnan(one.estimate.value) and one.cost > 0]
    if not known:
        return Markup("")
    x = _x_axis(sorted({one.cost for one in known}), log=True)
    bounds = [b for one in known for b in (one.estimate.low, one.estimate.high, one.estimate.value) if isfinite(b)]
    y = _y_axis(min(bounds), max(bounds))
    best = on_front(known)
    line = " ".join(f"{x(one.cost):.1f},{y(one.estimate.value):.1f}" for one in best)
    parts = [*_frame(x, y, x_name, y_name), f'<polyline class="front" points="{line}"/>']
    for one in known:
        parts.append(_whisker(one.estimate, x(one.cost), y, one.series))
        parts.append(
            _mark(x(one.cost), y(one.estimate.value), one.series, f"{one.name}: {one.cost:.2f}, {_words(one.estimate)}")
        )
    parts += _labels(known, x, y)
    said = "; ".join(f"{one.name}: {one.cost:.2f} for {one.estimate.value:.3f}" for one in known)
    return _svg(_WIDTH, _HEIGHT, title, said, "".join(parts))


def on_front(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no other betters or equals at the same cost or less, cheapest first."""
    best: list[Dot] = []
    for one in sorted(dots, key=lambda dot: (dot.cost, -dot.estimate.value)):
        if not best or one.estimate.value > best[-1].estimate.value:
            best.append(one)
    return best


class _Axis(NamedTuple):
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


def _x_axis(values: Sequence[float], log: bool) -> _Axis:
    first, last = _LEFT + 18, _WIDTH - 24
    low, high = values[0], values[-1]
    if log:
        room = 10 ** (0.06 * log10(high / low)) if high > low else 2.0
        powers = [m * 10.0**p for p in range(floor(log10(low)) - 1, ceil(log10(high)) + 2) for m in (1, 2, 5)]
        ticks = [one for one in powers if low / room <= one <= high * room]
        ticks = [one for one in ticks if str(f"{one:e}")[0] == "1"] if len(ticks) > 9 else ticks
        return _Axis(low / room, high * room, first, last, tuple(ticks or values), True)
    pad = 0.04 * (high - low) or 0.5
    return _Axis(low - pad, high + pad, first, last, tuple(values if len(values) <= 8 else _round_ticks(low, high)))


def _y_axis(low: float, high: float) -> _Axis:
    ticks = _round_ticks(low, high)
    return _Axis(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP, tuple(ticks))


def _round_ticks(low: float, high: float) -> list[float]:
    step = next((s for s in _STEPS if (high - low) / s <= 6), max(1.0, (high - low) / 6))
    start, end = floor(round(low / step, 6)), ceil(round(high / step, 6))
    return [step * i for i in range(start, max(end, start + 1) + 1)]


def _frame(x: _Axis, y: _Axis, x_name: str, y_name: str) -> list[str]:
    """Grid, ticks and the axes' names."""
    bottom = y.first
    parts = []
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{x.last + 14:.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{_short(tick)}</text>'
        )
    middle = (y.first + y.last) / 2
    centre = (x.first + x.last) / 2
    parts.append(f'<text class="axis" x="{centre:.1f}" y="{bottom + 38}" text-anchor="middle">{escape(x_name)}</text>')
    turned = f"translate(14 {middle:.1f}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turned}" text-anchor="middle">{escape(y_name)}</text>')
    return parts


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,.4g}"


def _curve(curve: Curve, number: int, x: _Axis, y: _Axis, shift: float) -> str:
    known = [(px, e) for px, e in curve.points if not isnan(e.value)]
    line = " ".join(f"{x(px) + shift:.1f},{y(e.value):.1f}" for px, e in known)
    kind = number % _MARKS
    parts = [f'<polyline class="line c{kind}" points="{line}"/>']
    for px, e in known:
        parts.append(_whisker(e, x(px) + shift, y, number))
        parts.append(_mark(x(px) + shift, y(e.value), number, f"{curve.name}, {_short(px)}: {_words(e)}"))
    return "".join(parts)


def _whisker(e: Estimate, x: float, y: _Axis, number: int) -> str:
    if isnan(e.low):
        return ""
    return (
        f'<line class="whisker c{number % _MARKS}" x1="{x:.1f}" x2="{x:.1f}" y1="{y(e.low):.1f}" y2="{y(e.high):.1f}"/>'
    )


def _mark(x: float, y: float, number: int, said: str) -> str:
    """A shape of the series' own."""
    kind, r = number % _MARKS, 5.0
    told = f"<title>{escape(said)}</title>"
    if kind == 0:
        return f'<circle class="mark c0" cx="{x:.1f}" cy="{y:.1f}" r="{r}">{told}</circle>'
    shapes = (
        ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        ((0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
        ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
        ((0, 1.3), (1.2, -0.9), (-1.2, -0.9)),
        ((-0.5, -1.3), (0.5, -1.3), (0.5, -0.5), (1.3, -0.5), (1.3, 0.5), (0.5, 0.5), (0.5, 1.3), (-0.5, 1.3),
         (-0.5, 0.5), (-1.3, 0.5), (-1.3, -0.5), (-0.5, -0.5)),
    )  # fmt: skip
    points = " ".join(f"{x + r * 0.85 * dx:.1f},{y + r * 0.85 * dy:.1f}" for dx, dy in shapes[kind - 1])
    return f'<polygon class="mark c{kind}" points="{points}">{told}</polygon>'


def _legend(names: Sequence[str], looks: Sequence[int]) -> tuple[str, int]:
    """The series' marks and names below a drawing, and the room that they take."""
    if len(names) < 2:
        return "", 0
    parts, x, y = list[str](), float(_LEFT), _HEIGHT + 8
    for number, name in zip(looks, names, strict=True):
        width = 26 + 6.6 * len(name)
        if x + width > _WIDTH and x > _LEFT:
            x, y = float(_LEFT), y + 20
        parts.append(_mark(x + 6, y - 4, number, name))
        parts.append(f'<text class="name" x="{x + 17:.1f}" y="{y}">{escape(name)}</text>')
        x += width + 12
    return "".join(parts), y + 8 - _HEIGHT


class _Box(NamedTuple):
    """What a mark or a name covers, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _labels(dots: Sequence[Dot], x: _Axis, y: _Axis) -> list[str]:
    """The models' names beside their marks, each at the first place where it covers nothing."""
    spots = [(x(one.cost), y(one.estimate.value)) for one in dots]
    taken = [_Box(at - 6, level - 6, at + 6, level + 6) for at, level in spots]
    parts = []
    for one, (at, level) in zip(dots, spots, strict=True):
        width = 6.8 * len(one.name)
        places = [
            (at + side * 10, level + shift, side)
            for shift in (-6, 14, -20, 28, -34, 42)
            for side in (1, -1)
            if _LEFT < at + side * (10 + width) < _WIDTH
        ] or [(at + 10, level - 6, 1)]
        boxes = [
            _Box(min(px, px + side * width), py - 11, max(px, px + side * width), py + 3) for px, py, side in places
        ]
        free = next((i for i, box in enumerate(boxes) if not any(box.meets(other) for other in taken)), 0)
        px, py, side = places[free]
        taken.append(boxes[free])
        anchor = "start" if side > 0 else "end"
        parts.append(f'<text class="name" x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}">{escape(one.name)}</text>')
    return parts


def titled(measure: Measure) -> str:
    """A measure's name at the head of a title."""
    return "Accuracy" if measure is Measure.ACCURACY else measure.value


def _in_rows(
    title: str, rows: Sequence[tuple[str, float, float, float]], form: Callable[[float], str], zero: bool = False
) -> Markup:
    bounds = [b for _, *values in rows for b in values if isfinite(b)] + ([0.0] if zero else [])
    if not bounds:
        return Markup("")
    ticks = _round_ticks(min(bounds), max(bounds))
    height = _ROW * len(rows) + 34
    x = _Axis(ticks[0], ticks[-1], _NAMES, _NAMES + _ROW_PLOT, tuple(ticks))
    parts = [
        f'<line class="{"zero" if zero and abs(t) < 1e-9 else "grid"}" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="4" '
        f'y2="{height - 26}"/>'
        f'<text class="tick" x="{x(t):.1f}" y="{height - 10}" text-anchor="middle">{t:.2f}</text>'
        for t in ticks
    ]
    parts += [_row(row, x, 6 + _ROW * (place + 0.5), form) for place, row in enumerate(rows)]
    said = "; ".join(f"{name} {form(value)}" for name, value, _, _ in rows if not isnan(value))
    return _svg(_NAMES + _ROW_PLOT + _VALUES, height, title, said, "".join(parts))


def _row(row: tuple[str, float, float, float], x: _Axis, y: float, form: Callable[[float], str]) -> str:
    name, value, low, high = row
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    parts = [
        f'<text class="name" x="{_NAMES - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(shown)}'
        f"<title>{escape(name)}</title></text>"
    ]
    if isnan(value):
        return parts[0] + f'<text class="tick" x="{x.first + 4}" y="{y + 4:.1f}">not defined</text>'
    told = form(value)
    if not isnan(low):
        parts.append(f'<line class="whisker c0" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        told = f"{told}  [{form(low)}, {form(high)}]"
    parts.append(_mark(x(value), y, 0, f"{name}: {told}"))
    parts.append(f'<text class="value" x="{x.last + 10}" y="{y + 4:.1f}">{escape(told)}</text>')
    return "".join(parts)


def _words(e: Estimate) -> str:
    return f"{e.value:.3f}" if isnan(e.low) else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


def _svg(width: float, height: float, title: str, said: str, body: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{body}</svg>"
    )
