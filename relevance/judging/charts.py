"""The report's drawings as SVG text: intervals in a row, and reliability. Colours come from the page's own CSS.

Pure functions; every drawing has a title and a description for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isnan
from typing import NamedTuple

from markupsafe import Markup, escape

from relevance.intervals import Estimate
from relevance.reliability import ReliabilityBin

_ROW, _LEFT, _RIGHT, _PLOT = 30, 172, 62, 380  # pixels of the interval plot
_LONGEST_NAME = 21  # characters of 13 pixels that the room left of it holds
_SIDE, _MARGIN = 190, 42  # of the reliability plot
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)


class Series(NamedTuple):
    name: str
    estimate: Estimate


def intervals(title: str, series: Sequence[Series]) -> Markup:
    """A dot and its interval a row, on a common axis; rows without a value say so."""
    known = [one.estimate for one in series if not isnan(one.estimate.value)]
    low = min((_first(e.low, e.value) for e in known), default=0.0)
    high = max((_first(e.high, e.value) for e in known), default=1.0)
    step = next((s for s in _STEPS if (high - low) / s <= 6), 1.0)
    start, end = floor(low / step) * step, max(ceil(high / step) * step, floor(low / step) * step + step)
    height = _ROW * len(series) + 34
    x = _Scale(start, end, _LEFT, _LEFT + _PLOT)
    ticks = [start + i * step for i in range(round((end - start) / step) + 1)]
    parts = [_tick(x(tick), height - 26, f"{tick:.2f}") for tick in ticks]
    for i, one in enumerate(series):
        parts.append(_interval_row(one, x, 8 + _ROW * i + _ROW / 2))
    said = "; ".join(f"{one.name} {_words(one.estimate)}" for one in series)
    return _svg(_LEFT + _PLOT + _RIGHT, height, title, said, "".join(parts), "wide")


def reliability(title: str, bins: Sequence[ReliabilityBin]) -> Markup:
    """Accuracy against confidence: a dot a bin, its area by rows, and the diagonal of perfect calibration."""
    x = _Scale(0, 1, _MARGIN, _MARGIN + _SIDE)
    y = _Scale(0, 1, 8 + _SIDE, 8)
    most = max((one.rows for one in bins), default=1)
    parts = [f'<line class="diagonal" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>']
    for value in (0, 0.5, 1):
        parts.append(_tick(x(value), 8 + _SIDE, f"{value:g}", top=8))
        parts.append(
            f'<line class="grid" x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="tick" x="{_MARGIN - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    line = " ".join(f"{x(one.confidence):.1f},{y(one.accuracy):.1f}" for one in bins)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for one in bins:
        radius = 2 + 5 * (one.rows / most) ** 0.5
        parts.append(
            f'<circle class="dot" cx="{x(one.confidence):.1f}" cy="{y(one.accuracy):.1f}" r="{radius:.1f}">'
            f"<title>confidence {one.confidence:.2f}, right {one.accuracy:.2f}, {one.rows} pairs</title></circle>"
        )
    parts.append(f'<text class="axis" x="{x(0.5):.1f}" y="{_SIDE + 42}" text-anchor="middle">confidence</text>')
    parts.append(
        f'<text class="axis" transform="translate(11 {y(0.5):.1f}) rotate(-90)" text-anchor="middle">share right</text>'
    )
    said = "; ".join(f"confidence {b.confidence:.2f}: right {b.accuracy:.2f} of {b.rows} pairs" for b in bins)
    return _svg(_MARGIN + _SIDE + 12, _SIDE + 48, title, said, "".join(parts))


class _Scale(NamedTuple):
    """A value to a pixel."""

    start: float
    end: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.start) / (self.end - self.start) * (self.last - self.first)


def _interval_row(one: Series, x: _Scale, y: float) -> str:
    shown = one.name if len(one.name) <= _LONGEST_NAME else one.name[: _LONGEST_NAME - 1] + "…"
    name = (
        f'<text class="name" x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(shown)}'
        f"<title>{escape(one.name)}</title></text>"
    )
    if isnan(one.estimate.value):
        return name + f'<text class="tick" x="{x.first + 4}" y="{y + 4:.1f}">not defined</text>'
    low, high = _first(one.estimate.low, one.estimate.value), _first(one.estimate.high, one.estimate.value)
    return name + (
        f'<line class="whisker" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle class="dot" cx="{x(one.estimate.value):.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="value" x="{x.last + 12}" y="{y + 4:.1f}">{one.estimate.value:.3f}</text>'
    )


def _tick(x: float, bottom: float, label: str, top: float = 4) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{label}</text>'
    )


def _svg(width: float, height: float, title: str, said: str, body: str, kind: str = "") -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{body}</svg>"
    )


def _first(value: float, otherwise: float) -> float:
    return otherwise if isnan(value) else value


def _words(estimate: Estimate) -> str:
    if isnan(estimate.value):
        return "not defined"
    interval = "no interval" if isnan(estimate.low) else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{estimate.value:.3f}, {interval}"
